"""How everybody gets a token: memory copy, else row, else the one sign-in that all wait for."""

from __future__ import annotations

import os
import threading
import time
from asyncio import _get_running_loop
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.core.exceptions import SynchronousOnlyOperation
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from .. import hosts
from ..models import AccessToken, ConnectedApp
from ..salesforce import oauth
from ..salesforce.errors import SalesforceError, UnknownConnection, about
from ..salesforce.oauth import Token
from . import apart, claims, events, gate, lifecycle, renewal, rows
from .commits import after_commit
from .process import Copy, Handle, Process, Uses, current
from .renewal import Observer

Wanted = Callable[[AccessToken], Token | None]
"""Gives the row's token when it is what the caller waits for."""


def get(name: str, username: str | None = None, *, counts_as_use: bool = True) -> Token:
    """A live token of a connection. Signs in only when there is none anywhere.

    `counts_as_use`: whether somebody wants it who would miss the connection; checks would not.

    Raises UnknownConnection, ActionNeeded or RetryableError; in a running event loop, which it might stop for seconds,
    SynchronousOnlyOperation, and always rather than at the next look only.
    """
    if _get_running_loop() is not None:
        _refuse_in_event_loop()
    process = current()
    copy = process.copies.get((name, username))
    if copy is not None:
        now = time.monotonic()
        if now < copy.expires and (now < copy.next_look or not copy.move_mark(now)):
            if counts_as_use:
                copy.uses.count += 1
            return copy.token
    with about(name):
        return _ask_row(process, (name, username), copy, counts_as_use=counts_as_use)


def in_memory(name: str, username: str | None = None) -> Token | None:
    """What `get` would return at once, without a query, counted as a use; None when it would look further."""
    copy = current().copies.get((name, username))
    if copy is None or time.monotonic() >= min(copy.expires, copy.next_look):
        return None
    copy.uses.count += 1
    return copy.token


def is_of(token: Token, connection_id: UUID, name: str, username: str | None = None) -> bool:
    """Whether what `get` has just given for this name is that connection's: names can change hands."""
    copy = current().copies.get((name, username))
    if copy is not None and copy.token is token:
        return copy.connection_id == connection_id
    return ConnectedApp.objects.filter(pk=connection_id, name=name).exists()


def only_connection() -> str:
    """The name of the only connection there is, asked for every five seconds. Raises UnknownConnection when there are more."""
    process = current()
    asked_at, name = process.only_connection
    if not name or time.monotonic() > asked_at + lifecycle.LOOK_EVERY_SECONDS:
        names = list(ConnectedApp.objects.values_list("name", flat=True)[:2])
        if len(names) != 1:
            raise UnknownConnection("")
        name = names[0]
        process.only_connection = (time.monotonic(), name)
    return name


def api_version(name: str, username: str | None = None) -> str:
    """The connection's API version, as the process saw it last; empty when it is still unknown."""
    copy = current().copies.get((name, username))
    return copy.api_version if copy is not None else rows.connection_named(name).api_version


def renew(name: str, username: str | None, failed: Token, *, counts_as_use: bool = True) -> Token:
    """A token other than `failed`, which the org has refused. Signs in only if nobody else has done so."""
    process, handle = current(), (name, username)
    apart.drop(process, handle, failed)
    with about(name):
        if not rows.in_callers_transaction():
            row, now = _row(handle), timezone.now()
            if rows.discard_refused(row, failed, now):
                events.session_ended(row, now)
        process.forget(handle)
        return _ask_row(process, handle, None, refused=failed, counts_as_use=counts_as_use)


def refresh(name: str, username: str | None = None, *, observe: Observer | None = None) -> Token:
    """Sign in now, past the gate, and store the token for all; within ten seconds of a failed try only once.

    What other code waits for meanwhile is the same sign-in.
    """
    process, handle = current(), (name, username)
    looked_at = time.monotonic()
    row = _row(handle)
    renewal.guard(row.connection, row.username)
    gate.require_pause(row, timezone.now())
    if rows.in_callers_transaction():
        token = _hold(process, handle, lambda: apart.sign_in(process, handle, row))
    else:
        seen = rows.opened(row)  # the fingerprint would not do: re-encryption changes it

        def newer(row: AccessToken) -> Token | None:
            token = rows.stored_token(row)
            return None if token is None or (seen and token.value == seen.value) else token

        row, token = _sign_in_once(process, handle, row, newer, past_gate=True, observe=observe)
    _remember(process, handle, row, token, looked_at)
    return token


def refusal(name: str, username: str | None = None) -> SalesforceError | None:
    """Why the last sign-in failed, if a person must act or no token is left; None when all is well."""
    return gate.refusal(_row((name, username)), timezone.now())


def revoke(name: str, username: str | None = None) -> bool:
    """End the session in the org, then drop its token. False when there was none.

    In this order, so that what fails can be tried again. A token past its estimate counts: use may have prolonged it. A
    paused connection's session can be ended too; an org that must not be called here is not called for this either.
    """
    process, handle = current(), (name, username)
    renewal.require_callable(rows.connection_named(name))
    row = rows.find(name, username)
    stored = rows.opened(row) if row is not None else None
    known = [token for token in (stored, apart.held_token(process, handle)) if token is not None]
    for token in known:
        hosts.require_allowed(token.instance_url)
        oauth.revoke(token, http=process.http)
    if row is not None and stored is not None:
        rows.discard(row, stored)
    apart.drop(process, handle)
    process.forget(handle)
    return bool(known)


@dataclass(frozen=True)
class Source:
    """The TokenSource of a connection for `salesforce.rest.Client`."""

    name: str
    username: str | None = None
    counts_as_use: bool = True

    def get(self) -> Token:
        return get(self.name, self.username, counts_as_use=self.counts_as_use)

    def renew(self, failed: Token) -> Token:
        return renew(self.name, self.username, failed, counts_as_use=self.counts_as_use)


def _refuse_in_event_loop() -> None:
    if not os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):  # as Django has it, for notebooks
        raise SynchronousOnlyOperation(
            "get_token() may wait for a sign-in, and an event loop is running here: use `await aget_token(…)`. A client "
            "waits too: use that of `await aget_client(…)`."
        )


def _ask_row(
    process: Process,
    handle: Handle,
    copy: Copy | None,
    *,
    refused: Token | None = None,
    counts_as_use: bool,
) -> Token:
    in_transaction = rows.in_callers_transaction()
    try:
        if not in_transaction:
            _save_held(process, handle)
        looked_at = time.monotonic()
        row = _row(handle)
    except (DatabaseError, InterfaceError):
        # The database is down: what is in memory is still good.
        if copy is not None and time.monotonic() < copy.expires:
            copy.uses.count += counts_as_use
            return copy.token
        raise
    except SalesforceError:
        process.forget(handle)
        raise
    try:
        renewal.guard(row.connection, row.username)
        if in_transaction:
            token = _hold(process, handle, lambda: apart.token(process, handle, row, refused=refused))
        else:
            row, token = _usable(process, handle, row)
    except SalesforceError:
        process.forget(handle)
        raise
    _remember(process, handle, row, token, looked_at)
    if counts_as_use:
        uses = process.uses_of(handle)
        uses.count += 1
        if in_transaction:  # a rollback would take the note away
            after_commit(_note, uses, handle)
        else:
            _note(uses, handle)
    return token


def _note(uses: Uses, handle: Handle) -> None:
    count = uses.take()
    if count and not rows.note_uses(*handle, count):
        uses.give_back(count)


def _usable(process: Process, handle: Handle, row: AccessToken) -> tuple[AccessToken, Token]:
    token = rows.stored_token(row)
    if token is not None:
        return row, token
    process.forget(handle)  # or others would be served it as long as the sign-in takes
    return _sign_in_once(process, handle, row, rows.stored_token)


def _row(handle: Handle) -> AccessToken:
    """The row of a handle, made when it is missing; inside a caller's transaction only in memory.

    Raises UnknownConnection, or ActionNeeded when it must not be made.
    """
    name, username = handle
    row = rows.find(name, username)
    if row is not None:
        return row
    connection = rows.connection_named(name)
    user = username or connection.username
    renewal.guard(connection, user)
    if rows.in_callers_transaction():
        return rows.new([connection], username)[0]
    rows.ensure([connection], username)
    row = rows.find(name, username)
    if row is None:
        raise UnknownConnection(name)  # deleted at this very moment
    return row


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
    with _acquired(process.lock(row.pk)) as waited:
        if waited:
            row = _row(handle)
        while True:
            token = wanted(row)
            if token is not None:
                return row, token
            now = timezone.now()
            if not past_gate:
                gate.require_open(row, now)
            if claims.claim(row, now):
                return row, _renewed(process, row, wanted, observe)
            gate.require_fuse(row, now)
            if time.monotonic() > deadline:
                raise gate.still_signing_in()
            time.sleep(pause)
            pause = min(pause * 2, 0.25)
            row = _row(handle)


def _renewed(process: Process, row: AccessToken, wanted: Wanted, observe: Observer | None) -> Token:
    try:
        return renewal.renew(process, row, observe)
    except SalesforceError:
        token = wanted(row)  # the old one, in grace; never for who asked for a new one
        if token is None:
            raise
        return token


def _hold(process: Process, handle: Handle, sign_in: Callable[[], Token]) -> Token:
    """One sign-in of this process at a time inside transactions, stored when the caller commits."""
    try:
        with _acquired(process.lock(handle)):
            return sign_in()
    finally:  # a failure too: the caller may catch it and commit
        if handle in process.held:
            after_commit(_save_held, process, handle)


def _save_held(process: Process, handle: Handle) -> None:
    if handle not in process.held:
        return
    try:
        apart.save(process, handle, _row(handle))
    except SalesforceError:
        apart.drop(process, handle)  # the connection is gone or must not be used any more


@contextmanager
def _acquired(lock: threading.Lock) -> Iterator[bool]:
    """Holds the lock; tells whether it had to be waited for, so that what was read before may be old."""
    waited = not lock.acquire(blocking=False)
    if waited and not lock.acquire(timeout=lifecycle.CALLER_WAIT_SECONDS):
        raise gate.still_signing_in()
    try:
        yield waited
    finally:
        lock.release()


def _remember(process: Process, handle: Handle, row: AccessToken, token: Token, looked_at: float) -> None:
    left = (token.expected_expiry - timezone.now()).total_seconds()
    # In grace the copy lives until the next look only, which asks the row again.
    seconds = left if left > 0 else lifecycle.LOOK_EVERY_SECONDS
    remember = partial(
        process.remember,
        handle,
        token,
        row.connection,
        expires=time.monotonic() + seconds,
        looked_at=looked_at,
    )
    # What is not committed may be a token of another user, and is nobody else's.
    if rows.in_callers_transaction():
        after_commit(remember)
    else:
        remember()
