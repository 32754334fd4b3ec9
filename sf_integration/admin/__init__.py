"""The Django admin of connections, signing keys and what is kept about them. No secret is ever shown."""

from __future__ import annotations

from . import connections, histories, signing_keys

__all__ = ["connections", "histories", "signing_keys"]
