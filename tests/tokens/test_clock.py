"""Our clock beside the login host's: measured at each answer, allowed for when they are far apart."""

from __future__ import annotations

import datetime as dt
import logging

import pytest
from django.utils import timezone

from sf_integration import AuthenticationError, get_token, health, tokens
from sf_integration.models import AccessToken
from sf_integration.salesforce import assertion, trace
from sf_integration.testing.django import ConnectableOrg, stand_in

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = 3600


@pytest.fixture
def signed(monkeypatch: pytest.MonkeyPatch) -> list[assertion.Claims]:
    """The claims of each assertion, as they were signed; the stand-in keeps no assertions."""
    claims: list[assertion.Claims] = []
    sign = assertion.sign
    monkeypatch.setattr(
        assertion, "sign", lambda each, *args, **more: claims.append(each) or sign(each, *args, **more)
    )
    return claims


def open_gate() -> None:
    AccessToken.objects.update(next_try_at=None, last_try_at=None)


def minutes_left(expiry: dt.datetime) -> float:
    return (expiry - timezone.now()).total_seconds() / 60


def test_a_clock_an_hour_behind_costs_one_refusal(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.clock_offset_seconds = HOUR
    salesforce_org.connect("acme")
    with pytest.raises(AuthenticationError, match="expired authorization code"):
        get_token("acme")
    open_gate()
    assert get_token("acme").value
    open_gate()
    assert tokens.refresh("acme").value
    assert salesforce_org.token_requests == 3


def test_a_clock_an_hour_ahead_asks_for_no_longer_than_others(
    salesforce_org: ConnectableOrg, signed: list[assertion.Claims]
) -> None:
    salesforce_org.clock_offset_seconds = -HOUR
    salesforce_org.connect("acme")
    get_token("acme")
    tokens.refresh("acme")
    first, second = (claims.expires_at for claims in signed)
    assert 3590 < first - second <= 3601


@pytest.mark.parametrize("offset", [HOUR, -HOUR])
@pytest.mark.parametrize("life_minutes", [15, 120])
def test_expiry_of_a_jwt_token_is_told_by_our_clock(
    salesforce_org: ConnectableOrg, offset: int, life_minutes: int
) -> None:
    salesforce_org.token_format = "jwt"
    salesforce_org.session_seconds = life_minutes * 60
    salesforce_org.clock_offset_seconds = offset
    salesforce_org.expiry_tolerance_seconds = 2 * HOUR
    salesforce_org.connect("acme", session_minutes=240)
    for ask in (get_token, tokens.refresh):  # with the skew unknown before, and known
        token = ask("acme")
        assert life_minutes - 0.1 < minutes_left(token.expected_expiry) < life_minutes + 0.1
    stored = AccessToken.objects.get()
    assert stored.expected_expiry == token.expected_expiry
    assert stored.refresh_at < stored.expected_expiry - dt.timedelta(minutes=4.9)


@pytest.mark.parametrize("offset", [HOUR, -HOUR])
def test_expiry_of_an_opaque_token_does_not_depend_on_the_hosts_clock(
    salesforce_org: ConnectableOrg, offset: int
) -> None:
    salesforce_org.clock_offset_seconds = offset
    salesforce_org.expiry_tolerance_seconds = 2 * HOUR
    salesforce_org.connect("acme", session_minutes=30)
    assert 29.9 < minutes_left(get_token("acme").expected_expiry) <= 30


def test_a_small_skew_is_left_alone(salesforce_org: ConnectableOrg, signed: list[assertion.Claims]) -> None:
    salesforce_org.clock_offset_seconds = -100
    salesforce_org.connect("acme")
    get_token("acme")
    tokens.refresh("acme")
    first, second = (claims.expires_at for claims in signed)
    assert 0 <= second - first <= 5


def test_hosts_are_told_apart(salesforce_org: ConnectableOrg) -> None:
    with stand_in() as other:
        salesforce_org.clock_offset_seconds = -HOUR
        first = salesforce_org.connect("acme")
        other.connect("other", signing_key=first.signing_key)
        get_token("acme")
        get_token("other")
        process = tokens.current()
        assert process.clock_skew_seconds(salesforce_org.url) > HOUR - 5
        assert abs(process.clock_skew_seconds(other.url)) < 5


def test_a_clock_that_was_put_right_costs_one_refusal(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.clock_offset_seconds = -HOUR
    salesforce_org.connect("acme")
    get_token("acme")
    salesforce_org.clock_offset_seconds = 0
    with pytest.raises(AuthenticationError, match="expired authorization code"):
        tokens.refresh("acme")
    open_gate()
    assert tokens.refresh("acme").value


def test_a_check_measures_before_it_signs_in_and_says_what_is_done(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.clock_offset_seconds = HOUR
    connection = salesforce_org.connect("acme")
    ran = health.check_connection(connection, asked_by="test")
    steps = {step["step"]: step for step in ran.steps}
    assert steps["clock"]["status"] == "warning"
    assert "seconds behind Salesforce's. Sign-ins allow for it." in steps["clock"]["message"]
    assert steps["sign_in"]["status"] == "ok"
    assert ran.state == "Needs attention"


def test_half_a_minute_is_warned_of_but_not_allowed_for(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.clock_offset_seconds = -45
    connection = salesforce_org.connect("acme")
    ran = health.check_connection(connection, asked_by="test")
    (clock,) = (step for step in ran.steps if step["step"] == "clock")
    assert clock["status"] == "warning"
    assert "allow" not in clock["message"]


def test_a_skew_is_logged_once(salesforce_org: ConnectableOrg, caplog: pytest.LogCaptureFixture) -> None:
    salesforce_org.clock_offset_seconds = -HOUR
    salesforce_org.connect("acme")
    with caplog.at_level(logging.WARNING, logger="sf_integration.tokens"):
        for _ in range(3):
            tokens.refresh("acme")
    assert len([record for record in caplog.records if "set it by NTP" in record.getMessage()]) == 1


def test_the_trace_shows_the_claims_that_were_sent(
    salesforce_org: ConnectableOrg, signed: list[assertion.Claims]
) -> None:
    salesforce_org.clock_offset_seconds = -HOUR
    salesforce_org.connect("acme")
    get_token("acme")
    seen: list[dict[str, object]] = []
    tokens.refresh("acme", observe=lambda request, outcome: seen.append(trace.describe(request, outcome)))
    (shown,) = seen
    assert abs(shown["claims"]["exp"] - signed[-1].expires_at) <= 1  # type: ignore[index]
    assert abs(shown["clock_skew_seconds"] - HOUR) < 5  # type: ignore[operator]
