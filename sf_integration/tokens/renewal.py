"""One claimed row: sign in, judge the answer, write it down."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

from django.utils import timezone

from .. import hosts
from ..models import AccessToken, ConnectedApp, normal_username
from ..salesforce import origin
from ..salesforce.assertion import Key
from ..salesforce.errors import (
    ConnectionPaused,
    NotAllowedHere,
    SalesforceError,
    UsernameNotAllowed,
    other_org,
)
from ..salesforce.oauth import Token
from ..salesforce.problem import problem_of
from ..salesforce.signin import Outcome, SignIn
from ..signals import connection_health_changed, send, token_refresh_failed, token_refreshed
from ..state import ConnectionState
from . import claims, events, lifecycle, pin, promotion, rows
from .commits import after_commit
from .process import Process

log = logging.getLogger("sf_integration.tokens")

SIGN_IN_STEPS = ("settings", "signing_key", "host", "clock", "sign_in")
"""The steps of a check that a sign-in takes too."""

Result = tuple[AccessToken, Outcome, SalesforceError | None]
"""A row, what came of its sign-in, and our verdict on that."""
Observer = Callable[[SignIn, Outcome], None]
"""Is shown a sign-in, for `check --trace`."""


def guard(connection: ConnectedApp, username: str) -> None:
    """Raise what forbids any call for this connection and user, whatever the token."""
    if not connection.enabled:
        raise ConnectionPaused(
            f"The connection “{connection.name}” is paused.",
            remedy="Switch it on again in the admin.",
            who="an administrator of this site",
        )
    require_callable(connection)
    if not connection.allows(username):
        raise UsernameNotAllowed(
            f"The connection “{connection.name}” does not list the user {username}.",
            remedy="Add it to the connection's allowed extra usernames.",
            who="an administrator of this site",
        )


def require_callable(connection: ConnectedApp) -> None:
    """Raise NotAllowedHere unless this installation may call that host and that kind of org."""
    if not hosts.environment_allowed(connection.known_environment):
        raise NotAllowedHere(
            f"This installation may not call {connection.known_environment} orgs.",
            remedy="If it should, add the kind to SF_ALLOWED_ENVIRONMENTS.",
            who="whoever runs this site",
        )
    hosts.require_allowed(connection.login_url)


def prepare(process: Process, connection: ConnectedApp, username: str) -> SignIn:
    """All that a sign-in needs, as plain values. Raises ActionNeeded when it can't be tried at all."""
    guard(connection, username)
    key = process.private_key(connection.signing_key)
    fingerprint, spare = connection.signing_key.fingerprint, promotion.spare(process, connection)
    return replace(request(process, connection, username, key), key_fingerprint=fingerprint, spare=spare)


def request(process: Process, connection: ConnectedApp, username: str, key: Key) -> SignIn:
    """The sign-in of an allowed user with this signing key."""
    return SignIn(
        login_url=connection.login_url,
        audience=connection.effective_audience,
        consumer_key=connection.consumer_key,
        username=_spelled(connection, username),
        key=key,
        session=connection.session,
        clock_skew_seconds=process.clock_skew_seconds(connection.login_url),
        expected_org_id=connection.expected_org_id,
        may_call=hosts.is_allowed,
    )


def renew(process: Process, row: AccessToken, observe: Observer | None = None) -> Token:
    """Sign in for a row that we hold the claim of. Raises the SalesforceError that the row then also holds."""
    called = False
    try:
        prepared = prepare(process, row.connection, row.username)
        called = True  # from here on it may have been sent, whatever breaks off
        outcome = process.sign_in(prepared)
        if observe is not None:
            observe(prepared, outcome)
    except BaseException:
        claims.release([row], called=called)
        raise
    return settle(row, outcome)


def settle(row: AccessToken, outcome: Outcome) -> Token:
    """Write an outcome down, tell the log and the listeners, hand out the token or raise the error."""
    try:
        error = verdict(row.connection, outcome)
        promotion.note([(row, outcome, error)])
        record([(row, outcome, error)])
    except BaseException:
        claims.release([row])
        raise
    announce(row, outcome, error)
    if error is not None:
        raise error
    return outcome.require()


def verdict(connection: ConnectedApp, outcome: Outcome) -> SalesforceError | None:
    """The outcome's error, or the one of a token that must not be used."""
    if outcome.token is None:
        return outcome.error
    try:
        hosts.require_allowed(outcome.token.instance_url)
    except NotAllowedHere as exc:
        return NotAllowedHere(
            f"The sign-in worked, but names a foreign instance: {exc.cause}", remedy=exc.remedy, who=exc.who
        )
    found = outcome.organization_id or origin.told_by(outcome.token)
    return None if pin.fits(connection, found) else pin.refusal(connection, found)


def record(results: Sequence[Result]) -> None:
    """Write tokens and failures to the rows and their connections: few statements for many rows."""
    now = timezone.now()
    rows.write([(row, _changes(row, outcome, error, now)) for row, outcome, error in results])
    events.sign_ins(results, now)
    # What the connection's own user met is the connection's outcome.
    own = [result for result in results if result[0].is_own]
    note_success([row.connection for row, _, error in own if error is None], now, passed=SIGN_IN_STEPS)
    for row, _, error in own:
        if error is not None and (lifecycle.kind_of(error) == "set-up" or not row.has_token(now)):
            note_failure(row.connection, error, now, step="sign_in")


def _changes(
    row: AccessToken, outcome: Outcome, error: SalesforceError | None, now: dt.datetime
) -> rows.Changes:
    if error is None:
        return rows.token_changes(row, outcome.require())
    kind = lifecycle.kind_of(error)
    changes = rows.failure_changes(row, error, kind, now)
    if kind == "rate":
        # After the commit: two sweeps refused for the same user would else wait for each other's rows.
        after_commit(rows.shut_others, row, changes)
    return changes


def note_success(connections: Iterable[ConnectedApp], now: dt.datetime, *, passed: Collection[str]) -> None:
    """Store that the steps `passed` went well, then tell changes of state.

    A success ends only failures of the steps that it took: a sign-in that works says nothing about the right to use the API.
    """
    connections = list(connections)
    well = [
        each
        for each in connections
        if each.failing_since is None or (each.last_error or {}).get("step") in passed
    ]
    rows.note_success(well, now)
    for connection in well:
        connection.last_success_at, connection.failing_since, connection.last_error = now, None, None
    for connection in connections:
        _tell_when_stored(connection, now)


def note_failure(connection: ConnectedApp, error: SalesforceError, now: dt.datetime, *, step: str) -> None:
    """Store that `step` failed, then tell a change of state."""
    connection.failing_since = connection.failing_since or now
    connection.last_error = problem_of(error).as_json() | {"step": step} | other_org(error)
    ConnectedApp.objects.filter(pk=connection.pk).note_failure(now, connection.last_error)
    _tell_when_stored(connection, now)


def _tell_when_stored(connection: ConnectedApp, now: dt.datetime) -> None:
    """Listeners run when all is stored: their faults and delays must not undo or hold up a batch."""
    after_commit(tell_change, connection, now)


def tell_change(connection: ConnectedApp, now: dt.datetime) -> None:
    """Signal the present state if it is not the one that was told last: once, however many processes see it."""
    told, current = connection.told_state, connection.connection_state(now)
    if told == current.value:
        return
    connection.told_state = current.value
    if ConnectedApp.objects.filter(pk=connection.pk, told_state=told).update(told_state=current.value):
        log.info("connection %s: %s", connection.name, current.value.lower())
        events.state_changed(connection, current, now)
        facts = {"connection": connection, "previous": ConnectionState(told), "state": current}
        send(connection_health_changed, ConnectedApp, **facts)


def announce(row: AccessToken, outcome: Outcome, error: SalesforceError | None) -> None:
    """One log line and one signal per sign-in; the signal after the commit where a caller's transaction is open."""
    told = events.code_of(error) if error else "ok"
    host = urlsplit(row.connection.login_url).netloc
    log.info(
        "sign-in connection=%s username=%s outcome=%s seconds=%.3f host=%s",
        row.connection.name,
        row.username,
        told,
        outcome.seconds,
        host,
        extra={
            "event": "sign-in",
            "connection": row.connection.name,
            "username": row.username,
            "outcome": told,
            "milliseconds": round(outcome.seconds * 1000),
            "host": host,
        },
    )
    facts = {"connection": row.connection, "username": row.username, "seconds": outcome.seconds}
    if error is None:
        tell = partial(send, token_refreshed, AccessToken, **facts)
    else:
        tell = partial(send, token_refresh_failed, AccessToken, **facts, error=error)
    if rows.in_callers_transaction():
        after_commit(tell)
    else:
        tell()


def _spelled(connection: ConnectedApp, username: str) -> str:
    """The username as the connection spells it."""
    known: list[str] = [connection.username, *connection.extra_usernames]
    return next(name for name in known if normal_username(name) == normal_username(username))
