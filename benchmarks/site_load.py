"""A threaded site whose requests ask for tokens, while a worker renews them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests

from sf_integration import tokens

from .bench import Bench
from .connections import NAME, add, usernames
from .databases import Database
from .results import Result
from .salesforce import Salesforce, add_users

TITLE = "A site under load with renewals going on"
CALLS_PER_SECOND = 200
CONNECTIONS = 4
CALLERS = 8
LOOK_SECONDS = 5


@dataclass(frozen=True)
class Load:
    seconds: float
    microseconds: list[float]
    """Of each `get_token`, sorted."""
    queries: int
    tokens_seen: int
    failed: int

    def percentile(self, share: float) -> float:
        return self.microseconds[min(int(len(self.microseconds) * share), len(self.microseconds) - 1)]

    @property
    def queries_per_look(self) -> float:
        """Statements in 5 s for each token."""
        return self.queries / (self.seconds / LOOK_SECONDS) / CONNECTIONS


def measure(bench: Bench) -> Iterator[Result]:
    for database in bench.databases:
        yield from _on(bench, database)


def _on(bench: Bench, database: Database) -> list[Result]:
    # A token is renewed when about half its life is left.
    numbers, seconds, life_seconds = range(CONNECTIONS), bench.either(40, 8), bench.either(16, 8)
    with (
        Salesforce(token_format="jwt", session_seconds=life_seconds) as org,
        bench.site(database, org.address) as site,
    ):
        org.call(add_users, usernames(numbers))
        worker = site.worker()
        worker.call(add, org.address, numbers)
        worker.call(renew_for, 0)
        with _served(site.environment) as url, ThreadPoolExecutor(1) as beat:
            bench.say(f"{CALLS_PER_SECOND} calls a second for {seconds:.0f} s, {database.name}")
            logins = org.token_requests
            renewing = beat.submit(worker.call, renew_for, seconds)
            load = _call_for(seconds, url)
            renewing.result()
            renewals = org.token_requests - logins
    return _results(load, renewals, database.name)


def _results(load: Load, renewals: int, database: str) -> list[Result]:
    facts = {
        "ms p50:": load.percentile(0.5) / 1e3,
        "p99.9:": load.percentile(0.999) / 1e3,
        "longest:": load.microseconds[-1] / 1e3,
        "calls:": len(load.microseconds),
        "a second:": len(load.microseconds) / load.seconds,
        "renewals:": renewals,
        "tokens seen:": load.tokens_seen,
    }
    return [
        Result(f"get_token, p99, {database}", load.percentile(0.99) / 1e3, "ms", most=1, facts=facts),
        Result(f"queries per {LOOK_SECONDS} s, process and token, {database}", load.queries_per_look, most=1),
        Result(f"calls that failed, {database}", load.failed, most=0),
    ]


@contextmanager
def _served(environment: dict[str, str]) -> Iterator[str]:
    """URL of a gunicorn with one process of threads. It takes over a port that is open already, so nobody has to wait for it."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        port, number = listener.getsockname()[1], listener.fileno()
        command = [
            *(sys.executable, "-m", "gunicorn", "--bind", f"fd://{number}", "--log-level", "error"),
            *("--workers", "1", "--worker-class", "gthread", "--threads", str(CALLERS)),
            *("--keep-alive", "60", "benchmarks.load_site:application"),
        ]
        gunicorn = subprocess.Popen(command, env={**os.environ, **environment}, pass_fds=[number])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        gunicorn.terminate()
        gunicorn.wait(20)


def _call_for(seconds: float, url: str) -> Load:
    """Calls at their own pace, whatever the answers take; what the site says of them afterwards."""
    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(lambda number: _warm(url, number), range(CONNECTIONS)))
        requests.get(f"{url}/begin", timeout=30).raise_for_status()
        started = time.perf_counter()
        callers = [pool.submit(_calls_of, number, url, started, seconds) for number in range(CALLERS)]
        failed = sum(caller.result() for caller in callers)
        took = time.perf_counter() - started
    told: dict[str, Any] = requests.get(f"{url}/report", timeout=30).json()
    return Load(took, sorted(told["microseconds"]), told["queries"], told["tokens"], failed + told["failed"])


def _warm(url: str, number: int) -> None:
    requests.get(f"{url}/{NAME}-{number}", timeout=30).raise_for_status()


def _calls_of(caller: int, url: str, started: float, seconds: float) -> int:
    """One caller's share of the calls; how many failed."""
    failed, every = 0, CALLERS / CALLS_PER_SECOND
    with requests.Session() as session:
        for number in range(int(seconds / every)):
            due = started + (number + caller / CALLERS) * every
            time.sleep(max(due - time.perf_counter(), 0))
            name = f"{NAME}-{(number + caller) % CONNECTIONS}"
            failed += not session.get(f"{url}/{name}", timeout=30).ok
    return failed


# In the worker


def renew_for(seconds: float) -> None:
    """What beat and worker do, every second."""
    end = time.monotonic() + seconds
    tokens.refresh_due()
    while time.monotonic() < end:
        time.sleep(1)
        tokens.refresh_due()
