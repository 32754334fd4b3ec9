"""Stored facts of connections, made ready for the templates. Nothing here calls Salesforce or opens a secret."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from django.db.models import prefetch_related_objects
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import hosts
from ..alarms import watch
from ..health import scheduler
from ..models import AccessToken, ConnectedApp, ConnectionCheck, ConnectionDraft
from ..state import ConnectionState
from ..tokens import claims, lifecycle
from ..tokens.lifecycle import state as token_state
from .gauges import Gauge
from .times import distance

SIGN_IN_LIMIT = lifecycle.FUSE_LOGINS
_STEP_TITLES: dict[str, str | Promise] = {
    "settings": gettext_lazy("Settings"),
    "signing_key": gettext_lazy("Signing key"),
    "host": gettext_lazy("Host"),
    "clock": gettext_lazy("Clock"),
    "sign_in": gettext_lazy("Sign-in"),
    "scopes": gettext_lazy("Scopes"),
    "identity": gettext_lazy("Identity"),
    "environment": gettext_lazy("Environment"),
    "api_version": gettext_lazy("API version"),
    "limits": gettext_lazy("Limits"),
    "sample_record": gettext_lazy("Sample record"),
}


@dataclass(frozen=True)
class Summary:
    """One connection in a list."""

    connection: ConnectedApp
    state: ConnectionState
    cause: str
    hint: str
    """Of a new app: that patience may be all it needs. Short, and never cut off."""
    since: dt.datetime | None
    """Since when it fails."""
    is_stand_in: bool
    certificate: Certificate

    @classmethod
    def of(cls, connection: ConnectedApp, now: dt.datetime) -> Self:
        state = connection.connection_state(now)
        return cls(
            connection=connection,
            state=state,
            cause=connection.state_cause(now),
            hint=connection.young_app_hint(now),
            since=connection.failing_since if state is ConnectionState.FAILING else None,
            is_stand_in=is_stand_in(connection),
            certificate=Certificate.of(connection, now),
        )


@dataclass(frozen=True)
class Certificate:
    """How long the certificate still runs, as words and the colour for them."""

    words: str
    colour: str
    ends: dt.datetime | None

    @classmethod
    def of(cls, connection: ConnectedApp, now: dt.datetime) -> Self:
        key = connection.signing_key
        if key.not_after is None:
            return cls(_("end date unknown: add the certificate"), "mute", None)
        return cls(key.end_in_words(now), "plain" if key.ending_stage(now) is None else "warn", key.not_after)


@dataclass(frozen=True)
class TokenFacts:
    """What may be told of a token: never the token, nor anything made from it."""

    username: str
    state: str
    """`fresh`, `stale` (served while beat renews it) or `expired`."""
    issued_at: dt.datetime | None
    expected_expiry: dt.datetime | None
    renewal_at: dt.datetime | None
    instance_url: str
    scopes: str
    next_try_at: dt.datetime | None
    last_error: str
    life: Gauge | None
    """How much of its life is left, and when it is renewed."""
    sign_ins: int
    """By us within the hour, over all connections of that user: Salesforce counts by user."""
    budget: Gauge
    """How much of the sign-ins of an hour is used."""
    is_own: bool
    is_stored: bool
    """Whether there is something to revoke, however old."""
    early_ends: int
    shortest_life: str
    """`31 min`: of the sessions that ended early."""
    uses: int
    """By code of this site: how often it was handed out. Told once a minute by each process."""
    last_used_at: dt.datetime | None

    @classmethod
    def of(cls, row: AccessToken, sign_ins: int, now: dt.datetime) -> Self:
        live = row.has_token(now)
        return cls(
            username=row.username,
            state=token_state(
                now, refresh_at=row.refresh_at, expiry=row.expected_expiry if live else None
            ).value,
            issued_at=row.issued_at if live else None,
            expected_expiry=row.expected_expiry if live else None,
            renewal_at=row.refresh_at if live else None,
            instance_url=row.instance_url if live else "",
            scopes=row.scopes if live else "",
            next_try_at=row.next_try_at if row.next_try_at and row.next_try_at > now else None,
            last_error=str((row.last_error or {}).get("cause", "")),
            life=Gauge.of_life(row.issued_at, row.expected_expiry, now, renewal=row.refresh_at)
            if live
            else None,
            sign_ins=sign_ins,
            budget=Gauge.of_use(sign_ins, SIGN_IN_LIMIT),
            is_own=row.is_own,
            is_stored=row.value is not None,
            early_ends=row.early_ends,
            shortest_life=_("%(count)d min") % {"count": max(round(row.shortest_life_seconds / 60), 1)},
            uses=row.uses,
            last_used_at=row.last_used_at,
        )


def token_rows(connection: ConnectedApp) -> list[AccessToken]:
    """Own user first, then the others by name. Who asks `connection` for its tokens afterwards is given these."""
    prefetch_related_objects([connection], "tokens")
    return sorted(connection.tokens.all(), key=lambda row: (not row.is_own, row.username))


def tokens_of(found: list[AccessToken], now: dt.datetime) -> list[TokenFacts]:
    counts = claims.logins_this_hour([row.username for row in found], now)
    return [TokenFacts.of(row, counts.get(row.username, 0), now) for row in found]


@dataclass(frozen=True)
class ShownStep:
    title: str
    status: str
    code: str
    message: str
    """What was seen."""
    cause: str
    """Empty where the message says it."""
    remedy: str
    who: str
    where: str
    milliseconds: int

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        name, remedy = stored.get("step", ""), stored.get("remedy", "")
        message, cause = stored.get("message", "").removesuffix(remedy).strip(), stored.get("cause", "")
        return cls(
            title=str(_STEP_TITLES.get(name, name)),
            status=stored.get("status", ""),
            code=stored.get("code", ""),
            message=message,
            cause="" if cause in message else cause,
            remedy=remedy,
            who=stored.get("who", ""),
            where=stored.get("where", ""),
            milliseconds=int(stored.get("milliseconds") or 0),
        )


def ladder(check: ConnectionCheck) -> list[ShownStep]:
    """For `partials/_ladder.html`."""
    return shown_steps(check.steps)


def shown_steps(steps: Iterable[Mapping[str, Any]]) -> list[ShownStep]:
    """Of steps as they are stored, and as `Step.as_json` has them."""
    return [ShownStep.of(step) for step in steps]


def is_stand_in(connection: ConnectedApp | ConnectionDraft) -> bool:
    """Whether it leads to this machine itself, so to no real org."""
    return hosts.is_loopback(urlsplit(connection.login_url).hostname or "")


def scheduler_note(now: dt.datetime) -> str:
    """A sentence when the scheduler is silent, else nothing."""
    heartbeat = scheduler.last_heartbeat()
    if not scheduler.is_silent(heartbeat, now):
        return ""
    watch.scheduler_is_silent()
    if heartbeat is None:
        return _(
            "The scheduler has not run here yet: tokens are renewed only when a call needs one, and nothing is "
            "checked by itself. Start a Celery worker with beat."
        )
    return _(
        "The scheduler was last heard of %(when)s: tokens are renewed only when a call needs one. Look whether the "
        "Celery worker with beat is running."
    ) % {"when": distance(heartbeat, now)}
