"""Told by whoever looks, when the scheduler is who does not."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from sf_integration.alarms import watch
from sf_integration.health import scheduler
from sf_integration.models import Alarm, Heartbeat
from tests.alarms.conftest import World, minutes

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    watch.forget()
    yield
    watch.forget()


def wait_for_the_watch() -> None:
    for thread in threading.enumerate():
        if thread.name == "alarm of a silent scheduler":
            thread.join(20)


def looked_long_ago() -> None:
    """As if the last look had been longer ago than the time that it takes to be told."""
    wait_for_the_watch()
    watch.forget()
    Alarm.objects.update(raised_at=timezone.now() - minutes(3))
    Heartbeat.objects.filter(name="round of alarms").update(at=timezone.now() - minutes(1))


@pytest.mark.parametrize("path", ["/readyz", "/connections/"])
def test_probes_and_pages_have_a_silent_scheduler_told(world: World, admin_client: Client, path: str) -> None:
    Heartbeat.objects.filter(name=scheduler.REFRESH).update(at=timezone.now() - minutes(10))
    for _ in range(3):
        assert admin_client.get(path).status_code == 200
    looked_long_ago()
    assert Alarm.objects.get().told_at is None
    admin_client.get(path)
    wait_for_the_watch()
    assert [message.subject for message in mail.outbox] == [
        "[Salesforce connections] The scheduler is silent"
    ]
    for _ in range(2):
        looked_long_ago()
        admin_client.get(path)
    wait_for_the_watch()
    assert len(mail.outbox) == 1


@pytest.mark.once
def test_a_probe_looks_once_a_minute_and_not_at_all_where_nobody_is_to_be_told(
    world: World, settings: Any
) -> None:
    Heartbeat.objects.filter(name=scheduler.REFRESH).update(at=timezone.now() - minutes(10))
    threads = [watch.scheduler_is_silent() for _ in range(3)]
    assert [thread is None for thread in threads] == [False, True, True]
    wait_for_the_watch()
    watch.forget()
    world.configure(ALARM_MAIL=[])
    assert watch.scheduler_is_silent() is None


@pytest.mark.once
def test_a_new_installation_without_a_scheduler_is_given_an_hour(world: World) -> None:
    Heartbeat.objects.all().delete()
    assert scheduler.silent_since(world.now) is None
    world.connect("acme", created_at=world.now)
    assert scheduler.silent_since(world.now + dt.timedelta(minutes=59)) is None
    assert scheduler.silent_since(world.now + dt.timedelta(minutes=60)) == world.now


@pytest.mark.once
def test_a_look_that_fails_harms_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("with a secret")

    monkeypatch.setattr(watch.rounds, "run", broken)
    thread = watch.scheduler_is_silent()
    assert thread is not None
    thread.join(10)
    assert "broke off: RuntimeError" in caplog.text
    assert "secret" not in caplog.text
