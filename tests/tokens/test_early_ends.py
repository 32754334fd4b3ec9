"""Sessions that the org ends before the connection's session length says so."""

from __future__ import annotations

import datetime as dt

import pytest
import time_machine
from django.utils import timezone

from sf_integration import get_client, get_token, tokens
from sf_integration.models import AccessToken, ConnectedApp, SessionAdvice
from sf_integration.testing.django import ConnectableOrg

pytestmark = pytest.mark.django_db(transaction=True)


def live_and_end(org: ConnectableOrg, *minutes: float) -> None:
    """One session after the other, each ended by the org after so many minutes, which the next call notices."""
    for each in minutes:
        failed = get_token("acme")
        with time_machine.travel(failed.issued_at + dt.timedelta(minutes=each), tick=False):
            org.end_sessions()
            tokens.renew("acme", None, failed)
        # The clock goes back for the next one; its times must fit.
        AccessToken.objects.update(
            issued_at=timezone.now(), expected_expiry=timezone.now() + dt.timedelta(hours=2)
        )
        tokens.reset()


def advice() -> SessionAdvice | None:
    return ConnectedApp.objects.get().session_advice()


def test_three_early_ends_in_a_row_tell_the_shortest_life(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    live_and_end(salesforce_org, 40, 31)
    assert advice() is None
    live_and_end(salesforce_org, 50)
    found = advice()
    assert found is not None
    assert found.sentence == "Sessions here end after about 31 min, your session length says 2 h."
    assert found.minutes == 30


def test_a_token_that_lives_to_its_renewal_ends_the_row(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    live_and_end(salesforce_org, 31, 31)
    AccessToken.objects.update(refresh_at=timezone.now())
    assert tokens.refresh_due().renewed == 1
    assert AccessToken.objects.get().early_ends == 0
    tokens.reset()
    live_and_end(salesforce_org, 31)
    assert advice() is None


def test_a_renewal_by_hand_neither_counts_nor_forgives(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    live_and_end(salesforce_org, 31, 31)
    tokens.refresh("acme")
    assert AccessToken.objects.get().early_ends == 2


def test_a_late_refusal_is_counted_once(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    failed = get_token("acme")
    salesforce_org.end_sessions()
    for _ in range(5):
        tokens.renew("acme", None, failed)
    assert AccessToken.objects.get().early_ends == 1


def test_an_end_after_the_estimate_is_none_before_it(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    live_and_end(salesforce_org, 31, 31, 125)
    assert AccessToken.objects.get().early_ends == 0


def test_a_token_revoked_here_is_no_early_end(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    for _ in range(3):
        get_token("acme")
        assert tokens.revoke("acme")
    assert AccessToken.objects.get().early_ends == 0


def test_other_settings_begin_anew(salesforce_org: ConnectableOrg) -> None:
    connection = salesforce_org.connect("acme")
    live_and_end(salesforce_org, 31, 31, 31)
    assert advice()
    salesforce_org.apps["3MVG9Other"] = salesforce_org.apps[connection.consumer_key]
    ConnectedApp.objects.update(consumer_key="3MVG9Other")
    assert advice() is None
    tokens.reset()
    get_token("acme")
    assert AccessToken.objects.get().early_ends == 0


def test_calls_of_a_client_are_counted(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", api_version="66.0")
    with get_client("acme") as client:
        for _ in range(3):
            client.limits()
            salesforce_org.end_sessions()
        client.limits()
    found = advice()
    assert found is not None
    assert (found.sentence, found.minutes) == (
        "Sessions here end after about 1 min, your session length says 2 h.",
        15,
    )


@pytest.mark.parametrize(
    ("session", "life", "minutes"),
    [(120, 119, 60), (120, 60, 60), (60, 31, 30), (30, 3, 15), (1440, 721, 720)],
)
def test_the_next_lower_session_length_is_offered(session: int, life: float, minutes: int) -> None:
    assert SessionAdvice.of(session, life).minutes == minutes


def test_below_the_shortest_session_length_there_is_nothing_to_set() -> None:
    found = SessionAdvice.of(15, 4)
    assert found.minutes is None
    assert "something ends them" in found.sentence
