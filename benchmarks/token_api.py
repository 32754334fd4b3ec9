"""`POST /api/jwtauth` by one gunicorn worker on one core, with a token that can be served."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

from sf_integration import get_token
from sf_integration.access import SHELL
from sf_integration.models import ConnectedApp
from sf_integration.services import api_clients

from .bench import Bench
from .connections import NAME, connect
from .databases import SQLITE, Database
from .processes import Remote, serve
from .results import Result
from .salesforce import Address, Salesforce

TITLE = "The HTTP token API, one gunicorn worker"
CALLERS = 4
MOST_MILLISECONDS = 2.0
"""For an answer: 500 in a second."""
BARE = "a bare Django view, same JSON"
SYNC = ("--worker-class", "sync")
KEEP_ALIVE = ("--worker-class", "gthread", "--threads", str(CALLERS), "--keep-alive", "60")
SITE, REFERENCE = "sfjwt_site.wsgi:application", "benchmarks.bare_site:application"


@dataclass(frozen=True)
class Load:
    answers: int
    failed: int
    seconds: float

    @property
    def milliseconds(self) -> float:
        """Of the worker's time, for each."""
        return self.seconds / max(self.answers, 1) * 1e3


def measure(bench: Bench) -> Iterator[Result]:
    for database in bench.databases:
        yield from _on(bench, database, SYNC, "sync")
    if not bench.quick:
        yield from _on(bench, SQLITE, KEEP_ALIVE, "gthread, connections kept")


def _on(bench: Bench, database: Database, workers: tuple[str, ...], words: str) -> Iterator[Result]:
    seconds = bench.either(6.0, 1.5)
    with Salesforce() as org, bench.site(database, org.address) as site, Remote(_caller) as caller:
        api_key = site.worker().call(prepare, org.address)
        environment = site.environment | {"SF_TOKEN_API": "on", "SF_TOKEN_API_CALLS_PER_MINUTE": str(10**9)}
        logins = org.token_requests
        bench.say(f"answers in {seconds:.1f} s, {words}, {database.name}")
        ours = _load(caller, environment, SITE, workers, api_key, seconds)
        bare = _load(caller, environment, REFERENCE, workers, api_key, seconds)
        logins = org.token_requests - logins
    facts = {
        "answers a second:": ours.answers / ours.seconds,
        "bare:": bare.answers / bare.seconds,
        "sign-ins:": logins,
    }
    what = f"POST /api/jwtauth, {words}, {database.name}"
    yield Result(what, ours.milliseconds, "ms", bare.milliseconds, BARE, most=MOST_MILLISECONDS, facts=facts)
    yield Result(
        f"answers that failed, or cost a sign-in, {words}, {database.name}", ours.failed + logins, most=0
    )


def _load(
    caller: Remote,
    environment: dict[str, str],
    application: str,
    workers: tuple[str, ...],
    api_key: str,
    seconds: float,
) -> Load:
    with _served(environment, application, workers) as port:
        caller.ask((call_for, (port, api_key, 0.3), {}))  # reads what is read once
        load: Load = caller.ask((call_for, (port, api_key, seconds), {}))
    return load


@contextmanager
def _served(environment: dict[str, str], application: str, workers: tuple[str, ...]) -> Iterator[int]:
    """Port of a gunicorn with one worker, which has a core for itself where that can be had."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        port, number = listener.getsockname()[1], listener.fileno()
        command = [
            *(sys.executable, "-m", "gunicorn", "--bind", f"fd://{number}", "--log-level", "error"),
            *("--workers", "1", *workers, application),
        ]
        with _pinned(0):  # what is started meanwhile stays so
            gunicorn = subprocess.Popen(command, env={**os.environ, **environment}, pass_fds=[number])
    try:
        yield port
    finally:
        gunicorn.terminate()
        gunicorn.wait(20)


@contextmanager
def _pinned(which: int) -> Iterator[None]:
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(cores)[which]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


# In the site's worker


def prepare(address: Address) -> str:
    """A connection with a token, and the API key of a client that may take it."""
    connect(address)
    get_token(NAME)
    found = ConnectedApp.objects.get(name=NAME)
    return str(api_clients.make("bench", connections=[found], actor=SHELL).api_key)


# In the process of the callers, away from the worker's core


def _caller(pipe: Connection) -> None:
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, set(cores[1:]) or {*cores})
    serve(pipe)


def call_for(port: int, api_key: str, seconds: float) -> Load:
    body = json.dumps({"connection": NAME}).encode()
    request = (
        f"POST /api/jwtauth HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {api_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
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
