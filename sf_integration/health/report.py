"""What is stored about health, for other programs as JSON; the trace of a check as a text: for a page, a shell, a support ticket."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.utils import timezone

from ..models import ConnectedApp, ConnectionCheck
from ..salesforce import trace

NO_SIGN_IN = "No sign-in was tried."


def trace_text(connection: ConnectedApp, check: ConnectionCheck) -> str:
    """Of a stored check; holds no secret."""
    at = timezone.localtime(check.at)
    head = f"Connection {connection.name}, {at:%Y-%m-%d %H:%M:%S %Z}: {check.state}"
    return f"{head}\n\n{trace.as_text(check.trace) if check.trace else NO_SIGN_IN}\n"


def with_ages(connection: ConnectedApp, now: dt.datetime) -> dict[str, Any]:
    """As health.json has it."""
    return {
        **connection.summary(now),
        "seconds_since_check": _seconds_since(connection.last_checked_at, now),
        "seconds_since_success": _seconds_since(connection.last_success_at, now),
        "seconds_failing": _seconds_since(connection.failing_since, now),
        "certificate_days": connection.signing_key.days_left(now),
    }


def as_json(connection: ConnectedApp, now: dt.datetime) -> dict[str, Any]:
    """The same, with the steps of the last check."""
    last = connection.checks.first()
    healthy = connection.connection_state(now).is_healthy
    return {**with_ages(connection, now), "healthy": healthy, "steps": last.steps if last else []}


def _seconds_since(moment: dt.datetime | None, now: dt.datetime) -> int | None:
    return None if moment is None else max(round((now - moment).total_seconds()), 0)
