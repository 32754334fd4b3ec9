"""Whether the scheduler works: when beat and a worker last renewed tokens together."""

from __future__ import annotations

import datetime as dt

from django.db.models import Min

from ..models import ConnectedApp, Heartbeat

REFRESH = "refresh due tokens"
"""Name of the heartbeat: written by a worker whenever beat has asked for the tokens that are due."""
SILENT_AFTER_SECONDS = 180
NEW_FOR = dt.timedelta(hours=1)
"""From the first connection on."""


def last_heartbeat() -> dt.datetime | None:
    """None: there was never one."""
    return Heartbeat.objects.filter(name=REFRESH).values_list("at", flat=True).first()


def seconds_since(heartbeat: dt.datetime | None, now: dt.datetime) -> float | None:
    return (now - heartbeat).total_seconds() if heartbeat else None


def is_silent(heartbeat: dt.datetime | None, now: dt.datetime) -> bool:
    age = seconds_since(heartbeat, now)
    return age is None or age > SILENT_AFTER_SECONDS


def silent_since(now: dt.datetime) -> dt.datetime | None:
    """None while it works, and in an installation so new that nobody may have started it yet."""
    heartbeat = last_heartbeat()
    if heartbeat is not None:
        return heartbeat if is_silent(heartbeat, now) else None
    oldest = ConnectedApp.objects.filter(enabled=True).aggregate(at=Min("created_at"))["at"]
    return oldest if oldest is not None and oldest <= now - NEW_FOR else None
