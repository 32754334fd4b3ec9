"""What is left of the past: days rolled up, old rows pruned."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection as database

from sf_integration import health, tasks
from sf_integration.models import CheckDay, ConnectedApp, ConnectionCheck, ConnectionEvent, RecentLookup
from sf_integration.testing.django import ConnectableOrg

pytestmark = pytest.mark.django_db(transaction=True)

NOW = dt.datetime(2027, 3, 2, 9, 30, tzinfo=dt.UTC)
MIDNIGHT = NOW.replace(hour=0, minute=0)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


@pytest.fixture
def acme(salesforce_org: ConnectableOrg) -> ConnectedApp:
    return salesforce_org.connect("acme")


def check(connection: ConnectedApp, at: dt.datetime, state: str = "Healthy", **more: Any) -> None:
    ConnectionCheck.objects.create(
        connection=connection, at=at, asked_by="beat", state=state, healthy=state == "Healthy", **more
    )


def days() -> list[tuple[dt.date, int, str]]:
    return list(CheckDay.objects.order_by("day").values_list("day", "checks", "worst_state"))


def test_a_finished_day_becomes_one_row(acme: ConnectedApp) -> None:
    check(acme, MIDNIGHT - DAY, milliseconds=100, api_used=7, api_limit=90)
    check(acme, MIDNIGHT - 5 * HOUR, "Paused", milliseconds=900)
    check(acme, MIDNIGHT - 4 * HOUR, "Needs attention", milliseconds=300, api_used=8, api_limit=100)
    check(acme, MIDNIGHT)
    assert health.tidy(NOW)
    assert CheckDay.objects.values().get() == {
        "id": CheckDay.objects.get().pk,
        "connection_id": acme.pk,
        "day": dt.date(2027, 3, 1),
        "checks": 3,
        "healthy": 1,
        "worst_state": "Needs attention",
        "median_milliseconds": 300,
        "slowest_milliseconds": 900,
        "api_used": 8,
        "api_limit": 100,
    }


def test_a_day_is_finished_once_its_last_checks_are_stored(acme: ConnectedApp) -> None:
    check(acme, MIDNIGHT - HOUR)
    health.tidy(MIDNIGHT + dt.timedelta(minutes=2))
    assert days() == []
    health.tidy(MIDNIGHT + dt.timedelta(minutes=11))
    assert days() == [(dt.date(2027, 3, 1), 1, "Healthy")]


def test_a_check_goes_when_it_is_old_and_its_day_stays(acme: ConnectedApp) -> None:
    check(acme, NOW - 31 * DAY, "Failing")
    check(acme, NOW - 29 * DAY)
    health.tidy(NOW)
    assert ConnectionCheck.objects.get().at == NOW - 29 * DAY
    assert days() == [(dt.date(2027, 1, 30), 1, "Failing"), (dt.date(2027, 2, 1), 1, "Healthy")]


def test_what_is_told_of_a_day_is_not_retold_from_what_pruning_left(acme: ConnectedApp) -> None:
    for hours in (3, 5, 7):
        check(acme, MIDNIGHT - hours * HOUR)
    health.tidy(NOW)
    ConnectionCheck.objects.filter(at__lt=MIDNIGHT - 4 * HOUR).delete()
    health.tidy(NOW)
    assert days() == [(dt.date(2027, 3, 1), 3, "Healthy")]


@pytest.mark.parametrize("kept", [0, -3])
def test_nothing_is_pruned_before_it_is_rolled_up(acme: ConnectedApp, settings: Any, kept: int) -> None:
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"KEEP_CHECKS_DAYS": kept}
    check(acme, MIDNIGHT - HOUR)
    check(acme, MIDNIGHT + HOUR)
    health.tidy(NOW)
    assert ConnectionCheck.objects.get().at == MIDNIGHT + HOUR


def test_it_can_stop_anywhere_and_goes_on_from_there(
    salesforce_org: ConnectableOrg, acme: ConnectedApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sf_integration.health.history._CONNECTIONS", 1)
    monkeypatch.setattr("sf_integration.health.history._ROWS", 1)
    other = salesforce_org.connect("other", signing_key=acme.signing_key)
    for connection in (acme, other):
        for ago in (1, 2, 40):
            check(connection, NOW - ago * DAY)
    calls = 1
    while not health.tidy(NOW, seconds=0):
        calls += 1
        rolled_up = set(CheckDay.objects.values_list("connection", "day"))
        kept = {(pk, at.date()) for pk, at in ConnectionCheck.objects.values_list("connection", "at")}
        assert len(rolled_up | kept) == 6
        assert calls < 200
    assert calls > 6
    assert (CheckDay.objects.count(), ConnectionCheck.objects.count()) == (6, 4)


def test_a_connection_deleted_meanwhile_does_not_stop_it(
    salesforce_org: ConnectableOrg, acme: ConnectedApp
) -> None:
    gone = salesforce_org.connect("gone", signing_key=acme.signing_key)
    for connection in (acme, gone):
        check(connection, NOW - DAY)
    deleted: list[bool] = []

    def delete_in_between(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("INSERT") and not deleted:
            deleted.append(True)
            ConnectedApp.objects.filter(pk=gone.pk).delete()
        return execute(sql, params, many, context)

    with database.execute_wrapper(delete_in_between):
        assert health.tidy(NOW)
    assert deleted
    assert CheckDay.objects.filter(connection=acme).exists()


def test_old_events_days_and_lookups_go(acme: ConnectedApp) -> None:
    user = User.objects.create_user("alice")
    for ago in (13, 16):
        ConnectionEvent.objects.create(connection=acme, at=NOW - ago * DAY, kind="signed in")
    for ago in (399, 402):
        CheckDay.objects.create(
            connection=acme,
            day=(NOW - ago * DAY).date(),
            checks=1,
            healthy=1,
            worst_state="Healthy",
            median_milliseconds=1,
            slowest_milliseconds=1,
        )
    for number in range(13):
        at = NOW - (91 * DAY if number == 3 else number * HOUR)
        RecentLookup.objects.create(
            user=user, connection=acme, sobject="Account", record_id=f"001{number}", at=at
        )
    assert health.tidy(NOW)
    assert ConnectionEvent.objects.get().at == NOW - 13 * DAY
    assert CheckDay.objects.get().day == (NOW - 399 * DAY).date()
    left = set(RecentLookup.objects.values_list("record_id", flat=True))
    assert left == {f"001{number}" for number in range(11)} - {"0013"}


def test_a_task_that_has_more_to_do_lets_others_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bool] = []
    answers = iter([False, True])
    monkeypatch.setattr(health, "tidy", lambda: next(answers))
    monkeypatch.setattr(tasks.tidy_history, "apply_async", lambda: sent.append(True))
    tasks.tidy_history()
    assert sent == [True]
    tasks.tidy_history()
    assert sent == [True]
