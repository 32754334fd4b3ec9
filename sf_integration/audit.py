"""The audit trail: who did what, never what it was."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any
from uuid import uuid5

from django.db import IntegrityError, transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from .models import AuditEvent

TAKES = ("took token", "looked up", "downloaded", "asked identity")
"""Acts that need the connection; all others look after it."""
READS = (*TAKES, "looked for the fault", "tested values", "made set-up kit")
"""Acts that change nothing."""

_request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)


def middleware(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Lets the trail name who changes rights on pages that know nothing of it, such as the admin's users and groups.

    It stands anywhere behind Django's AuthenticationMiddleware.
    """

    def remember(request: HttpRequest) -> HttpResponse:
        token = _request.set(request)
        try:
            return get_response(request)
        finally:
            _request.reset(token)

    return remember


def acting() -> Any:
    """Whoever is signed in to the page that runs here; None where there is none."""
    user = getattr(_request.get(), "user", None)
    return user if user is not None and user.is_authenticated else None


def record(
    act: str,
    subject: Any = None,
    *,
    actor: Any,
    fields: Iterable[str] = (),
    username: str = "",
    count: int = 1,
) -> AuditEvent:
    """Append one event. `subject` is a connection, signing key or API client; `fields` are names, never values."""
    return AuditEvent.objects.create(
        actor=_name(actor),
        act=act,
        subject=getattr(subject, "name", ""),
        subject_id=getattr(subject, "pk", None),
        username=username,
        fields=sorted(fields),
        count=count,
    )


def record_many(
    act: str,
    subjects: Iterable[Any],
    *,
    actor: Any,
    fields: Iterable[str] = (),
    at: dt.datetime | None = None,
) -> list[AuditEvent]:
    """As `record`, one event for each subject, all of one moment."""
    told = {"at": at or timezone.now(), "actor": _name(actor), "act": act, "fields": sorted(fields)}
    events = [AuditEvent(subject=each.name, subject_id=each.pk, **told) for each in subjects]
    return AuditEvent.objects.bulk_create(events, batch_size=500)


def record_use(
    act: str, subject: Any, *, actor: Any, username: str, count: int = 1, at: dt.datetime | None = None
) -> None:
    """As `record`, for what programs do all day: one event per minute, with a count, whichever processes tell of it."""
    at = at or timezone.now()
    minute = f"{at.astimezone(dt.UTC):%Y-%m-%dT%H:%M}"
    event_id = uuid5(subject.pk, "\0".join((act, _name(actor), username, minute)))
    same = AuditEvent.objects.filter(pk=event_id)
    if same.update(count=F("count") + count):
        return
    event = AuditEvent(
        pk=event_id,
        at=at,
        actor=_name(actor),
        act=act,
        subject=subject.name,
        subject_id=subject.pk,
        username=username,
        count=count,
    )
    try:
        with transaction.atomic():
            event.save(force_insert=True)
    except IntegrityError:  # another process was first
        same.update(count=F("count") + count)


def _name(actor: Any) -> str:
    return actor.get_username() if hasattr(actor, "get_username") else str(actor)
