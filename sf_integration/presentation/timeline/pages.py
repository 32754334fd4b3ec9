"""The line of time as a page shows it: by days, with what tells nothing new folded away."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ...models import ConnectedApp
from .asking import Window
from .entries import Entry, entries_of

FEWEST_FOLDED = 3


@dataclass(frozen=True)
class Run:
    """Entries one after the other that tell nothing new, the newest first."""

    entries: Sequence[Entry]

    @property
    def first(self) -> dt.datetime:
        return self.entries[-1].at

    @property
    def last(self) -> dt.datetime:
        return self.entries[0].at

    @property
    def words(self) -> str:
        """`14 light checks and 3 sign-ins, all well`."""
        checks = sum(each.routine == "check" for each in self.entries)
        sign_ins = len(self.entries) - checks
        parts = [
            ngettext("%d light check", "%d light checks", checks) % checks if checks else "",
            ngettext("%d sign-in", "%d sign-ins", sign_ins) % sign_ins if sign_ins else "",
        ]
        return _("%(what)s, all well") % {"what": _(" and ").join(filter(None, parts))}


@dataclass(frozen=True)
class Day:
    date: dt.date
    items: Sequence[Entry | Run]


@dataclass(frozen=True)
class Page:
    days: Sequence[Day]
    newer: str = ""
    """The place after which what is newer begins; empty when there is nothing newer."""
    older: str = ""
    met: bool = True
    """Whether anything happened in the minute that was asked for."""


def page_of(
    connection: ConnectedApp, window: Window, *, kind: str = "", asked: dt.datetime | None = None
) -> Page:
    """The newest first. `asked`: the minute in which what is of it is marked."""
    entries = sorted(
        entries_of(connection, window, kind), key=lambda each: each.place, reverse=not window.after
    )
    has_more, entries = len(entries) > window.size, entries[: window.size]
    if window.after:
        if not has_more:  # the newest page is a whole one
            return page_of(connection, Window(size=window.size), kind=kind)
        entries.reverse()
    if asked:
        entries = [_marked(each, asked) for each in entries]
    reaches_now = window.after is None and (window.before is None or window.before.at > timezone.now())
    return Page(
        days=list(_days(entries)),
        newer="" if reaches_now or not entries else str(entries[0].place),
        older=str(entries[-1].place) if entries and (has_more or window.after) else "",
        met=asked is None or any(each.is_asked_for for each in entries),
    )


def lately(connection: ConnectedApp, *, most: int) -> list[Entry | Run]:
    """The last few things, whatever day they are of."""
    page = page_of(connection, Window(size=4 * most))
    return [item for day in page.days for item in day.items][:most]


def _marked(entry: Entry, asked: dt.datetime) -> Entry:
    is_of_it = asked <= entry.at < asked + dt.timedelta(minutes=1)
    return replace(entry, is_asked_for=True, routine="") if is_of_it else entry


def _days(entries: Iterable[Entry]) -> Iterator[Day]:
    for date, found in groupby(entries, key=lambda each: timezone.localtime(each.at).date()):
        yield Day(date, list(_folded(found)))


def _folded(entries: Iterable[Entry]) -> Iterator[Entry | Run]:
    for is_routine, group in groupby(entries, key=lambda each: bool(each.routine)):
        found = list(group)
        if is_routine and len(found) >= FEWEST_FOLDED:
            yield Run(found)
        else:
            yield from found
