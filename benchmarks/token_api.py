"""`POST /api/jwtauth` by one gunicorn worker on one core, with a token that can be served."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sf_integration import get_token
from sf_integration.access import SHELL
from sf_integration.models import ConnectedApp
from sf_integration.services import api_clients

from .bench import Bench
from .callers import CALLERS, Load, call_for, serve_callers
from .connections import NAME, connect
from .databases import SQLITE, Database
from .processes import Remote
from .results import Result
from .salesforce import Address, Salesforce

TITLE = "The HTTP token API, one gunicorn worker"
MOST_MILLISECONDS = 2.0
"""For an answer: 500 in a second."""
BARE = "a bare Django view, same JSON"
SYNC = ("--worker-class", "sync")
KEEP_ALIVE = ("--worker-class", "gthread", "--threads", str(CALLERS), "--keep-alive", "60")
SITE, REFERENCE = "sfjwt_site.wsgi:application", "benchmarks.bare_site:application"


def measure(bench: Bench) -> Iterator[Result]:
    for database in bench.databases:
        yield from _on(bench, database, SYNC, "sync")
    if not bench.quick:
        yield from _on(bench, SQLITE, KEEP_ALIVE, "gthread, connections kept")


def _on(bench: Bench, database: Database, workers: tuple[str, ...], words: str) -> Iterator[Result]:
    seconds = bench.either(6.0, 1.5)
    with Salesforce() as org, bench.site(database, org.address) as site, Remote(serve_callers) as caller:
        api_key = site.worker().call(prepare, org.address)
        environment = site.environment | {"SF_TOKEN_API": "on", "SF_TOKEN_API_CALLS_PER_MINUTE": str(10**9)}
        logins = org.token_requests
        bench.say(f"answers in {seconds:.1f} s, {words}, {database.name}")
        ours = _load(caller, environment, SITE, workers, api_key, seconds)
        bare = _load(caller, environment, REFERENCE, workers, api_key, seconds)
        logins = org.token_requests - logins
    facts = {
        "answers a second:": ours.answers / ours.seconds,
        "ms CPU:": ours.cpu_seconds / max(ours.answers, 1) * 1e3,
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
    with _served(environment, application, workers) as (port, gunicorn):
        request = _request(port, api_key)
        caller.ask((call_for, (port, request, 0.3), {}))  # reads what is read once
        used = _cpu_seconds(gunicorn)
        load: Load = caller.ask((call_for, (port, request, seconds), {}))
        return replace(load, cpu_seconds=_cpu_seconds(gunicorn) - used)


def _cpu_seconds(gunicorn: int) -> float:
    """What its worker has used; 0 where that can't be seen."""
    children = Path(f"/proc/{gunicorn}/task/{gunicorn}/children")
    if not children.exists():
        return 0.0
    facts = [Path(f"/proc/{child}/stat").read_text() for child in children.read_text().split()]
    ticks = sum(int(each) for fact in facts for each in fact.rpartition(")")[2].split()[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def _served(
    environment: dict[str, str], application: str, workers: tuple[str, ...]
) -> Iterator[tuple[int, int]]:
    """Port and process id of a gunicorn with one worker, which has a core for itself where that can be had."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        port, number = listener.getsockname()[1], listener.fileno()
        command = [
            *(sys.executable, "-m", "gunicorn", "--bind", f"fd://{number}", "--log-level", "error"),
            *("--workers", "1", *workers, application),
        ]
        with _pinned(0):  # what is started meanwhile stays so
            gunicorn = subprocess.Popen(command, env={**os.environ, **environment}, pass_fds=[number])
    try:
        yield port, gunicorn.pid
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


def _request(port: int, api_key: str) -> bytes:
    body = json.dumps({"connection": NAME}).encode()
    head = (
        f"POST /api/jwtauth HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {api_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
