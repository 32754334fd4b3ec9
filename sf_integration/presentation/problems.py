"""What went wrong, ready to be shown: cause, who must act, what to do, where to click."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self
from uuid import UUID

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import ConnectedApp, SessionAdvice, session_length
from ..salesforce import diagnosis, setup_guide
from ..salesforce.errors import ApiError, InvalidInput, RetryableError, SalesforceError, UnknownConnection
from ..salesforce.problem import Problem, problem_of
from ..salesforce.setup_guide import Step
from ..services.rotation.progress import board_url
from ..state import ConnectionState

YOURS, THE_ORGS = 422, 424
"""Statuses of a lookup that failed: by what was typed in; by the sign-in, the org or the way to it.

No 5xx: this site is well, and Django mails those to the administrators together with all that was posted.
"""


@dataclass(frozen=True)
class Shown(Problem):
    """A problem on a page."""

    status: int = THE_ORGS
    note: str = ""
    """What else to know before acting."""
    button: str = ""
    """What a button says that mends it, and its view, which takes the connection's name."""
    button_view: str = ""
    link: str = ""
    link_url: str = ""
    """Where it is put right, on another page."""

    @property
    def is_aligned(self) -> bool:
        """Whether the columns of Salesforce's words mean something, so that they must not be wrapped."""
        return "\n" in self.words

    @classmethod
    def of(cls, cause: str, who: str = "", remedy: str = "", **more: Any) -> Self:
        """One that we tell ourselves."""
        return cls("", cause, cause, who, remedy, **more)

    @classmethod
    def of_facts(cls, told: Mapping[str, Any]) -> Self:
        """One that was told before, by what is stored of it."""
        cause, who, remedy, where = (told.get(name, "") for name in ("cause", "who", "remedy", "where"))
        return cls.of(cause, who, remedy, where=where)


def of_error(error: SalesforceError) -> Shown:
    found = problem_of(error).as_json()
    yours = isinstance(error, (InvalidInput, UnknownConnection))
    if isinstance(error, ApiError) and error.status_code in (400, 404):
        yours = True
        if found["who"] == diagnosis.US:
            found["who"] = ""
    if isinstance(error, RetryableError) and not isinstance(error, ApiError):
        found["cause"] = found["seen"]  # names the host
    return Shown(**found, status=YOURS if yours else THE_ORGS)


def things_to_do(connection: ConnectedApp, now: dt.datetime, *, may_run: bool) -> list[Shown]:
    """What the state asks for, one or more; nothing when all is well."""
    if connection.connection_state(now) is ConnectionState.NEEDS_ATTENTION:
        return [
            _of_warning(warning, connection.signing_key_id) for warning in connection.present_warnings(now)
        ]
    first = first_thing_to_do(connection, now, may_run=may_run)
    return [first] if first else []


def first_thing_to_do(connection: ConnectedApp, now: dt.datetime, *, may_run: bool) -> Shown | None:
    """What the state asks for; None when all is well. `may_run`: whether the reader sees the buttons."""
    state, sentence = connection.connection_state(now), connection.state_sentence(now)
    if state is ConnectionState.FAILING:
        hint = connection.young_app_hint(now, connection.next_try_at())
        cause = sentence.removesuffix(connection.young_app_hint(now)).rstrip()
        return replace(_of_stored(connection.last_error or {}, cause), note=hint)
    if state is ConnectionState.NEEDS_ATTENTION:
        return next(iter(things_to_do(connection, now, may_run=may_run)), None)
    if state in _OURS:
        return Shown.of(sentence, diagnosis.US, str(_OURS[state]))
    if state in _BUTTONS:
        return Shown.of(
            sentence, "" if may_run else _("someone who may run checks here"), str(_BUTTONS[state])
        )
    return None


_OURS = {
    ConnectionState.ENCRYPTION_KEY_MISSING: gettext_lazy(
        "Add the encryption key that sealed it to SF_ENCRYPTION_KEYS, or give the connection another signing key."
    ),
    ConnectionState.NOT_ALLOWED_HERE: gettext_lazy(
        "If it should, add the kind of org to SF_ALLOWED_ENVIRONMENTS and restart."
    ),
}
"""What whoever runs this site does about it."""
_BUTTONS = {
    ConnectionState.PAUSED: gettext_lazy("Press Resume when it may be called again."),
    ConnectionState.NOT_CHECKED_YET: gettext_lazy("Press Check now to see whether it works."),
    ConnectionState.IDLE: gettext_lazy(
        "Press Check now. If this returns, look whether worker and scheduler are running."
    ),
}
"""What a button does about it."""


def steps_left_out(connection: ConnectedApp) -> list[Step]:
    """The steps of the set-up guide that, left out, lead to the present failure; the likeliest first."""
    if connection.connection_state() is not ConnectionState.FAILING:
        return []
    error: dict[str, str] = connection.last_error or {}
    return setup_guide.steps_explaining(error.get("code", ""), error.get("words") or error.get("seen", ""))


def of_advice(advice: SessionAdvice | None, *, may_manage: bool) -> Shown | None:
    if advice is None:
        return None
    if advice.minutes is None:
        return Shown.of(
            advice.sentence,
            diagnosis.ORG_ADMIN,
            _(
                "Find out what: another program that signs out, or a limit of sessions per user. It works "
                "meanwhile."
            ),
        )
    length = session_length(advice.minutes)
    return Shown.of(
        advice.sentence,
        "" if may_manage else _("someone who may manage connections here"),
        _(
            "Set the session length here to %(length)s, or a longer one in Salesforce. It works meanwhile: "
            "calls that meet an ended session are replayed with a new one."
        )
        % {"length": length},
        button=_("Set the session length to %(length)s") % {"length": length} if may_manage else "",
        button_view="sf_integration:shorten_session",
    )


def _of_warning(warning: dict[str, str], key_id: UUID) -> Shown:
    seen, cause = warning.get("message", ""), warning.get("cause", "")
    shown = _of_stored(warning, seen if cause in seen else f"{seen} {cause}")
    shown = replace(shown, note=_("The connection works meanwhile."))
    if shown.code != "certificate_ending":
        return shown
    url = board_url(key_id)
    return replace(shown, link=_("Rotate the signing key") if url else "", link_url=url)


def _of_stored(error: dict[str, str], sentence: str) -> Shown:
    return Shown(
        code=error.get("code", ""),
        seen=error.get("seen", ""),
        cause=sentence,
        who=error.get("who", ""),
        remedy=error.get("remedy", ""),
        where=error.get("where", ""),
        words=error.get("words", ""),
    )
