"""How the checks of a connection went over a day, a week, a month: bars for a drawing, rows for a table, shares in words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median
from typing import NamedTuple, Self

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import CheckDay, ConnectedApp
from ..state import ConnectionState
from .slots import start_of_slot

_DAY = dt.timedelta(days=1)
HEIGHT, BAR, GAP, FOOT = 100, 8, 2, 4
"""Of the drawing, in its own units: it is stretched to the width of the page. The foot below the bars has the worst state."""
_NICE: Sequence[int] = [step * 10**power for power in range(1, 11) for step in (1, 2, 5)]


@dataclass(frozen=True)
class Period:
    key: str
    """As in the page's address."""
    words: str | Promise
    length: dt.timedelta
    slot: dt.timedelta
    """What one bar stands for; divides a UTC day."""
    labels: int
    """Into how many parts the axis of time is divided."""
    label_format: str

    @property
    def slots(self) -> int:
        return self.length // self.slot

    def start(self, now: dt.datetime) -> dt.datetime:
        """Of its first slot; the last one is that of `now`."""
        return start_of_slot(now, self.slot) - (self.slots - 1) * self.slot


PERIODS = (
    Period("24h", gettext_lazy("24 hours"), _DAY, dt.timedelta(hours=1), 4, "H:i"),
    Period("7d", gettext_lazy("7 days"), 7 * _DAY, dt.timedelta(hours=2), 7, "D"),
    Period("30d", gettext_lazy("30 days"), 30 * _DAY, _DAY, 5, "j M"),
)


class Finding(NamedTuple):
    """As much of a check as is drawn."""

    at: dt.datetime
    healthy: bool
    state: ConnectionState
    milliseconds: int


@dataclass(frozen=True)
class Slot:
    """All checks of one bar."""

    start: dt.datetime
    end: dt.datetime
    checks: int
    healthy: int
    worst: ConnectionState
    median: int
    slowest: int

    @classmethod
    def of(cls, findings: Sequence[Finding], start: dt.datetime, length: dt.timedelta) -> Self:
        times = [each.milliseconds for each in findings]
        return cls(
            start=start,
            end=start + length,
            checks=len(findings),
            healthy=sum(each.healthy for each in findings),
            worst=min((each.state for each in findings), key=lambda state: state.rank),
            median=round(median(times)),
            slowest=max(times),
        )

    @classmethod
    def of_day(cls, day: CheckDay, worst: ConnectionState) -> Self:
        start = dt.datetime.combine(day.day, dt.time(), dt.UTC)
        return cls(
            start=start,
            end=start + _DAY,
            checks=day.checks,
            healthy=day.healthy,
            worst=worst,
            median=day.median_milliseconds,
            slowest=day.slowest_milliseconds,
        )

    @property
    def is_whole_day(self) -> bool:
        return self.end - self.start == _DAY

    @property
    def when(self) -> str:
        if self.is_whole_day:  # of UTC: what is left of old checks knows no other
            return f"{date_format(self.start, 'j M')} UTC"
        start, end = timezone.localtime(self.start), timezone.localtime(self.end)
        return f"{date_format(start, 'j M, H:i')}\N{EN DASH}{date_format(end, 'H:i')}"

    @property
    def words(self) -> str:
        return _("%(healthy)d of %(checks)d found it working") % {
            "healthy": self.healthy,
            "checks": self.checks,
        }


@dataclass(frozen=True)
class Bar:
    """One slot in the drawing, in its units; what failed has its whole column tinted, so that colour is not the only sign.

    Heights go by the square root: beside one slow check the quick ones, which are most, would be flat.
    """

    slot: Slot
    slowest: str
    """What stands up to the slowest check, as the `d` of an SVG path."""
    middle: str
    """Up to the median."""
    column: str
    """The whole height."""
    foot: str

    @classmethod
    def of(cls, slot: Slot, number: int, ceiling: int) -> Self:
        x = number * (BAR + GAP)
        slowest, middle = (
            max(round(HEIGHT * sqrt(each / ceiling)), 2) for each in (slot.slowest, slot.median)
        )
        return cls(
            slot=slot,
            slowest=_bar(x, slowest),
            middle=_bar(x, middle),
            column=_bar(x, HEIGHT),
            foot=f"M{x} {HEIGHT + FOOT}h{BAR + GAP}v{FOOT}h-{BAR + GAP}z",
        )


def _bar(x: int, height: int) -> str:
    return f"M{x} {HEIGHT}v-{height}h{BAR}v{height}z"


@dataclass(frozen=True)
class Chart:
    period: Period
    slots: Sequence[Slot]
    """Those with checks; the newest last."""
    bars: Sequence[Bar]
    ceiling: int
    """Milliseconds at the top."""
    labels: Sequence[str]
    """Under the drawing, at even distances."""

    @classmethod
    def of(cls, period: Period, slots: Iterable[Slot], now: dt.datetime) -> Self:
        start = period.start(now)
        shown = [slot for slot in slots if slot.start >= start]
        ceiling = nice_ceiling(max((slot.slowest for slot in shown), default=0))
        bars = [Bar.of(slot, (slot.start - start) // period.slot, ceiling) for slot in shown]
        return cls(period, shown, bars, ceiling, list(_labels(period, start)))

    @property
    def view_box(self) -> str:
        return f"0 0 {self._width} {HEIGHT + 2 * FOOT}"

    @property
    def grid(self) -> str:
        """The lines that `scale` tells of."""
        return "".join(f"M0 {y}H{self._width}" for y in (0, HEIGHT // 2, HEIGHT))

    @property
    def _width(self) -> int:
        return self.period.slots * (BAR + GAP)

    @property
    def scale(self) -> Sequence[str]:
        """At the lines, from above."""
        return [f"{self.ceiling} ms", f"{self.ceiling / 4:g} ms", "0"]

    @property
    def checks(self) -> int:
        return sum(slot.checks for slot in self.slots)

    @property
    def healthy(self) -> int:
        return sum(slot.healthy for slot in self.slots)

    @property
    def share(self) -> str:
        return share_in_words(self.healthy, self.checks)

    @property
    def colour(self) -> str:
        """Of the share."""
        if not self.checks:
            return "mute"
        return "good" if self.healthy == self.checks else "bad" if 2 * self.healthy < self.checks else "warn"

    @property
    def words(self) -> str:
        """The drawing for who doesn't see it."""
        if not self.checks:
            return _("No check in the last %(period)s.") % {"period": self.period.words}
        return _(
            "Checks of the last %(period)s: %(healthy)d of %(checks)d found it working (%(share)s). The slowest took "
            "%(slowest)d ms."
        ) % {
            "period": self.period.words,
            "healthy": self.healthy,
            "checks": self.checks,
            "share": self.share,
            "slowest": max(slot.slowest for slot in self.slots),
        }


def of_connection(connection: ConnectedApp, now: dt.datetime) -> list[Chart]:
    """One for each period, by two queries. Days that were rolled up are told by what is left of them, the rest singly."""
    day, week, month = PERIODS
    days = list(connection.check_days.filter(day__gte=month.start(now).date()).order_by("day"))
    since = min(_day_after(days[-1]) if days else month.start(now), week.start(now))
    rows = connection.checks.filter(at__gte=since, at__lte=now).order_by("at")
    findings = [
        Finding(at, healthy, state, milliseconds)
        for at, healthy, word, milliseconds in rows.values_list(*Finding._fields)
        if (state := ConnectionState.named(word))
    ]
    rolled_up = {each.day for each in days}
    unrolled = [each for each in findings if each.at.date() not in rolled_up]
    return [
        Chart.of(day, slots(findings, day.slot), now),
        Chart.of(week, slots(findings, week.slot), now),
        Chart.of(month, [*_rolled_up(days), *slots(unrolled, month.slot)], now),
    ]


def _rolled_up(days: Iterable[CheckDay]) -> Iterator[Slot]:
    for day in days:
        if worst := ConnectionState.named(day.worst_state):
            yield Slot.of_day(day, worst)


def slots(findings: Iterable[Finding], length: dt.timedelta) -> Iterator[Slot]:
    grouped: dict[dt.datetime, list[Finding]] = {}
    for each in findings:
        grouped.setdefault(start_of_slot(each.at, length), []).append(each)
    return (Slot.of(found, start, length) for start, found in grouped.items())


def share_in_words(part: int, whole: int) -> str:
    """`98.6 %`; only all is `100 %`, and only nothing `0 %`."""
    if not whole:
        return _("no checks")
    percent = 100 * part / whole
    if percent.is_integer():
        return f"{percent:.0f} %"
    return f"{min(max(percent, 0.1), 99.9):.1f} %"


def nice_ceiling(most: int) -> int:
    """The next of 10, 20, 50, 100, … milliseconds."""
    return next(each for each in _NICE if each >= most)


def _day_after(day: CheckDay) -> dt.datetime:
    return dt.datetime.combine(day.day, dt.time(), dt.UTC) + _DAY


def _labels(period: Period, start: dt.datetime) -> Iterator[str]:
    for number in range(period.labels):
        moment = start + number * (period.length / period.labels)
        shown = moment if period.slot == _DAY else timezone.localtime(moment)
        yield date_format(shown, period.label_format)
    yield _("now")
