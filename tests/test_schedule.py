"""Which schedule is in force, what the checks say of it, and the rows that `salesforce schedule` makes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from celery import current_app
from celery.beat import ScheduleEntry
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.test import modify_settings
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from sf_integration.models import AuditEvent
from sf_integration.schedule import SCHEDULE

pytestmark = pytest.mark.django_db

REFRESH, CHECKS = "sf_integration: refresh due tokens", "sf_integration: check connections"

without_rows = modify_settings(INSTALLED_APPS={"remove": "django_celery_beat"})


@pytest.fixture(autouse=True)
def nothing_scheduled() -> None:
    PeriodicTask.objects.all().delete()


@pytest.fixture
def celery_schedule() -> Iterator[dict[str, Any]]:
    before = current_app.conf.beat_schedule
    current_app.conf.beat_schedule = {}
    yield current_app.conf.beat_schedule
    current_app.conf.beat_schedule = before


def told(*, deploy: bool = True, databases: list[str] | None = None) -> dict[str, str]:
    """By id, what the checks say of the schedule."""
    found = run_checks(tags=["sf_integration"], include_deployment_checks=deploy, databases=databases)
    ids = {f"sf_integration.{number}" for number in ("I001", "W007", "W008")}
    return {str(each.id)[-4:]: each.msg for each in found if each.id in ids}


def make_rows() -> str:
    out = io.StringIO()
    call_command("salesforce", "schedule", stdout=out)
    return out.getvalue()


# ---- which is in force ----------------------------------------------------------------------------------------------


@without_rows
def test_none_is_told_and_is_no_mistake() -> None:
    assert told() == {"I001": "Schedule in force: none. No checks by beat, and no alarms."}


@without_rows
def test_the_ready_schedule_is_told(settings: Any) -> None:
    settings.CELERY_BEAT_SCHEDULE = {**SCHEDULE, "other": {"task": "orders.push", "schedule": 1}}
    assert told() == {"I001": "Schedule in force: CELERY_BEAT_SCHEDULE."}


@without_rows
def test_what_was_given_to_the_celery_application_itself_is_told(celery_schedule: dict[str, Any]) -> None:
    celery_schedule[REFRESH] = SCHEDULE[REFRESH]
    assert set(told()) == {"I001", "W007"}


@without_rows
def test_an_entry_may_be_an_object_as_celery_takes_it(celery_schedule: dict[str, Any]) -> None:
    celery_schedule[REFRESH] = ScheduleEntry(REFRESH, SCHEDULE[REFRESH]["task"], schedule=60, app=current_app)
    assert "refresh" not in told()["W007"]


def test_rows_are_read_only_where_databases_are_asked_for() -> None:
    assert told() == {
        "I001": "Schedule in force: rows of django-celery-beat. Which: manage.py check --deploy --database default."
    }
    assert "none" in told(databases=["default"])["I001"]
    make_rows()
    assert told(databases=["default"]) == {"I001": "Schedule in force: rows of django-celery-beat."}


def test_a_row_that_an_admin_switched_off_is_told_and_is_no_mistake() -> None:
    make_rows()
    PeriodicTask.objects.filter(name=CHECKS).update(enabled=False)
    assert told(databases=["default"]) == {
        "I001": "Schedule in force: rows of django-celery-beat, where sf_integration.check_due_connections is switched off."
    }


def test_an_ordinary_start_says_nothing() -> None:
    make_rows()
    assert told(deploy=False, databases=["default"]) == {}


# ---- what is wrong with it ------------------------------------------------------------------------------------------


@without_rows
def test_missing_tasks_are_named(settings: Any) -> None:
    settings.CELERY_BEAT_SCHEDULE = {REFRESH: SCHEDULE[REFRESH], CHECKS: SCHEDULE[CHECKS]}
    assert told(deploy=False) == {
        "W007": "The schedule lacks sf_integration.alarms, sf_integration.housekeeping."
    }


@without_rows
def test_a_task_named_twice_is_named(settings: Any) -> None:
    settings.CELERY_BEAT_SCHEDULE = {**SCHEDULE, "mine": SCHEDULE[REFRESH]}
    assert told(deploy=False) == {
        "W008": f"The schedule runs sf_integration.refresh_due_tokens 2 times: by “{REFRESH}”, “mine”."
    }


def test_rows_that_beat_made_of_the_settings_count_once(settings: Any) -> None:
    settings.CELERY_BEAT_SCHEDULE = SCHEDULE
    make_rows()
    assert set(told(databases=["default"])) == {"I001"}
    PeriodicTask.objects.filter(name=REFRESH).update(name="renamed")
    assert "“renamed”" in told(databases=["default"])["W008"]


# ---- the rows -------------------------------------------------------------------------------------------------------


def test_rows_are_those_of_the_ready_schedule_and_of_the_ready_site() -> None:
    assert "made" in make_rows()
    rows = PeriodicTask.objects.select_related("interval")
    made = {(row.name, row.task, row.interval.every, row.interval.period, row.expire_seconds) for row in rows}
    assert made == {
        (REFRESH, "sf_integration.refresh_due_tokens", 60, "seconds", 60),
        (CHECKS, "sf_integration.check_due_connections", 60, "seconds", 60),
        ("sf_integration: alarms", "sf_integration.alarms", 60, "seconds", 60),
        ("sf_integration: housekeeping", "sf_integration.housekeeping", 24, "hours", None),
    }
    due = {row.name for row in rows if row.schedule.is_due(row.last_run_at).is_due}
    assert due == SCHEDULE.keys() - {"sf_integration: housekeeping"}, (
        "what is frequent is due as soon as beat starts"
    )
    event = AuditEvent.objects.get()
    assert (event.act, event.actor) == ("made schedule", "command line")
    assert event.fields == sorted(SCHEDULE)


def test_what_an_admin_did_is_not_undone() -> None:
    hourly = IntervalSchedule.objects.create(every=1, period="hours")
    PeriodicTask.objects.create(name="by hand", task="sf_integration.alarms", interval=hourly, enabled=False)
    make_rows()
    PeriodicTask.objects.filter(name=CHECKS).update(interval=hourly, name="mine")
    before = sorted(PeriodicTask.objects.values_list("name", "task", "interval__every", "enabled"))
    AuditEvent.objects.all().delete()
    assert make_rows() == "All rows are there already; nothing was changed.\n"
    assert not AuditEvent.objects.exists()
    assert sorted(PeriodicTask.objects.values_list("name", "task", "interval__every", "enabled")) == before
    assert len(before) == 4


def test_a_name_that_another_task_has_is_told_and_nothing_is_made() -> None:
    hourly = IntervalSchedule.objects.create(every=1, period="hours")
    PeriodicTask.objects.create(name=CHECKS, task="orders.push", interval=hourly)
    with pytest.raises(CommandError, match=f"runs another task: {CHECKS}"):
        make_rows()
    assert PeriodicTask.objects.count() == 1


@without_rows
def test_without_django_celery_beat_the_other_way_is_told() -> None:
    with pytest.raises(CommandError, match=r"CELERY_BEAT_SCHEDULE = \{\*\*SCHEDULE\}"):
        make_rows()
