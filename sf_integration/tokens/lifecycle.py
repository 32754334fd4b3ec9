"""The times of a token's life: pure functions of numbers and clocks."""

from __future__ import annotations

import datetime as dt
import random
from enum import Enum

from ..salesforce import diagnosis, signin
from ..salesforce.diagnosis import Kind
from ..salesforce.errors import ActionNeeded, ApiError, RetryableError, SalesforceError

LOOK_EVERY_SECONDS = 5.0
"""How old a memory copy may be before the row is asked again: any edit is in force everywhere within this time."""
TELL_USES_EVERY_SECONDS = 60.0
"""How often a process tells a row how many times its token was handed out, while it is."""
CALL_SECONDS = signin.CALL_SECONDS
CLAIM_LAPSE = dt.timedelta(seconds=12)
CALLER_WAIT_SECONDS = 15.0
"""A call must end before its claim lapses, and a claim lapse before its waiters give up."""
GRACE = dt.timedelta(minutes=15)
"""Opaque tokens are served this long past the estimate while only the login host is down: use may have prolonged them."""
FUSE_LOGINS = 600
"""Automatic sign-ins of one user per hour: a sixth of what Salesforce allows."""
TRY_NOW_EVERY = dt.timedelta(seconds=10)
CLOCK_WARNING_SECONDS = 30
"""How far our clock may be from a login host's before we warn; `signin.CORRECTED_SKEW_SECONDS` is where we allow for it."""

LONGEST_WAIT: dict[str, dt.timedelta] = {
    "passing": dt.timedelta(minutes=11),
    "rate": dt.timedelta(minutes=61),
    "set-up": dt.timedelta(hours=6, minutes=1),
}
"""No gate stays shut for longer, by kind, a minute for clocks included: what is further off was told by a wrong clock."""

_MAXIMUM_JITTER = 0.10


class TokenState(Enum):
    FRESH = "fresh"
    STALE = "stale"
    EXPIRED = "expired"


def state(now: dt.datetime, *, refresh_at: dt.datetime | None, expiry: dt.datetime | None) -> TokenState:
    if expiry is None or now >= expiry:
        return TokenState.EXPIRED
    return TokenState.FRESH if refresh_at is None or now < refresh_at else TokenState.STALE


def early_window(life: dt.timedelta) -> dt.timedelta:
    """How long before its expiry a token is renewed."""
    if life <= dt.timedelta(minutes=20):
        window = dt.timedelta(minutes=5)
    elif life <= dt.timedelta(minutes=90):
        window = dt.timedelta(minutes=15)
    else:
        window = dt.timedelta(minutes=60)
    return min(window, life / 2)


def refresh_time(issued_at: dt.datetime, expiry: dt.datetime, *, jitter: float | None = None) -> dt.datetime:
    """When beat renews it. `jitter` (0…1, drawn once per token) spreads many tokens of one moment."""
    life = expiry - issued_at
    share = random.random() if jitter is None else jitter  # noqa: S311 - spreads load, guards nothing
    return expiry - early_window(life) - life * _MAXIMUM_JITTER * share


def kind_of(error: SalesforceError) -> Kind:
    """Which schedule a failed sign-in follows."""
    found = diagnosis.explain_transport(error.code)
    if isinstance(error, RetryableError):
        # Salesforce's wording is gone by now; who saw it has said how long to wait.
        return "rate" if found.kind == "rate" or error.retry_after >= 600 else "passing"
    if isinstance(error, (ActionNeeded, ApiError)):
        return "set-up"
    return found.kind


def next_try(
    kind: Kind,
    attempts: int,
    now: dt.datetime,
    *,
    expiry: dt.datetime | None = None,
    chance: float | None = None,
) -> dt.datetime:
    """When the next sign-in may be tried after the `attempts`-th failure in a row.

    `expiry` is that of a token still served, None when there is none. `chance` (0…1) replaces the random draw.
    """
    draw = random.random() if chance is None else chance  # noqa: S311 - spreads load, guards nothing
    seconds: float
    if kind == "rate":
        seconds = (15, 30, 60)[min(attempts, 3) - 1] * 60
    elif kind == "set-up":
        seconds = (
            30 * 2 ** (attempts - 1) if attempts <= 4 else min(300 * 2 ** min(attempts - 5, 10), 6 * 3600)
        )
    elif expiry is not None and now < expiry:
        seconds = max(min(300 + 300 * draw, (expiry - now).total_seconds() - 60), 60)
    else:
        seconds = min(5 * 2 ** min(attempts - 1, 10), 300) * (0.9 + 0.2 * draw)
    return now + dt.timedelta(seconds=seconds)
