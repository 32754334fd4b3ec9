from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.core.exceptions import PermissionDenied
from django.db.models import ProtectedError

from sf_integration import access
from sf_integration.access import (
    SHELL,
    AccessDenied,
    Act,
    Deed,
    may,
    own_drafts,
    require,
    require_all,
    require_key,
    sees_all,
    visible_drafts,
    visible_keys,
    visible_to,
)
from sf_integration.models import ConnectedApp, ConnectionDraft, SigningKey
from sf_integration.salesforce.errors import PermissionMissing

pytestmark = pytest.mark.django_db
DEEDS = {
    Act.VIEW_HEALTH: Deed.SEE,
    Act.RUN_CHECKS: Deed.CHECK,
    Act.LOOK_UP_RECORDS: Deed.LOOK_UP,
    Act.MANAGE_KEYS: Deed.CHANGE,
    Act.TAKE_TOKENS: Deed.TAKE_TOKEN,
}
"""One that needs this permission alone."""


def person(name: str, *acts: Act, groups: tuple[Group, ...] = (), **state: object) -> User:
    user = User.objects.create_user(name, **state)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=acts, content_type__app_label="sf_integration")
    )
    user.groups.set(groups)
    return User.objects.get(pk=user.pk)


@pytest.fixture
def sales():
    return Group.objects.create(name="Sales")


@pytest.fixture
def support():
    return Group.objects.create(name="Support")


@pytest.fixture
def connections(sales, support):
    """One for everybody, one for Sales, one for Sales and Support."""
    key = SigningKey.objects.create(name="k", fingerprint="f", size=2048)
    made = {
        name: ConnectedApp.objects.create(
            name=name,
            login_url="https://a.my.salesforce.com",
            consumer_key="k",
            username="u",
            signing_key=key,
        )
        for name in ("open", "sales", "both")
    }
    made["sales"].groups.set([sales])
    made["both"].groups.set([sales, support])
    return made


def names(user) -> list[str]:
    return list(visible_to(user).order_by("name").values_list("name", flat=True))


def test_alice_of_sales_sees_what_is_open_and_what_is_of_sales(connections, sales):
    alice = person("alice", Act.VIEW_HEALTH, groups=(sales,))
    assert names(alice) == ["both", "open", "sales"]


def test_charlie_of_support_does_not_see_what_is_of_sales(connections, support):
    charlie = person("charlie", *Act, groups=(support,))
    assert names(charlie) == ["both", "open"]
    for act in Act:
        with pytest.raises(AccessDenied):
            require(charlie, DEEDS[act], connections["sales"])
        require(charlie, DEEDS[act], connections["both"])


def test_two_shared_groups_show_a_connection_once(connections, sales, support):
    assert names(person("alice", Act.VIEW_HEALTH, groups=(sales, support))) == ["both", "open", "sales"]


def test_being_in_the_group_is_not_enough_without_the_permission(connections, sales):
    bob = person("bob", groups=(sales,))
    assert names(bob) == []
    for act in Act:
        assert not may(bob, DEEDS[act])
        with pytest.raises(AccessDenied):
            require(bob, DEEDS[act], connections["sales"])


@pytest.mark.parametrize("held", Act)
def test_each_permission_allows_its_own_act_only(connections, held):
    alice = person("alice", Act.VIEW_HEALTH, held)
    for act in Act:
        if act in (Act.VIEW_HEALTH, held):
            require(alice, DEEDS[act], connections["open"])
        else:
            with pytest.raises(AccessDenied):
                require(alice, DEEDS[act], connections["open"])


def test_an_act_on_a_connection_needs_sight_of_it(connections):
    """Whoever may take tokens but not see connections takes none."""
    with pytest.raises(AccessDenied):
        require(person("alice", Act.TAKE_TOKENS), Deed.TAKE_TOKEN, connections["open"])


def test_permissions_by_group_count(connections, sales):
    sales.permissions.add(Permission.objects.get(codename=Act.VIEW_HEALTH))
    assert names(person("alice", groups=(sales,))) == ["both", "open", "sales"]


def test_a_superuser_may_everything(connections):
    root = person("root", is_superuser=True)
    assert names(root) == ["both", "open", "sales"]
    for act in Act:
        require(root, DEEDS[act], connections["sales"])


@pytest.mark.parametrize("state", [{"is_active": False}, {"is_active": False, "is_superuser": True}])
def test_whoever_is_inactive_may_nothing(connections, sales, state):
    former = person("former", *Act, groups=(sales,), **state)
    assert names(former) == []
    for act in Act:
        assert not may(former, DEEDS[act])
        with pytest.raises(AccessDenied):
            require(former, DEEDS[act])


def test_the_anonymous_may_nothing(connections):
    assert names(AnonymousUser()) == []
    for act in Act:
        with pytest.raises(AccessDenied):
            require(AnonymousUser(), DEEDS[act], connections["open"])


def test_deleting_a_group_opens_nothing(connections, sales, support):
    """No groups means all, so a group takes its last connection out of hiding only when someone says so."""
    charlie = person("charlie", Act.VIEW_HEALTH, groups=(support,))
    for delete in (sales.delete, Group.objects.all().delete):
        with pytest.raises(ProtectedError):
            delete()
    assert names(charlie) == ["both", "open"]
    connections["sales"].groups.add(sales)  # twice is once
    connections["sales"].delete()
    connections["both"].groups.remove(sales)
    sales.delete()
    assert names(charlie) == ["both", "open"]


def test_who_sees_all_is_who_has_nothing_hidden(connections, sales, support):
    assert sees_all(SHELL)
    assert sees_all(person("root", is_superuser=True))
    assert sees_all(person("alice", Act.VIEW_HEALTH, groups=(sales,)))
    assert not sees_all(person("charlie", Act.VIEW_HEALTH, groups=(support,)))
    assert not sees_all(person("bob", groups=(sales,)))


@pytest.fixture
def keys(connections):
    """One for each way a key can be used, named after it."""
    made = {
        name: SigningKey.objects.create(name=name, fingerprint=name, size=2048)
        for name in ("of sales", "staged for sales", "of both", "spare")
    }
    for app, column, name in (
        ("sales", "signing_key", "of sales"),
        ("sales", "staged_signing_key", "staged for sales"),
        ("both", "signing_key", "of both"),
    ):
        ConnectedApp.objects.filter(name=app).update(**{column: made[name]})
    return made


def key_names(user) -> list[str]:
    return list(visible_keys(user).order_by("name").values_list("name", flat=True))


def test_keys_are_seen_by_who_sees_their_connections_and_spare_ones_by_all(keys, sales, support):
    everything = ["k", "of both", "of sales", "spare", "staged for sales"]
    assert key_names(person("alice", *Act, groups=(sales,))) == everything
    assert key_names(SHELL) == key_names(person("root", is_superuser=True)) == everything
    charlie = person("charlie", *Act, groups=(support,))
    assert key_names(charlie) == ["k", "of both", "spare"]
    require_key(charlie, keys["of both"])
    for name in ("of sales", "staged for sales"):
        with pytest.raises(AccessDenied, match=f"You may not use the signing key “{name}”"):
            require_key(charlie, keys[name])
    # A key that is staged for a visible connection is in sight, whoever else uses it.
    ConnectedApp.objects.filter(name="both").update(staged_signing_key=keys["of sales"])
    assert "of sales" in key_names(charlie)


def test_keys_are_not_seen_without_the_permission(keys, sales):
    for user in (AnonymousUser(), person("bob", Act.MANAGE_KEYS, groups=(sales,))):
        assert key_names(user) == []


def test_a_deleted_connection_is_nobodys(connections):
    alice = person("alice", *Act)
    gone = connections["open"]
    ConnectedApp.objects.filter(pk=gone.pk).delete()
    with pytest.raises(AccessDenied):
        require(alice, Deed.TAKE_TOKEN, gone)


def test_the_command_line_may_everything_and_has_a_name(connections):
    for act in Act:
        require(SHELL, DEEDS[act], connections["sales"])
    assert names(SHELL) == ["both", "open", "sales"]
    assert SHELL.get_username() == "command line"


def test_a_refusal_is_djangos_403_and_one_of_our_errors(connections):
    with pytest.raises(AccessDenied, match="You may not take tokens of the connection “sales”") as caught:
        require(person("bob"), Deed.TAKE_TOKEN, connections["sales"])
    assert isinstance(caught.value, PermissionDenied)
    assert isinstance(caught.value, PermissionMissing)
    assert caught.value.remedy


@pytest.mark.parametrize(("named", "what"), [(True, "the connection “sales”"), (False, "connections")])
@pytest.mark.parametrize(
    ("deed", "words"),
    [
        (Deed.SEE, "see {}"),
        (Deed.CHECK, "check or renew {}"),
        (Deed.LOOK_UP, "look up records through {}"),
        (Deed.CHANGE, "manage {}"),
        (Deed.TAKE_TOKEN, "take tokens of {}"),
    ],
)
def test_a_refusal_tells_what_may_not_be_done_and_whom_to_ask(connections, deed, words, named, what):
    """The same words for want of the permission and of sight."""
    told = [access.denied(deed, "sales") if named else access.denied(deed)]
    for user in (person("bob"), person("alice", *Act)):
        if named or user.username == "bob":
            with pytest.raises(AccessDenied) as caught:
                require(user, deed, connections["sales"] if named else None)
            told.append(caught.value)
    for error in told:
        assert error.cause == f"You may not {words.format(what)}."
        assert error.remedy == "Ask an administrator of this site for the permission."
        assert error.who == "an administrator of this site"
    assert len(told) == (3 if named else 2)


def test_of_several_permissions_the_first_lacking_is_told(connections):
    for held, told in ((Act.MANAGE_KEYS, "check or renew"), (Act.RUN_CHECKS, "manage")):
        with pytest.raises(AccessDenied, match=f"You may not {told} connections"):
            require(person(f"with {held}", held), Deed.TRY_VALUES)


def test_what_is_done_to_many_needs_sight_of_each(connections, support, django_assert_num_queries):
    charlie = person("charlie", *Act, groups=(support,))
    charlie.has_perm("x")
    with django_assert_num_queries(1):
        require_all(charlie, Deed.CHECK, [connections["open"], connections["both"]])
    with django_assert_num_queries(0):
        require_all(charlie, Deed.CHECK, iter(()))
    with pytest.raises(AccessDenied, match="You may not check or renew the connection “sales”"):
        require_all(charlie, Deed.CHECK, iter(connections.values()))
    with pytest.raises(AccessDenied, match="You may not check or renew connections"):
        require_all(person("bob", Act.VIEW_HEALTH), Deed.CHECK, [connections["open"]])


def test_an_unfinished_set_up_is_its_makers(connections, support):
    makers = (Act.VIEW_HEALTH, Act.MANAGE_KEYS)
    alice, charlie = person("alice", *makers), person("charlie", *makers, groups=(support,))
    root, bob = person("root", is_superuser=True), person("bob", Act.VIEW_HEALTH)
    former = person("former", *makers, is_active=False, is_superuser=True)
    for user in (alice, charlie, root, bob, former):
        for name in (None, "open", "sales"):
            ConnectionDraft.objects.create(name=user.username, made_by=user, connection=connections.get(name))

    def found(drafts) -> list[tuple[str, str]]:
        return sorted((draft.name, draft.connection.name if draft.connection else "") for draft in drafts)

    for user in (alice, charlie):
        assert found(visible_drafts(user)) == [(user.username, ""), (user.username, "open")]
    assert visible_drafts(root).count() == visible_drafts(SHELL).count() == 15
    assert found(own_drafts(root)) == [("root", ""), ("root", "open"), ("root", "sales")]
    for user in (bob, former):
        assert found(visible_drafts(user)) == found(own_drafts(user)) == []


def test_every_act_is_a_permission_that_exists():
    stored = set(
        Permission.objects.filter(content_type__app_label="sf_integration").values_list("codename", flat=True)
    )
    assert set(Act) <= stored
    assert set(access._WORDS) == set(Act) == set(DEEDS)
    assert {act for rule in access.MATRIX.values() for act in rule.needs} == set(Act)
    assert set(access.MATRIX) == set(Deed)


def test_the_ready_groups_grow_from_looking_to_managing():
    acts = {
        group.name: {permission.codename for permission in group.permissions.all()}
        for group in Group.objects.filter(name__startswith="Salesforce")
    }
    look, operate, manage = (acts[f"Salesforce: {word}"] for word in ("look", "operate", "manage keys"))
    assert look == {Act.VIEW_HEALTH}
    assert look < operate < manage == set(Act)
    assert Act.TAKE_TOKENS not in operate


def test_sight_costs_one_query_whatever_the_number(connections, sales, django_assert_max_num_queries):
    alice = person("alice", Act.VIEW_HEALTH, groups=(sales,))
    alice.has_perm("x")  # permissions are cached by Django
    with django_assert_max_num_queries(1):
        names(alice)
