"""What the audit trail is told of tokens handed out: an event for each caller, connection, user and minute, with a count.

The first of a minute is written at once, and the token waits for it. The others are counted in memory and added at the
minute's end, or when the process ends; one that is killed loses the counts of that minute, never the events.
"""

from __future__ import annotations

import atexit
import datetime as dt
import logging
import os
import threading
from dataclasses import dataclass

from django.db import Error, connections
from django.utils import timezone

from .. import audit
from ..services.api_clients import Grant

ACT = "took token"

log = logging.getLogger("sf_integration.token_api")


@dataclass(frozen=True)
class Use:
    caller: str
    granted: Grant
    username: str


@dataclass
class _Minute:
    at: dt.datetime
    """When it was told of."""
    untold: int = 0

    def is_of(self, now: dt.datetime) -> bool:
        return self.at.replace(second=0, microsecond=0) == now.replace(second=0, microsecond=0)


class Uses:
    """Those of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minutes: dict[Use, _Minute] = {}
        self._timer: threading.Timer | None = None

    def note(self, use: Use, now: dt.datetime | None = None) -> None:
        """Raises what the database raises when the event can't be written."""
        now = now or timezone.now()
        with self._lock:
            minute = self._minutes.get(use)
            if minute is not None and minute.is_of(now):
                minute.untold += 1
                self._tell_at_end_of(now)
                return
        self.tell(before=now)
        _write(use, now, 1)
        with self._lock:
            self._minutes.setdefault(use, _Minute(now))

    def tell(self, *, before: dt.datetime | None = None) -> None:
        """Write down what was only counted; `before`: of the minutes that are over by then."""
        with self._lock:
            over = {use: each for use, each in self._minutes.items() if before is None or not each.is_of(before)}
            for use in over:
                del self._minutes[use]
        for use, minute in over.items():
            if minute.untold:
                _write(use, minute.at, minute.untold)

    def forget(self) -> None:
        with self._lock:
            self._minutes.clear()
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None

    def _tell_at_end_of(self, now: dt.datetime) -> None:
        if self._timer is not None:
            return
        self._timer = threading.Timer(60.1 - now.second, self._end_of_minute)
        self._timer.daemon = True
        self._timer.start()

    def _end_of_minute(self) -> None:
        with self._lock:
            self._timer = None
        try:
            self.tell(before=timezone.now())
        except Error as exc:
            log.warning("tokens handed out were not counted in the audit trail: %s", type(exc).__name__)
        finally:
            connections.close_all()  # this thread's own


def _write(use: Use, at: dt.datetime, count: int) -> None:
    audit.record_use(ACT, use.granted, actor=use.caller, username=use.username, at=at, count=count)


_of_this_process = Uses()


def note(use: Use) -> None:
    _of_this_process.note(use)


def reset() -> None:
    """Start with nothing: after a fork, whose parent tells its own, and between tests."""
    global _of_this_process  # noqa: PLW0603 - the one place that replaces it
    _of_this_process = Uses()


def _at_exit() -> None:
    try:
        _of_this_process.tell()
    except Exception as exc:  # noqa: BLE001 - it ends anyhow
        log.warning("tokens handed out were not counted in the audit trail: %s", type(exc).__name__)


os.register_at_fork(after_in_child=reset)
atexit.register(_at_exit)
