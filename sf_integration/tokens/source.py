"""How everybody gets a token: memory copy, else row, else the one sign-in that all wait for."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import DatabaseError, transaction
from django.utils import timezone

from ..models import AccessToken, settings_fingerprint
from ..salesforce import oauth, signin
from ..salesforce.errors import (
    ActionNeeded,
    EncryptionKeyMissing,
    LoginUnavailable,
    SalesforceError,
    UnknownConnection,
)
from ..salesforce.oauth import Token
from . import lifecycle, renewal, rows
from .process import Copy, Handle, Process, Unsaved, current
from .renewal import Observer

Wanted = Callable[[AccessToken], Token | None]
"""Gives the row's token when it is what the caller waits for."""


def get(name: str, username: str | None = None) -> Token:
    """A live token of a connection. Signs in only when there is none anywhere.

    Raises UnknownConnection, ActionNeeded or RetryableError.
    """
    process = current()
    copy = process.copies.get((name, username))
    if copy is not None:
        now = time.monotonic()
        if now < copy.expires and (now < copy.next_look or not copy.move_mark(now)):
            return copy.token
    return _ask_row(process, (name, username), copy)


def in_memory(name: str, username: str | None = None) -> Token | None:
    """What `get` would return at once, without a query; None when it would look further."""
    copy = current().copies.get((name, username))
    return copy.token if copy is not None and time.monotonic() < min(copy.expires, copy.next_look) else None


def api_version(name: str, username: str | None = None) -> str:
    """The connection's API version, as the process saw it last; empty when it is still unknown."""
    copy = current().copies.get((name, username))
    return copy.api_version if copy is not None else rows.connection_named(name).api_version


def renew(name: str, username: str | None, failed: Token) -> Token:
    """A token other than `failed`, which the org has refused. Signs in only if nobody else has done so."""
    process, handle = current(), (name, username)
    row = _row(handle)
    rows.discard(row, failed)
    process.forget(handle)
    return _ask_row(process, handle, None)


def refresh(name: str, username: str | None = None, *, observe: Observer | None = None) -> Token:
    """Sign in now, past the gate, and store the token for all; within ten seconds of the last try only once.

    What other code waits for meanwhile is the same sign-in.
    """
    process, handle = current(), (name, username)
    row = _row(handle)
    renewal.guard(row.connection, row.username)
    seen = row.version

    def newer(row: AccessToken) -> Token | None:
        return _stored_token(row) if row.version != seen else None

    _require_pause(row)
    row, token = _sign_in_once(process, handle, row, newer, past_gate=True, observe=observe)
    _remember(process, handle, row, token)
    return token


def forget(name: str, username: str | None = None) -> Token | None:
    """Drop the stored token, everywhere within five seconds; returns it, so that it can be revoked."""
    row = _row((name, username))
    token = _stored_token(row)
    if token is not None:
        rows.discard(row, token)
    current().forget((name, username))
    return token


def revoke(name: str, username: str | None = None) -> bool:
    """End the session in the org and drop the token. False when there was none."""
    token = forget(name, username)
    if token is None:
        return False
    oauth.revoke(token, http=current().http)
    return True


@dataclass(frozen=True)
class Source:
    """The TokenSource of a connection for `salesforce.rest.Client`."""

    name: str
    username: str | None = None

    def get(self) -> Token:
        return get(self.name, self.username)

    def renew(self, failed: Token) -> Token:
        return renew(self.name, self.username, failed)


def _ask_row(process: Process, handle: Handle, copy: Copy | None) -> Token:
    try:
        _save_unsaved(process)
        row = _row(handle)
    except DatabaseError:
        # The database is down: what is in memory is still good.
        if copy is not None and time.monotonic() < copy.expires:
            return copy.token
        raise
    except SalesforceError:
        process.forget(handle)
        raise
    try:
        renewal.guard(row.connection, row.username)
        token = _stored_token(row)
        if token is None:
            row, token = _sign_in_once(process, handle, row, _stored_token)
    except SalesforceError:
        process.forget(handle)
        raise
    _remember(process, handle, row, token)
    if row.username != row.connection.username.lower() and not rows.in_callers_transaction():
        rows.note_use(row)
    return token


def _row(handle: Handle) -> AccessToken:
    """The row of a handle, made when it is missing. Raises UnknownConnection, or ActionNeeded when it must not be made."""
    name, username = handle
    row = rows.find(name, username)
    if row is not None:
        return row
    connection = rows.connection_named(name)
    renewal.guard(connection, username or connection.username)
    rows.ensure([connection], username)
    row = rows.find(name, username)
    if row is None:
        raise UnknownConnection(name)  # deleted at this very moment
    return row


def _stored_token(row: AccessToken) -> Token | None:
    """The row's token if it may be used now, else None."""
    now = timezone.now()
    if row.value is None or row.issued_at is None or row.expected_expiry is None:
        return None
    if not row.has_token(now) and not _in_grace(row, now):
        return None
    try:
        value = row.value.open().decode()
    except EncryptionKeyMissing:
        return None  # a new one is cheaper than a person
    if now >= row.expected_expiry and oauth.is_jwt(value):
        return None
    return Token(
        value=value,
        instance_url=row.instance_url,
        issued_at=row.issued_at,
        expected_expiry=row.expected_expiry,
        identity_url=row.identity_url,
        scopes=tuple(row.scopes.split()),
    )


def _in_grace(row: AccessToken, now: dt.datetime) -> bool:
    """Past the estimate while only the login host is down: use may well have kept the session alive."""
    return (
        row.expected_expiry is not None
        and now < row.expected_expiry + lifecycle.GRACE
        and (row.last_error or {}).get("kind") == "passing"
        and row.fits_settings
    )


def _sign_in_once(
    process: Process,
    handle: Handle,
    row: AccessToken,
    wanted: Wanted,
    *,
    past_gate: bool = False,
    observe: Observer | None = None,
) -> tuple[AccessToken, Token]:
    """Wait for the one sign-in of all threads, processes and hosts, or be the one who does it."""
    deadline = time.monotonic() + lifecycle.CALLER_WAIT_SECONDS
    pause = 0.05
    with _acquired(process.row_lock(row.pk), lifecycle.CALLER_WAIT_SECONDS) as waited:
        if rows.in_callers_transaction():
            return _sign_in_apart(process, handle)
        if waited:
            row = _row(handle)
        while True:
            token = wanted(row)
            if token is not None:
                return row, token
            now = timezone.now()
            if not past_gate:
                _require_open_gate(row, now)
            _require_fuse(row, now)
            if rows.claim(row, now):
                return row, _renewed(process, row, observe)
            if time.monotonic() > deadline:
                raise _still_signing_in()
            time.sleep(pause)
            pause = min(pause * 2, 0.25)
            row = _row(handle)


def _renewed(process: Process, row: AccessToken, observe: Observer | None) -> Token:
    try:
        return renewal.renew(process, row, observe)
    except SalesforceError:
        token = _stored_token(row)  # in grace
        if token is None:
            raise
        return token


def _sign_in_apart(process: Process, handle: Handle) -> tuple[AccessToken, Token]:
    """Inside a caller's transaction: nothing is claimed or written, for a rollback would lose it.

    The token stays in memory and is stored when the caller commits, or at the next look outside a transaction.
    """
    row = _row(handle)
    held = process.unsaved.get(handle)
    if held is None or not _still_holds(held, row):
        _require_open_gate(row, timezone.now())
        held = process.unsaved[handle] = _unsaved_sign_in(process, row)
        transaction.on_commit(lambda: _save_unsaved(process), robust=True)
    if held.error is not None:
        raise held.error
    return row, held.outcome.require()


def _unsaved_sign_in(process: Process, row: AccessToken) -> Unsaved:
    outcome = signin.run(renewal.prepare(process, row.connection, row.username), process.http)
    error = renewal.verdict(row.connection, outcome)
    renewal.announce(row, outcome, error)
    now = timezone.now()
    wait = lifecycle.next_try(lifecycle.kind_of(error), row.failures + 1, now) if error else now
    return Unsaved(settings_fingerprint(row.connection, row.username), outcome, error, wait)


def _still_holds(held: Unsaved, row: AccessToken) -> bool:
    if held.settings_fingerprint != settings_fingerprint(row.connection, row.username):
        return False
    token = held.outcome.token
    now = timezone.now()
    return now < held.next_try_at if held.error or token is None else now < token.expected_expiry


def _save_unsaved(process: Process) -> None:
    """Store what was signed in inside a transaction. The row is looked up anew: a rollback may have taken it away."""
    if not process.unsaved or rows.in_callers_transaction():
        return
    while process.unsaved:
        handle, held = process.unsaved.popitem()
        row = _row(handle)
        if _stored_token(row) is None and _still_holds(held, row):
            renewal.record(process, row, held.outcome, held.error)


def _require_open_gate(row: AccessToken, now: dt.datetime) -> None:
    """Raise the stored error while the gate is shut. An edit opens it: the error was that of other settings."""
    if row.next_try_at is None or row.next_try_at <= now or row.last_error is None:
        return
    if not row.fits_settings:
        return
    raise stored_error(row.last_error, retry_after=(row.next_try_at - now).total_seconds())


def _require_pause(row: AccessToken) -> None:
    """“Try now” passes the gate, but at most once in ten seconds while it fails."""
    now = timezone.now()
    if row.last_try_at is None or row.last_error is None or not row.fits_settings:
        return
    wait = row.last_try_at + lifecycle.TRY_NOW_EVERY - now
    if wait > dt.timedelta(0):
        raise stored_error(row.last_error, retry_after=wait.total_seconds())


def _require_fuse(row: AccessToken, now: dt.datetime) -> None:
    used = rows.logins_this_hour([row.username], now).get(row.username, 0)
    if used >= lifecycle.FUSE_LOGINS:
        raise LoginUnavailable(
            f"{row.username} signed in {used} times within the hour; we stop at {lifecycle.FUSE_LOGINS}, well before "
            "Salesforce locks the user out at 3,600. Something ends its sessions, or asks for tokens that don't last.",
            code="fuse_blown",
            retry_after=600,
        )


def stored_error(stored: dict[str, str], *, retry_after: float) -> SalesforceError:
    """A stored failure as the exception it was."""
    if stored.get("kind") == "set-up":
        error = ActionNeeded(
            stored["cause"],
            remedy=stored.get("remedy", ""),
            who=stored.get("who", ""),
            code=stored.get("code"),
        )
        error.args = (stored["message"],)
        return error
    return LoginUnavailable(stored["message"], code=stored.get("code"), retry_after=max(retry_after, 1.0))


def _still_signing_in() -> LoginUnavailable:
    return LoginUnavailable(
        "Another process is still signing in for this connection.", code="sign_in_under_way", retry_after=2.0
    )


@contextmanager
def _acquired(lock: threading.Lock, seconds: float) -> Iterator[bool]:
    """Holds the lock; tells whether it had to be waited for, so that what was read before may be old."""
    waited = not lock.acquire(blocking=False)
    if waited and not lock.acquire(timeout=seconds):
        raise _still_signing_in()
    try:
        yield waited
    finally:
        lock.release()


def _remember(process: Process, handle: Handle, row: AccessToken, token: Token) -> None:
    left = (token.expected_expiry - timezone.now()).total_seconds()
    # In grace the copy lives until the next look only, which asks the row again.
    seconds = left if left > 0 else lifecycle.LOOK_EVERY_SECONDS
    process.remember(handle, token, row.connection.api_version, seconds_left=seconds)
