"""What a measure gives: a number, what it is held against, and what it should reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Result:
    """One line of the table. At most one of the two limits is given; neither: the number is told for its own sake."""

    what: str
    ours: float
    unit: str = ""
    reference: float | None = None
    """In the same unit."""
    reference_name: str = ""
    most: float | None = None
    """What `ours` may be."""
    most_ratio: float | None = None
    """What `ours` may be, as a share of the reference."""
    facts: Mapping[str, float] = field(default_factory=dict)
    """Further numbers of the same measure."""

    @property
    def ratio(self) -> float | None:
        return self.ours / self.reference if self.reference else None

    @property
    def goal(self) -> str:
        if self.most is not None:
            return f"≤ {number(self.most)} {self.unit}".rstrip()
        if self.most_ratio is None:
            return ""
        return f"≤ 1/{round(1 / self.most_ratio)}" if self.most_ratio < 0.5 else f"≤ {self.most_ratio:g}"

    @property
    def reached(self) -> bool | None:
        """None when there is nothing to reach."""
        if self.most is not None:
            return self.ours <= self.most
        if self.most_ratio is not None and self.ratio is not None:
            return self.ratio <= self.most_ratio
        return None

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio, "goal": self.goal, "reached": self.reached}


@dataclass(frozen=True)
class Section:
    """What one family of measures came to."""

    title: str
    results: tuple[Result, ...] = ()
    left_out: tuple[str, ...] = ()
    """Sentences about what could not be measured on this machine, which is no fault."""
    failure: str = ""
    """Why it could not run, which is one."""
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "results": [result.as_json() for result in self.results],
            "left_out": list(self.left_out),
            "failure": self.failure,
            "seconds": round(self.seconds, 1),
        }


def number(value: float) -> str:
    """Three digits that count, whole numbers whole."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
