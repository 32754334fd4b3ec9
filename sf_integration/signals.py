"""What other Django code can listen to; docs/overriding.md says when each is sent, and from where.

No receiver ever gets a token or a key, and none is run inside a transaction of ours or of a caller. What one raises is logged
by Django and harms nothing; how long it takes is waited for, by a sweep only when all its tokens are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from django.dispatch import Signal

from .state import ConnectionState

__all__ = [
    "ConnectionState",
    "alarm_changed",
    "certificate_ending",
    "connection_health_changed",
    "held_back",
    "send",
    "signing_key_promoted",
    "token_refresh_failed",
    "token_refreshed",
]

token_refreshed = Signal()
"""`connection, username, seconds`: after each sign-in that brought a token."""
token_refresh_failed = Signal()
"""`connection, username, seconds, error`: after each that brought none that may be used; a SalesforceError."""
connection_health_changed = Signal()
"""`connection, previous, state`: two ConnectionStates, once per change."""
certificate_ending = Signal()
"""`signing_key, days_left, stage`: once for each of 60, 30, 14, 7, 1 and 0 days before the certificate of a signing key in use
ends; `signing_key.connections` and `.staged_connections` are those who use it. 0: it has ended."""
signing_key_promoted = Signal()
"""`connection, previous, signing_key`: once when a connection left a signing key for its staged one."""
alarm_changed = Signal()
"""`alarm, change`: once when one is "raised", each time it is told "louder", and when it has "ended"; after the commit."""

_held_back: ContextVar[list[Callable[[], Any]] | None] = ContextVar("_held_back", default=None)


def send(signal: Signal, sender: type, **facts: Any) -> None:
    """To all receivers, whatever they raise; at the end of the block inside `held_back`."""
    work = partial(signal.send_robust, sender, **facts)
    waiting = _held_back.get()
    if waiting is None:
        work()
    else:
        waiting.append(work)


@contextmanager
def held_back() -> Iterator[None]:
    """Let receivers wait for the end of the block, however it ends: a slow one would have claims of others lapse."""
    waiting: list[Callable[[], Any]] = []
    token = _held_back.set(waiting)
    try:
        yield
    finally:
        _held_back.reset(token)
        for work in waiting:
            work()
