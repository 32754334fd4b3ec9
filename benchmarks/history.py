"""A past for the connections of a site: checks, days, events and the trail, as months of use leave them. Runs in their processes.

A hundred connections get theirs row by row; all others copy them, a statement a table.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from django.db import connection as database
from django.db.models import F, Q, Value
from django.db.models.functions import Concat
from django.utils import timezone

from sf_integration import health
from sf_integration.fields import seal
from sf_integration.models import (
    AccessToken,
    AuditEvent,
    CheckDay,
    ConnectedApp,
    ConnectionCheck,
    ConnectionEvent,
    SigningKey,
    settings_fingerprint,
)
from sf_integration.state import ConnectionState

from .connections import NAME

PATTERNS = 100
CHECKS, EVENTS, DAYS, ACTS = 100, 60, 30, 10
"""Of each connection."""
LONGEST = 4000
"""Checks of one that has failed for a month."""
FAILING, OUTAGE, PAUSED = 7, 13, 21
"""Which of a hundred: one fails, one has its login host down, one is paused."""
BUSIEST = f"{NAME}-0"
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
DOWN = "https://down.my.salesforce.com"
WORKS, FAILS = ConnectionState.HEALTHY.value, ConnectionState.FAILING.value


def live_through(first: int) -> None:
    """Give the connections from this number on their past and their present."""
    now = timezone.now()
    if not first:
        full, light = _checked(BUSIEST)
        for each in ConnectedApp.objects.filter(name__in=[f"{NAME}-{n}" for n in range(PATTERNS)]):
            ConnectionCheck.objects.bulk_create(_checks(each, full, light, now))
            ConnectionEvent.objects.bulk_create(_events(each, now))
            CheckDay.objects.bulk_create(_days(each, now))
            AuditEvent.objects.bulk_create(_acts(each, now))
    _present(now)
    for model, owner in (
        (ConnectionCheck, "connection_id"),
        (ConnectionEvent, "connection_id"),
        (CheckDay, "connection_id"),
        (AuditEvent, "subject_id"),
    ):
        _copy(model, owner, max(first, PATTERNS))
    _tokens(now)
    with database.cursor() as cursor:
        # As the database itself does sooner or later.
        cursor.execute("VACUUM ANALYZE" if database.vendor == "postgresql" else "ANALYZE")


def fail_for_long() -> None:
    """Give the busiest one all the checks that one may have."""
    now = timezone.now()
    connection = ConnectedApp.objects.get(name=BUSIEST)
    last = connection.checks.filter(light=False).first()
    assert last is not None
    ConnectionCheck.objects.bulk_create(
        _check(connection, last, now - number * dt.timedelta(minutes=10), FAILS)
        for number in range(LONGEST - CHECKS)
    )


def _checked(name: str) -> tuple[ConnectionCheck, ConnectionCheck]:
    """A whole check and a light one as they are stored."""
    connection = ConnectedApp.objects.get(name=name)
    found = [health.check_connection(connection, asked_by="bench", light=light) for light in (False, True)]
    assert all(check.healthy for check in found), found[0].steps
    ConnectionCheck.objects.all().delete()
    ConnectionEvent.objects.all().delete()
    return found[0], found[1]


def _number(connection: ConnectedApp) -> int:
    return int(connection.name.removeprefix(f"{NAME}-")) % PATTERNS


def _checks(
    connection: ConnectedApp, full: ConnectionCheck, light: ConnectionCheck, now: dt.datetime
) -> Iterator[ConnectionCheck]:
    """One an hour, at its own minute."""
    number = _number(connection)
    for hours in range(CHECKS):
        at = now - hours * HOUR - number * dt.timedelta(seconds=36)
        like = full if hours % 24 == number % 24 else light
        fails = (number == FAILING and hours < 30) or (number == OUTAGE and hours < 2)
        yield _check(connection, like, at, FAILS if fails else WORKS)


def _check(connection: ConnectedApp, like: ConnectionCheck, at: dt.datetime, state: str) -> ConnectionCheck:
    return ConnectionCheck(
        connection=connection,
        at=at,
        asked_by="beat",
        healthy=state == WORKS,
        light=like.light,
        state=state,
        steps=like.steps,
        trace=None,
        milliseconds=200 + at.minute * 7,
        api_used=like.api_used,
        api_limit=like.api_limit,
    )


def _events(connection: ConnectedApp, now: dt.datetime) -> Iterator[ConnectionEvent]:
    """A sign-in for each session of two hours; some of them go wrong."""
    number = _number(connection)
    for hours in range(0, EVENTS * 2, 2):
        kind, code = ConnectionEvent.Kind.SIGNED_IN, ""
        if number == FAILING and hours < 30:
            kind, code = ConnectionEvent.Kind.REFUSED, "invalid_grant"
        elif hours % 46 == number % 46:
            kind = ConnectionEvent.Kind.ENDED
        yield ConnectionEvent(
            connection=connection,
            at=now - hours * HOUR - number * dt.timedelta(seconds=36),
            kind=kind,
            username=connection.username,
            code=code,
            milliseconds=300,
        )


def _days(connection: ConnectedApp, now: dt.datetime) -> Iterator[CheckDay]:
    for days in range(5, 5 + DAYS):
        yield CheckDay(
            connection=connection,
            day=(now - days * DAY).date(),
            checks=25,
            healthy=25,
            worst_state=WORKS,
            median_milliseconds=200 + days,
            slowest_milliseconds=900,
            api_used=1200,
            api_limit=15000,
        )


def _acts(connection: ConnectedApp, now: dt.datetime) -> Iterator[AuditEvent]:
    for days in range(ACTS):
        yield AuditEvent(
            at=now - days * DAY, actor="bench", act="changed", subject_id=connection.pk, fields=["tags"]
        )


def _copy(model: type[Any], owner: str, first: int) -> None:
    """Let the connections from this number on have the rows of their pattern."""
    quote = database.ops.quote_name
    table, apps = quote(model._meta.db_table), quote(ConnectedApp._meta.db_table)
    columns = [
        quote(field.column) for field in model._meta.concrete_fields if field.column not in ("id", owner)
    ]
    new_id = "gen_random_uuid()" if database.vendor == "postgresql" else "lower(hex(randomblob(16)))"
    number = f"CAST(substr(copy.name, {len(NAME) + 2}) AS integer)"
    with database.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (id, {owner}, {', '.join(columns)}) "
            f"SELECT {new_id}, copy.id, {', '.join(f'{table}.{column}' for column in columns)} "
            f"FROM {apps} copy "
            f"JOIN {apps} pattern ON pattern.name = '{NAME}-' || ({number} %% {PATTERNS}) "
            f"JOIN {table} ON {table}.{owner} = pattern.id "
            f"WHERE {number} >= %s",
            [first],
        )


def _present(now: dt.datetime) -> None:
    """What checks and tokens noted of late."""
    known = ConnectedApp.objects.get(name=BUSIEST)
    everyone = ConnectedApp.objects.all()
    everyone.update(
        tags=["finance", "nightly"],
        expected_org_id=known.expected_org_id,
        organization=known.organization,
        last_checked_at=now,
        last_full_check_at=now,
        last_success_at=now,
        told_state=WORKS,
        environment_for=Concat(F("login_url"), Value(" "), F("consumer_key"), Value(" "), F("username")),
    )
    error = {
        "step": "sign_in",
        "code": "invalid_grant",
        "seen": "invalid_grant: user hasn't approved this consumer",
        "cause": "The user is not pre-authorised for the app.",
        "who": "the org's admin",
        "remedy": "Assign the app's permission set to the user.",
        "where": "Setup → External Client App Manager",
    }
    down = error | {"code": "dns", "seen": "Name or service not known", "cause": "The host has no address."}
    _some(FAILING).update(failing_since=now - 30 * HOUR, last_error=error, told_state=FAILS)
    _some(OUTAGE).update(
        login_url=DOWN,
        environment_for=Concat(Value(f"{DOWN} "), F("consumer_key"), Value(" "), F("username")),
        failing_since=now - 2 * HOUR,
        last_error=down,
        told_state=FAILS,
    )
    _some(PAUSED).update(enabled=False, told_state=ConnectionState.PAUSED.value)
    ending = SigningKey.objects.order_by("name").last()
    assert ending is not None
    SigningKey.objects.filter(pk=ending.pk).update(not_after=now + 20 * DAY)


def _some(number: int) -> Any:
    """Of each hundred the one with that number."""
    last_digits = Q(name__endswith=f"{number:02}") | Q(name=f"{NAME}-{number}")
    return ConnectedApp.objects.filter(last_digits)


def _tokens(now: dt.datetime) -> None:
    """Rows that are neither due nor of other settings."""
    AccessToken.objects.all().delete()
    AccessToken.objects.bulk_create(_token_rows(now), batch_size=1000)


def _token_rows(now: dt.datetime) -> Iterator[AccessToken]:
    for connection in ConnectedApp.objects.select_related("signing_key").iterator():
        row = AccessToken(
            connection=connection,
            username=connection.username,
            instance_url=connection.login_url,
            issued_at=now,
            refresh_at=now + 1.5 * HOUR,
            expected_expiry=now + 2 * HOUR,
            settings_fingerprint=settings_fingerprint(connection, connection.username),
            logins=1,
            logins_since=now,
        )
        row.value = seal(AccessToken, "value", row.pk, b"a token that nothing reads")
        yield row
