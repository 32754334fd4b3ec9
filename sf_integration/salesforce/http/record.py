"""The calls of a thread, remembered for whoever looks for a fault."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_here = threading.local()


@dataclass(frozen=True)
class Call:
    """One request that was made, as far as it may be told: no headers, no body, no query but SOQL."""

    method: str
    url: str
    soql: str
    status: int | None
    """None when no usable answer came."""
    milliseconds: int


@contextmanager
def recorded() -> Iterator[list[Call]]:
    """The calls that this thread makes meanwhile, in order."""
    before = getattr(_here, "record", None)
    calls: list[Call] = []
    _here.record = calls
    try:
        yield calls
    finally:
        _here.record = before


def note(method: str, url: str, params: Any, status: int | None, started: float) -> None:
    calls: list[Call] | None = getattr(_here, "record", None)
    if calls is not None:
        soql = str(params.get("q", "")) if isinstance(params, Mapping) else ""
        milliseconds = round((time.monotonic() - started) * 1000)
        calls.append(Call(method, url.partition("?")[0], soql, status, milliseconds))
