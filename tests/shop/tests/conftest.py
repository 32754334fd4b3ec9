from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest
import time_machine
from celery.contrib.testing.worker import start_worker
from celery.signals import before_task_publish
from django.core.cache import cache
from orders.models import Brand, Order

from shop.celery import app


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    cache.clear()


@pytest.fixture
def brand(db, salesforce_org) -> Brand:
    salesforce_org.connect("nordhafen")
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
def running_worker(django_db_setup) -> Iterator[None]:
    """A real Celery worker in a thread, over a broker in memory."""
    with start_worker(app, perform_ping_check=False):
        yield


@pytest.fixture
def worker(running_worker, transactional_db) -> None:
    """Tasks run meanwhile; what they write is seen by the test, and theirs."""


class TurnedClock:
    """What a message would wait for is put on the clock; then it goes out at once."""

    def __init__(self, traveller: time_machine.Traveller) -> None:
        self._traveller = traveller
        self.passed = 0.0
        self.waits: list[float] = []
        self._events: list[tuple[float, Callable[[], None]]] = []

    def at(self, seconds: float, act: Callable[[], None]) -> None:
        self._events.append((seconds, act))

    def deliver_now(self, headers: dict, **kwargs) -> None:
        if not headers["eta"]:
            return
        wait = (dt.datetime.fromisoformat(headers["eta"]) - dt.datetime.now(dt.UTC)).total_seconds()
        headers["eta"] = None
        self._traveller.shift(wait)
        self.passed += wait
        self.waits.append(wait)
        for seconds, act in self._events:
            if seconds <= self.passed:
                act()


@pytest.fixture
def clock() -> Iterator[TurnedClock]:
    with time_machine.travel(dt.datetime.now(dt.UTC)) as traveller:
        clock = TurnedClock(traveller)
        before_task_publish.connect(clock.deliver_now)
        yield clock
        before_task_publish.disconnect(clock.deliver_now)
