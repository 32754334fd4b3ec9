"""Callers of a site in a process of their own, which takes nothing from the site's. Nothing here imports Django."""

from __future__ import annotations

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection

from .processes import serve

CALLERS = 4


@dataclass(frozen=True)
class Load:
    answers: int
    failed: int
    seconds: float
    cpu_seconds: float = 0.0
    """Of the site's worker."""

    @property
    def milliseconds(self) -> float:
        """Of the worker's time, for each."""
        return self.seconds / max(self.answers, 1) * 1e3


def serve_callers(pipe: Connection) -> None:
    """Away from the first core, which is the site's."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, set(cores[1:]) or {*cores})
    serve(pipe)


def call_for(port: int, request: bytes, seconds: float) -> Load:
    started = time.perf_counter()
    with ThreadPoolExecutor(CALLERS) as pool:
        counts = [*pool.map(lambda _: _calls(port, request, started + seconds), range(CALLERS))]
    took = time.perf_counter() - started
    return Load(sum(answers for answers, _ in counts), sum(failed for _, failed in counts), took)


def _calls(port: int, request: bytes, until: float) -> tuple[int, int]:
    """Answers, and how many of them were no token. By the socket: a client library would take longer than the site."""
    answers = failed = 0
    open_one: socket.socket | None = None
    while time.perf_counter() < until:
        if open_one is None:
            open_one = socket.create_connection(("127.0.0.1", port), timeout=30)
        open_one.sendall(request)
        head, is_kept = _answer(open_one)
        answers += 1
        failed += not head.startswith(b"HTTP/1.1 200 ")
        if not is_kept:
            open_one.close()
            open_one = None
    if open_one is not None:
        open_one.close()
    return answers, failed


def _answer(connection: socket.socket) -> tuple[bytes, bool]:
    """The head of one answer, read to its end, and whether the connection stays."""
    received = b""
    while b"\r\n\r\n" not in received:
        more = connection.recv(65536)
        if not more:
            return received, False
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    fields = head.lower()
    length = int(fields.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head, b"connection: close" not in fields
