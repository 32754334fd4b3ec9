from __future__ import annotations

import datetime as dt
import itertools
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest
import time_machine
from celery import Task
from celery.contrib.testing.worker import TestWorkController
from celery.signals import before_task_publish
from django.core.cache import cache
from orders.models import Brand, Order
from shop.celery import app


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    cache.clear()


@pytest.fixture
def brand(db, salesforce_org) -> Brand:
    salesforce_org.connect("nordhafen", api_version="67.0")
    return Brand.objects.create(slug="nordhafen", connection="nordhafen")


@pytest.fixture
def new_order(brand) -> Callable[[], Order]:
    numbers = itertools.count(1)

    def make() -> Order:
        number, paid_on = f"W-{next(numbers):05d}", dt.date(2026, 11, 2)
        return Order.objects.create(number=number, brand=brand, total=Decimal("48.50"), paid_on=paid_on)

    return make


@pytest.fixture
def order(new_order) -> Order:
    return new_order()


@pytest.fixture(scope="session")
def running_worker(django_db_setup, django_db_blocker) -> None:
    """A real Celery worker over a broker in memory; its thread ends with the process, since to stop it takes seconds."""
    worker = TestWorkController(app=app, pool="solo", without_gossip=True, without_mingle=True)
    with django_db_blocker.unblock():  # it asks for the brands at its start
        threading.Thread(target=worker.start, daemon=True).start()
        worker.ensure_started()


@pytest.fixture
def work(running_worker, transactional_db) -> Callable[..., str]:
    """Hand a task to the worker and wait: `work(push_order, 1)` gives "SUCCESS" or "FAILURE"."""

    def work(task: Task, *args: object) -> str:
        result = task.delay(*args)
        result.get(timeout=20, interval=0.01, propagate=False, disable_sync_subtasks=False)
        return result.state

    return work


class TurnedClock:
    """What a message would wait for is put on the clock; then it goes out at once."""

    def __init__(self, traveller: time_machine.Traveller) -> None:
        self._traveller = traveller
        self.passed = 0.0
        self.waits: list[float] = []
        self._events: list[tuple[float, Callable[[], None]]] = []

    def at(self, seconds: float, act: Callable[[], None]) -> None:
        self._events.append((seconds, act))

    def turn(self, seconds: float) -> None:
        self._traveller.shift(seconds)
        self.passed += seconds
        for due, act in self._events:
            if due <= self.passed:
                act()

    def deliver_now(self, headers: dict, **kwargs) -> None:
        if not headers["eta"]:
            return
        wait = (dt.datetime.fromisoformat(headers["eta"]) - dt.datetime.now(dt.UTC)).total_seconds()
        headers["eta"] = None
        self.waits.append(wait)
        self.turn(wait)


@pytest.fixture
def clock() -> Iterator[TurnedClock]:
    with time_machine.travel(dt.datetime.now(dt.UTC)) as traveller:
        clock = TurnedClock(traveller)
        before_task_publish.connect(clock.deliver_now)
        yield clock
        before_task_publish.disconnect(clock.deliver_now)
