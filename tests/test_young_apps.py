"""Settings saved minutes ago: what Salesforce does not know yet is told as such, and turns well by itself."""

from __future__ import annotations

import datetime as dt

import pytest
from django.test import Client
from django.utils import timezone

from sf_integration import health, tokens
from sf_integration.access import SHELL
from sf_integration.models import ConnectedApp
from sf_integration.salesforce import young_apps
from sf_integration.services import profiles
from sf_integration.state import ConnectionState
from sf_integration.testing.django import ConnectableOrg

from .test_admin import ADMIN, opened, run
from .test_command_line import salesforce
from .test_views import page

NOW = dt.datetime(2026, 11, 22, 14, 3, tzinfo=dt.UTC)
TYPICAL = {
    "invalid_client_id": "invalid_client_id: client identifier invalid",
    "app_not_found": "app_not_found: External client app is not installed in this org",
    "invalid_app_access": "invalid_app_access: user is not admin approved to access this app",
    "invalid_request": "invalid_request: refresh_token scope is required and the connected app should be installed",
}
SAVED = "These settings were saved"


def hint(minutes: float, code: str = "invalid_client_id", words: str = "", **more: dt.datetime) -> str:
    return young_apps.hint(code, words, saved_at=NOW - dt.timedelta(minutes=minutes), now=NOW, **more)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        *TYPICAL.items(),
        ("invalid_grant", "invalid_grant: invalid assertion"),
        ("invalid_grant", "invalid_grant: user hasn't approved this consumer"),
    ],
)
def test_refusals_of_a_new_app_are_told_with_its_age(code: str, words: str) -> None:
    told = hint(3, code, words)
    assert told == (
        "These settings were saved 3 minutes ago; Salesforce may take ten minutes to know a new app."
    )
    assert hint(10, code, words) == ""


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("invalid_grant", "invalid_grant: inactive user"),
        ("invalid_grant", "invalid_grant: expired authorization code"),
        ("invalid_request", "invalid_request: missing required parameter: assertion"),
        ("dns_failure", ""),
        ("wrong_org", ""),
    ],
)
def test_other_failures_have_nothing_to_do_with_age(code: str, words: str) -> None:
    assert hint(1, code, words) == ""


def test_the_next_try_is_told_by_clock_and_distance() -> None:
    assert hint(3, next_try_at=NOW + dt.timedelta(minutes=2)).endswith("Next try at 14:05 (in 2 min).")
    assert hint(0, next_try_at=NOW + dt.timedelta(seconds=30)).endswith("Next try at 14:03 (in 30 s).")
    assert "Next try" not in hint(3, next_try_at=NOW - dt.timedelta(seconds=1))
    assert hint(0).startswith("These settings were saved just now;")
    assert "1 minute ago" in hint(1)


pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


def check(name: str = "acme") -> ConnectedApp:
    connection = ConnectedApp.objects.select_related("signing_key").get(name=name)
    health.check_connection(connection, asked_by="test")
    return ConnectedApp.objects.select_related("signing_key").get(name=name)


def test_every_face_tells_that_the_app_is_new(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    salesforce_org.app.known = False
    connection = salesforce_org.connect("acme")
    ran = salesforce("check", "acme")
    assert SAVED in ran.out
    assert "Next try at " in ran.out
    detail = page(admin_client, "/connections/acme/")
    assert SAVED in detail
    assert "Next try at " in detail
    listed = page(admin_client, "/connections/")
    assert SAVED in listed
    assert "Next try at " not in listed
    assert SAVED in admin_client.get("/connections/health.json").json()[0]["sentence"]
    assert SAVED in page(admin_client, f"{ADMIN}/connectedapp/")
    assert "Next try at " in page(admin_client, f"{ADMIN}/connectedapp/{connection.pk}/change/")
    ConnectedApp.objects.get().tokens.update(last_try_at=None)
    assert "Next try at " in run(admin_client, "check_now", connection)


def test_beat_tries_at_that_time_and_the_connection_turns_healthy_by_itself(
    salesforce_org: ConnectableOrg,
) -> None:
    salesforce_org.app.known = False
    salesforce_org.connect("acme")
    connection = check()
    assert connection.connection_state() is ConnectionState.FAILING
    next_try = connection.next_try_at()
    assert next_try
    assert timezone.now() < next_try < timezone.now() + dt.timedelta(minutes=1)
    asked = salesforce_org.token_requests
    assert tokens.refresh_due().failed == 0
    assert salesforce_org.token_requests == asked  # not before its time

    salesforce_org.app.known = True  # some minutes later
    connection.tokens.update(next_try_at=timezone.now() - dt.timedelta(seconds=1))
    assert tokens.refresh_due().renewed == 1
    connection.refresh_from_db()
    assert connection.connection_state() is ConnectionState.HEALTHY
    assert SAVED not in connection.state_sentence()


def test_tries_come_often_enough_while_an_app_is_young(salesforce_org: ConnectableOrg) -> None:
    """By half a minute, then doubling: at least four tries in the ten minutes."""
    salesforce_org.app.known = False
    salesforce_org.connect("acme")
    check()
    waited = dt.timedelta(0)
    tries = 0
    row = ConnectedApp.objects.get().tokens.get()
    while waited < young_apps.YOUNG_FOR:
        assert row.next_try_at
        assert row.last_try_at
        waited += row.next_try_at - row.last_try_at
        tries += 1
        row.next_try_at = timezone.now() - dt.timedelta(seconds=1)
        row.save(update_fields=["next_try_at"])
        tokens.refresh_due()
        row.refresh_from_db()
    assert tries >= 4


# ---- since when -----------------------------------------------------------------------------------------------------


def test_a_new_connection_counts_from_its_making_not_from_its_first_check(
    salesforce_org: ConnectableOrg,
) -> None:
    salesforce_org.app.known = False
    salesforce_org.connect("acme")
    made = timezone.now() - dt.timedelta(hours=1)
    ConnectedApp.objects.update(created_at=made)
    connection = check()
    assert connection.settings_since == made
    assert SAVED not in connection.state_sentence()


@pytest.mark.parametrize("way", ["admin", "import"])
def test_an_edit_counts_from_its_saving(
    salesforce_org: ConnectableOrg, admin_client: Client, way: str
) -> None:
    connection = salesforce_org.connect("acme")
    check()
    long_ago = timezone.now() - dt.timedelta(days=1)
    ConnectedApp.objects.update(created_at=long_ago, settings_since=long_ago, last_full_check_at=long_ago)
    if way == "admin":
        typed = opened(admin_client, connection) | {"consumer_key": ["3MVG9other"]}
        admin_client.post(f"{ADMIN}/connectedapp/{connection.pk}/change/", typed)
    else:
        profiles.save("acme", {"consumer_key": "3MVG9other"}, actor=SHELL)
    saved = ConnectedApp.objects.get().settings_since
    assert saved
    assert saved > timezone.now() - dt.timedelta(minutes=1)
    half_past = timezone.now() - dt.timedelta(minutes=30)
    ConnectedApp.objects.update(settings_since=half_past)  # nobody checked for half an hour
    assert check().settings_since == half_past


def test_an_edit_of_other_fields_makes_nothing_young(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    connection = salesforce_org.connect("acme")
    before = check().settings_since
    typed = opened(admin_client, connection) | {"notes": ["hello"]}
    admin_client.post(f"{ADMIN}/connectedapp/{connection.pk}/change/", typed)
    assert check().settings_since == before == connection.created_at


def test_an_edit_past_our_forms_counts_from_the_check_that_sees_it(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    check()
    long_ago = timezone.now() - dt.timedelta(days=1)
    ConnectedApp.objects.update(settings_since=long_ago, created_at=long_ago, audience="https://x.example")
    since = check().settings_since
    assert since
    assert since > timezone.now() - dt.timedelta(minutes=1)


def test_connections_of_before_this_was_known_are_not_young(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    check()
    long_ago = timezone.now() - dt.timedelta(days=90)
    ConnectedApp.objects.update(settings_since=None, created_at=long_ago)
    assert check().settings_since == long_ago
