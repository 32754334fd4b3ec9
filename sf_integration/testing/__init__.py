"""A stand-in for Salesforce: an org with a token endpoint and a REST API, for tests and demonstrations.

It shares no code with the rest of the app, so that it can prove it wrong.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .apps import App
    from .messages import Request
    from .orgs import Org
    from .standin import StandIn
    from .users import User

__all__ = ["App", "Org", "Request", "StandIn", "User"]

_HOMES = {"App": "apps", "Org": "orgs", "Request": "messages", "StandIn": "standin", "User": "users"}


def __getattr__(name: str) -> Any:
    """Load the stand-in when it is first named: pytest imports this package in every site that has the app."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
