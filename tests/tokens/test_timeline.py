"""Hours of trouble in seconds: a caller every five seconds and beat every minute, on a clock that the test turns."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import time_machine

from sf_integration import ActionNeeded, RetryableError, get_token, tokens
from sf_integration.models import AccessToken
from sf_integration.salesforce.errors import SalesforceError
from sf_integration.testing.django import ConnectableOrg
from sf_integration.tokens import process, source

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = 60
STEP_SECONDS = 5


class Timeline:
    """The wall clock and the monotonic one, both at rest until they are moved."""

    def __init__(self, traveller: time_machine.Coordinates) -> None:
        self._traveller = traveller
        self.seconds = 0.0

    def monotonic(self) -> float:
        return 1_000.0 + self.seconds

    def advance(self, seconds: float) -> None:
        self._traveller.shift(seconds)
        self.seconds += seconds

    def live(self, minutes: float) -> list[SalesforceError]:
        """What callers meet in this time; beat comes on each full minute."""
        met = []
        end = self.seconds + minutes * MINUTE
        while self.seconds < end:
            try:
                get_token("acme")
            except SalesforceError as exc:
                met.append(exc)
            if self.seconds % MINUTE == 0:
                tokens.refresh_due()
            self.advance(STEP_SECONDS)
        return met


@pytest.fixture
def timeline(monkeypatch: pytest.MonkeyPatch) -> Iterator[Timeline]:
    with time_machine.travel(dt.datetime(2027, 3, 1, 8, tzinfo=dt.UTC), tick=False) as traveller:
        timeline = Timeline(traveller)
        clock = SimpleNamespace(monotonic=timeline.monotonic, sleep=time.sleep)
        monkeypatch.setattr(process, "time", clock)
        monkeypatch.setattr(source, "time", clock)
        yield timeline


def test_a_set_up_fault_of_38_minutes_makes_few_requests(
    salesforce_org: ConnectableOrg, timeline: Timeline
) -> None:
    salesforce_org.connect("acme")
    salesforce_org.user.approved = False
    met = timeline.live(38)
    assert len(met) == 38 * MINUTE / STEP_SECONDS
    assert all(isinstance(error, ActionNeeded) for error in met)
    assert 5 <= salesforce_org.token_requests <= 12


def test_a_repaired_set_up_works_by_itself(salesforce_org: ConnectableOrg, timeline: Timeline) -> None:
    """A new app needs up to ten minutes to be known."""
    salesforce_org.connect("acme")
    salesforce_org.user.approved = False
    timeline.live(9)
    salesforce_org.user.approved = True
    timeline.live(6)
    assert timeline.live(1) == []


def test_no_caller_notices_a_login_host_that_is_down_until_into_the_grace(
    salesforce_org: ConnectableOrg, timeline: Timeline
) -> None:
    """Life two hours; the login host is down from minute 45 to 130 of the token's age."""
    salesforce_org.connect("acme")
    assert timeline.live(45) == []
    assert salesforce_org.token_requests == 1
    salesforce_org.fail("maintenance", times=None)
    assert timeline.live(85) == []
    assert AccessToken.objects.get().failures > 5
    salesforce_org.heal()
    assert timeline.live(60) == []
    assert AccessToken.objects.get().failures == 0


def test_an_hour_without_any_token_makes_few_requests_and_ends_soon_after_the_host_is_back(
    salesforce_org: ConnectableOrg, timeline: Timeline
) -> None:
    salesforce_org.connect("acme")
    salesforce_org.fail("maintenance", times=None)
    met = timeline.live(60)
    assert len(met) == 60 * MINUTE / STEP_SECONDS
    assert all(isinstance(error, RetryableError) and error.retry_after <= 331 for error in met)
    assert 10 <= salesforce_org.token_requests <= 20
    salesforce_org.heal()
    timeline.live(7)
    assert timeline.live(1) == []


@pytest.mark.long
def test_eight_healthy_hours_cost_a_login_each(salesforce_org: ConnectableOrg, timeline: Timeline) -> None:
    """Life two hours, renewed between 60 and 72 minutes before its end."""
    salesforce_org.connect("acme")
    assert timeline.live(8 * 60) == []
    assert 8 <= salesforce_org.logins <= 11
    assert salesforce_org.logins == AccessToken.objects.get().version
