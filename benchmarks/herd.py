"""Everybody at once: many threads of several processes meet one expired token."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

from django.db import connection as database_connection
from google.auth.transport.requests import Request

from sf_integration import get_token

from . import references
from .bench import Bench
from .connections import NAME, connect
from .databases import Database
from .processes import Worker
from .results import Result
from .salesforce import Address, Salesforce, answer_slowly

TITLE = "One expired token, asked for by all at once"
PROCESSES, THREADS = 4, 64
LIFE_SECONDS = 3
ANSWER_SECONDS = 0.3
"""Of the login host: longer than it takes all threads to ask."""
SPARE_CONNECTIONS = 20
"""What a database needs besides one connection for each thread."""

T = TypeVar("T")
Told = tuple[float, set[str]]
"""When the last thread of a process had a token (seconds since 1970), and hashes of the tokens."""


@dataclass(frozen=True)
class Herd:
    """What came of all asking at once."""

    requests: int
    """As the org counted them."""
    seconds: float
    """Until the last thread had a token."""
    different_tokens: int


def measure(bench: Bench) -> Iterator[Result]:
    for database in bench.databases:
        yield from _on(bench, database)


def _on(bench: Bench, database: Database) -> list[Result]:
    threads = min(THREADS, (database.most_connections - SPARE_CONNECTIONS) // PROCESSES)
    if threads < THREADS:
        bench.left_out.append(
            f"{THREADS} threads a process on {database.name}, which allows {database.most_connections} connections"
        )
    # Tokens that tell their end: all processes see the same moment.
    with (
        Salesforce(token_format="jwt", session_seconds=LIFE_SECONDS) as org,
        bench.site(database, org.address) as site,
    ):
        workers = site.workers(PROCESSES)
        workers[0].call(connect, org.address)
        _together(workers, lambda worker: worker.call(prepare))
        bench.say(f"our token ends, {database.name}")
        ours = _ours(org, workers, threads)
        bench.say("google-auth's token has ended")
        theirs = _google(org, workers, threads)
    return _results(f"{PROCESSES} processes of {threads} threads, {database.name}", ours, theirs)


def _results(who: str, ours: Herd, theirs: Herd) -> list[Result]:
    facts = {"different tokens:": ours.different_tokens}
    name = "google-auth"
    return [
        Result(f"token requests, {who}", ours.requests, "", theirs.requests, name, most=1, facts=facts),
        Result(f"until all have a token, {who}", ours.seconds, "s", theirs.seconds, name),
    ]


def _ours(org: Salesforce, workers: Sequence[Worker], threads: int) -> Herd:
    """Every process holds the token in memory when it ends."""
    ends = max(_together(workers, lambda worker: worker.call(hold_token)))
    org.call(answer_slowly, ANSWER_SECONDS)
    return _asked(org, workers, ends + 0.1, lambda worker, start: worker.call(ask_all, start, threads))


def _google(org: Salesforce, workers: Sequence[Worker], threads: int) -> Herd:
    def ask(worker: Worker, start: float) -> Told:
        return worker.call(ask_google, org.address, start, threads)

    return _asked(org, workers, time.time() + 1, ask)


def _asked(
    org: Salesforce, workers: Sequence[Worker], start: float, ask: Callable[[Worker, float], Told]
) -> Herd:
    before = org.token_requests
    told = _together(workers, lambda worker: ask(worker, start))
    return Herd(
        requests=org.token_requests - before,
        seconds=max(last for last, _ in told) - start,
        different_tokens=len(set.union(*(hashes for _, hashes in told))),
    )


def _together(workers: Sequence[Worker], ask: Callable[[Worker], T]) -> list[T]:
    with ThreadPoolExecutor(len(workers)) as pool:
        return list(pool.map(ask, workers))


# In the workers


def prepare() -> None:
    """Be set up: it must not eat up the token's short life."""


def hold_token() -> float:
    """Have a token in memory; when it ends (seconds since 1970)."""
    return get_token(NAME).expected_expiry.timestamp()


def ask_all(start: float, threads: int) -> Told:
    def ask() -> str:
        try:
            return get_token(NAME).value
        finally:
            database_connection.close()

    return _all_at(start, threads, ask)


def ask_google(address: Address, start: float, threads: int) -> Told:
    """One credentials object for all threads, as its documentation has it."""
    credentials, request = references.GoogleCredentials(address), Request()

    def ask() -> str:
        headers: dict[str, str] = {}
        credentials.before_request(request, "GET", address.url, headers)  # type: ignore[no-untyped-call]
        return headers["authorization"].removeprefix("Bearer ")

    return _all_at(start, threads, ask)


def _all_at(start: float, threads: int, ask: Callable[[], str]) -> Told:
    """Let all threads ask at that moment."""

    def wait_and_ask(_: int) -> str:
        time.sleep(max(start - time.time(), 0))
        return sha256(ask().encode()).hexdigest()

    with ThreadPoolExecutor(threads) as pool:
        hashes = set(pool.map(wait_and_ask, range(threads)))
    return time.time(), hashes
