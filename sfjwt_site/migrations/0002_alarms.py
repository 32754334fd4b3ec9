"""The schedule of alarms, for sites that have the others already."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.utils import timezone

NAME = "sf_integration: alarms"


def make_schedule(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    Interval = apps.get_model("django_celery_beat", "IntervalSchedule")
    Task = apps.get_model("django_celery_beat", "PeriodicTask")
    interval, _ = Interval.objects.get_or_create(every=60, period="seconds")
    Task.objects.get_or_create(
        name=NAME,
        defaults={
            "task": "sf_integration.alarms",
            "interval": interval,
            "expire_seconds": 60,
            "last_run_at": timezone.now(),
        },
    )


def remove_schedule(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=NAME).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("sfjwt_site", "0001_schedules"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
        # What the task needs: it comes with the tables that it writes to.
        ("sf_integration", "0010_operating"),
    ]
    operations = [migrations.RunPython(make_schedule, remove_schedule)]
