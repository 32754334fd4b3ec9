"""What the gunicorn under load serves: a call of `get_token`, timed, and what came of all of them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import django

django.setup()

from django.core import signals  # noqa: E402
from django.db.backends.base.base import BaseDatabaseWrapper  # noqa: E402
from django.db.backends.signals import connection_created  # noqa: E402

from sf_integration import get_token  # noqa: E402


@dataclass
class Tally:
    microseconds: list[float] = field(default_factory=list)
    tokens: set[int] = field(default_factory=set)
    queries: int = 0
    failed: int = 0


tally = Tally()
_lock = threading.Lock()


def count(execute: Callable[..., Any], *arguments: Any) -> Any:
    with _lock:
        tally.queries += 1
    return execute(*arguments)


def watch(connection: BaseDatabaseWrapper, **_: object) -> None:
    if count not in connection.execute_wrappers:
        connection.execute_wrappers.append(count)


connection_created.connect(watch)


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """`/begin` forgets what was counted, `/report` tells it, every other path is the name of a connection."""
    global tally  # noqa: PLW0603 - one of this process
    path = environ["PATH_INFO"].strip("/")
    told: object = {}
    # What Django does around each request: database connections end when they are due.
    signals.request_started.send(None, environ=environ)
    try:
        match path:
            case "begin":
                tally = Tally()
            case "report":
                told = _report(tally)
            case name:
                _timed(name)
        status = "200 OK"
    except Exception as exc:  # noqa: BLE001 - counted, and told
        tally.failed += 1
        status, told = "500 Failed", {"error": repr(exc)}
    finally:
        signals.request_finished.send(None)
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]


def _timed(name: str) -> None:
    started = time.perf_counter()
    token = get_token(name)
    took = time.perf_counter() - started
    tally.microseconds.append(took * 1e6)
    tally.tokens.add(hash(token.value))


def _report(found: Tally) -> dict[str, object]:
    return {
        "microseconds": found.microseconds,
        "tokens": len(found.tokens),
        "queries": found.queries,
        "failed": found.failed,
    }
