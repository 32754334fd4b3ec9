"""Other users of the same app: a token, a gate and a life of their own, as long as the connection lists them."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from sf_integration import (
    AuthenticationError,
    ConnectionPaused,
    RetryableError,
    UsernameNotAllowed,
    get_client,
    get_token,
    tokens,
)
from sf_integration.models import AccessToken, ConnectedApp, normal_username
from sf_integration.testing.django import ConnectableOrg
from tests import processes

pytestmark = pytest.mark.django_db(transaction=True)

OPS = "ops@nordhafen.example"
DAY = dt.timedelta(days=1)


@pytest.fixture
def org(salesforce_org: ConnectableOrg) -> ConnectableOrg:
    salesforce_org.add_user(OPS)
    salesforce_org.connect("acme", extra_usernames=[OPS])
    return salesforce_org


def look_again() -> None:
    for copy in tokens.current().copies.values():
        copy.next_look = 0.0


def row_of(username: str) -> AccessToken:
    return AccessToken.objects.get(username=username)


def test_each_user_has_a_row_and_a_token(org: ConnectableOrg) -> None:
    own, ops = get_token("acme"), get_token("acme", username=OPS)
    assert own != ops
    assert AccessToken.objects.count() == 2
    assert get_token("acme", username="OPS@Nordhafen.example") == ops
    assert get_token("acme", username=org.user.username.upper()) == own
    assert AccessToken.objects.count() == 2
    with get_client("acme", username=OPS) as client:
        assert client.identity().username == OPS
        org.end_sessions()
        assert client.identity().username == OPS
    assert org.token_requests == 3  # the own user's token was not asked for


def test_each_user_has_a_gate_of_its_own(org: ConnectableOrg) -> None:
    user = org.find_user(OPS)
    assert user is not None
    user.active = False
    with pytest.raises(AuthenticationError):
        get_token("acme", username=OPS)
    assert get_token("acme").value
    connection = ConnectedApp.objects.get()
    assert connection.failing_since is None  # its own user is well
    assert row_of(OPS).next_try_at is not None
    requests = org.token_requests
    with pytest.raises(AuthenticationError):
        get_token("acme", username=OPS)
    assert org.token_requests == requests


def test_use_is_noted_for_each_user(org: ConnectableOrg) -> None:
    get_token("acme", username=OPS)
    first = row_of(OPS).last_used_at
    assert first is not None
    get_token("acme")
    assert row_of(org.user.username).last_used_at >= first
    look_again()
    get_token("acme", username=OPS)
    assert row_of(OPS).last_used_at == first  # within the minute


def test_taken_off_the_list_it_is_refused_at_the_next_look(org: ConnectableOrg) -> None:
    get_token("acme", username=OPS)
    get_token("acme")
    ConnectedApp.objects.update(extra_usernames=[])
    look_again()
    with pytest.raises(UsernameNotAllowed):
        get_token("acme", username=OPS)
    assert get_token("acme").value
    AccessToken.objects.update(refresh_at=timezone.now())
    assert tokens.refresh_due().renewed == 1


ASK_FOR_OPS = """
def told():
    try:
        return get_token("acme", username="ops@nordhafen.example").value[:0] + "served"
    except Exception as error:
        return type(error).__name__
told()
print("ready", flush=True)
sys.stdin.readline()
started = time.monotonic()
while told() == "served" and time.monotonic() < started + 20:
    time.sleep(0.05)
print(told(), time.monotonic() - started)
"""


def test_taken_off_the_list_it_is_refused_within_five_seconds_in_other_processes(
    org: ConnectableOrg, process_environment: dict[str, str]
) -> None:
    process = processes.start(ASK_FOR_OPS, process_environment, org.url)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    ConnectedApp.objects.update(extra_usernames=[])
    process.stdin.write("go\n")
    process.stdin.flush()
    told, seconds = processes.finish(process).split()
    assert told == "UsernameNotAllowed"
    assert float(seconds) < 5.5


def test_a_pause_stops_other_users_too(org: ConnectableOrg) -> None:
    get_token("acme", username=OPS)
    ConnectedApp.objects.update(enabled=False)
    look_again()
    with pytest.raises(ConnectionPaused):
        get_token("acme", username=OPS)


# ---- spelling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelled", ["MÜLLER@Nordhafen.example", "İŞ@nordhafen.example", "ΣΑΣ@nordhafen.example"]
)
def test_letters_that_databases_lower_differently_are_found(
    salesforce_org: ConnectableOrg, spelled: str
) -> None:
    salesforce_org.add_user(spelled)
    salesforce_org.connect("acme", username=spelled)
    assert get_token("acme").value
    row = AccessToken.objects.get()
    assert row.is_own
    assert row.username == normal_username(spelled)
    tokens.reset()
    get_token("acme")
    AccessToken.objects.update(refresh_at=timezone.now())
    assert tokens.refresh_due().renewed == 1
    assert ConnectedApp.objects.get().last_success_at is not None
    assert tokens.delete_unused(timezone.now() + 31 * DAY) == 0
    assert salesforce_org.token_requests == 2


# ---- a user that Salesforce has locked out --------------------------------------------------------------------------


def refused_for_too_many_logins(org: ConnectableOrg) -> None:
    org.logins_per_hour = 0
    with pytest.raises(RetryableError):
        get_token("acme")
    org.logins_per_hour = 3600


def test_a_new_row_begins_behind_the_gate_of_its_user(org: ConnectableOrg) -> None:
    refused_for_too_many_logins(org)
    org.connect("second", signing_key=ConnectedApp.objects.get().signing_key)
    for _ in range(2):
        with pytest.raises(RetryableError) as caught:
            get_token("second")
        assert caught.value.retry_after > 800
    assert tokens.refresh_due() == tokens.Tally()
    assert org.token_requests == 1
    assert get_token("acme", username=OPS).value  # another user


def test_the_gate_holds_inside_a_transaction(org: ConnectableOrg) -> None:
    from django.db import transaction

    refused_for_too_many_logins(org)
    org.connect("second", signing_key=ConnectedApp.objects.get().signing_key)
    with transaction.atomic(), pytest.raises(RetryableError):
        get_token("second")
    assert org.token_requests == 1


def test_rows_that_beat_makes_begin_behind_the_gate(org: ConnectableOrg) -> None:
    refused_for_too_many_logins(org)
    org.connect("second", signing_key=ConnectedApp.objects.get().signing_key)
    assert tokens.refresh_due() == tokens.Tally()
    assert AccessToken.objects.count() == 2
    assert org.token_requests == 1


# ---- idle, and gone -------------------------------------------------------------------------------------------------


def test_after_a_day_without_use_it_is_left_to_expire(org: ConnectableOrg) -> None:
    get_token("acme", username=OPS)
    get_token("acme")
    AccessToken.objects.update(
        refresh_at=timezone.now(), last_used_at=timezone.now() - dt.timedelta(hours=23)
    )
    assert tokens.refresh_due().renewed == 2
    AccessToken.objects.update(
        refresh_at=timezone.now(), last_used_at=timezone.now() - dt.timedelta(hours=25)
    )
    assert tokens.refresh_due().renewed == 1
    assert get_token("acme", username=OPS).value


def a_month_later() -> dt.datetime:
    return timezone.now() + 31 * DAY


def test_after_a_month_without_use_the_row_is_deleted(org: ConnectableOrg) -> None:
    get_token("acme", username=OPS)
    get_token("acme")
    assert tokens.delete_unused(timezone.now() + 29 * DAY) == 0
    assert tokens.delete_unused(a_month_later()) == 1
    assert AccessToken.objects.get().is_own
    look_again()
    assert get_token("acme", username=OPS).value  # made anew


def test_rows_of_usernames_that_are_listed_no_more_are_deleted(org: ConnectableOrg) -> None:
    get_token("acme", username=OPS)
    get_token("acme")
    ConnectedApp.objects.update(extra_usernames=["Someone@nordhafen.example"])
    tomorrow = timezone.now() + DAY
    assert tokens.delete_unused(tomorrow) == 1
    ConnectedApp.objects.update(username="someone@nordhafen.example")
    assert tokens.delete_unused(tomorrow) == 1


def test_a_claimed_row_and_one_that_the_fuse_counts_stay(org: ConnectableOrg) -> None:
    get_token("acme", username=OPS)
    ConnectedApp.objects.update(extra_usernames=[])
    assert tokens.delete_unused() == 0  # it signed in within the hour
    later = a_month_later()
    AccessToken.objects.update(claimed_by="another", claimed_until=later + dt.timedelta(seconds=5))
    assert tokens.delete_unused(later) == 0
    assert tokens.delete_unused(later + dt.timedelta(seconds=6)) == 1


def test_deleting_costs_few_queries_however_many_rows(
    org: ConnectableOrg, django_assert_max_num_queries: object
) -> None:
    connection = ConnectedApp.objects.get()
    AccessToken.objects.bulk_create(
        AccessToken(connection=connection, username=f"u{number}@nordhafen.example") for number in range(300)
    )
    with django_assert_max_num_queries(6):  # type: ignore[operator]
        assert tokens.delete_unused() == 300


def test_housekeeping_deletes_them(org: ConnectableOrg) -> None:
    from sf_integration import tasks

    get_token("acme", username=OPS)
    AccessToken.objects.update(last_used_at=timezone.now() - 31 * DAY, logins_since=timezone.now() - 31 * DAY)
    tasks.housekeeping()
    assert not AccessToken.objects.exists()
