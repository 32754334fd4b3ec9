"""Bars that show how much of something is left or used; the words for it always stand beside."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Self

from ..health.ladder import USAGE_WARNING_SHARE


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
        share = used / most if most else 1
        return cls(_percent(share), "warn" if share >= USAGE_WARNING_SHARE else "info")


def _percent(share: float) -> int:
    return min(max(round(100 * share), 0), 100)
