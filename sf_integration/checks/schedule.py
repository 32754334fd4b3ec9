"""Which schedule is in force, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from django.core import checks

from ..services import schedules
from ..services.schedules import Entry


@checks.register("sf_integration", deploy=True)
def check_schedule_in_force(databases: Sequence[str] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """With --deploy alone: told at each start it would be noise."""
    return [
        checks.Info(
            f"Schedule in force: {_in_force(schedules.entries(databases or ()))}",
            hint="Callers renew tokens by themselves with any schedule and with none.",
            id="sf_integration.I001",
        )
    ]


def _in_force(entries: Sequence[Entry] | None) -> str:
    if entries is None:
        return "rows of django-celery-beat. Which: manage.py check --deploy --database default."
    if not entries:
        return "none. No checks by beat, and no alarms."
    where = "rows of django-celery-beat" if schedules.beat_has_rows() else "CELERY_BEAT_SCHEDULE"
    off = ", ".join(entry.task for entry in entries if not entry.enabled)
    return f"{where}{f', where {off} is switched off' * bool(off)}."


@checks.register("sf_integration")
def check_schedule(databases: Sequence[str] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """No schedule at all is a way to live; one with gaps is a mistake."""
    entries = schedules.entries(databases or ())
    return [*_lacking(entries), *_doubled(entries)] if entries else []


def _lacking(entries: Sequence[Entry]) -> Iterator[checks.CheckMessage]:
    missing = schedules.TASKS.keys() - {entry.task for entry in entries}
    if missing:
        yield checks.Warning(
            f"The schedule lacks {', '.join(sorted(missing))}.",
            hint="Take the whole SCHEDULE of sf_integration.schedule, or, with django-celery-beat, run manage.py salesforce schedule.",
            id="sf_integration.W007",
        )


def _doubled(entries: Sequence[Entry]) -> Iterator[checks.CheckMessage]:
    running = [entry for entry in entries if entry.enabled]
    for task, count in Counter(entry.task for entry in running).items():
        if count > 1:
            names = ", ".join(f"“{entry.name}”" for entry in running if entry.task == task)
            yield checks.Warning(
                f"The schedule runs {task} {count} times: by {names}.",
                hint="It does no harm but work for nothing. Keep one of them.",
                id="sf_integration.W008",
            )
