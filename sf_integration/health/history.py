"""What is left of the past: checks of finished days become a row a day, and what is too old goes.

All of it in short steps that each leave less to be done: any can be the last, for who comes next goes on from there. Two at
once do no harm.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import median_low
from typing import Any
from uuid import UUID

from django.db import IntegrityError
from django.db.models import F, Max, Min, QuerySet, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from ..conf import settings
from ..models import (
    Alarm,
    AlarmMessage,
    CheckDay,
    ConnectedApp,
    ConnectionCheck,
    ConnectionEvent,
    RecentLookup,
)
from ..state import ConnectionState

KEEP_LOOKUPS = dt.timedelta(days=90)
LOOKUPS_OF_ONE = 10
"""Recent lookups of a person in a connection."""
_CONNECTIONS, _ROWS = 200, 2000
"""A step: of how many connections a day is told, how many rows are deleted."""
_SETTLED_AFTER = dt.timedelta(minutes=10)
"""After midnight: a check that began before it is stored by then."""
_RANKS = {state.value: state.rank for state in ConnectionState}


def tidy(now: dt.datetime | None = None, *, seconds: float = 20) -> bool:
    """Roll up and prune, for about so long. True when nothing was left to be done.

    Nothing is pruned before all finished days are rolled up.
    """
    ends = time.monotonic() + seconds
    return all(time.monotonic() < ends for _ in _steps(now or timezone.now()))


def _steps(now: dt.datetime) -> Iterator[None]:
    today = _day(now - _SETTLED_AFTER)
    yield from _roll_up(today)
    kept_since = min(
        today, _ago(today, settings.KEEP_CHECKS_DAYS)
    )  # what is not rolled up yet stays, whatever is set
    yield from _prune(ConnectionCheck.objects.filter(at__lt=_start(kept_since)).order_by("at"))
    events_since = _start(_ago(today, settings.KEEP_EVENTS_DAYS))
    yield from _prune(ConnectionEvent.objects.filter(at__lt=events_since).order_by("at"))
    yield from _prune(Alarm.objects.filter(ended_at__lt=events_since).order_by("raised_at"))
    settled = AlarmMessage.objects.filter(created_at__lt=events_since, next_try_at=None)
    yield from _prune(settled.order_by("created_at"))
    yield from _prune(CheckDay.objects.filter(day__lt=_ago(today, settings.KEEP_DAYS)).order_by("day"))
    yield from _prune(RecentLookup.objects.filter(at__lt=now - KEEP_LOOKUPS).order_by("at"))
    yield from _prune(_lookups_beyond())


def _roll_up(today: dt.date) -> Iterator[None]:
    """Days are done one after the other: all before the last one that has rows are whole."""
    day = CheckDay.objects.aggregate(last=Max("day"))["last"] or _day_of_oldest_check()
    while day is not None and day < today:
        yield from _roll_up_day(day)
        day += dt.timedelta(days=1)


def _day_of_oldest_check() -> dt.date | None:
    oldest = ConnectionCheck.objects.aggregate(at=Min("at"))["at"]
    return _day(oldest) if oldest else None


def _roll_up_day(day: dt.date) -> Iterator[None]:
    done = set(CheckDay.objects.filter(day=day).values_list("connection", flat=True))
    everyone = ConnectedApp.objects.order_by("pk").values_list("pk", flat=True)
    ids = [pk for pk in everyone if pk not in done]
    for start in range(0, len(ids), _CONNECTIONS):
        if _store_day(day, ids[start : start + _CONNECTIONS]):
            yield


def _store_day(day: dt.date, ids: Sequence[UUID], *, tries: int = 3) -> bool:
    """Whether there was anything. A row that is there stays: it was made of more, should checks have been pruned since."""
    try:
        return bool(CheckDay.objects.bulk_create(_rolled_up(day, ids), ignore_conflicts=True))
    except IntegrityError:
        # A connection was deleted between the two statements, and its checks with it.
        if tries == 1:
            raise
        return _store_day(day, ids, tries=tries - 1)


def _rolled_up(day: dt.date, ids: Sequence[UUID]) -> Iterator[CheckDay]:
    checks = ConnectionCheck.objects.filter(
        connection__in=ids, at__gte=_start(day), at__lt=_start(day + dt.timedelta(days=1))
    )
    by_connection: dict[UUID, list[Any]] = defaultdict(list)
    columns = ("connection_id", "healthy", "state", "milliseconds", "api_used", "api_limit")
    for check in checks.order_by().values_list(*columns, named=True):
        by_connection[check.connection_id].append(check)
    for connection_id, found in by_connection.items():
        yield _one_day(day, connection_id, found)


def _one_day(day: dt.date, connection_id: UUID, checks: Sequence[Any]) -> CheckDay:
    usage = max((check for check in checks if check.api_used is not None), key=_api_used, default=None)
    return CheckDay(
        connection_id=connection_id,
        day=day,
        checks=len(checks),
        healthy=sum(check.healthy for check in checks),
        worst_state=min((check.state for check in checks), key=_rank),
        median_milliseconds=median_low(check.milliseconds for check in checks),
        slowest_milliseconds=max(check.milliseconds for check in checks),
        api_used=usage and usage.api_used,
        api_limit=usage and usage.api_limit,
    )


def _api_used(check: Any) -> int:
    used: int = check.api_used
    return used


def _rank(state: str) -> int:
    return _RANKS.get(state, len(_RANKS))


def _prune(old: QuerySet[Any]) -> Iterator[None]:
    """In the order of the index that finds them, or each step would pass over what those before have deleted."""
    some = old.values("pk")[:_ROWS]
    while old.model._default_manager.filter(pk__in=some).delete()[0]:
        yield


def _lookups_beyond() -> QuerySet[RecentLookup]:
    place = Window(RowNumber(), partition_by=[F("user"), F("connection")], order_by=F("at").desc())
    return RecentLookup.objects.annotate(place=place).filter(place__gt=LOOKUPS_OF_ONE).order_by()


def _day(at: dt.datetime) -> dt.date:
    return at.astimezone(dt.UTC).date()


def _start(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)


def _ago(today: dt.date, days: int) -> dt.date:
    return today - dt.timedelta(days=days)
