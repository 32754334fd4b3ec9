"""What went wrong, ready to be shown: cause, who must act, what to do, where to click."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from ..models import ConnectedApp, SessionAdvice, session_length
from ..salesforce import diagnosis
from ..salesforce.errors import (
    ActionNeeded,
    ApiError,
    AuthenticationError,
    InvalidInput,
    RetryableError,
    SalesforceError,
    UnknownConnection,
)
from ..state import ConnectionState

YOURS, THE_ORGS = 422, 424
"""Statuses of a lookup that failed: by what was typed in; by the sign-in, the org or the way to it.

No 5xx: this site is well, and Django mails those to the administrators together with all that was posted.
"""


@dataclass(frozen=True)
class Problem:
    cause: str
    who: str = ""
    remedy: str = ""
    where: str = ""
    """Menu path to click."""
    code: str = ""
    said: str = ""
    """Salesforce's own words; they may have several lines that are aligned."""
    status: int = THE_ORGS
    button: str = ""
    """What a button says that mends it, and its view, which takes the connection's name."""
    button_view: str = ""

    @property
    def is_aligned(self) -> bool:
        """Whether the columns of `said` mean something, so that it must not be wrapped."""
        return "\n" in self.said


def of_error(error: SalesforceError) -> Problem:
    match error:
        case AuthenticationError():
            found = diagnosis.explain(error.error, error.description)
            said = f"{error.error}: {error.description}".removesuffix(": ")
            return Problem(error.cause, error.who, error.remedy, found.where, error.code, said)
        case ActionNeeded():
            return Problem(error.cause, error.who, error.remedy, _where(error.code), error.code)
        case ApiError():
            found = diagnosis.explain(error.error_code, error.message)
            yours = error.status_code in (400, 404)
            who = "" if yours and found.who == diagnosis.US else found.who
            status = YOURS if yours else THE_ORGS
            return Problem(found.cause, who, found.remedy, found.where, error.code, error.message, status)
        case RetryableError():
            found = diagnosis.explain_transport(error.code)
            return Problem(str(error), found.who, found.remedy, found.where, error.code)
        case InvalidInput() | UnknownConnection():
            return Problem(str(error), status=YOURS)
    return Problem(str(error), code=error.code)


def first_thing_to_do(connection: ConnectedApp, now: dt.datetime, *, may_run: bool) -> Problem | None:
    """What the state asks for; None when all is well. `may_run`: whether the reader sees the buttons."""
    state, sentence = connection.connection_state(now), connection.state_sentence(now)
    whose = "" if may_run else "someone who may run checks here"
    match state:
        case ConnectionState.FAILING:
            return _of_stored(connection.last_error or {}, sentence)
        case ConnectionState.NEEDS_ATTENTION:
            return Problem(sentence, remedy="It works meanwhile. The steps below say what to do.")
        case ConnectionState.ENCRYPTION_KEY_MISSING:
            return Problem(
                sentence,
                diagnosis.US,
                "Add the encryption key that sealed it to SF_ENCRYPTION_KEYS, or give the connection another signing key.",
            )
        case ConnectionState.NOT_ALLOWED_HERE:
            return Problem(
                sentence,
                diagnosis.US,
                "If it should, add the kind of org to SF_ALLOWED_ENVIRONMENTS and restart.",
            )
        case ConnectionState.PAUSED:
            return Problem(sentence, whose, "Press Resume when it may be called again.")
        case ConnectionState.NOT_CHECKED_YET:
            return Problem(sentence, whose, "Press Check now to see whether it works.")
        case ConnectionState.IDLE:
            return Problem(
                sentence,
                whose,
                "Press Check now. If this returns, look whether worker and scheduler are running.",
            )
    return None


def of_advice(advice: SessionAdvice | None, *, may_manage: bool) -> Problem | None:
    if advice is None:
        return None
    if advice.minutes is None:
        return Problem(
            advice.sentence,
            diagnosis.ORG_ADMIN,
            "Find out what: another program that signs out, or a limit of sessions per user. It works meanwhile.",
        )
    length = session_length(advice.minutes)
    return Problem(
        advice.sentence,
        "" if may_manage else "someone who may manage connections here",
        f"Set the session length here to {length}, or a longer one in Salesforce. It works meanwhile: calls that meet "
        "an ended session are replayed with a new one.",
        button=f"Set the session length to {length}" if may_manage else "",
        button_view="sf_integration:shorten_session",
    )


def _of_stored(error: dict[str, str], sentence: str) -> Problem:
    code, message = error.get("code", ""), error.get("message", "")
    found = diagnosis.explain(code, message)
    remedy = error.get("remedy") or found.remedy
    return Problem(
        sentence,
        error.get("who") or (found.who if found.code else ""),
        remedy,
        found.where if found.code else "",
        code,
        # The stored sentence ends with cause and remedy, which stand above already.
        message.replace(remedy, "").replace(sentence, "").strip(),
    )


def _where(code: str) -> str:
    found = diagnosis.explain(code)
    return found.where if found.code else ""
