"""The Django admin of connections, signing keys and what is kept about them. No secret is ever shown."""

from __future__ import annotations

from ..models import (
    AccessToken,
    ApiClient,
    AuditEvent,
    CheckDay,
    ConnectedApp,
    ConnectionCheck,
    ConnectionEvent,
    SigningKey,
)
from . import api_clients, connections, histories, signing_keys

ORDER = (
    ConnectedApp,
    SigningKey,
    ApiClient,
    AccessToken,
    ConnectionCheck,
    CheckDay,
    ConnectionEvent,
    AuditEvent,
)
"""From what one works with daily to what one looks up, for an index that doesn't sort by letters."""

__all__ = ["ORDER", "api_clients", "connections", "histories", "signing_keys"]
