from __future__ import annotations

import datetime as dt
import re

import pytest
import time_machine
from django.contrib.auth.models import Group, Permission, User
from django.db import OperationalError
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sf_integration import audit, keystore
from sf_integration.access import SHELL, AccessDenied
from sf_integration.models import ApiClient, AuditEvent, ConnectedApp
from sf_integration.salesforce.errors import ApiKeyRefused, InvalidInput, PermissionMissing
from sf_integration.services import api_clients, api_keys
from sf_integration.services.api_clients import IssuedKey
from sf_integration.services.api_keys import ClientState

pytestmark = pytest.mark.django_db
HOUR = dt.timedelta(hours=1)


def connection(name: str) -> ConnectedApp:
    key = keystore.SigningKey.objects.first() or keystore.make(name="key")
    return ConnectedApp.objects.create(
        name=name, login_url="https://a.my.salesforce.com", username="Int@acme.example", signing_key=key
    )


@pytest.fixture
def acme():
    return connection("acme")


@pytest.fixture
def shop(acme) -> IssuedKey:
    return api_clients.make("shop", connections=[acme], usernames=["Ops@acme.example"], actor=SHELL)


def person(name: str, *permissions: str, groups: tuple[Group, ...] = ()) -> User:
    user = User.objects.create_user(name)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    user.groups.set(groups)
    return user


def refused_with(api_key: str) -> str:
    with pytest.raises(ApiKeyRefused) as refused:
        api_keys.authenticate(api_key)
    return refused.value.code


def elsewhere() -> None:
    """As another process, which remembers nothing."""
    api_keys._known.clear()


def acts() -> list[str]:
    return [event.act for event in AuditEvent.objects.order_by("at")]


def test_an_api_key_is_known_again_and_only_its_hash_is_kept(shop):
    assert re.fullmatch(api_keys.API_KEY_PATTERN, shop.api_key)
    assert api_keys.authenticate(shop.api_key) == shop.client
    row = ApiClient.objects.values().get()
    assert shop.api_key[17:] not in repr(row)
    assert shop.api_key not in f"{shop!r} {shop.client!r}"
    assert row["prefix"] == shop.api_key[4:16]


@pytest.mark.parametrize(
    "spoilt",
    ["", "sfk_", "x", "sfk_" + "0" * 12 + "_" + "A" * 43, "Bearer", "sfk_é", "sfk_\udc80", "sfk_\0"],
)
def test_what_is_no_api_key_of_ours_is_unknown(shop, spoilt):
    assert refused_with(spoilt) == "api_key_unknown"


def test_one_character_more_less_or_else_is_unknown(shop):
    key = shop.api_key
    last = "A" if key[-1] != "A" else "B"
    for spoilt in (key[:-1], key + "A", key[:-1] + last, key.upper(), f" {key}"):
        assert refused_with(spoilt) == "api_key_unknown"
    api_keys.authenticate(key)
    assert refused_with(key[:-1] + last) == "api_key_unknown"  # beside a remembered one


def test_an_expired_and_a_revoked_one_are_told_apart(acme, shop):
    soon = api_clients.make("soon", connections=[acme], expires_at=timezone.now() + HOUR, actor=SHELL)
    api_keys.authenticate(soon.api_key)
    with time_machine.travel(timezone.now() + 2 * HOUR):
        assert refused_with(soon.api_key) == "api_key_expired"
    api_clients.revoke(shop.client, actor=SHELL)
    assert refused_with(shop.api_key) == "api_key_revoked"


def test_a_refused_api_key_is_told_with_what_to_do(acme, shop):
    client = api_keys.authenticate(shop.api_key)
    told = {
        api_keys.API_KEY_PATTERN: (
            "The API key is not known here.",
            "Check that it was copied whole, sfk_ included, and is meant for this site; else have it replaced.",
        )
    }
    for column, sentence, remedy in (
        ("revoked_at", "The API client “shop” was revoked.", "Have a new API client made"),
        ("expires_at", "The API key of “shop” has expired.", "Have its expiry moved"),
    ):
        client.revoked_at = client.expires_at = None
        setattr(client, column, timezone.now())
        told[column] = (sentence, f"{remedy}, if it should have tokens again.")
        with pytest.raises(ApiKeyRefused) as refused:
            api_keys.authenticate(shop.api_key)
        assert (refused.value.cause, refused.value.remedy) == told[column]
        assert refused.value.who == "an administrator of this site"
    with pytest.raises(ApiKeyRefused) as refused:
        api_keys.authenticate("sfk_x")
    assert (refused.value.cause, refused.value.remedy) == told[api_keys.API_KEY_PATTERN]
    assert refused.value.who == "an administrator of this site"


def test_a_replaced_api_key_stops_at_once_and_the_new_one_has_not_been_used(shop):
    api_keys.authenticate(shop.api_key)
    new = api_clients.replace_key(shop.client, actor=SHELL)
    assert refused_with(shop.api_key) == "api_key_unknown"
    assert ApiClient.objects.get().last_used_at is None
    assert api_keys.authenticate(new.api_key) == shop.client


def test_edits_elsewhere_are_in_force_after_five_seconds(acme, shop):
    client = api_keys.authenticate(shop.api_key)
    assert api_keys.grant(client, "acme").pk == acme.pk
    ApiClient.objects.update(revoked_at=timezone.now())
    with CaptureQueriesContext(database) as queries:
        again = api_keys.authenticate(shop.api_key)
        api_keys.grant(again, "acme")
    assert len(queries) == 0
    api_keys._known[client.prefix].next_look -= api_keys.LOOK_EVERY_SECONDS
    assert refused_with(shop.api_key) == "api_key_revoked"


def test_an_api_key_replaced_elsewhere_is_familiar_no_longer(shop):
    api_keys.authenticate(shop.api_key)
    assert api_keys.is_familiar(shop.api_key)
    ApiClient.objects.update(prefix="0" * 12)
    api_keys._known[shop.client.prefix].next_look = 0.0
    assert refused_with(shop.api_key) == "api_key_unknown"
    assert not api_keys.is_familiar(shop.api_key)


def test_connections_taken_away_are_refused_once_the_client_is_read_anew(acme, shop):
    api_keys.grant(api_keys.authenticate(shop.api_key), "acme")
    shop.client.connections.clear()
    api_keys._known[shop.client.prefix].next_look = 0.0
    with pytest.raises(PermissionMissing):
        api_keys.grant(api_keys.authenticate(shop.api_key), "acme")


def test_use_is_noted_once_a_minute_and_its_first_is_audited_once(shop):
    api_keys.authenticate(shop.api_key)
    first = ApiClient.objects.get().last_used_at
    elsewhere()
    api_keys.authenticate(shop.api_key)
    assert ApiClient.objects.get().last_used_at == first
    elsewhere()
    with time_machine.travel(timezone.now() + dt.timedelta(seconds=61)):
        api_keys.authenticate(shop.api_key)
    assert ApiClient.objects.get().last_used_at > first
    assert acts() == ["made API client", "first used API key"]
    assert AuditEvent.objects.filter(actor="API client shop").count() == 1


def test_of_two_processes_that_see_the_first_use_one_notes_it(acme, shop):
    other = api_clients.make("other", connections=[acme], actor=SHELL)
    late = ApiClient.objects.get(name="shop")
    with time_machine.travel(timezone.now() - dt.timedelta(seconds=30), tick=False):
        api_keys.authenticate(shop.api_key)
    noted = ApiClient.objects.get(name="shop").last_used_at
    api_keys._note_use(late)
    assert ApiClient.objects.get(name="shop").last_used_at == noted
    assert ApiClient.objects.get(name="other").last_used_at is None
    (event,) = AuditEvent.objects.filter(act="first used API key")
    assert (event.subject, event.subject_id, event.actor) == ("shop", late.pk, "API client shop")
    api_keys.authenticate(other.api_key)
    assert acts().count("first used API key") == 2


def test_a_remembered_client_gets_the_connection_it_asks_for_and_no_other(acme, shop):
    connection("hidden")
    second = connection("second")
    client = api_keys.authenticate(shop.api_key)
    for _ in range(2):
        with pytest.raises(PermissionMissing, match="“hidden”"):
            api_keys.grant(client, "hidden")
    shop.client.connections.add(second)
    for _ in range(2):
        assert [api_keys.grant(client, name).pk for name in ("second", "acme")] == [second.pk, acme.pk]


def test_a_connection_that_is_not_there_is_refused_in_the_same_words(shop):
    connection("hidden")
    told = set()
    for name in ("hidden", "absent", "a\0b", "\ud800", "A" * 300, "acme' --"):
        with pytest.raises(PermissionMissing) as refused:
            api_keys.grant(shop.client, name)
        told.add(refused.value.cause.replace(name, "NAME"))
        assert refused.value.remedy == "Check the name, or add the connection to the API client."
        assert refused.value.who == "an administrator of this site"
    assert told == {"This API client may not use the connection “NAME”, or there is none of that name."}


def test_the_only_connection_need_not_be_named(acme, shop):
    assert api_keys.grant(shop.client).name == "acme"
    shop.client.connections.add(connection("other"))
    with pytest.raises(InvalidInput, match=r"^This API client has several connections: say .* is meant\.$"):
        api_keys.grant(shop.client)
    shop.client.connections.clear()
    with pytest.raises(PermissionMissing, match=r"This API client may not use any connection\."):
        api_keys.grant(shop.client)


def test_usernames_do_not_depend_on_case_and_the_own_user_needs_no_listing(acme, shop):
    granted = api_keys.grant(shop.client, "acme")
    assert api_keys.require_username(shop.client, granted, "INT@acme.example") is None
    assert api_keys.require_username(shop.client, granted, "") is None
    assert api_keys.require_username(shop.client, granted, "ops@ACME.example") == "ops@acme.example"
    with pytest.raises(PermissionMissing, match=r"boss@acme\.example") as refused:
        api_keys.require_username(shop.client, granted, "boss@acme.example")
    remedy = "Add the username to the API client, or leave “sub” out for the connection's own user."
    assert (refused.value.remedy, refused.value.who) == (remedy, "an administrator of this site")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"name": " "}, "Give the API client a name"),
        ({"name": "a\nb"}, "Give the API client a name"),
        ({"name": "x" * 101}, "Give the API client a name"),
        ({"name": "shop"}, "already"),
        ({"usernames": ["nobody"]}, "no Salesforce username"),
        ({"usernames": ["x" * 250 + "@a.example"]}, "no Salesforce username"),
        ({"expires_at": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)}, "in the past"),
        ({"expires_at": dt.datetime(2020, 1, 1)}, "in the past"),  # noqa: DTZ001
    ],
)
def test_bad_values_are_refused_with_a_sentence(acme, shop, wrong, told):
    with pytest.raises(InvalidInput, match=told):
        api_clients.make(**{"name": "new", "connections": [acme], "actor": SHELL} | wrong)
    assert ApiClient.objects.count() == 1


def changed(client: ApiClient, **wanted: object) -> list[str]:
    values = {name: getattr(client, name) for name in ("name", "usernames", "expires_at", "notes")}
    values |= {"connections": client.connections.all(), "actor": SHELL}
    return api_clients.change(client, **values | wanted)  # type: ignore[arg-type]


def test_a_change_is_audited_with_the_names_of_what_changed(acme, shop):
    assert changed(shop.client) == []
    assert changed(shop.client, notes="by Ann", connections=[]) == ["connections", "notes"]
    assert AuditEvent.objects.get(act="changed API client").fields == ["connections", "notes"]
    assert [*shop.client.connections.all()] == []


def test_an_expiry_that_is_over_may_stay_as_it_is(shop):
    ApiClient.objects.update(expires_at=timezone.now() - HOUR)
    client = ApiClient.objects.get()
    assert changed(client, notes="old") == ["notes"]
    assert changed(client, expires_at=timezone.now() + HOUR) == ["expires_at"]


def test_revoking_is_final_and_done_once(shop):
    stale = ApiClient.objects.get()
    api_clients.revoke(shop.client, actor=SHELL)
    api_clients.revoke(stale, actor=SHELL)
    assert acts().count("revoked API client") == 1
    for act in (lambda: changed(stale), lambda: api_clients.replace_key(stale, actor=SHELL)):
        with pytest.raises(InvalidInput, match="for good"):
            act()


def test_what_can_not_be_told_to_the_trail_is_not_done(shop, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise OperationalError

    monkeypatch.setattr(audit, "record", fail)
    for act in (
        lambda: api_clients.revoke(shop.client, actor=SHELL),
        lambda: api_keys.authenticate(shop.api_key),
    ):
        with pytest.raises(OperationalError):
            act()
    stored = ApiClient.objects.get()
    assert (stored.revoked_at, stored.last_used_at) == (None, None)
    assert shop.client.revoked_at is None


def test_the_state_is_told_in_a_word(shop):
    now = timezone.now()
    for expires_in, state in (
        (None, ClientState.ACTIVE),
        (15, ClientState.ACTIVE),
        (14, ClientState.EXPIRES_SOON),
        (13, ClientState.EXPIRES_SOON),
        (0, ClientState.EXPIRED),
        (-1, ClientState.EXPIRED),
    ):
        shop.client.expires_at = None if expires_in is None else now + dt.timedelta(days=expires_in)
        assert api_keys.state_of(shop.client, now) is state
    shop.client.revoked_at = now
    assert api_keys.state_of(shop.client, now) == "revoked"


@pytest.mark.parametrize("lacking", ["view_health", "manage_keys", "take_tokens"])
def test_who_lacks_a_permission_manages_no_clients(acme, shop, lacking):
    charlie = person("charlie", *{"view_health", "manage_keys", "take_tokens"} - {lacking})
    with pytest.raises(AccessDenied):
        api_clients.make("mine", connections=[acme], actor=charlie)


def test_nobody_hands_out_a_connection_that_is_hidden_from_them(acme, shop):
    secret = connection("secret")
    secret.groups.add(Group.objects.create(name="board"))
    alice = person("alice", "view_health", "manage_keys", "take_tokens")
    with pytest.raises(AccessDenied, match="secret"):
        api_clients.make("mine", connections=[acme, secret], actor=alice)
    with pytest.raises(AccessDenied, match="secret"):
        changed(shop.client, connections=[acme, secret], actor=alice)
    assert changed(shop.client, notes="hers", actor=alice) == ["notes"]

    shop.client.connections.add(secret)

    for act in (
        lambda: api_clients.replace_key(shop.client, actor=alice),
        lambda: changed(shop.client, connections=[acme], actor=alice),
        lambda: api_clients.revoke(shop.client, actor=alice),
    ):
        with pytest.raises(AccessDenied):
            act()
    assert [*api_clients.manageable(alice)] == []
    assert [*api_clients.manageable(SHELL)] == [shop.client]
