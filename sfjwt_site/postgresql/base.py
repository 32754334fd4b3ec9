"""Django's PostgreSQL backend, which never waits for a server that is gone.

libpq bounds how long a connection takes to make, not how long a statement waits for its answer: of a server that froze, or
whose host vanished without a word, threads would wait for ever, and soon all of a web process hang. How long a statement
may take is another question, which nobody asks here: while the server lives, its answer is waited for.
"""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, TypeVar

import psycopg
from django.db.backends.postgresql import base
from psycopg.abc import PQGen

LOOK_AFTER_SECONDS = 4.0
"""How long an answer may take before we look whether the server still lives, and again as often."""
ANSWERS_WITHIN_SECONDS = 3
"""How long a living server may take to answer a new connection; libpq knows whole seconds."""

_Result = TypeVar("_Result")


class WatchedConnection(psycopg.Connection[Any]):
    """Raises OperationalError, and is closed, when the server turns out to be gone while an answer is waited for."""

    def wait(self, gen: PQGen[_Result], *args: Any, **kwargs: Any) -> _Result:
        return super().wait(self._watched(gen), *args, **kwargs)

    def _watched(self, gen: PQGen[_Result]) -> PQGen[_Result]:
        """The same steps. Each tenth of a second without anything ready comes by here."""
        look_at = time.monotonic() + LOOK_AFTER_SECONDS
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() >= look_at:
                    self._require_living_server()
                    look_at = time.monotonic() + LOOK_AFTER_SECONDS
                wanted = gen.send(ready)
        except StopIteration as end:
            result: _Result = end.value
            return result

    def _require_living_server(self) -> None:
        try:
            # Without the password: that it is asked for is a sign of life too.
            psycopg.connect(self.info.dsn, connect_timeout=ANSWERS_WITHIN_SECONDS).close()
        except psycopg.errors.ConnectionTimeout as exc:
            self.close()
            raise psycopg.OperationalError("the database server no longer answers") from exc
        except psycopg.Error:
            return  # refused at once: then this connection ends as well, or the server has its reasons


class DatabaseWrapper(base.DatabaseWrapper):
    Database = SimpleNamespace(**vars(psycopg) | {"connect": WatchedConnection.connect})  # type: ignore[assignment]
    """The driver, as Django asks for it. A pool asks for none: name WatchedConnection as its `connection_class`."""
