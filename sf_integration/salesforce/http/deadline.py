"""Connections whose every read is held to one deadline.

A socket's time-out is per read, so an answer that drips outlives it; and several addresses of a name would each get the whole of it.
"""

from __future__ import annotations

import http.client
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from .failures import StaleConnection

# A connection has no argument for a deadline, and requests builds its own: so it is handed over beside the call.
_present = threading.local()


@contextmanager
def held_to(deadline: float) -> Iterator[None]:
    """Whatever this thread reads meanwhile; `deadline` by the monotonic clock."""
    _present.deadline = deadline
    try:
        yield
    finally:
        _present.deadline = None


class _DeadlineReader(io.RawIOBase):
    """Reads a socket with the time that is left as its time-out."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: float) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._sock.settimeout(remaining)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        deadline = getattr(_present, "deadline", None)
        if deadline is not None:
            raw = self.fp.detach()
            self.fp = io.BufferedReader(_DeadlineReader(raw, sock, deadline))

    def _safe_read(self, amt: int) -> bytes:
        """Asked for each chunk. urllib3 believes one of a negative length, which would be read to the end, past every cap."""
        if amt < 0:
            raise http.client.IncompleteRead(b"")
        return super()._safe_read(amt)  # type: ignore[misc,no-any-return]


def _addresses(host: str, port: int | None, connection: Any) -> list[str]:
    """Numeric addresses of a host, in the system's order."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as exc:  # no name at all, as with a label of more than 63 letters
        raise NameResolutionError(host, connection, socket.gaierror(str(exc))) from exc
    except socket.gaierror as exc:
        raise NameResolutionError(host, connection, exc) from exc
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _DeadlineConnection:
    """Mixed into urllib3's two connection classes."""

    response_class: Any = _Response
    _answers = 0
    """Over the present socket."""

    def connect(self) -> None:
        self._answers = 0
        super().connect()  # type: ignore[misc]

    def _new_conn(self: Any) -> socket.socket:
        """As urllib3's, but all addresses of a name share the time that is left; there each gets the whole of it."""
        connect: Callable[[], socket.socket] = super()._new_conn  # type: ignore[misc]
        deadline = getattr(_present, "deadline", None)
        if deadline is None:
            return connect()
        name, failed = self._dns_host, None
        try:
            for address in _addresses(name, self.port, self):
                self._dns_host = address
                self.timeout = max(deadline - time.monotonic(), 0.001)
                try:
                    sock = connect()
                except (ConnectTimeoutError, NewConnectionError) as exc:
                    failed = exc
                else:
                    sock.settimeout(max(deadline - time.monotonic(), 0.001))  # for the handshake of TLS
                    return sock
            raise failed or OSError("the name has no address")
        finally:
            self._dns_host = name

    def getresponse(self) -> Any:
        try:
            response = super().getresponse()  # type: ignore[misc]
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as exc:
            if self._answers:
                raise StaleConnection("") from exc
            raise
        self._answers += 1
        return response


class _HTTPConnection(_DeadlineConnection, HTTPConnection):
    pass


class _HTTPSConnection(_DeadlineConnection, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


POOL_CLASSES = {"http": _HTTPPool, "https": _HTTPSPool}
