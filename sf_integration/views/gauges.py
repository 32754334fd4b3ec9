"""Bars that show how much of something is left or used; the words for it always stand beside."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Self

NEARLY_ALL = 80
"""Percent of a budget from which on its bar warns."""


@dataclass(frozen=True)
class Gauge:
    percent: int
    colour: str
    mark: int | None = None
    """Where something happens on the way, in percent."""

    @classmethod
    def of_life(
        cls,
        begin: dt.datetime | None,
        end: dt.datetime | None,
        now: dt.datetime,
        *,
        renewal: dt.datetime | None = None,
        colour: str = "",
    ) -> Self | None:
        """What is left of it; past its renewal it warns. None for what has no length."""
        if begin is None or end is None or end <= begin:
            return None
        colour = colour or ("warn" if renewal and renewal <= now else "good")
        mark = _percent((end - renewal) / (end - begin)) if renewal else None
        return cls(_percent((end - now) / (end - begin)), colour, mark)

    @classmethod
    def of_use(cls, used: int, most: int) -> Self:
        percent = _percent(used / most if most else 1)
        return cls(percent, "warn" if percent >= NEARLY_ALL else "info")


def _percent(share: float) -> int:
    return min(max(round(100 * share), 0), 100)
