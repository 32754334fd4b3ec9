"""Sign-ins inside a caller's transaction: nothing is claimed or written there, for a rollback would lose it.

The token stays in memory. It is stored when the caller commits, or at the next look outside a transaction; then a rollback has
cost nothing, and one more sign-in per process is the most that can happen.
"""

from __future__ import annotations

import copy
import datetime as dt
import logging

from django.db import DatabaseError
from django.utils import timezone

from ..models import AccessToken, settings_fingerprint
from ..salesforce import origin
from ..salesforce.errors import SalesforceError
from ..salesforce.oauth import Token
from ..salesforce.signin import Outcome
from . import claims, gate, lifecycle, pin, promotion, renewal, rows
from .process import Handle, Held, Process

log = logging.getLogger("sf_integration.tokens")


def token(process: Process, handle: Handle, row: AccessToken, *, refused: Token | None) -> Token:
    """What is held, else what the row has, else a sign-in; never `refused`, which the org no longer takes."""
    now = timezone.now()
    held = process.held.get(handle)
    if held is not None and _holds(held, row, now):
        if held.error is not None:
            raise _for_one_caller(held.error)
        if not _same(held.outcome.token, refused):
            return held.outcome.require()
    stored = rows.stored_token(row)
    # An older one than the refused has been given up before.
    if stored is not None and (refused is None or stored.issued_at > refused.issued_at):
        return stored
    process.forget(handle)  # or others would be served it as long as the sign-in takes
    gate.require_open(row, now)
    return sign_in(process, handle, row)


def sign_in(process: Process, handle: Handle, row: AccessToken) -> Token:
    """Sign in now and hold what comes of it."""
    now = timezone.now()
    uncounted = [at for at in process.uncounted_logins.get(handle, ()) if at > now - claims.HOUR]
    gate.require_fuse(row, now, uncounted=len(uncounted))
    prepared = renewal.prepare(process, row.connection, row.username)
    process.uncounted_logins[handle] = [*uncounted, now]
    outcome = process.sign_in(prepared)
    error = renewal.verdict(row.connection, outcome)
    process.held[handle] = _to_hold(process.held.get(handle), row, outcome, error)
    renewal.announce(row, outcome, error)
    if error is not None:
        raise _for_one_caller(error)
    return outcome.require()


def save(process: Process, handle: Handle, row: AccessToken) -> None:
    """Store what is held for a handle, unless the row, read anew, has something newer."""
    held = process.held.get(handle)
    if held is None:
        return
    now = timezone.now()
    try:
        if _holds(held, row, now) and _is_news(held, row):
            promotion.note([(row, held.outcome, held.error)])
            renewal.record([(row, held.outcome, held.error)])
        claims.add_logins(row, len(process.uncounted_logins.get(handle, ())), now)
    except DatabaseError:
        log.warning("connection %s: a token could not be stored yet", row.connection.name)
        return
    if process.held.get(handle, held) is held:  # else somebody has signed in again meanwhile
        process.uncounted_logins.pop(handle, None)
        process.held.pop(handle, None)


def held_token(process: Process, handle: Handle) -> Token | None:
    held = process.held.get(handle)
    return held.outcome.token if held is not None and held.error is None else None


def drop(process: Process, handle: Handle, failed: Token | None = None) -> None:
    """Forget what is held; with `failed` only if it is that token."""
    held = process.held.get(handle)
    if held is not None and (failed is None or _same(held.outcome.token, failed)):
        process.held.pop(handle, None)


def _for_one_caller(error: SalesforceError) -> SalesforceError:
    """What is raised collects the frames of all it passes through, with their variables: what is held is never raised itself."""
    return copy.copy(error)


def _to_hold(before: Held | None, row: AccessToken, outcome: Outcome, error: SalesforceError | None) -> Held:
    fingerprint, now = settings_fingerprint(row.connection, row.username), timezone.now()
    if error is None:
        return Held(fingerprint, outcome, None, failures=0, next_try_at=now)
    # Rolled back again and again, a failure is known here only.
    held = before.failures if before is not None and before.settings_fingerprint == fingerprint else 0
    stored = row.failures if row.fits_settings else 0
    failures = max(held, stored) + 1
    wait = lifecycle.next_try(lifecycle.kind_of(error), failures, now)
    return Held(fingerprint, outcome, error, failures, wait)


def _holds(held: Held, row: AccessToken, now: dt.datetime) -> bool:
    if held.settings_fingerprint != settings_fingerprint(row.connection, row.username):
        return False
    if held.error is not None:
        return now < held.next_try_at
    token = held.outcome.require()
    found = held.outcome.organization_id or origin.told_by(token)
    return now < token.expected_expiry and pin.fits(row.connection, found)  # it may be pinned since


def _is_news(held: Held, row: AccessToken) -> bool:
    if held.error is not None:
        return row.last_error is None and rows.stored_token(row) is None
    return row.issued_at is None or row.value is None or held.outcome.require().issued_at > row.issued_at


def _same(token: Token | None, other: Token | None) -> bool:
    return token is not None and other is not None and token.value == other.value
