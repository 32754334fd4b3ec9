"""The Django admin of connections, signing keys and what is kept about them. No secret is ever shown."""

from __future__ import annotations

from ..models import (
    AccessToken,
    Alarm,
    AlarmMessage,
    ApiClient,
    AuditEvent,
    CheckDay,
    ConnectedApp,
    ConnectionCheck,
    ConnectionEvent,
    SigningKey,
)
from . import alarms, api_clients, connections, histories, signing_keys

ORDER = (
    ConnectedApp,
    SigningKey,
    ApiClient,
    Alarm,
    AccessToken,
    ConnectionCheck,
    CheckDay,
    ConnectionEvent,
    AlarmMessage,
    AuditEvent,
)
"""From what one works with daily to what one looks up, for an index that doesn't sort by letters."""

__all__ = ["ORDER", "alarms", "api_clients", "connections", "histories", "signing_keys"]
