"""The audit trail as people read it: what they may see of it, narrowed, and as a file of any length."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from django.db import connection as database
from django.db.models import QuerySet

from .. import access, audit
from ..access import Deed
from ..models import AuditEvent, ConnectedApp
from .queries import csv_lines, without_formula

ROWS_AT_ONCE = 2_000
"""Fetched and written at a time, so that a million rows take no more memory than these."""
COLUMNS = ("at", "actor", "act", "subject", "subject_id", "username", "fields", "count")
_FEW = 200
"""Connections whose rows are found each by the index; of more, the rows are gone through by their time."""


@dataclass(frozen=True)
class Question:
    """What is asked for; what is empty narrows nothing."""

    actor: str = ""
    act: str = ""
    connection: str = ""
    """Name of a connection, also of one that is deleted; or of a signing key, API client, user or group."""
    username: str = ""
    """Of Salesforce."""
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    """The first moment that is too late."""

    def narrowed_by(self) -> list[str]:
        return [each.name for each in fields(self) if getattr(self, each.name)]


def visible_events(actor: Any) -> QuerySet[AuditEvent]:
    """Those of connections that `actor` may see; for superusers all. Nothing for who may not see the trail."""
    events = AuditEvent.objects.all()
    if not access.may(actor, Deed.SEE_AUDIT):
        return events.none()
    if actor.is_superuser:
        return events
    visible = access.visible_to(actor).order_by().values_list("pk", flat=True)
    few = list(visible[: _FEW + 1])
    return events.filter(subject_id__in=few if len(few) <= _FEW else visible)


def matching(question: Question, *, actor: Any) -> QuerySet[AuditEvent]:
    """The newest first. Raises AccessDenied."""
    access.require(actor, Deed.SEE_AUDIT)
    events = visible_events(actor).order_by("-at", "-pk")
    exactly = {name: getattr(question, name) for name in ("actor", "act", "username")}
    events = events.filter(**{name: value for name, value in exactly.items() if value})
    if question.connection:
        events = events.filter(**_about(question.connection))
    if question.since:
        events = events.filter(at__gte=question.since)
    return events.filter(at__lt=question.until) if question.until else events


def _about(name: str) -> dict[str, Any]:
    """A connection that is there is found by its id, whatever it was called; all else by the name of then."""
    found = ConnectedApp.objects.filter(name=name).values_list("pk", flat=True).first()
    return {"subject_id": found} if found else {"subject": name}


def acts() -> list[str]:
    """Each act that was ever done, in order of the alphabet. From one entry of the index to the next, not through all rows."""
    table = AuditEvent._meta.db_table
    with database.cursor() as cursor:
        cursor.execute(
            f"WITH RECURSIVE each(act) AS (SELECT MIN(act) FROM {table} UNION ALL "  # noqa: S608 - no input
            f"SELECT (SELECT MIN(act) FROM {table} WHERE act > each.act) FROM each WHERE each.act IS NOT NULL) "
            "SELECT act FROM each WHERE act IS NOT NULL"
        )
        return [act for (act,) in cursor.fetchall()]


# ---- as a file ------------------------------------------------------------------------------------------------------


def export(question: Question, *, actor: Any) -> Iterator[list[AuditEvent]]:
    """All that match, the newest first, some at a time, read as they are taken. That it was done is in the trail, with the names of the filters.

    Raises AccessDenied.
    """
    access.require(actor, Deed.EXPORT_AUDIT)
    found = matching(question, actor=actor)
    newest = found.first()
    audit.record("exported audit trail", actor=actor, fields=question.narrowed_by())
    return _walked(found, newest)


def _walked(found: QuerySet[AuditEvent], newest: AuditEvent | None) -> Iterator[list[AuditEvent]]:
    """From the one on, backwards: by short queries, since a cursor would be held open as long as somebody downloads."""
    rows = [] if newest is None else [newest]
    while rows:
        yield rows
        last = rows[-1]
        rows = list(found.filter(at__lte=last.at).exclude(at=last.at, pk__gte=last.pk)[:ROWS_AT_ONCE])


def as_json(event: AuditEvent) -> dict[str, object]:
    values = {name: getattr(event, name) for name in COLUMNS}
    return values | {
        "at": _moment(event.at),
        "subject_id": None if event.subject_id is None else str(event.subject_id),
    }


def write_csv(batches: Iterator[list[AuditEvent]]) -> Iterator[bytes]:
    """RFC 4180 in UTF-8; names of fields with blanks between. Texts that a spreadsheet would take for a formula have a ' before them.

    Source: OWASP, "CSV Injection".
    """
    yield csv_lines([COLUMNS])
    for events in batches:
        yield csv_lines([[_cell(value) for value in as_json(event).values()] for event in events])


def _cell(value: object) -> str:
    if isinstance(value, list):
        value = " ".join(map(str, value))
    return "" if value is None else without_formula(str(value))


def write_json(batches: Iterator[list[AuditEvent]]) -> Iterator[bytes]:
    """An array, an event a line."""
    begins = "[\n"
    for events in batches:
        lines = ",\n".join(json.dumps(as_json(event), ensure_ascii=False) for event in events)
        yield f"{begins}{lines}".encode()
        begins = ",\n"
    yield b"[]\n" if begins == "[\n" else b"\n]\n"


def _moment(at: dt.datetime) -> str:
    return at.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


KINDS: Mapping[str, tuple[str, Callable[[Iterator[list[AuditEvent]]], Iterator[bytes]]]] = {
    "csv": ("text/csv; charset=utf-8", write_csv),
    "json": ("application/json", write_json),
}
