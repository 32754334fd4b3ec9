from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_integration.salesforce.errors import (
    AuthenticationError,
    LoginUnavailable,
    SalesforceError,
    TransportError,
    WrongOrg,
)
from sf_integration.tokens import lifecycle
from sf_integration.tokens.lifecycle import TokenState

NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
minutes = lambda count: dt.timedelta(minutes=count)  # noqa: E731


@pytest.mark.parametrize(
    ("life", "window"),
    [
        (2, 1),
        (10, 5),
        (15, 5),
        (20, 5),
        (21, 10.5),
        (30, 15),
        (60, 15),
        (90, 15),
        (91, 45.5),
        (120, 60),
        (1440, 60),
    ],
)
def test_early_window_follows_the_life(life: int, window: float) -> None:
    assert lifecycle.early_window(minutes(life)) == minutes(window)


@given(life=st.integers(1, 1440), jitter=st.floats(0, 1))
def test_refresh_lies_between_issue_and_expiry(life: int, jitter: float) -> None:
    expiry = NOW + minutes(life)
    moment = lifecycle.refresh_time(NOW, expiry, jitter=jitter)
    assert NOW < moment <= expiry - lifecycle.early_window(minutes(life))


def test_each_token_draws_its_own_jitter() -> None:
    expiry = NOW + minutes(120)
    drawn = {lifecycle.refresh_time(NOW, expiry) for _ in range(5)}
    assert len(drawn) > 1
    assert all(minutes(48) <= moment - NOW <= minutes(60) for moment in drawn)


def test_jitter_spreads_by_a_tenth_of_the_life() -> None:
    expiry = NOW + minutes(120)
    earliest = lifecycle.refresh_time(NOW, expiry, jitter=1)
    latest = lifecycle.refresh_time(NOW, expiry, jitter=0)
    assert latest - earliest == minutes(12)


@pytest.mark.parametrize(
    ("refresh_at", "expiry", "state"),
    [
        (10, 20, TokenState.FRESH),
        (-1, 20, TokenState.STALE),
        (0, 20, TokenState.STALE),
        (-30, -1, TokenState.EXPIRED),
        (-30, 0, TokenState.EXPIRED),
    ],
)
def test_three_states(refresh_at: int, expiry: int, state: TokenState) -> None:
    found = lifecycle.state(NOW, refresh_at=NOW + minutes(refresh_at), expiry=NOW + minutes(expiry))
    assert found is state


def test_no_token_is_an_expired_one() -> None:
    assert lifecycle.state(NOW, refresh_at=None, expiry=None) is TokenState.EXPIRED


def seconds_until_next_try(kind: lifecycle.Kind, attempts: int, **arguments: object) -> float:
    return (lifecycle.next_try(kind, attempts, NOW, **arguments) - NOW).total_seconds()  # type: ignore[arg-type]


def test_set_up_errors_are_tried_often_at_first_and_never_given_up() -> None:
    waits = [seconds_until_next_try("set-up", attempts) for attempts in range(1, 14)]
    assert waits[:5] == [30, 60, 120, 240, 300]
    assert waits[5:8] == [600, 1200, 2400]
    assert waits[-1] == 6 * 3600
    assert seconds_until_next_try("set-up", 10_000) == 6 * 3600


def test_rate_errors_wait_long() -> None:
    assert [seconds_until_next_try("rate", attempts) / 60 for attempts in (1, 2, 3, 9)] == [15, 30, 60, 60]


def test_passing_errors_without_a_token_start_at_five_seconds() -> None:
    waits = [seconds_until_next_try("passing", attempts, chance=0.5) for attempts in (1, 2, 3, 7, 50)]
    assert waits == [5, 10, 20, 300, 300]


def test_passing_errors_are_spread_by_a_tenth_either_way() -> None:
    assert seconds_until_next_try("passing", 1, chance=0) == 4.5
    assert seconds_until_next_try("passing", 1, chance=1) == 5.5
    drawn = {seconds_until_next_try("passing", 1) for _ in range(5)}
    assert len(drawn) > 1
    assert all(4.5 <= wait <= 5.5 for wait in drawn)


@pytest.mark.parametrize(
    ("left", "chance", "wait"),
    [(3600, 0, 300), (3600, 0.5, 450), (3600, 1, 600), (200, 1, 140), (30, 0, 60), (0, 0.5, 5)],
)
def test_passing_errors_wait_for_minutes_while_a_token_is_served(
    left: int, chance: float, wait: float
) -> None:
    expiry = NOW + dt.timedelta(seconds=left)
    assert seconds_until_next_try("passing", 1, expiry=expiry, chance=chance) == wait


@given(attempts=st.integers(1, 50), chance=st.floats(0, 1), left=st.integers(1, 86_400))
def test_passing_errors_with_a_token_wait_but_not_past_its_end(
    attempts: int, chance: float, left: int
) -> None:
    expiry = NOW + dt.timedelta(seconds=left)
    wait = seconds_until_next_try("passing", attempts, expiry=expiry, chance=chance)
    assert 60 <= wait <= 600
    assert wait <= max(left - 60, 60)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TransportError("x", code="dns_failure"), "passing"),
        (TransportError("x", code="http_503"), "passing"),
        (TransportError("x", code="cut_off"), "passing"),
        (LoginUnavailable("x", code="unknown_error"), "passing"),
        (LoginUnavailable("x", code="invalid_grant", retry_after=900), "rate"),
        (LoginUnavailable("x", code="invalid_grant", retry_after=600), "rate"),
        (LoginUnavailable("x", code="invalid_grant", retry_after=599), "passing"),
        (LoginUnavailable("x", code="rate_limit_exceeded", retry_after=30), "rate"),
        (AuthenticationError("x", error="invalid_client_id"), "set-up"),
        (AuthenticationError("x", error="something_new"), "set-up"),
        (WrongOrg("x"), "set-up"),
    ],
)
def test_every_error_has_its_schedule(error: SalesforceError, kind: str) -> None:
    assert lifecycle.kind_of(error) == kind


def test_a_call_ends_before_its_claim_and_a_claim_before_its_waiters() -> None:
    assert lifecycle.CALL_SECONDS < lifecycle.CLAIM_LAPSE.total_seconds() < lifecycle.CALLER_WAIT_SECONDS
