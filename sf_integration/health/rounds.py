"""What beat does about health: which checks are due, which states changed by themselves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from uuid import UUID

from django.db.models import F
from django.utils import timezone

from .. import hosts
from ..models import ConnectedApp, settings_fingerprint
from ..tokens import renewal
from .ladder import USAGE_WARNING_SHARE

LIGHT_EVERY = dt.timedelta(minutes=60)
FULL_EVERY = dt.timedelta(hours=24)
RECHECK_FAILING_AFTER = dt.timedelta(minutes=10)
CALLS_PER_DAY = 24 + 6
"""What the checks of one connection by beat cost of the org's API calls: a light one an hour, a full one a day."""


def due_for_check(now: dt.datetime | None = None) -> Iterator[tuple[UUID, bool]]:
    """(id, light) of the connections that beat should check now.

    The full ladder for new and edited connections and once a day; a light check an hour, each in its own minute.
    """
    now = now or timezone.now()
    connections = ConnectedApp.objects.filter(enabled=True).select_related("signing_key")
    for connection in connections.iterator():
        if not hosts.environment_allowed(connection.known_environment):
            continue
        if _spent(connection) >= USAGE_WARNING_SHARE:
            continue
        full_at = connection.last_full_check_at
        if full_at is None or _edited(connection) or full_at <= now - FULL_EVERY:
            yield connection.pk, False
        elif _hourly_is_due(connection, connection.last_checked_at or full_at, now):
            # What fails is looked at whole, so that it is seen to be well again.
            yield connection.pk, connection.failing_since is None


def tell_changes(now: dt.datetime | None = None) -> int:
    """Signal the states that changed by themselves: a certificate nears its end, a connection idles, an encryption key or
    a kind of org was taken off its list. Returns how many; one query finds them."""
    now = now or timezone.now()
    known = ConnectedApp.objects.with_state(now).select_related("signing_key")
    changed = list(known.exclude(state=F("told_state")))  # type: ignore[misc]
    for connection in changed:
        renewal.tell_change(connection, now)
    return len(changed)


def _hourly_is_due(connection: ConnectedApp, checked_at: dt.datetime, now: dt.datetime) -> bool:
    age = now - checked_at
    if connection.failing_since is not None:
        return age > RECHECK_FAILING_AFTER
    own_minute = connection.pk.int % 60 == now.minute and age > dt.timedelta(minutes=2)
    return own_minute or age > LIGHT_EVERY + dt.timedelta(minutes=5)


def _edited(connection: ConnectedApp) -> bool:
    return connection.checked_fingerprint != settings_fingerprint(connection, connection.username)


def _spent(connection: ConnectedApp) -> float:
    """Share of the org's daily API calls that was used at the last look; old news count as nothing."""
    usage = connection.organization.get("api_usage") or {}
    if not usage.get("limit") or usage.get("at", "") < (timezone.now() - FULL_EVERY).isoformat():
        return 0.0
    return float(usage["used"] / usage["limit"])
