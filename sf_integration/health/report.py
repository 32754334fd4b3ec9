"""The trace of a check as a text: for a page, for a shell, for a support ticket."""

from __future__ import annotations

from django.utils import timezone

from ..models import ConnectedApp, ConnectionCheck
from ..salesforce import trace

NO_SIGN_IN = "No sign-in was tried."


def trace_text(connection: ConnectedApp, check: ConnectionCheck) -> str:
    """Of a stored check; holds no secret."""
    at = timezone.localtime(check.at)
    head = f"Connection {connection.name}, {at:%Y-%m-%d %H:%M:%S %Z}: {check.state}"
    return f"{head}\n\n{trace.as_text(check.trace) if check.trace else NO_SIGN_IN}\n"
