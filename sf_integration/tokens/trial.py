"""A sign-in with the staged signing key alone: does the org take it yet? Taken, its token is everybody's; refused, nobody notices."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any

from django.utils import timezone

from ..models import AccessToken, ConnectedApp
from ..salesforce import signin
from ..salesforce.errors import InvalidInput, LoginUnavailable, RetryableError, SalesforceError
from ..salesforce.problem import problem_of
from ..salesforce.signin import Outcome, SignIn
from . import claims, gate, lifecycle, promotion, renewal, rows
from .process import Process


@dataclass(frozen=True)
class Trial:
    row: AccessToken
    """Claimed, so that nobody signs in for it meanwhile."""
    request: SignIn


def begin(process: Process, connection: ConnectedApp) -> Trial:
    """What to post, with the claim of the row; `finish` has to follow. Raises SalesforceError when it can't be tried now."""
    now = timezone.now()
    row = _row(connection)
    present = row.connection
    _require_pause(present, now)
    renewal.guard(present, row.username)
    gate.require_logins_left(row, now)
    staged = present.staged_signing_key if present.next_signing_key_id else None
    if staged is None:
        raise InvalidInput(f"The connection “{present.name}” has no staged signing key to try.")
    request = renewal.request(process, present, row.username, process.private_key(staged))
    if not claims.claim(row, now):
        gate.require_fuse(row, now)
        raise gate.still_signing_in()
    return Trial(row, replace(request, key_fingerprint=staged.fingerprint))


def finish(trial: Trial, outcome: Outcome, *, actor: Any) -> SalesforceError | None:
    """Store what came of it; the error if the org did not take the key."""
    row = trial.row
    try:
        error = renewal.verdict(row.connection, outcome)
        if error is None:
            promotion.accept(row.connection, outcome.key_fingerprint, actor=actor)
            renewal.record([(row, outcome, None)])
        else:
            claims.release([row])
            _note_refusal(row.connection, error)
    except BaseException:
        claims.release([row])
        raise
    if error is None:
        renewal.announce(row, outcome, None)
    return error


def give_up(trial: Trial) -> None:
    """Give the claim back; what the sign-in may bring is lost."""
    claims.release([trial.row])


def _note_refusal(connection: ConnectedApp, error: SalesforceError) -> None:
    """Unless trouble that passes kept the org from saying again that it takes the key."""
    if isinstance(error, RetryableError) and promotion.has_accepted(connection):
        return
    if signin.refuses_signature(error):
        promotion.note_trial(connection, code=promotion.NOT_KNOWN)
        return
    found = problem_of(error)
    promotion.note_trial(connection, code=found.code, words=found.cause)


def _row(connection: ConnectedApp) -> AccessToken:
    rows.ensure([connection])
    row = rows.find(connection.name, None)
    if row is None:
        raise InvalidInput(f"The connection “{connection.name}” was deleted or renamed meanwhile.")
    return row


def _require_pause(connection: ConnectedApp, now: dt.datetime) -> None:
    """As for “try now”: at most once in ten seconds."""
    last = promotion.trial_of(connection)
    if last is None or last.get("accepted") or last.get("code") == promotion.UNDONE:
        return
    wait = dt.datetime.fromisoformat(last["at"]) + lifecycle.TRY_NOW_EVERY - now
    if dt.timedelta(0) < wait <= lifecycle.TRY_NOW_EVERY:  # more is no time that a clock put right has told
        raise LoginUnavailable(
            "It was tried a moment ago.", code="tried_a_moment_ago", retry_after=wait.total_seconds()
        )
