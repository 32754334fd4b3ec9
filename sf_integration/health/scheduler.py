"""Whether the scheduler works: when beat and a worker last renewed tokens together."""

from __future__ import annotations

import datetime as dt

from ..models import Heartbeat

REFRESH = "refresh due tokens"
"""Name of the heartbeat: written by a worker whenever beat has asked for the tokens that are due."""
SILENT_AFTER_SECONDS = 180


def last_heartbeat() -> dt.datetime | None:
    """None: there was never one."""
    return Heartbeat.objects.filter(name=REFRESH).values_list("at", flat=True).first()


def seconds_since(heartbeat: dt.datetime | None, now: dt.datetime) -> float | None:
    return (now - heartbeat).total_seconds() if heartbeat else None


def is_silent(heartbeat: dt.datetime | None, now: dt.datetime) -> bool:
    age = seconds_since(heartbeat, now)
    return age is None or age > SILENT_AFTER_SECONDS
