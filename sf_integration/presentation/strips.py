"""A day of checks as a strip of marks, one for each half hour: drawn small, and told in words."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import NamedTuple, Self
from uuid import UUID

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..models import ConnectionCheck
from ..state import ConnectionState
from .slots import start_of_slot

DAY = dt.timedelta(days=1)
SLOT = dt.timedelta(minutes=30)
_STEP = 3
"""From mark to mark, in units of the drawing."""
_TALL, _LOW = (1, 14), (6, 9)
"""Top and height of a mark. What does not work stands out also for who can't tell the colours apart."""
_SPELLS = 3


class Check(NamedTuple):
    at: dt.datetime
    state: ConnectionState


@dataclass(frozen=True)
class Strip:
    words: str
    paths: Sequence[tuple[str, str]]
    """Colour, and the marks of that colour as the `d` of an SVG path."""

    @classmethod
    def of(cls, checks: Sequence[Check], now: dt.datetime) -> Self:
        """`checks`: those of the last day, the oldest first."""
        return cls(_in_words(checks), list(_paths(checks, start_of_day(now))))


def start_of_day(now: dt.datetime) -> dt.datetime:
    """Of the first of the 48 half hours. They are those of the clock, so that a strip changes only when there is news."""
    return start_of_slot(now, SLOT) - DAY + SLOT


def strips_of(connection_ids: Collection[UUID], now: dt.datetime) -> dict[UUID, Strip]:
    """A strip for each of these connections, by one query that the index answers alone."""
    found = ConnectionCheck.objects.filter(
        connection__in=connection_ids, at__gte=start_of_day(now), at__lte=now
    )
    checks: dict[UUID, list[Check]] = defaultdict(list)
    for connection_id, at, state in found.order_by().values_list("connection_id", "at", "state"):
        if known := ConnectionState.named(state):
            checks[connection_id].append(Check(at, known))
    return {each: Strip.of(sorted(checks[each], key=lambda check: check.at), now) for each in connection_ids}


def _paths(checks: Sequence[Check], start: dt.datetime) -> Iterator[tuple[str, str]]:
    worst: dict[int, ConnectionState] = {}
    for at, state in checks:
        slot = (at - start) // SLOT
        worst[slot] = min(state, worst.get(slot, state), key=lambda each: each.rank)
    of_colour: dict[str, list[int]] = defaultdict(list)
    for slot in sorted(worst):
        of_colour[worst[slot].colour].append(slot)
    for colour, slots in of_colour.items():
        top, height = _LOW if colour == "good" else _TALL
        # From the foot of one mark to the head of the next: short, as a page has thousands of marks.
        steps = (f"m{(each - before) * _STEP}-{height}v{height}" for before, each in pairwise(slots))
        yield colour, f"M{slots[0] * _STEP + 1} {top}v{height}{''.join(steps)}"


def _in_words(checks: Sequence[Check]) -> str:
    if not checks:
        return _("24 h: no checks")
    told = ngettext(
        "24 h: %(healthy)d of %(checks)d check found it working",
        "24 h: %(healthy)d of %(checks)d checks found it working",
        len(checks),
    ) % {"healthy": sum(state.is_healthy for _at, state in checks), "checks": len(checks)}
    spells = list(_failing_spells(checks))
    if not spells:
        return told
    rest = max(len(spells) - _SPELLS, 0)
    more = (
        ngettext(", and %(count)d time more", ", and %(count)d times more", rest) % {"count": rest}
        if rest
        else ""
    )
    return _("%(told)s; failing %(spells)s%(more)s") % {
        "told": told,
        "spells": ", ".join(spells[-_SPELLS:]),
        "more": more,
    }


def _failing_spells(checks: Sequence[Check]) -> Iterator[str]:
    """`03:10-03:40`: from the first check that failed to the next that did not."""
    began: dt.datetime | None = None
    for failing, spell in groupby(checks, key=lambda check: check.state is ConnectionState.FAILING):
        first = next(spell).at
        if failing:
            began = first
        elif began:
            yield f"{_clock(began)}-{_clock(first)}"
            began = None
    if began:
        yield _("since %(time)s") % {"time": _clock(began)}


def _clock(moment: dt.datetime) -> str:
    return date_format(timezone.localtime(moment), "H:i")
