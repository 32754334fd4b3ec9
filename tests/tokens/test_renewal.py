"""One sign-in: what is asked for, how it is judged, what is written and told. No org answers here."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.db import DatabaseError, transaction
from django.dispatch import Signal

from sf_integration import hosts, signals
from sf_integration.models import AccessToken, ConnectedApp, ConnectionEvent
from sf_integration.salesforce.errors import (
    AuthenticationError,
    ConnectionPaused,
    InvalidPrivateKey,
    LoginUnavailable,
    NotAllowedHere,
    SalesforceError,
    TransportError,
    UsernameNotAllowed,
    WrongOrg,
)
from sf_integration.salesforce.oauth import Token
from sf_integration.salesforce.signin import SignIn, SpareKey
from sf_integration.state import ConnectionState
from sf_integration.tokens import claims, renewal, rows

from .canned import Canned, outcome
from .test_statements import ERROR, HOUR, NOW, columns_of, connection, row, stored, token, with_token

pytestmark = pytest.mark.django_db

ORG, OTHER_ORG = "00D000000000001EAA", "00D000000000002EAA"
DOWN = TransportError("No answer.", code="timeout")
RATE = LoginUnavailable("Too many.", code="login_rate", retry_after=900)
FOREIGN = token("foreign", instance_url="https://elsewhere.example")


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


Told = list[tuple[Signal, dict[str, Any]]]
SENDERS = {
    signals.token_refreshed: AccessToken,
    signals.token_refresh_failed: AccessToken,
    signals.connection_health_changed: ConnectedApp,
}


@pytest.fixture
def told() -> Iterator[Told]:
    """What listeners to these senders heard, in order."""
    found: Told = []

    def listen(signal: Signal, sender: type, **facts: Any) -> None:
        found.append((signal, facts))

    for signal, sender in SENDERS.items():
        signal.connect(listen, sender=sender)
    yield found
    for signal, sender in SENDERS.items():
        signal.disconnect(listen, sender=sender)


def claimed(name: str = "acme", username: str = "Ops@acme.example", **columns: Any) -> AccessToken:
    made = row(name, username, **columns)
    assert claims.claim(made, NOW)
    return made


def stored_connection(name: str = "acme") -> ConnectedApp:
    return ConnectedApp.objects.get(name=name)


# ---- what forbids it ------------------------------------------------------------------------------------------------


def refused(app: ConnectedApp, username: str = "ops@acme.example") -> tuple[type[SalesforceError], str, str]:
    with pytest.raises((ConnectionPaused, UsernameNotAllowed, NotAllowedHere)) as told:
        renewal.guard(app, username)
    return type(told.value), told.value.cause, f"{told.value.who}: {told.value.remedy}"


def test_what_must_not_be_called_is_told_with_who_can_change_it(settings: Any) -> None:
    renewal.guard(connection(extra_usernames=["X@acme.example"]), "x@ACME.example")
    here, runs = "an administrator of this site: ", "whoever runs this site: "
    assert refused(connection("paused", enabled=False)) == (
        ConnectionPaused,
        "The connection “paused” is paused.",
        f"{here}Switch it on again in the admin.",
    )
    assert refused(connection("own"), "ceo@acme.example") == (
        UsernameNotAllowed,
        "The connection “own” does not list the user ceo@acme.example.",
        f"{here}Add it to the connection's allowed extra usernames.",
    )
    away = connection("away")
    away.login_url = "https://elsewhere.example"
    assert refused(away)[:2] == (
        NotAllowedHere,
        "elsewhere.example is neither a host of Salesforce nor listed in SF_ALLOWED_HOSTS.",
    )
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "ALLOWED_ENVIRONMENTS": ["sandbox"]}
    assert refused(connection("production")) == (
        NotAllowedHere,
        "This installation may not call production orgs.",
        f"{runs}If it should, add the kind to SF_ALLOWED_ENVIRONMENTS.",
    )


# ---- what is asked for ----------------------------------------------------------------------------------------------


def test_a_request_has_all_that_its_connection_says() -> None:
    app = connection(
        consumer_key="3MVG9",
        audience="https://login.salesforce.com",
        extra_usernames=["Extra@acme.example"],
        expected_org_id=ORG,
        session_minutes=30,
        staged_signing_key=connection("staged").signing_key,
    )
    app.staged_signing_key.fingerprint = "e" * 64
    process = Canned()
    process.note_clock(app.login_url, 150.0)
    assert renewal.prepare(process, app, "EXTRA@acme.example") == SignIn(
        login_url="https://acme.my.salesforce.com",
        audience="https://login.salesforce.com",
        consumer_key="3MVG9",
        username="Extra@acme.example",
        key=process.private_key(app.signing_key),
        key_fingerprint="f" * 64,
        spare=SpareKey(process.private_key(app.staged_signing_key), "e" * 64),
        session=dt.timedelta(minutes=30),
        clock_skew_seconds=150.0,
        expected_org_id=ORG,
        may_call=hosts.is_allowed,
    )
    app.enabled = False
    with pytest.raises(ConnectionPaused):
        renewal.prepare(process, app, app.username)


# ---- how it is judged -----------------------------------------------------------------------------------------------


def test_a_token_for_a_foreign_instance_is_refused_with_what_is_wrong() -> None:
    app = connection()
    assert renewal.verdict(app, outcome(token())) is None
    assert renewal.verdict(app, outcome(ERROR)) is ERROR
    found = renewal.verdict(app, outcome(FOREIGN))
    assert isinstance(found, NotAllowedHere)
    assert found.cause.startswith("The sign-in worked, but names a foreign instance: elsewhere.example is")
    assert (found.who, "SF_ALLOWED_HOSTS" in found.remedy) == ("whoever runs this site", True)


@pytest.mark.parametrize(
    ("identity", "asked", "other"),
    [(ORG, "", None), (OTHER_ORG, "", OTHER_ORG), (OTHER_ORG, ORG, None), (ORG, OTHER_ORG, OTHER_ORG)],
)
def test_a_token_of_another_org_is_refused_by_what_the_org_said_or_else_the_token(
    identity: str, asked: str, other: str | None
) -> None:
    app = connection(expected_org_id=ORG)
    given = token(identity_url=f"https://login.salesforce.com/id/{identity}/005")
    found = renewal.verdict(app, outcome(given, organization_id=asked))
    assert (found.organization_id if isinstance(found, WrongOrg) else found) == other


# ---- one claimed row ------------------------------------------------------------------------------------------------


def test_a_sign_in_is_shown_written_and_told(told: Told) -> None:
    made, seen = claimed(), []
    process = Canned(token())
    given = renewal.renew(process, made, lambda *both: seen.append(both))
    assert given == token() == rows.opened(stored(made))
    assert columns_of(made)["claimed_by"] == ""
    ((request, shown),) = seen
    assert process.requests == [request]
    assert shown.token == given
    facts = {"connection": made.connection, "username": made.username, "seconds": 2.5}
    assert told == [(signals.token_refreshed, facts)]


def test_a_refusal_is_raised_written_and_told(told: Told) -> None:
    made = claimed()
    with pytest.raises(AuthenticationError) as raised:
        renewal.renew(Canned(ERROR), made)
    assert raised.value is ERROR
    now = columns_of(made)
    assert (now["failures"], now["claimed_by"], now["last_error"]["code"]) == (1, "", "invalid_client_id")
    assert now["last_error"]["kind"] == "set-up"  # which says when it is tried again
    facts = {"connection": made.connection, "username": made.username, "seconds": 2.5, "error": ERROR}
    assert told == [(signals.token_refresh_failed, facts)]


class NoKey(Canned):
    def private_key(self, signing_key: object) -> Any:
        raise InvalidPrivateKey("It does not open.")


class Faulty(Canned):
    def sign_in(self, *_: object) -> Any:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("process", "kind", "logins"), [(NoKey(), InvalidPrivateKey, 0), (Faulty(), KeyboardInterrupt, 1)]
)
def test_what_breaks_off_gives_the_claim_back_and_counts_if_it_may_have_been_sent(
    process: Canned, kind: type[BaseException], logins: int
) -> None:
    made = claimed()
    with pytest.raises(kind):
        renewal.renew(process, made)
    now = columns_of(made)
    assert (now["claimed_by"], now["claimed_until"], now["logins"]) == ("", None, logins)


def test_a_result_that_cant_be_written_gives_the_claim_back(
    monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    made = claimed()

    def refuse(*_: object) -> None:
        raise DatabaseError("full")

    monkeypatch.setattr(rows, "write", refuse)
    with pytest.raises(DatabaseError):
        renewal.settle(made, outcome(token()))
    now = columns_of(made)
    assert (now["claimed_by"], now["logins"], told) == ("", 1, [])


def test_a_key_that_the_org_took_in_reserve_is_promoted_before_the_token_is_written() -> None:
    made = claimed()
    new = connection("other").signing_key
    new.fingerprint = "e" * 64
    new.save()
    ConnectedApp.objects.filter(name="acme").update(staged_signing_key=new)
    made.connection.staged_signing_key = new
    renewal.settle(made, outcome(token(), key_fingerprint=new.fingerprint))
    now = stored(made)
    assert now.connection.signing_key == new
    assert rows.stored_token(now) == token()


# ---- what is written ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "has_token", "noted"),
    [
        (ERROR, False, True),
        (ERROR, True, True),
        (DOWN, False, True),
        (DOWN, True, False),
        (WrongOrg("Other.", organization_id=OTHER_ORG, code="wrong_org"), True, True),
    ],
)
def test_a_failure_is_the_connections_if_a_person_must_act_or_no_token_is_left(
    error: SalesforceError, has_token: bool, noted: bool
) -> None:
    made = with_token() if has_token else row()
    renewal.record([(made, outcome(error), error)])
    app = stored_connection()
    assert (app.failing_since, app.last_success_at) == (NOW if noted else None, None)
    if noted:
        assert (app.last_error["code"], app.last_error["step"]) == (error.code, "sign_in")
        assert app.last_error.get("organization_id") == getattr(error, "organization_id", None)
        assert made.connection.last_error == app.last_error
        assert made.connection.failing_since == NOW


@pytest.mark.parametrize("end", [token(), ERROR])
def test_what_an_extra_user_met_is_not_the_connections(end: Token | SalesforceError) -> None:
    app = connection()
    extra = AccessToken.objects.create(connection=app, username="extra@acme.example")
    renewal.record([(extra, outcome(end), None if isinstance(end, Token) else end)])
    assert columns_of(extra)["version"] == 1
    found = stored_connection()
    assert (found.last_success_at, found.failing_since) == (None, None)


def test_results_of_many_are_written_each_to_its_own(django_capture_on_commit_callbacks: Any) -> None:
    well, sick = row("well"), row("sick", "sick@acme.example")
    well.connection.failing_since, well.connection.last_error = NOW, {"step": "sign_in"}
    with django_capture_on_commit_callbacks(execute=True):
        renewal.record([(well, outcome(token()), None), (sick, outcome(ERROR), ERROR)])
    assert stored_connection("well").last_success_at == NOW
    assert stored_connection("sick").failing_since == NOW
    found = ConnectionEvent.objects.exclude(kind=ConnectionEvent.Kind.STATE).values_list(
        "connection", "kind", "at"
    )
    assert set(found) == {
        (well.connection_id, ConnectionEvent.Kind.SIGNED_IN, NOW),
        (sick.connection_id, ConnectionEvent.Kind.REFUSED, NOW),
    }


@pytest.mark.parametrize(("error", "shut"), [(RATE, True), (DOWN, False)])
def test_after_the_commit_a_refused_rate_shuts_the_users_other_gates(
    error: SalesforceError, shut: bool, django_capture_on_commit_callbacks: Any
) -> None:
    made, other, somebody = row("one"), row("two"), row("three", "somebody@acme.example")
    with django_capture_on_commit_callbacks(execute=True):
        renewal.record([(made, outcome(error), error)])
        assert columns_of(other)["next_try_at"] is None
    until = columns_of(made)["next_try_at"]
    assert columns_of(other)["next_try_at"] == (until if shut else None)
    assert columns_of(somebody)["next_try_at"] is None


@pytest.mark.parametrize(
    ("failing", "error", "over"),
    [
        (None, None, True),
        (NOW - HOUR, {"step": "sign_in"}, True),
        (NOW - HOUR, {"step": "limits"}, False),
        (NOW - HOUR, None, False),
    ],
)
def test_a_success_ends_failures_of_the_steps_that_it_took(
    failing: dt.datetime | None, error: dict[str, str] | None, over: bool
) -> None:
    app = connection(failing_since=failing, last_error=error)
    renewal.note_success([app], NOW, passed=["sign_in"])
    for found in (app, stored_connection()):
        assert (found.last_success_at, found.failing_since, found.last_error) == (
            (NOW, None, None) if over else (None, failing, error)
        )


def test_since_when_it_fails_stays() -> None:
    app = connection(failing_since=NOW - HOUR, last_error={"code": "before"})
    renewal.note_failure(app, DOWN, NOW, step="limits")
    for found in (app, stored_connection()):
        assert (found.failing_since, found.last_error["code"], found.last_error["step"]) == (
            NOW - HOUR,
            "timeout",
            "limits",
        )


def test_what_breaks_after_the_callers_commit_is_not_theirs(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    broken = []

    def refuse(*_: object) -> None:
        broken.append(1)
        raise DatabaseError("full")

    monkeypatch.setattr(rows, "shut_others", refuse)
    monkeypatch.setattr(renewal, "tell_change", refuse)
    made = row()
    with django_capture_on_commit_callbacks(execute=True):
        renewal.record([(made, outcome(RATE), RATE)])
    assert len(broken) == 2


# ---- what is told ---------------------------------------------------------------------------------------------------


def test_each_change_of_state_is_told_once_after_the_commit(
    told: Told, caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any
) -> None:
    app, other = connection(), connection("other")
    seen_by_another = stored_connection()
    with django_capture_on_commit_callbacks(execute=True), caplog.at_level(logging.INFO):
        renewal.note_failure(app, ERROR, NOW, step="sign_in")
        assert told == []
    facts = {
        "connection": app,
        "previous": ConnectionState.NOT_CHECKED_YET,
        "state": ConnectionState.FAILING,
    }
    assert told == [(signals.connection_health_changed, facts)]
    assert "connection acme: failing" in caplog.text
    assert stored_connection().told_state == ConnectionState.FAILING.value
    assert stored_connection("other").told_state == other.told_state == ConnectionState.NOT_CHECKED_YET.value
    seen_by_another.failing_since = NOW
    with django_capture_on_commit_callbacks(execute=True):
        for again in (app, seen_by_another):
            renewal.tell_change(again, NOW)
        renewal.note_success([app, other], NOW, passed=["sign_in"])
    assert [facts["connection"].name for _, facts in told] == ["acme", "acme"]
    found = ConnectionEvent.objects.filter(kind=ConnectionEvent.Kind.STATE).values_list("code", "at")
    assert set(found) == {(ConnectionState.FAILING.value, NOW), (app.told_state, NOW)}


def test_a_connection_deleted_meanwhile_changes_nothing_more(told: Told) -> None:
    app = connection(failing_since=NOW)
    ConnectedApp.objects.all().delete()
    renewal.tell_change(app, NOW)
    assert told == []


@pytest.mark.parametrize(("error", "said"), [(None, "ok"), (ERROR, "invalid_client_id")])
def test_a_sign_in_is_one_line_for_people_and_programs(
    error: SalesforceError | None, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = row()
    with caplog.at_level(logging.INFO):
        renewal.announce(made, outcome(error or token()), error)
    (line,) = caplog.records
    assert line.getMessage() == (
        f"sign-in connection=acme username=ops@acme.example outcome={said} seconds=2.500 host=acme.my.salesforce.com"
    )
    expected = {
        "event": "sign-in",
        "connection": "acme",
        "username": "ops@acme.example",
        "outcome": said,
        "milliseconds": 2500,
        "host": "acme.my.salesforce.com",
    }
    assert {name: getattr(line, name, None) for name in expected} == expected


def test_listeners_wait_for_the_callers_commit(told: Told, django_capture_on_commit_callbacks: Any) -> None:
    made = row()
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        renewal.announce(made, outcome(token()), None)
        assert told == []
    assert [signal for signal, _ in told] == [signals.token_refreshed]
