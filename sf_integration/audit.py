"""The one function that writes the audit trail."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .models import AuditEvent


def record(
    act: str, subject: Any = None, *, actor: Any, fields: Iterable[str] = (), username: str = ""
) -> AuditEvent:
    """Append one event. `subject` is a connection, signing key or API client; `fields` are names, never values."""
    return AuditEvent.objects.create(
        actor=actor.get_username() if hasattr(actor, "get_username") else str(actor),
        act=act,
        subject=getattr(subject, "name", ""),
        subject_id=getattr(subject, "pk", None),
        username=username,
        fields=sorted(fields),
    )
