"""A socket that answers as no decent server would."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

Behaviour = Callable[["Visit"], None]


class Visit:
    """One connection, as the behaviour under test sees it."""

    def __init__(self, connection: socket.socket, server: RawServer) -> None:
        self.connection = connection
        self.number = server.visits
        """1 for the first connection."""
        self._server = server

    def read_request(self) -> bytes:
        """The next request as it came; empty when the client has gone."""
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := self.connection.recv(65_536)):
                return b""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            ),
            0,
        )
        while len(body) < length and (more := self.connection.recv(65_536)):
            body += more
        self._server.requests.append(head + b"\r\n\r\n" + body)
        return self._server.requests[-1]

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def answer(self, body: bytes, *headers: str, status: str = "200 OK") -> None:
        lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers)
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def drip(self, data: bytes, seconds: float = 0.05) -> None:
        """Send byte by byte, until the test is over."""
        for byte in data:
            if self._server.stopping.wait(seconds):
                return
            self.send(bytes((byte,)))

    @property
    def goes_on(self) -> bool:
        return not self._server.stopping.is_set()


class RawServer:
    """Runs a behaviour for each connection, one thread each."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self.stopping = threading.Event()
        self.requests: list[bytes] = []
        self.visits = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.stopping.set()
        for opened in (self._listener, *self._connections):
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            self.visits += 1
            threading.Thread(target=self._visit, args=(Visit(connection, self),), daemon=True).start()

    def _visit(self, visit: Visit) -> None:
        with suppress(OSError):
            self._behaviour(visit)
        with suppress(OSError):
            visit.connection.shutdown(socket.SHUT_RDWR)
        visit.connection.close()
