"""The tasks under a real Celery worker with beat, on whatever broker the settings name."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

from sf_integration import health, tasks, tokens
from sf_integration.models import AccessToken, ConnectedApp, ConnectionCheck, Heartbeat
from sf_integration.schedule import SCHEDULE
from sf_integration.testing.django import ConnectableOrg

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def worker(
    environment: dict[str, str], org: ConnectableOrg, log: Path, *, beat: bool, queue: str = "celery"
) -> Iterator[None]:
    """A worker process, stopped by TERM; fails when it does not stop."""
    command = [
        *(
            sys.executable,
            "-m",
            "celery",
            "-A",
            "sfjwt_site",
            "worker",
            "--pool",
            "threads",
            "--concurrency",
            "2",
        ),
        *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO", "-Q", queue),
        *(["-B"] if beat else []),
    ]
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            env={**environment, "SF_ALLOWED_HOSTS": org.url.split("://")[1]},
            stdout=output,
            stderr=output,
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def wait_for(condition: Callable[[], bool], what: str, log: Path, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {seconds} s\n{log.read_text()[-3000:]}"
        time.sleep(0.1)


def every_second(task: str) -> None:
    schedule, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.update_or_create(
        name=task, defaults={"task": task, "interval": schedule, "crontab": None, "enabled": True}
    )
    PeriodicTasks.update_changed()


def beat_renews_and_checks(org: ConnectableOrg, environment: dict[str, str], log: Path) -> None:
    org.connect("acme")
    first = tokens.get("acme")
    AccessToken.objects.update(refresh_at=timezone.now() - dt.timedelta(seconds=1))
    every_second("sf_integration.refresh_due_tokens")
    every_second("sf_integration.check_due_connections")
    with worker(environment, org, log, beat=True):
        wait_for(lambda: AccessToken.objects.get().version > 1, "renewal", log)
        wait_for(ConnectionCheck.objects.exists, "check", log)
        wait_for(Heartbeat.objects.exists, "heartbeat", log)
    tokens.reset()
    assert tokens.get("acme") != first
    assert org.token_requests == 2
    assert ConnectionCheck.objects.latest("at").asked_by == "beat"
    assert ConnectedApp.objects.get().connection_state().value == "Healthy"
    assert first.value not in log.read_text()


def test_worker_with_beat_renews_and_checks(
    salesforce_org: ConnectableOrg, process_environment: dict[str, str], tmp_path: Path
) -> None:
    beat_renews_and_checks(salesforce_org, process_environment, tmp_path / "worker.log")


@pytest.mark.redis_worker
def test_a_message_through_redis_is_worked_off(
    salesforce_org: ConnectableOrg, process_environment: dict[str, str], tmp_path: Path
) -> None:
    salesforce_org.connect("acme")
    log = tmp_path / "worker.log"
    with worker(process_environment, salesforce_org, log, beat=False):
        tasks.refresh_due_tokens.delay()
        wait_for(lambda: AccessToken.objects.filter(value__isnull=False).exists(), "token", log)
    assert salesforce_org.token_requests == 1


def test_schedule_for_other_sites_names_real_tasks() -> None:
    from celery import current_app

    for entry in SCHEDULE.values():
        assert entry["task"] in current_app.tasks


def test_task_arguments_are_ids_only(salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch) -> None:
    salesforce_org.connect("acme")
    sent: list[object] = []
    monkeypatch.setattr(tasks.refresh_batch, "apply_async", lambda arguments, **_: sent.append(arguments))
    tasks.refresh_due_tokens()
    row = AccessToken.objects.get()
    assert json.loads(json.dumps(sent)) == [[[str(row.pk)]]]


def test_check_batch_skips_what_was_paused_meanwhile(salesforce_org: ConnectableOrg) -> None:
    connection = salesforce_org.connect("acme", enabled=False)
    tasks.check_batch([(str(connection.pk), False)])
    assert not ConnectionCheck.objects.exists()
    assert salesforce_org.requests == []


def test_doubled_check_messages_check_once(salesforce_org: ConnectableOrg) -> None:
    connection = salesforce_org.connect("acme")
    for _ in range(2):
        tasks.check_batch([(str(connection.pk), False)])
    assert ConnectionCheck.objects.count() == 1


def test_a_connection_deleted_while_it_is_checked_does_not_stop_the_others(
    salesforce_org: ConnectableOrg,
) -> None:
    from sf_integration.signals import token_refreshed

    first = salesforce_org.connect("a1")
    salesforce_org.connect("a2", signing_key=first.signing_key)

    def delete(connection: ConnectedApp, **_: object) -> None:
        ConnectedApp.objects.filter(name="a1", pk=connection.pk).delete()

    token_refreshed.connect(delete, weak=False, dispatch_uid="test")
    try:
        tasks.check_batch([(str(found.pk), False) for found in ConnectedApp.objects.all()])
    finally:
        token_refreshed.disconnect(dispatch_uid="test")
    assert [found.connection.name for found in ConnectionCheck.objects.all()] == ["a2"]


def test_a_fault_in_one_check_does_not_stop_the_others(
    salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = salesforce_org.connect("a1")
    salesforce_org.connect("a2", signing_key=first.signing_key)
    check, met = health.check_connection, []

    def break_off_at_first(connection: ConnectedApp, **how: Any) -> object:
        met.append(connection.name)
        return 1 / 0 if len(met) == 1 else check(connection, **how)

    monkeypatch.setattr(health, "check_connection", break_off_at_first)
    tasks.check_batch([(str(found.pk), False) for found in ConnectedApp.objects.all()])
    assert [found.connection.name for found in ConnectionCheck.objects.all()] == met[1:]
    assert len(met) == 2
