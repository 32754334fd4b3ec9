"""Whether this process may get requests. Trouble with an org, the broker or the scheduler never takes it out of service."""

from __future__ import annotations

from pathlib import Path

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache

from . import clock
from .alarms import watch
from .conf import settings
from .fields import keyring
from .health import scheduler
from .models import missing_signers
from .sealed_columns import missing_keys_of_late


@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """503 for an unreachable database, unapplied migrations of this release, no usable encryption key, or by request."""
    problems = [*_drained(), *_database_problems()]
    if not keyring().keys:
        problems.append("no usable encryption key: set SF_ENCRYPTION_KEYS")
    body = {
        "ready": not problems,
        "problems": problems,
        "scheduler": _scheduler() if not problems else None,
        "clock": _clock() if not problems else None,
        "missing_encryption_keys": list(missing_keys_of_late()) if not problems else None,
        # A number: whoever asks a probe is told no name. `manage.py check --database default` tells them.
        "missing_signers": len(missing_signers()) if not problems else None,
    }
    return JsonResponse(body, status=503 if problems else 200)


def _drained() -> list[str]:
    """A server that is told to end cuts what it has not accepted yet, so balancers must have turned away before."""
    if settings.DRAIN_FILE and Path(settings.DRAIN_FILE).exists():
        return [f"being taken out of service: {settings.DRAIN_FILE} is there"]
    return []


def _database_problems() -> list[str]:
    try:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return ["migrations of this release are not applied: run manage.py migrate"]
    except DatabaseError:
        return ["the database does not answer"]
    return []


def _clock() -> dict[str, object]:
    """How far hosts may misjudge each other's times; None where there is one host only."""
    ahead = clock.seconds_ahead_of_database()
    return {"seconds_ahead_of_database": ahead, "off": clock.is_off(ahead)}


def _scheduler() -> dict[str, object]:
    """When beat last renewed tokens; None for never. Silence is told, not punished: callers renew in line."""
    heartbeat, now = scheduler.last_heartbeat(), timezone.now()
    silent = scheduler.is_silent(heartbeat, now)
    if silent:
        watch.scheduler_is_silent()
    return {
        "seconds_since_heartbeat": scheduler.seconds_since(heartbeat, now),
        "silent": silent,
    }
