"""Results too long for one page wait here for their next pages."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import ids

_CURSORS_KEPT = 200
_ROWS_KEPT = 1_000_000
_OFFSET = re.compile(r"\d{1,9}", re.ASCII)


@dataclass(slots=True)
class _Cursor:
    owner: str = field(repr=False)
    """A token, or the id of a user."""
    records: Sequence[dict[str, Any]]
    page_size: int
    last_used: float


class Cursors:
    """Query locators. One is good only for who opened it, and while it is used; the oldest give way."""

    def __init__(self, idle_seconds: Callable[[], float]) -> None:
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._open: OrderedDict[str, _Cursor] = OrderedDict()
        self._made = 0
        self._rows = 0

    def first_page(
        self, records: Sequence[dict[str, Any]], page_size: int, owner: str, base_path: str
    ) -> dict[str, Any]:
        """The first page; more than one page opens a cursor. `base_path` is `/services/data/vXX.0`."""
        cursor = _Cursor(owner, records, page_size, time.monotonic())
        if len(records) <= page_size:
            return _page("", cursor, 0, base_path)
        with self._lock:
            self._made += 1
            locator = ids.numbered("01g", self._made)
            self._open[locator] = cursor
            self._rows += len(records)
            self._make_room()
        return _page(locator, cursor, 0, base_path)

    def page(self, locator_and_offset: str, owner: str, base_path: str) -> dict[str, Any] | None:
        """A further page; None when the locator is unknown, forgotten, or belongs to somebody else."""
        locator, _, offset = locator_and_offset.partition("-")
        with self._lock:
            cursor = self._open.get(locator)
        if cursor is None or cursor.owner != owner or not _OFFSET.fullmatch(offset):
            return None
        now = time.monotonic()
        if int(offset) >= len(cursor.records) or now > cursor.last_used + self._idle_seconds():
            return None
        cursor.last_used = now
        return _page(locator, cursor, int(offset), base_path)

    def clear(self) -> None:
        """Forget all: their locators are refused from now on."""
        with self._lock:
            self._open.clear()
            self._rows = 0

    def _make_room(self) -> None:
        """Let the oldest go, never the newest, however long it is."""
        while len(self._open) > 1 and (len(self._open) > _CURSORS_KEPT or self._rows > _ROWS_KEPT):
            _, oldest = self._open.popitem(last=False)
            self._rows -= len(oldest.records)


def _page(locator: str, cursor: _Cursor, offset: int, base_path: str) -> dict[str, Any]:
    end = offset + cursor.page_size
    page: dict[str, Any] = {"totalSize": len(cursor.records), "done": end >= len(cursor.records)}
    if not page["done"]:
        page["nextRecordsUrl"] = f"{base_path}/query/{locator}-{end}"
    page["records"] = cursor.records[offset:end]
    return page
