"""How often tokens are handed out: counted in memory, told to the row once a minute."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from django.db import connection as database
from django.db import transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sf_integration import aget_token, get_token, tokens
from sf_integration.models import AccessToken
from sf_integration.testing.django import ConnectableOrg
from tests.tokens.test_timeline import Timeline, timeline

__all__ = ["timeline"]

pytestmark = pytest.mark.django_db(transaction=True)

OPS = "ops@nordhafen.example"


def uses() -> int:
    return AccessToken.objects.get().uses


def look_again() -> None:
    for copy in tokens.current().copies.values():
        copy.next_look = 0.0


def a_minute_later() -> None:
    for each in tokens.current().uses.values():
        each._told_at -= 61
    look_again()


def test_ten_busy_minutes_cost_a_write_a_minute(salesforce_org: ConnectableOrg, timeline: Timeline) -> None:
    """200 calls a second at first, then a few at each step: what a step holds makes no difference to the writes."""
    salesforce_org.connect("acme")
    get_token("acme")
    asked = 1
    with CaptureQueriesContext(database) as captured:
        for step in range(10 * 60 * 5):
            for _ in range(40 if step < 100 else 4):
                get_token("acme")
                asked += 1
            timeline.advance(0.2)
    told = [query["sql"] for query in captured if query["sql"].startswith("UPDATE")]
    assert 9 <= len(told) <= 10
    row = AccessToken.objects.get()
    assert asked - 4 * 60 * 5 <= row.uses < asked
    assert (timezone.now() - row.last_used_at).total_seconds() <= 65


def test_a_token_taken_from_memory_by_coroutines_only_is_in_use(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")

    async def ask(times: int) -> None:
        for _ in range(times):
            await aget_token("acme")

    asyncio.run(ask(10))
    assert uses() == 1
    a_minute_later()
    asyncio.run(ask(1))
    assert uses() == 11


def test_callers_in_transactions_are_noted_when_they_commit(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.add_user(OPS)
    salesforce_org.connect("acme", extra_usernames=[OPS])
    with transaction.atomic():
        get_token("acme", username=OPS)
    row = AccessToken.objects.get()
    assert row.uses == 1
    assert row.last_used_at is not None
    a_minute_later()
    with transaction.atomic():
        get_token("acme", username=OPS)
        transaction.set_rollback(True)
    assert uses() == 1
    look_again()
    with transaction.atomic():
        get_token("acme", username=OPS)
    assert uses() == 3


def test_checks_are_no_use(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    tokens.get("acme", counts_as_use=False)
    tokens.get("acme", counts_as_use=False)
    assert AccessToken.objects.get().last_used_at is None
    get_token("acme")
    a_minute_later()
    tokens.get("acme", counts_as_use=False)
    assert uses() == 0
    look_again()
    get_token("acme")
    assert uses() == 2


def test_an_ended_session_loses_no_count(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    token = get_token("acme")
    get_token("acme")
    tokens.renew("acme", None, token)
    a_minute_later()
    get_token("acme")
    assert uses() == 4


@contextmanager
def written_by_another() -> Iterator[None]:
    """Somebody else holds SQLite's write lock."""
    with closing(sqlite3.connect(database.settings_dict["NAME"])) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.rollback()


def test_nobody_waits_to_be_counted(salesforce_org: ConnectableOrg) -> None:
    if database.vendor != "sqlite":
        pytest.skip("PostgreSQL has no write lock for all")
    salesforce_org.connect("acme")
    get_token("acme")
    a_minute_later()
    with database.cursor() as cursor:
        patience = cursor.execute("PRAGMA busy_timeout").fetchone()
        with written_by_another():
            started = time.monotonic()
            get_token("acme")
            assert time.monotonic() - started < 1
        assert cursor.execute("PRAGMA busy_timeout").fetchone() == patience
    assert uses() == 1
    look_again()
    get_token("acme")
    assert uses() == 3
