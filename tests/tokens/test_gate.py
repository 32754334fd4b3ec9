"""Who must wait before a sign-in, for how long, and what it is told meanwhile."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from sf_integration.fields import seal
from sf_integration.models import AccessToken, ConnectedApp, SigningKey, settings_fingerprint
from sf_integration.salesforce import errors
from sf_integration.salesforce.errors import AuthenticationError, LoginUnavailable, WrongOrg
from sf_integration.tokens import gate, lifecycle

pytestmark = pytest.mark.once

NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
seconds = lambda count: dt.timedelta(seconds=count)  # noqa: E731

PASSING = {
    "kind": "passing",
    "message": "It took too long.",
    "code": "timeout",
    "description": "gateway",
    "type": "TransportError",
}
RATE = PASSING | {"kind": "rate", "code": "login_rate_exceeded"}
SET_UP = {
    "kind": "set-up",
    "type": "AuthenticationError",
    "cause": "The app is unknown.",
    "remedy": "Compare the consumer key.",
    "who": "the org's admin",
    "code": "invalid_client_id",
    "description": "client identifier invalid",
}


def row(**columns: Any) -> AccessToken:
    """Not stored, of settings that it fits."""
    key = SigningKey(name="key", fingerprint="f" * 64, size=2048)
    app = ConnectedApp(
        name="acme", login_url="https://acme.my.salesforce.com", username="ops@acme.example", signing_key=key
    )
    made = AccessToken(connection=app, username=app.username, **columns)
    made.settings_fingerprint = settings_fingerprint(app, app.username)
    return made


@pytest.mark.parametrize("shut", [gate.require_open, gate.require_logins_left])
def test_a_shut_gate_tells_the_stored_error_and_how_long(shut: Any) -> None:
    with pytest.raises(LoginUnavailable, match="It took too long") as told:
        shut(row(last_error=RATE, next_try_at=NOW + seconds(90)), NOW)
    assert (told.value.code, told.value.retry_after) == ("login_rate_exceeded", 90)
    assert told.value.description == "gateway"


@pytest.mark.parametrize(
    "columns",
    [
        {"last_error": RATE, "next_try_at": None},
        {"last_error": RATE, "next_try_at": NOW},
        {"last_error": None, "next_try_at": NOW + seconds(90)},
    ],
)
def test_an_open_gate_lets_pass(columns: dict[str, Any]) -> None:
    gate.require_open(row(**columns), NOW)
    gate.require_logins_left(row(**columns), NOW)


@pytest.mark.parametrize("stored", [PASSING, RATE, SET_UP, {"message": "By another release."}])
def test_a_gate_that_is_shut_for_too_long_was_shut_by_a_wrong_clock(stored: dict[str, str]) -> None:
    longest = lifecycle.LONGEST_WAIT[stored.get("kind", "set-up")]
    with pytest.raises(errors.SalesforceError):
        gate.require_open(row(last_error=stored, next_try_at=NOW + longest), NOW)
    gate.require_open(row(last_error=stored, next_try_at=NOW + longest + seconds(1)), NOW)


def test_only_a_refused_rate_stops_what_passes_the_gate() -> None:
    gate.require_logins_left(row(last_error=PASSING, next_try_at=NOW + seconds(90)), NOW)


def test_other_settings_open_the_gate() -> None:
    shut = row(last_error=SET_UP, next_try_at=NOW + seconds(90), last_try_at=NOW)
    shut.settings_fingerprint = "that of before"
    gate.require_open(shut, NOW)
    gate.require_pause(shut, NOW)
    assert gate.refusal(shut, NOW) is None


def test_accepting_the_org_that_was_refused_opens_the_gate() -> None:
    stored = SET_UP | {"type": "WrongOrg", "code": "wrong_org", "organization_id": "00D000000000001EAA"}
    shut = row(last_error=stored, next_try_at=NOW + seconds(90))
    shut.connection.expected_org_id = "00D000000000002EAA"
    with pytest.raises(WrongOrg):
        gate.require_open(shut, NOW)
    shut.connection.expected_org_id = "00D000000000001EAA"
    gate.require_open(shut, NOW)


def test_trying_now_is_held_back_for_ten_seconds() -> None:
    tried = row(last_error=PASSING, last_try_at=NOW - seconds(7))
    with pytest.raises(LoginUnavailable) as told:
        gate.require_pause(tried, NOW)
    assert told.value.retry_after == 3
    gate.require_pause(tried, NOW + seconds(3))
    with pytest.raises(LoginUnavailable):
        gate.require_pause(tried, NOW - seconds(7))
    gate.require_pause(row(last_error=None, last_try_at=NOW), NOW)
    gate.require_pause(row(last_error=PASSING, last_try_at=None), NOW)


@pytest.mark.parametrize(("left", "told"), [(90, 90), (1.5, 1.5), (0.2, 1), (-5, 1)])
def test_nobody_is_told_to_come_back_at_once(left: float, told: float) -> None:
    error = gate.stored_error(PASSING, retry_after=left)
    assert isinstance(error, LoginUnavailable)
    assert error.retry_after == told


def test_a_stored_refusal_is_the_exception_that_it_was() -> None:
    error = gate.stored_error(SET_UP, retry_after=30)
    assert type(error) is AuthenticationError
    assert (error.error, error.description) == ("invalid_client_id", "client identifier invalid")
    assert (error.cause, error.remedy, error.who) == (
        "The app is unknown.",
        "Compare the consumer key.",
        "the org's admin",
    )


@pytest.mark.parametrize("stored", [PASSING, SET_UP])
def test_without_words_of_salesforce_there_are_none(stored: dict[str, str]) -> None:
    bare = {name: value for name, value in stored.items() if name != "description"}
    assert gate.stored_error(bare, retry_after=30).description == ""


def test_a_stored_wrong_org_tells_which() -> None:
    stored = SET_UP | {"type": "WrongOrg", "code": "wrong_org", "organization_id": "00D000000000001EAA"}
    error = gate.stored_error(stored, retry_after=30)
    assert isinstance(error, WrongOrg)
    assert (error.code, error.organization_id) == ("wrong_org", "00D000000000001EAA")
    del stored["organization_id"]
    unknown = gate.stored_error(stored, retry_after=30)
    assert isinstance(unknown, WrongOrg)
    assert unknown.organization_id == ""
    assert (error.cause, error.remedy, error.who) == (SET_UP["cause"], SET_UP["remedy"], SET_UP["who"])


@pytest.mark.parametrize("kind", [{}, {"type": ""}, {"type": "NoSuchError"}, {"type": "TransportError"}])
def test_a_stored_error_of_a_class_unknown_here_still_needs_action(kind: dict[str, str]) -> None:
    """As another release may have written it."""
    stored = {"kind": "set-up", "cause": "Something.", "code": "something"} | kind
    error = gate.stored_error(stored, retry_after=30)
    assert type(error) is errors.ActionNeeded
    assert error.code == "something"
    assert (error.cause, error.remedy, error.who) == ("Something.", "", "")


@pytest.mark.parametrize(("next_try_at", "retry_after"), [(NOW + seconds(40), 40), (None, 1)])
def test_a_passing_failure_matters_while_no_token_is_left(
    next_try_at: dt.datetime | None, retry_after: float
) -> None:
    error = gate.refusal(row(last_error=PASSING, next_try_at=next_try_at), NOW)
    assert isinstance(error, LoginUnavailable)
    assert error.retry_after == retry_after
    assert gate.refusal(row(last_error=None), NOW) is None


def test_while_there_is_a_token_only_what_needs_a_person_matters() -> None:
    times = {"expected_expiry": NOW + seconds(90), "next_try_at": NOW + seconds(40)}
    served = {stored["kind"]: row(last_error=stored, **times) for stored in (PASSING, RATE, SET_UP)}
    for each in served.values():
        each.value = seal(AccessToken, "value", each.pk, b"token")
    assert gate.refusal(served["passing"], NOW) is None
    assert gate.refusal(served["rate"], NOW) is None
    assert isinstance(gate.refusal(served["set-up"], NOW), AuthenticationError)
    assert isinstance(gate.refusal(served["passing"], NOW + seconds(90)), LoginUnavailable)


def test_under_way_is_told_with_a_time() -> None:
    error = gate.still_signing_in()
    assert (error.code, error.retry_after) == ("sign_in_under_way", 2)
    assert "still signing in" in str(error)


@pytest.mark.django_db
@pytest.mark.parametrize("uncounted", [None, 0, 1])
def test_the_fuse_stops_at_the_sixth_of_what_salesforce_allows(uncounted: int | None) -> None:
    used = row()
    used.connection.signing_key.save()
    used.connection.save()
    used.logins, used.logins_since = lifecycle.FUSE_LOGINS - 1, NOW - seconds(60)
    used.save()
    more = {} if uncounted is None else {"uncounted": uncounted}
    if uncounted:
        with pytest.raises(LoginUnavailable, match=r"signed in 600 times within the hour.*3,600") as told:
            gate.require_fuse(used, NOW, **more)
        assert (told.value.code, told.value.retry_after) == ("fuse_blown", 600)
    else:
        gate.require_fuse(used, NOW, **more)


@pytest.mark.django_db
def test_the_fuse_of_a_user_without_sign_ins_counts_those_that_no_row_has() -> None:
    gate.require_fuse(row(), NOW)
    gate.require_fuse(row(), NOW, uncounted=lifecycle.FUSE_LOGINS - 1)
    with pytest.raises(LoginUnavailable):
        gate.require_fuse(row(), NOW, uncounted=lifecycle.FUSE_LOGINS)
