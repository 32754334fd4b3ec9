"""The schedules of the background work, made once: from then on they are edited in the admin."""

from __future__ import annotations

from datetime import timedelta

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.utils import timezone

# Name in the admin, task, period.
SCHEDULES = [
    ("sf_integration: refresh due tokens", "sf_integration.refresh_due_tokens", 60, "seconds"),
    ("sf_integration: check connections", "sf_integration.check_due_connections", 60, "seconds"),
    ("sf_integration: alarms", "sf_integration.alarms", 60, "seconds"),
    ("sf_integration: housekeeping", "sf_integration.housekeeping", 24, "hours"),
]


def make_schedules(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    Interval = apps.get_model("django_celery_beat", "IntervalSchedule")
    Task = apps.get_model("django_celery_beat", "PeriodicTask")
    for name, task, every, period in SCHEDULES:
        interval, _ = Interval.objects.get_or_create(every=every, period=period)
        Task.objects.get_or_create(
            name=name,
            defaults={
                "task": task,
                "interval": interval,
                # A frequent message that waited a whole period is stale: the next one is there already.
                "expire_seconds": every if period == "seconds" else None,
                # Beat counts from here; else a machine switched off every night never reaches a full day. What is
                # frequent it does as soon as it starts: in the first minute pages would say that it has never run.
                "last_run_at": timezone.now() - timedelta(seconds=every if period == "seconds" else 0),
            },
        )


def remove_schedules(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(
        name__in=[name for name, *_ in SCHEDULES]
    ).delete()


class Migration(migrations.Migration):
    dependencies = [("django_celery_beat", "0019_alter_periodictasks_options")]
    operations = [migrations.RunPython(make_schedules, remove_schedules)]
