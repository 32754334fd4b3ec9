"""What a check leaves behind: facts about the org, the outcome, the warnings."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.utils import timezone

from ..models import ConnectedApp, settings_fingerprint
from ..salesforce.errors import SalesforceError
from ..state import ConnectionState
from ..tokens import renewal
from .steps import FAILED, NOT_REACHED, OK, WARNING, Run, Step

_FORBIDDING = (
    ConnectionState.PAUSED,
    ConnectionState.NOT_ALLOWED_HERE,
    ConnectionState.ENCRYPTION_KEY_MISSING,
)
_OF_A_WARNING = ("step", "code", "message", "cause", "remedy", "who", "where")


def store_facts(run: Run, steps: Sequence[Step], error: SalesforceError | None, *, light: bool) -> bool:
    """Write only what this run learned. False, and nothing written, when the connection was edited or deleted meanwhile."""
    now = timezone.now()
    connection = run.connection
    taken = {step.step for step in steps if step.status != NOT_REACHED}
    changes: dict[str, Any] = {
        "last_checked_at": now,
        "warnings": _warnings(connection, steps, taken),
    }
    if not light:
        changes |= {"last_full_check_at": now} | _settings_seen(connection, now)
    if run.organization:
        changes |= {
            "environment": run.organization["environment"],
            "environment_for": connection.environment_subject,
        }
    if told := _told(run) | _met(run) | _usage_fact(run, now):
        changes["organization"] = connection.organization | told
    if error is None and run.identity and not connection.expected_org_id:
        changes["expected_org_id"] = run.identity.organization_id
    if error is None and run.api_version and not connection.api_version:
        changes["api_version"] = run.api_version
    asked = {
        field: getattr(connection, field)
        for field in ("login_url", "audience", "consumer_key", "username", "signing_key_id")
    }
    if not ConnectedApp.objects.filter(pk=connection.pk, **asked).update(**changes):
        return False
    for name, value in changes.items():
        setattr(connection, name, value)
    return True


def _settings_seen(connection: ConnectedApp, now: dt.datetime) -> dict[str, Any]:
    """Which settings this check saw, and since when they are the present ones."""
    fingerprint = settings_fingerprint(connection, connection.username)
    checked_at, noted_at = connection.last_full_check_at, connection.settings_since
    if checked_at is None or fingerprint == connection.checked_fingerprint:
        since = noted_at or connection.created_at
    else:
        # An edit that was not made by a form or an import is first seen here.
        since = noted_at if noted_at and noted_at > checked_at else now
    return {"checked_fingerprint": fingerprint, "settings_since": since}


def store_outcome(run: Run, steps: Sequence[Step], error: SalesforceError | None) -> None:
    """What forbids any call (paused, not allowed here, encryption key missing) is a state of its own, no failure."""
    now = timezone.now()
    failed = next((step for step in steps if step.status == FAILED), None)
    # The sign-in told what it changed, by an instance of its own.
    run.connection.refresh_from_db(fields=["told_state"])
    if failed is not None and run.connection.connection_state(now) in _FORBIDDING:
        renewal.tell_change(run.connection, now)
        return
    if error is not None:
        renewal.note_failure(run.connection, error, now, step=failed.step if failed else "")
        return
    passed = [step.step for step in steps if step.status in (OK, WARNING)]
    renewal.note_success([run.connection], now, passed=passed)


def _warnings(connection: ConnectedApp, steps: Sequence[Step], taken: set[str]) -> list[dict[str, str]]:
    """Those of this run, and those of steps that it did not take. The certificate's end is read live, not stored."""
    kept = [warning for warning in connection.warnings if warning.get("step") not in taken]
    found = [
        {name: value for name, value in step.as_json().items() if name in _OF_A_WARNING and value}
        for step in steps
        if step.status == WARNING and step.code != "certificate_ending"
    ]
    return kept + found


def _told(run: Run) -> dict[str, Any]:
    return run.organization | {"subject": run.connection.environment_subject} if run.organization else {}


def _met(run: Run) -> dict[str, Any]:
    """Who answered, also when it is not who is expected: a page shows both side by side."""
    if run.identity is None:
        return {}
    met = {
        "subject": run.connection.environment_subject,
        "username": run.identity.username,
        "org_id": run.identity.organization_id,
        "newest_version": run.newest_version or run.connection.met.get("newest_version", ""),
    }
    return {"met": met}


def _usage_fact(run: Run, now: dt.datetime) -> dict[str, Any]:
    if run.usage is None:
        return {}
    return {"api_usage": {"used": run.usage.used, "limit": run.usage.limit, "at": now.isoformat()}}
