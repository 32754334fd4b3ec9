"""The Celery tasks: a few lines each over functions anyone can call. Arguments are ids, never objects or secrets."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from uuid import UUID

from celery import shared_task
from celery.signals import worker_ready
from django.db import DatabaseError, IntegrityError, connections
from django.utils import timezone

from . import alarms, clock, health, keystore, tokens
from .health import scheduler
from .models import ConnectedApp, Heartbeat
from .schedule import PERIOD_SECONDS
from .sealed_columns import missing_keys
from .services import rotation, selected

_CHECKS_PER_MESSAGE = 20
_SELECTED_WAITS_SECONDS = selected.WAITS_FOR.total_seconds()

log = logging.getLogger("sf_integration.tasks")


@shared_task(name="sf_integration.refresh_due_tokens", ignore_result=True)
def refresh_due_tokens() -> None:
    """Hand out the tokens to renew in batches. A batch that nobody took within a period is handed out anew."""
    Heartbeat.beat(scheduler.REFRESH)
    clock.warn_if_off()
    for batch in tokens.due_batches():
        refresh_batch.apply_async(([str(row_id) for row_id in batch],), expires=PERIOD_SECONDS)


@shared_task(name="sf_integration.refresh_batch", ignore_result=True)
def refresh_batch(row_ids: list[str]) -> None:
    tokens.refresh_batch([UUID(row_id) for row_id in row_ids])


@shared_task(name="sf_integration.check_due_connections", ignore_result=True)
def check_due_connections() -> None:
    due = [(str(connection_id), light) for connection_id, light in health.due_for_check()]
    for start in range(0, len(due), _CHECKS_PER_MESSAGE):
        check_batch.apply_async((due[start : start + _CHECKS_PER_MESSAGE],), expires=PERIOD_SECONDS)


@shared_task(name="sf_integration.check_batch", ignore_result=True)
def check_batch(due: list[tuple[str, bool]]) -> None:
    """Check with the stored tokens; a check by beat signs in only when there is none. A doubled message does nothing.

    A fault of ours in one check, told by its kind only, must not cost the others theirs.
    """
    wanted = dict(due)
    just_now = timezone.now() - timedelta(seconds=PERIOD_SECONDS / 2)
    waiting = ConnectedApp.objects.filter(pk__in=wanted, enabled=True).exclude(last_checked_at__gt=just_now)
    for connection in waiting.select_related("signing_key"):
        light = wanted[str(connection.pk)]
        try:
            health.check_connection(connection, asked_by="beat", light=light, renew=False)
        except IntegrityError:
            log.info("connection %s was deleted while it was checked", connection.name)
        except Exception as exc:  # noqa: BLE001
            log.error("the check of connection %s broke off: %s", connection.name, type(exc).__name__)


@shared_task(name="sf_integration.selected", ignore_result=True, expires=_SELECTED_WAITS_SECONDS)
def begin_selected(act: str, ids: list[str], asked_by: str, began: str) -> None:
    """What somebody asked for many connections at once: in a few lanes side by side."""
    for lane in selected.lanes(ids):
        selected_lane.delay(act, lane, asked_by, began)


@shared_task(name="sf_integration.selected_lane", ignore_result=True, expires=_SELECTED_WAITS_SECONDS)
def selected_lane(act: str, ids: list[str], asked_by: str, began: str) -> None:
    """A few of them. The rest lines up anew, so that nothing else waits long for the worker."""
    now, later = ids[: selected.PER_MESSAGE], ids[selected.PER_MESSAGE :]
    selected.work(act, now, asked_by, datetime.fromisoformat(began))
    if later:
        selected_lane.delay(act, later, asked_by, began)


@shared_task(name="sf_integration.alarms", ignore_result=True)
def tell_alarms() -> None:
    alarms.tell()


@shared_task(name="sf_integration.housekeeping", ignore_result=True)
def housekeeping() -> None:
    """Once a day: what only time, or a changed list of encryption keys, makes true or needless."""
    health.tell_changes()
    keystore.warn_of_ends()
    tokens.delete_unused()
    rotation.retire_unused()
    tidy_history()


@shared_task(name="sf_integration.tidy_history", ignore_result=True)
def tidy_history() -> None:
    """Roll up and prune, a few seconds at a time: what renews tokens may be waiting for this very worker."""
    if not health.tidy():
        tidy_history.apply_async()


@worker_ready.connect
def tell_missing_keys(**_: object) -> None:
    """At the start: a worker that lacks an encryption key passes over what it sealed, and nobody runs `check` for it."""
    try:
        for key_id, what in missing_keys().items():
            log.warning(
                "encryption key missing (id %s): it sealed %s; add it to SF_ENCRYPTION_KEYS", key_id, what
            )
    except DatabaseError:
        log.warning("the database did not tell which encryption keys are needed")
    finally:
        connections.close_all()  # this thread needs none; one left open would be inherited by forked children
