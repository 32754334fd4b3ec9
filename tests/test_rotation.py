"""What people do about the next signing key: acts, trials, the board, texts for the orgs' admins, retiring, the command."""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.db.models import ProtectedError
from django.test import Client
from django.utils import timezone

from sf_integration import access, get_token, keystore, tasks, tokens
from sf_integration.models import UNDO_FOR, AccessToken, AuditEvent, ConnectedApp, ConnectionDraft, SigningKey
from sf_integration.salesforce.errors import AuthenticationError, InvalidInput
from sf_integration.services import leaving, rotation
from sf_integration.services.operations import Outcome
from sf_integration.services.rotation import Stage, acts
from sf_integration.testing.django import ConnectableOrg
from sf_integration.tokens import promotion

from .test_admin import opened
from .tokens.test_concurrency import in_thread

pytestmark = pytest.mark.django_db(transaction=True)

SHELL = access.SHELL


@pytest.fixture
def next_key() -> SigningKey:
    return keystore.make(name="next")


def connection(name: str = "acme") -> ConnectedApp:
    found = ConnectedApp.objects.select_related("signing_key", "staged_signing_key", "previous_signing_key")
    return found.get(name=name)


def stages() -> dict[str, str]:
    return {
        each.name: rotation.stand(connection(each.name)).stage.value for each in ConnectedApp.objects.all()
    }


def share(org: ConnectableOrg, *names: str) -> list[ConnectedApp]:
    """Connections that sign in with one key, each to an app of its own and as another user."""
    first = org.connect(names[0])
    for name in names[1:]:
        app = org.add_app(name=name, certificate_pem=org.app.certificate_pem)
        user = org.add_user(f"{name}@nordhafen.example")
        ConnectedApp.objects.create(
            name=name,
            login_url=org.url,
            consumer_key=app.consumer_key,
            username=user.username,
            signing_key=first.signing_key,
        )
    return [connection(name) for name in names]


def app_of(org: ConnectableOrg, name: str) -> Any:
    return org.apps[connection(name).consumer_key]


def tried_long_ago() -> None:
    """So that they may be tried again."""
    for each in ConnectedApp.objects.exclude(staged_trial=None):
        ConnectedApp.objects.filter(pk=each.pk).update(
            staged_trial={**each.staged_trial, "at": "2026-01-01T00:00:00+00:00"}
        )


# ---- acts -----------------------------------------------------------------------------------------------------------


def test_start_makes_one_key_for_all_and_changes_nothing_else(salesforce_org: ConnectableOrg) -> None:
    shared = share(salesforce_org, "acme", "globex", "initech")
    token = get_token("acme")
    started = rotation.start(shared, actor=SHELL, bits=3072, days=30)
    assert started.was_made
    assert [outcome.done for outcome in started.outcomes] == [True] * 3
    assert {connection(each.name).staged_signing_key for each in shared} == {started.key}
    assert (started.key.name, started.key.size) == ("acme-2", 3072)
    assert get_token("acme") == token
    assert set(stages().values()) == {"staged"}
    acts = AuditEvent.objects.values_list("act", "subject")
    assert set(acts) == {
        ("made key", "acme-2"),
        *(("staged signing key", name) for name in ("acme", "globex", "initech")),
    }


def test_start_holds_up_nobody_while_it_goes_through_many(
    salesforce_org: ConnectableOrg, next_key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sweeps write many of these rows in an order of their own: two who hold some and want others' would wait for ever."""
    shared = share(salesforce_org, "acme", "globex")
    real = acts._stage

    def written_by_another_process() -> bool:
        with database.cursor() as cursor:
            if database.vendor == "postgresql":
                cursor.execute("SET lock_timeout = '1s'")
        return bool(ConnectedApp.objects.filter(name="acme").update(last_success_at=timezone.now()))

    def stage(each: ConnectedApp, key: SigningKey, actor: Any) -> Outcome:
        if each.name == "globex":
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(in_thread, written_by_another_process).result()
        return real(each, key, actor)

    monkeypatch.setattr(acts, "_stage", stage)
    rotation.start(shared, actor=SHELL, new_key=next_key)
    assert stages() == {"acme": "staged", "globex": "staged"}


def test_start_leaves_what_is_staged_already(salesforce_org: ConnectableOrg, next_key: SigningKey) -> None:
    shared = share(salesforce_org, "acme", "globex")
    rotation.start(shared[:1], actor=SHELL, new_key=next_key)
    started = rotation.start([connection(each.name) for each in shared], actor=SHELL)
    assert [outcome.done for outcome in started.outcomes] == [False, True]
    assert connection("acme").staged_signing_key == next_key


def test_start_refuses_keys_that_nobody_could_use(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    shared = share(salesforce_org, "acme")
    SigningKey.objects.filter(pk=next_key.pk).update(certificate="")
    with pytest.raises(InvalidInput, match="add it first"):
        rotation.start(shared, actor=SHELL, new_key=next_key)
    SigningKey.objects.filter(pk=next_key.pk).update(certificate="x", private_key=None)
    with pytest.raises(InvalidInput, match="without its private key"):
        rotation.start(shared, actor=SHELL, new_key=next_key)
    assert not rotation.start(shared, actor=SHELL, new_key=shared[0].signing_key).outcomes[0].done
    assert connection().staged_signing_key is None


def test_promotion_by_hand_needs_a_trial_that_went_well(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    share(salesforce_org, "acme")
    rotation.start([connection()], actor=SHELL, new_key=next_key)
    outcome = rotation.promote(connection(), actor=SHELL)
    assert not outcome.done
    assert "Try it first" in outcome.sentence
    assert connection().signing_key != next_key


def test_choosing_a_signing_key_ends_what_was_under_way(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    share(salesforce_org, "acme")
    rotation.start([connection()], actor=SHELL, new_key=next_key)
    chosen = connection()
    chosen.signing_key = next_key
    columns = chosen.note_edit(["signing_key"])
    chosen.save(update_fields=[*columns, "signing_key"])
    now = connection()
    assert (now.signing_key, now.staged_signing_key, now.previous_signing_key) == (next_key, None, None)
    assert rotation.stand(now).stage is Stage.NOTHING


def test_staging_in_the_admins_form_is_dated(salesforce_org: ConnectableOrg, next_key: SigningKey) -> None:
    share(salesforce_org, "acme")
    chosen = connection()
    chosen.staged_signing_key = next_key
    chosen.save(update_fields=["staged_signing_key", *chosen.note_edit(["staged_signing_key"])])
    stand = rotation.stand(connection())
    assert stand.stage is Stage.STAGED
    assert stand.since
    assert connection().settings_since is None


def test_a_page_opened_before_a_promotion_does_not_undo_it(
    salesforce_org: ConnectableOrg, admin_client: Client, next_key: SigningKey
) -> None:
    share(salesforce_org, "acme")
    rotation.start([connection()], actor=SHELL, new_key=next_key)
    change = f"/admin/sf_integration/connectedapp/{connection().pk}/change/"
    page = opened(admin_client, connection())
    promoted(salesforce_org, next_key, "acme")
    other = keystore.make(name="other")
    for wish in (
        {"signing_key": [str(other.pk)]},
        {"signing_key": [str(next_key.pk)], "staged_signing_key": [""]},
        {"staged_signing_key": [str(other.pk)]},
        {"make_key": ["on"]},
    ):
        told = text_of(admin_client.post(change, page | wish))
        assert "Its signing keys were changed since this page was opened" in told
        now = connection()
        assert (now.signing_key, now.staged_signing_key, now.previous_signing_key.name) == (
            next_key,
            None,
            "acme",
        )
    assert admin_client.post(change, page | {"label": ["Acme"]}).status_code == 302
    assert connection().previous_signing_key.name == "acme"
    page = opened(admin_client, connection())
    assert admin_client.post(change, page | {"signing_key": [str(other.pk)]}).status_code == 302
    assert connection().signing_key == other


def test_a_key_staged_in_the_admins_form_is_tried_soon(
    salesforce_org: ConnectableOrg, admin_client: Client, next_key: SigningKey
) -> None:
    share(salesforce_org, "acme")
    salesforce_org.app.replace_certificate(next_key.certificate)
    with pytest.raises(AuthenticationError):
        get_token("acme")
    AccessToken.objects.update(next_try_at=timezone.now() + dt.timedelta(hours=6))
    change = f"/admin/sf_integration/connectedapp/{connection().pk}/change/"
    page = opened(admin_client, connection())
    admin_client.post(change, page | {"staged_signing_key": [str(next_key.pk)]})
    assert get_token("acme")
    assert connection().signing_key == next_key


def test_what_the_org_said_of_another_app_promotes_nothing(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    share(salesforce_org, "acme")
    rotation.start([connection()], actor=SHELL, new_key=next_key)
    seen = connection()
    ConnectedApp.objects.update(consumer_key="3MVG9another")
    promotion.accept(seen, next_key.fingerprint, actor="sign-in")
    assert connection().signing_key != next_key


def test_the_address_of_the_board_is_no_name_of_a_connection(salesforce_org: ConnectableOrg) -> None:
    with pytest.raises(ValidationError, match="address of a page"):
        salesforce_org.connect("keys")


# ---- who may --------------------------------------------------------------------------------------------------------


@pytest.fixture
def carol(salesforce_org: ConnectableOrg) -> User:
    """May manage what her group sees."""
    group = Group.objects.create(name="emea")
    group.permissions.set(
        Permission.objects.filter(codename__in=["view_health", "run_checks", "manage_keys"])
    )
    user = User.objects.create_user("carol")
    user.groups.add(group)
    return User.objects.get(pk=user.pk)


@pytest.fixture
def dave() -> User:
    """May look and operate, but not manage."""
    user = User.objects.create_user("dave")
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_health", "run_checks"]))
    return User.objects.get(pk=user.pk)


def test_a_shared_key_is_rotated_by_each_group_for_its_own_connections(
    salesforce_org: ConnectableOrg, carol: User
) -> None:
    mine, others = share(salesforce_org, "acme", "globex")
    mine.groups.add(carol.groups.get())
    others.groups.add(Group.objects.create(name="apac"))
    key = mine.signing_key
    assert [each.connection.name for each in rotation.board(key, actor=carol)] == ["acme"]
    with pytest.raises(access.AccessDenied):
        rotation.start([mine, others], actor=carol)
    client = Client()
    client.force_login(carol)
    client.post(f"/connections/keys/{key.pk}/rotation/start/", {"stored": "", "bits": "2048", "days": "365"})
    assert stages() == {"acme": "staged", "globex": "nothing staged"}
    page = client.get(f"/connections/keys/{key.pk}/rotation/").content.decode()
    assert "acme" in page
    assert "globex" not in page
    for act in (rotation.try_staged, rotation.promote, rotation.undo, rotation.cancel):
        with pytest.raises(access.AccessDenied):
            act(others, actor=carol)
    # The key that was staged for the one group is not told to the other's.
    stranger = User.objects.create_user("erin")
    stranger.groups.add(Group.objects.get(name="apac"))
    stranger.user_permissions.set(Permission.objects.filter(codename="view_health"))
    staged = connection("acme").staged_signing_key
    assert not access.visible_keys(User.objects.get(pk=stranger.pk)).filter(pk=staged.pk).exists()


def test_who_may_not_manage_sees_the_board_without_its_buttons(
    salesforce_org: ConnectableOrg, dave: User, next_key: SigningKey
) -> None:
    share(salesforce_org, "acme")
    rotation.start([connection()], actor=SHELL, new_key=next_key)
    client = Client()
    client.force_login(dave)
    base = f"/connections/keys/{connection().signing_key_id}/rotation/"
    page = client.get(base)
    assert page.status_code == 200
    assert "<button" not in page.content.decode().partition("<main")[2].replace("data-sf-copy", "").replace(
        '<button type="button"', ""
    )
    for what in ("start", "try", "promote", "undo", "cancel"):
        assert client.post(f"{base}{what}/", {"connection": "acme"}).status_code == 403
    assert stages() == {"acme": "staged"}
    assert salesforce_org.token_requests == 0


# ---- trying ---------------------------------------------------------------------------------------------------------


def test_a_trial_that_is_refused_disturbs_nothing(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    share(salesforce_org, "acme")
    rotation.start([connection()], actor=SHELL, new_key=next_key)
    token = get_token("acme")
    outcome = rotation.try_staged(connection(), actor=SHELL)
    assert not outcome.done
    assert "not take “next” yet" in outcome.sentence
    assert stages() == {"acme": "not uploaded yet"}
    assert connection().failing_since is None
    row = AccessToken.objects.get()
    assert (row.last_error, row.next_try_at, row.claimed_until) == (None, None, None)
    tokens.reset()
    assert get_token("acme") == token
    assert tokens.refresh("acme")


def test_a_trial_that_goes_well_promotes_and_its_token_is_everybodys(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    share(salesforce_org, "acme")
    rotation.start([connection()], actor=SHELL, new_key=next_key)
    get_token("acme")
    salesforce_org.app.replace_certificate(next_key.certificate)
    assert rotation.try_staged(connection(), actor=SHELL).done
    assert stages() == {"acme": "promoted"}
    before = salesforce_org.token_requests
    tokens.reset()
    assert salesforce_org.find_session(get_token("acme").value)
    assert salesforce_org.token_requests == before
    assert AuditEvent.objects.get(act="promoted signing key").actor == "command line"


def test_a_trial_does_not_end_a_session_that_the_org_gives_out_again(
    salesforce_org: ConnectableOrg, next_key: SigningKey, settings: Any
) -> None:
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "PROMOTE_STAGED_KEYS": False}
    salesforce_org.reuse_sessions = True
    share(salesforce_org, "acme")
    rotation.start([connection()], actor=SHELL, new_key=next_key)
    token = get_token("acme")
    salesforce_org.app.replace_certificate(next_key.certificate)
    assert rotation.try_staged(connection(), actor=SHELL).done
    assert stages() == {"acme": "accepted"}
    assert salesforce_org.find_session(token.value)


def test_trouble_of_another_kind_says_nothing_about_the_key(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    share(salesforce_org, "acme")
    rotation.start([connection()], actor=SHELL, new_key=next_key)
    salesforce_org.app.replace_certificate(next_key.certificate)
    salesforce_org.user.approved = False
    outcome = rotation.try_staged(connection(), actor=SHELL)
    assert not outcome.done
    assert "says nothing about the staged signing key" in outcome.sentence
    assert stages() == {"acme": "failing"}
    assert connection().signing_key != next_key


def test_a_trial_is_made_once_in_ten_seconds(salesforce_org: ConnectableOrg, next_key: SigningKey) -> None:
    share(salesforce_org, "acme")
    rotation.start([connection()], actor=SHELL, new_key=next_key)
    rotation.try_staged(connection(), actor=SHELL)
    assert "a moment ago" in rotation.try_staged(connection(), actor=SHELL).sentence
    assert salesforce_org.token_requests == 1


def test_a_trial_by_a_clock_that_was_ahead_holds_up_nobody(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    share(salesforce_org, "acme")
    rotation.start([connection()], actor=SHELL, new_key=next_key)
    rotation.try_staged(connection(), actor=SHELL)
    ahead = {**(connection().staged_trial or {}), "at": (timezone.now() + dt.timedelta(hours=1)).isoformat()}
    ConnectedApp.objects.update(staged_trial=ahead)
    assert "a moment ago" not in rotation.try_staged(connection(), actor=SHELL).sentence
    assert salesforce_org.token_requests == 2


def test_a_page_of_long_ago_does_not_try_again_at_once(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    share(salesforce_org, "acme")
    rotation.start([connection()], actor=SHELL, new_key=next_key)
    seen = connection()
    rotation.try_staged(connection(), actor=SHELL)
    assert "a moment ago" in rotation.try_staged(seen, actor=SHELL).sentence
    assert salesforce_org.token_requests == 1


def test_what_was_taken_back_may_be_tried_at_once(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    share(salesforce_org, "acme")
    rotation.start([connection()], actor=SHELL, new_key=next_key)
    promoted(salesforce_org, next_key, "acme")
    assert rotation.undo(connection(), actor=SHELL).done
    assert rotation.try_staged(connection(), actor=SHELL).done


def test_what_can_not_be_called_is_not_tried(salesforce_org: ConnectableOrg, next_key: SigningKey) -> None:
    share(salesforce_org, "acme")
    rotation.start([connection()], actor=SHELL, new_key=next_key)
    ConnectedApp.objects.update(enabled=False)
    assert "paused" in rotation.try_staged(connection(), actor=SHELL).sentence
    assert salesforce_org.token_requests == 0
    assert AccessToken.objects.filter(claimed_until__isnull=False).count() == 0


def test_those_that_can_not_be_called_take_nobodys_turn(
    salesforce_org: ConnectableOrg, next_key: SigningKey, settings: Any
) -> None:
    names = [f"c{number:02}" for number in range(12)]
    rotation.start(share(salesforce_org, *names), actor=SHELL, new_key=next_key)
    ConnectedApp.objects.filter(name="c11").update(
        environment="sandbox", environment_for=connection("c11").environment_subject
    )
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "ALLOWED_ENVIRONMENTS": ["sandbox"]}
    tried = rotation.try_all([connection(name) for name in names], actor=SHELL, seconds=1)
    assert (len(tried.outcomes), tried.left) == (12, 0)
    assert "This installation may not call" in tried.outcomes[0].sentence
    assert salesforce_org.token_requests == 1
    assert stages()["c11"] == "not uploaded yet"


def test_a_staged_key_that_can_not_be_opened_is_told(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    share(salesforce_org, "acme")
    rotation.start([connection()], actor=SHELL, new_key=next_key)
    SigningKey.objects.filter(pk=next_key.pk).update(private_key=None)
    assert not rotation.try_staged(connection(), actor=SHELL).done
    stand = rotation.stand(connection())
    assert (stand.stage.value, stand.may_cancel) == ("failing", True)
    assert "“next” can't be used: stored without its private key" in stand.sentence


def test_many_are_tried_at_a_pace_and_side_by_side(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    names = [f"c{number}" for number in range(12)]
    rotation.start(share(salesforce_org, *names), actor=SHELL, new_key=next_key)
    for name in names[:4]:
        app_of(salesforce_org, name).replace_certificate(next_key.certificate)
    salesforce_org.fail("slow", times=12, seconds=0.5)
    started = time.monotonic()
    tried = rotation.try_all([connection(name) for name in names], actor=SHELL)
    took = time.monotonic() - started
    assert (len(tried.outcomes), tried.accepted, tried.left) == (12, 4, 0)
    assert 1.1 < took < 12 * 0.5
    assert list(stages().values()).count("promoted") == 4
    assert list(stages().values()).count("not uploaded yet") == 8


def test_whose_turn_does_not_come_in_time_is_left_for_the_next_round(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    names = [f"c{number}" for number in range(12)]
    rotation.start(share(salesforce_org, *names), actor=SHELL, new_key=next_key)
    tried = rotation.try_all([connection(name) for name in names], actor=SHELL, seconds=1)
    assert 0 < tried.left < 12
    assert len(tried.outcomes) + tried.left == 12
    assert salesforce_org.token_requests == len(tried.outcomes)
    assert list(stages().values()).count("staged") == tried.left


# ---- the board ------------------------------------------------------------------------------------------------------


def text_of(response: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def test_the_board_leads_from_start_to_promotion(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    share(salesforce_org, "acme", "globex")
    key = connection().signing_key
    base = f"/connections/keys/{key.pk}/rotation/"
    assert "acme" in text_of(admin_client.get("/connections/keys/"))
    assert "Stage the next signing key for 2 connections" in text_of(admin_client.get(base))
    admin_client.post(f"{base}start/", {"stored": "", "bits": "2048", "days": "90"})
    staged = connection().staged_signing_key
    assert (staged.name, staged.days_left(timezone.now())) == ("acme-2", 89)
    assert "2 staged" in text_of(admin_client.get("/connections/keys/"))
    downloaded = admin_client.get(f"/connections/keys/{staged.pk}/certificate.crt")
    assert downloaded["Content-Disposition"] == 'attachment; filename="acme-2.crt"'

    app_of(salesforce_org, "acme").replace_certificate(downloaded.content.decode())
    told = text_of(admin_client.post(f"{base}try/", follow=True))
    assert "Tried 2 connections: 1 accepted." in told
    assert stages() == {"acme": "promoted", "globex": "not uploaded yet"}
    told = text_of(admin_client.get(f"/connections/keys/{staged.pk}/rotation/"))
    assert "1 promoted" in told
    assert "1 not uploaded yet" in told

    told = text_of(admin_client.post(f"{base}undo/", {"connection": "acme"}, follow=True))
    assert "is back to “acme”" in told
    assert stages() == {"acme": "undone", "globex": "not uploaded yet"}
    admin_client.post(f"{base}cancel/", {})
    assert stages() == {"acme": "nothing staged", "globex": "nothing staged"}


def test_all_that_were_accepted_are_promoted_at_a_press(
    salesforce_org: ConnectableOrg, admin_client: Client, next_key: SigningKey, settings: Any
) -> None:
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "PROMOTE_STAGED_KEYS": False}
    names = ("acme", "globex", "initech")
    rotation.start(share(salesforce_org, *names), actor=SHELL, new_key=next_key)
    for name in names[:2]:
        app_of(salesforce_org, name).replace_certificate(next_key.certificate)
    base = f"/connections/keys/{connection().signing_key_id}/rotation/"
    admin_client.post(f"{base}try/")
    assert "Promote all accepted (2)" in text_of(admin_client.get(base))
    admin_client.post(f"{base}promote/")
    assert stages() == {"acme": "promoted", "globex": "promoted", "initech": "not uploaded yet"}
    assert AuditEvent.objects.filter(act="promoted signing key", actor="admin").count() == 2


def test_a_long_round_goes_on_where_it_stopped(
    salesforce_org: ConnectableOrg,
    admin_client: Client,
    next_key: SigningKey,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [f"c{number:02}" for number in range(9)]
    rotation.start(share(salesforce_org, *names), actor=SHELL, new_key=next_key)
    base = f"/connections/keys/{connection('c00').signing_key_id}/rotation/"
    monkeypatch.setattr("sf_integration.services.rotation.trying.EVERY_SECONDS", 0.2)
    monkeypatch.setattr("sf_integration.services.rotation.try_all", short(rotation.try_all))
    response = admin_client.post(f"{base}try/", follow=True)
    since = response.context["since"]
    assert 0 < response.context["rest"] < 9
    for _ in range(9):
        if not response.context["rest"]:
            break
        response = admin_client.post(f"{base}try/", {"since": since}, follow=True)
    assert salesforce_org.token_requests == 9
    assert set(stages().values()) == {"not uploaded yet"}


def short(real: Any) -> Any:
    return lambda connections, *, actor: real(connections, actor=actor, seconds=1)


def test_looking_calls_nobody_and_buttons_do_nothing_by_get(
    salesforce_org: ConnectableOrg, admin_client: Client, next_key: SigningKey
) -> None:
    share(salesforce_org, "acme")
    rotation.start([connection()], actor=SHELL, new_key=next_key)
    base = f"/connections/keys/{connection().signing_key_id}/rotation/"
    for what in ("", "start/", "try/", "promote/", "undo/", "cancel/"):
        assert admin_client.get(base + what, follow=True).status_code == 200
    assert admin_client.get(f"{base}nonsense/").status_code == 404
    assert admin_client.get(f"{base}?since=nonsense&page=99").status_code == 200
    assert salesforce_org.token_requests == 0
    assert stages() == {"acme": "staged"}


def test_a_board_of_many_costs_few_queries(
    salesforce_org: ConnectableOrg,
    admin_client: Client,
    next_key: SigningKey,
    django_assert_max_num_queries: Any,
) -> None:
    first = share(salesforce_org, "acme")[0]
    ConnectedApp.objects.bulk_create(
        ConnectedApp(
            name=f"many-{number}",
            login_url=salesforce_org.url,
            consumer_key="3MVG9",
            username=f"u{number}@x.example",
            signing_key=first.signing_key,
            staged_signing_key=next_key,
        )
        for number in range(120)
    )
    with django_assert_max_num_queries(15):
        page = admin_client.get(f"/connections/keys/{first.signing_key_id}/rotation/?page=2")
    assert "51\N{EN DASH}100 of 121" in text_of(page)
    with django_assert_max_num_queries(12):
        admin_client.get("/connections/keys/")


def test_a_certificate_that_ends_leads_to_the_board(
    salesforce_org: ConnectableOrg, admin_client: Client, next_key: SigningKey
) -> None:
    share(salesforce_org, "acme")
    get_token("acme")
    now = timezone.now()
    SigningKey.objects.filter(name="acme").update(not_after=now + dt.timedelta(days=5))
    ConnectedApp.objects.update(last_checked_at=now)
    address = f"/connections/keys/{connection().signing_key_id}/rotation/"
    html = admin_client.get("/connections/acme/").content.decode()
    assert html.count(f'href="{address}"') == 2  # the warning's, the card's
    ConnectedApp.objects.update(staged_signing_key=next_key, staged_at=now - dt.timedelta(days=15))
    sentence = connection().state_sentence(now)
    assert "The next one has been waiting to be uploaded since" in sentence
    admin_page = admin_client.get(f"/admin/sf_integration/signingkey/{connection().signing_key_id}/change/")
    assert address in admin_page.content.decode()


# ---- texts for the orgs' admins --------------------------------------------------------------------------------------


def test_the_text_has_all_that_the_orgs_admin_needs_and_no_secret(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    share(salesforce_org, "acme")
    ConnectedApp.objects.update(
        app_kind="external_client_app",
        org_contacts="ann@acme.example\nnot an address\nbob+sf@acme.example",
        label="Acme & Söhne",
    )
    letter = rotation.letter(connection(), next_key)
    assert letter.to == ("ann@acme.example", "bob+sf@acme.example")
    for part in (
        "External Client App Manager",
        "next.crt",
        ":".join(re.findall("..", next_key.certificate_fingerprint.upper())),
        f"{next_key.not_after:%Y-%m-%d}",
        connection().username,
        connection().consumer_key[-8:],
        "please do it before",
    ):
        assert part in letter.body
    assert "App Manager → View" not in letter.body
    assert connection().consumer_key not in letter.body
    assert "PRIVATE" not in letter.body
    address = urlsplit(letter.mailto)
    assert (address.scheme, unquote(address.path)) == ("mailto", "ann@acme.example,bob+sf@acme.example")
    parameters = parse_qs(address.query)
    assert parameters["subject"] == [letter.subject]
    assert parameters["body"][0].replace("\r\n", "\n") == letter.body


def test_both_ways_are_told_while_the_kind_of_app_is_not_known(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    share(salesforce_org, "acme")
    body = rotation.letter(connection(), next_key).body
    assert "click, External Client App: Setup" in body
    assert "click, Connected App: Setup" in body


# ---- retiring -------------------------------------------------------------------------------------------------------


def promoted(org: ConnectableOrg, key: SigningKey, *names: str) -> None:
    for name in names:
        app_of(org, name).replace_certificate(key.certificate)
        tokens.refresh(name)


def a_week_later() -> None:
    long_ago = timezone.now() - UNDO_FOR - dt.timedelta(minutes=1)
    ConnectedApp.objects.filter(promoted_at__isnull=False).update(promoted_at=long_ago)
    SigningKey.objects.filter(replaced_at__isnull=False).update(replaced_at=long_ago)


def test_a_key_retires_when_the_last_connection_has_left_it_and_no_undo_is_left(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    old = share(salesforce_org, "acme", "globex")[0].signing_key
    rotation.start([connection("acme"), connection("globex")], actor=SHELL, new_key=next_key)
    promoted(salesforce_org, next_key, "acme")
    a_week_later()
    assert rotation.retire_unused() == 0  # globex is still with it
    promoted(salesforce_org, next_key, "globex")
    assert rotation.retire_unused() == 0  # globex could go back
    a_week_later()
    tasks.housekeeping()
    old.refresh_from_db()
    assert old.private_key is None
    assert old.retired_at
    assert old.certificate
    assert old.signing_problem.startswith("retired")
    assert AuditEvent.objects.get(act="retired signing key").subject == "acme"
    assert rotation.retire_unused() == 0
    assert get_token("acme")
    assert tokens.refresh("globex")


def test_keys_that_somebody_needs_or_nobody_left_do_not_retire(
    salesforce_org: ConnectableOrg, next_key: SigningKey, admin_user: User
) -> None:
    unused = keystore.make(name="unused")
    old = share(salesforce_org, "acme")[0].signing_key
    rotation.start([connection()], actor=SHELL, new_key=next_key)
    promoted(salesforce_org, next_key, "acme")
    a_week_later()
    draft = ConnectionDraft.objects.create(made_by=admin_user, signing_key=old)
    assert rotation.retire_unused() == 0
    draft.delete()
    a_week_later()
    ConnectedApp.objects.update(staged_signing_key=old)
    assert rotation.retire_unused() == 0
    ConnectedApp.objects.update(staged_signing_key=None)
    assert rotation.retire_unused() == 0  # needed until a moment ago
    a_week_later()
    assert rotation.retire_unused() == 1
    unused.refresh_from_db()
    assert unused.private_key is not None


def test_a_key_that_is_chosen_again_does_not_retire(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    old = share(salesforce_org, "acme")[0].signing_key
    rotation.start([connection()], actor=SHELL, new_key=next_key)
    promoted(salesforce_org, next_key, "acme")
    a_week_later()
    rotation.start([connection()], actor=SHELL, new_key=old)
    rotation.cancel(connection(), actor=SHELL)
    assert rotation.retire_unused() == 0


def test_a_key_that_can_not_be_opened_is_not_promoted(
    salesforce_org: ConnectableOrg, next_key: SigningKey, settings: Any
) -> None:
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "PROMOTE_STAGED_KEYS": False}
    share(salesforce_org, "acme")
    rotation.start([connection()], actor=SHELL, new_key=next_key)
    salesforce_org.app.replace_certificate(next_key.certificate)
    assert rotation.try_staged(connection(), actor=SHELL).done
    SigningKey.objects.filter(pk=next_key.pk).update(private_key=None)
    assert "can't be used" in rotation.promote(connection(), actor=SHELL).sentence
    assert connection().signing_key != next_key


def test_a_staged_key_without_certificate_has_no_text_to_send(
    salesforce_org: ConnectableOrg, admin_client: Client, next_key: SigningKey
) -> None:
    share(salesforce_org, "acme")
    SigningKey.objects.filter(pk=next_key.pk).update(certificate="", certificate_fingerprint="")
    ConnectedApp.objects.update(staged_signing_key=next_key, staged_at=timezone.now())
    page = admin_client.get(f"/connections/keys/{connection().signing_key_id}/rotation/")
    assert "The certificate of next is not known here" in text_of(page)
    assert f"{next_key.pk}/certificate.crt" not in page.content.decode()


def test_a_key_that_was_left_by_hand_of_late_does_not_retire_yet(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    old = share(salesforce_org, "acme", "globex")[0].signing_key
    rotation.start([connection("acme")], actor=SHELL, new_key=next_key)
    promoted(salesforce_org, next_key, "acme")
    a_week_later()
    tasks.housekeeping()
    chosen = connection("globex")
    chosen.signing_key = keystore.make(name="chosen by mistake")
    chosen.save(update_fields=["signing_key", *chosen.note_edit(["signing_key"])])
    assert rotation.retire_unused() == 0
    old.refresh_from_db()
    assert old.can_sign
    a_week_later()
    assert rotation.retire_unused() == 1


def test_a_retired_key_that_is_given_again_is_one_again(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    private_key = salesforce_org.app.private_key_pem
    old = share(salesforce_org, "acme")[0].signing_key
    rotation.start([connection()], actor=SHELL, new_key=next_key)
    promoted(salesforce_org, next_key, "acme")
    a_week_later()
    assert rotation.retire_unused() == 1
    keystore.take_in(str(private_key).encode(), name="again")
    old.refresh_from_db()
    assert old.can_sign
    assert old.retired_at is None
    assert rotation.retire_unused() == 0


def test_a_key_that_can_be_gone_back_to_is_not_deleted(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    acme, globex = share(salesforce_org, "acme", "globex")
    old = acme.signing_key
    rotation.start([acme, globex], actor=SHELL, new_key=next_key)
    promoted(salesforce_org, next_key, "acme", "globex")
    with pytest.raises(ProtectedError):
        old.delete()
    assert leaving.keys_left_over([connection("acme")], actor=SHELL) == []
    both = [connection("acme"), connection("globex")]
    assert leaving.keys_left_over(both, actor=SHELL) == [old, next_key]
    leaving.delete(both, actor=SHELL, with_keys=True)
    assert not SigningKey.objects.exists()


# ---- the command ----------------------------------------------------------------------------------------------------


def run(*arguments: str) -> tuple[str, str, int]:
    out, err = StringIO(), StringIO()
    code = 0
    try:
        call_command("salesforce", *arguments, stdout=out, stderr=err)
    except SystemExit as exc:
        code = int(exc.code or 0)
    return out.getvalue(), err.getvalue(), code


def test_the_command_leads_from_start_to_undo(
    salesforce_org: ConnectableOrg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    share(salesforce_org, "acme", "globex")
    out, _, code = run("rotate-key", "acme")
    assert code == 0
    assert "Subject: Please upload a new certificate" in out
    certificate = (tmp_path / "acme-2.crt").read_text()
    assert stages() == {"acme": "staged", "globex": "nothing staged"}

    out, _, code = run("rotate-key", "acme", "--all", "--json")  # takes the same key for the others
    told = json.loads(out)
    assert code == 0
    assert [(each["name"], each["stage"], each["next_signing_key"]) for each in told] == [
        ("acme", "staged", "acme-2"),
        ("globex", "staged", "acme-2"),
    ]
    assert "Please upload" in told[1]["letter"]["subject"]

    out, err, code = run("rotate-key", "acme", "--try")
    assert code == 1
    assert "does not take" in err
    app_of(salesforce_org, "acme").replace_certificate(certificate)
    tried_long_ago()
    out, _, code = run("rotate-key", "acme", "--try")
    assert code == 0
    assert "promoted" in out
    out, _, code = run("rotate-key", "acme", "--undo")
    assert code == 0
    assert stages() == {"acme": "undone", "globex": "staged"}
    out, _, code = run("rotate-key", "globex", "--cancel", "--json")
    assert code == 0
    assert json.loads(out)[0]["stage"] == "nothing staged"
    _, err, code = run("rotate-key", "globex", "--promote")
    assert code == 1
    assert "no staged signing key" in err


def test_a_certificate_that_can_not_be_written_leaves_nothing_behind(
    salesforce_org: ConnectableOrg, tmp_path: Path
) -> None:
    share(salesforce_org, "acme")
    taken = tmp_path / "taken.crt"
    taken.write_text("something")
    with pytest.raises(CommandError, match="can't be written"):
        run("rotate-key", "acme", "--out", str(taken))
    assert stages() == {"acme": "nothing staged"}
    assert SigningKey.objects.count() == 1


def test_no_secret_is_told_anywhere(
    salesforce_org: ConnectableOrg,
    admin_client: Client,
    next_key: SigningKey,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    share(salesforce_org, "acme")
    rotation.start([connection()], actor=SHELL, new_key=next_key)
    salesforce_org.app.replace_certificate(next_key.certificate)
    rotation.try_staged(connection(), actor=SHELL)
    token = get_token("acme").value
    told = (
        caplog.text
        + str(list(AuditEvent.objects.values()))
        + str(list(ConnectedApp.objects.values("staged_trial", "last_error")))
    )
    told += admin_client.get(f"/connections/keys/{next_key.pk}/rotation/").content.decode()
    assert token not in told
    assert token[:20] not in told
    assert next_key.private_key.ciphertext not in told
    assert "PRIVATE KEY" not in told
    assert "eyJhbGci" not in told
