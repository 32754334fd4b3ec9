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
from collections import Counter
from dataclasses import dataclass

from django.db import Error, connections
from django.utils import timezone

from .. import audit
from ..services.api_keys import Grant

ACT = "took token"

log = logging.getLogger("sf_integration.token_api")


@dataclass(frozen=True)
class Use:
    caller: str
    granted: Grant
    username: str


class Uses:
    """Those of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._untold: Counter[tuple[Use, dt.datetime]] = Counter()
        """By use and minute, of which the first is told: how many more there were."""
        self._timer: threading.Timer | None = None

    def note(self, use: Use, now: dt.datetime | None = None) -> None:
        """Raises what the database raises when the event can't be written."""
        now = now or timezone.now()
        minute = now.replace(second=0, microsecond=0)
        with self._lock:
            if (use, minute) in self._untold:
                self._untold[use, minute] += 1
                self._tell_at_end_of(now)
                return
        self.tell(before=minute)
        _write(use, now, 1)
        with self._lock:
            self._untold.setdefault((use, minute), 0)

    def tell(self, *, before: dt.datetime | None = None) -> None:
        """Write down what was only counted; `before`: of the minutes before this one."""
        with self._lock:
            over = [each for each in self._untold if before is None or each[1] < before]
            counts = {each: self._untold.pop(each) for each in over}
        while counts:
            (use, minute), count = counts.popitem()
            try:
                if count:
                    _write(use, minute, count)
            except Error:
                with self._lock:
                    self._untold.update(counts | {(use, minute): count})  # adds
                raise

    def forget(self) -> None:
        with self._lock:
            self._untold.clear()
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None

    def _tell_at_end_of(self, now: dt.datetime) -> None:
        if self._timer is None:
            self._timer = threading.Timer(60.1 - now.second, self._end_of_minute)
            self._timer.daemon = True
            self._timer.start()

    def _end_of_minute(self) -> None:
        with self._lock:
            self._timer = None
        try:
            self.tell(before=timezone.now().replace(second=0, microsecond=0))
        except Error as exc:
            log.warning("tokens handed out are not counted in the audit trail yet: %s", type(exc).__name__)
        finally:
            connections.close_all()  # this thread's own


def _write(use: Use, at: dt.datetime, count: int) -> None:
    audit.record_use(ACT, use.granted, actor=use.caller, username=use.username, at=at, count=count)


_of_this_process = Uses()


def note(use: Use) -> None:
    _of_this_process.note(use)


def forget() -> None:
    """Between tests, whose databases go."""
    _of_this_process.forget()


def _reset() -> None:
    """After a fork: the parent tells of its own, and a lock may be held by a thread that is not here."""
    global _of_this_process  # noqa: PLW0603 - the one place that replaces it
    _of_this_process = Uses()


def _at_exit() -> None:
    try:
        _of_this_process.tell()
    except Exception as exc:  # noqa: BLE001 - it ends anyhow
        log.warning("tokens handed out were not counted in the audit trail: %s", type(exc).__name__)


os.register_at_fork(after_in_child=_reset)
atexit.register(_at_exit)
