"""Who tells that the scheduler is silent, when the scheduler is who would tell: any process that is asked about health anyway."""

from __future__ import annotations

import logging
import threading
import time

from django.db import connections

from ..models import Alarm
from . import contacts, rounds, sending

log = logging.getLogger("sf_integration.alarms")

LOOK_EVERY_SECONDS = 60.0
_lock = threading.Lock()
_looked_at = -LOOK_EVERY_SECONDS
"""When this process last did (monotonic)."""


def scheduler_is_silent() -> threading.Thread | None:
    """Called by who has just seen that. At most once a minute and process, a thread of its own looks at the scheduler alone and
    sends what is due; the caller doesn't wait. Nothing is done where nobody is to be told."""
    if not contacts.site_targets() or not _is_time():
        return None
    thread = threading.Thread(target=_look, name="alarm of a silent scheduler", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        log.warning("no thread could be started to tell that the scheduler is silent")
        return None
    return thread


def forget() -> None:
    """For tests: the next one looks."""
    global _looked_at  # noqa: PLW0603 - what a process has done
    _looked_at = -LOOK_EVERY_SECONDS


def _is_time() -> bool:
    global _looked_at  # noqa: PLW0603 - what a process has done
    with _lock:
        now = time.monotonic()
        if now < _looked_at + LOOK_EVERY_SECONDS:
            return False
        _looked_at = now
        return True


def _look() -> None:
    try:
        rounds.run(kinds={Alarm.Kind.SCHEDULER})
        sending.send_due()
    except Exception as exc:  # noqa: BLE001 - nobody is there to see it; the next look comes in a minute
        log.warning("looking at the silent scheduler broke off: %s", type(exc).__name__)
    finally:
        connections.close_all()  # of this thread
