"""What beat runs of ours: entries of Celery's `beat_schedule`, and rows where django-celery-beat is installed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from celery import current_app
from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, transaction
from django.utils import timezone

from .. import access, audit
from ..access import Deed
from ..salesforce.errors import InvalidInput
from ..schedule import SCHEDULE

TASKS = {entry["task"]: name for name, entry in SCHEDULE.items()}


@dataclass(frozen=True)
class Entry:
    name: str
    task: str
    enabled: bool = True
    """Whether beat runs it; rows can be switched off in the admin."""


def beat_has_rows() -> bool:
    return apps.is_installed("django_celery_beat")


def entries(databases: Iterable[str]) -> list[Entry] | None:
    """What beat finds of ours. None: it may be in rows, which were not asked for, or whose tables aren't there yet.

    django-celery-beat keeps a row for each entry of the settings, by its name; so a name counts once.
    """
    if not beat_has_rows():
        return _configured()
    rows = _stored(databases)
    return None if rows is None else list({each.name: each for each in [*_configured(), *rows]}.values())


def _configured() -> list[Entry]:
    """In the settings. A site need not load its Celery application together with Django."""
    given = current_app.conf.beat_schedule or getattr(settings, "CELERY_BEAT_SCHEDULE", None) or {}
    # Entries may be objects, too: Celery takes both.
    tasks = ((name, dict(entry).get("task", "")) for name, entry in given.items())
    return [Entry(name, task) for name, task in tasks if task in TASKS]


def _stored(databases: Iterable[str]) -> list[Entry] | None:
    """In rows of these databases; None when none of them could be asked."""
    answers = [rows for alias in databases if (rows := _rows(alias)) is not None]
    return [row for rows in answers for row in rows] if answers else None


def _rows(alias: str) -> list[Entry] | None:
    rows = apps.get_model("django_celery_beat", "PeriodicTask").objects.using(alias).filter(task__in=TASKS)
    try:
        with transaction.atomic(using=alias):
            return [Entry(*row) for row in rows.order_by("name").values_list("name", "task", "enabled")]
    except DatabaseError:  # the tables aren't there yet
        return None


@transaction.atomic
def add_rows(*, actor: Any) -> list[str]:
    """Make a row for each of our tasks that has none, and give their names. What an admin edited or switched off stays.

    Raises AccessDenied, or InvalidInput, and makes none, when a row of another task has one of the names.
    """
    access.require(actor, Deed.MAKE_SCHEDULE)
    model = apps.get_model("django_celery_beat", "PeriodicTask")
    known = set(model.objects.filter(task__in=TASKS).values_list("task", flat=True))
    missing = [name for task, name in TASKS.items() if task not in known]
    if taken := list(model.objects.filter(name__in=missing).values_list("name", flat=True)):
        raise InvalidInput(
            f"A row of this name runs another task: {', '.join(taken)}. Rename it in the admin first."
        )
    for name in missing:
        entry = SCHEDULE[name]
        expires = entry.get("options", {}).get("expires")
        model.objects.create(
            name=name,
            task=entry["task"],
            interval=_interval(entry["schedule"]),
            expire_seconds=expires,
            # Beat counts from here; else a machine that is switched off every night never reaches a full day. What is
            # frequent it does as soon as it starts.
            last_run_at=timezone.now() - timedelta(seconds=expires or 0),
        )
    if missing:
        audit.record("made schedule", actor=actor, fields=missing)
    return missing


def _interval(seconds: int) -> object:
    """In hours where that is whole: it is read in the admin."""
    every, period = (seconds // 3600, "hours") if seconds % 3600 == 0 else (seconds, "seconds")
    intervals = apps.get_model("django_celery_beat", "IntervalSchedule").objects
    return intervals.filter(every=every, period=period).first() or intervals.create(
        every=every, period=period
    )
