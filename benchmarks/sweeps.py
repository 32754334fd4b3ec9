"""Sweeps of due connections while the login host takes its time: what beat and its workers do."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from uuid import UUID

from sf_integration import tokens
from sf_integration.tokens import Tally

from . import references
from .bench import Bench
from .connections import add, make_due, usernames
from .databases import Database
from .processes import Worker
from .results import Result
from .salesforce import ANSWER_SECONDS, Salesforce, add_users, answer_slowly

TITLE = f"Sweeps, 16 keys, the login host answers after {ANSWER_SECONDS * 1000:.0f} ms"
LOOP = "a loop of the tutorial's flow"
APPS = 16
LARGEST = 10_000
MOST_BEATS = 5
FLAT = 1.25
"""How much more than at the smallest size a connection may cost at the largest, to be called flat."""


@dataclass(frozen=True)
class Usage:
    """Of a process since its start."""

    cpu_seconds: float
    peak_megabytes: float


@dataclass(frozen=True)
class Sweep:
    database: str
    workers: int
    count: int
    seconds: float
    cpu_seconds: float
    """Of all workers."""
    peak_megabytes: float
    """Of the larger worker."""
    tally: Tally
    logins: int
    """As the org counted them."""


def measure(bench: Bench) -> list[Result]:
    sizes = bench.either((100, 1_000, LARGEST), (100, 1_000))
    with Salesforce(apps=APPS) as org:
        org.call(add_users, usernames(range(sizes[-1])))
        org.call(answer_slowly)
        bench.say("a few logins one after the other")
        login_seconds = _tutorial_seconds(org, bench.either(12, 4))
        found = [sweep for database in bench.databases for sweep in _on(bench, org, database, sizes)]
    return [*(_wall(sweep, login_seconds) for sweep in found), *_costs(found)]


def _on(bench: Bench, org: Salesforce, database: Database, sizes: Sequence[int]) -> Iterator[Sweep]:
    with bench.site(database, org.address) as site:
        filler, teams = site.worker(), [site.workers(1), site.workers(2)]
        there = 0
        for count in sizes:
            bench.say(f"{count:,} connections for {database.name}")
            filler.call(add, org.address, range(there, count))
            there = count
            for team in teams:
                filler.call(make_due)
                bench.say(f"{count:,} due on {database.name}, {_named(len(team))}")
                yield sweep(org, team, database.name, count)


def sweep(org: Salesforce, team: Sequence[Worker], database: str, count: int) -> Sweep:
    """Let a team of worker processes renew what is due; the first of them is beat, too."""
    logins = org.token_requests
    before = [worker.call(usage) for worker in team]
    started = time.perf_counter()
    tally = _renew_all(team)
    seconds = time.perf_counter() - started
    after = [worker.call(usage) for worker in team]
    return Sweep(
        database=database,
        workers=len(team),
        count=count,
        seconds=seconds,
        cpu_seconds=sum(b.cpu_seconds - a.cpu_seconds for a, b in zip(before, after, strict=True)),
        peak_megabytes=max(each.peak_megabytes for each in after),
        tally=tally,
        logins=org.token_requests - logins,
    )


def _renew_all(team: Sequence[Worker]) -> Tally:
    """Until nothing is due: what a worker put off, because its claim ran out of time, the next beat hands out again."""
    tally = Tally()
    for _ in range(MOST_BEATS):
        batches = team[0].call(due_batches)
        if not batches:
            break
        tally += _hand_out(batches, team)
    return tally


def _hand_out(batches: Sequence[list[UUID]], team: Sequence[Worker]) -> Tally:
    """As a broker does: whoever is free takes the next."""
    queue: SimpleQueue[list[UUID]] = SimpleQueue()
    for batch in batches:
        queue.put(batch)

    def work(worker: Worker) -> Tally:
        tally = Tally()
        while True:
            try:
                tally += worker.call(renew, queue.get_nowait())
            except Empty:
                return tally

    with ThreadPoolExecutor(len(team)) as threads:
        return sum(threads.map(work, team), Tally())


def _wall(swept: Sweep, login_seconds: float) -> Result:
    largest = swept.count == LARGEST and swept.workers == 1
    return Result(
        f"{swept.count:,} due, {swept.database}, {_named(swept.workers)}",
        swept.seconds,
        "s",
        login_seconds * swept.count,
        f"{LOOP}, {login_seconds * 1000:.0f} ms each",
        most=60 if largest else None,
        facts={
            "ms CPU each:": swept.cpu_seconds / swept.count * 1000,
            "renewed:": swept.tally.renewed,
            "put off once:": swept.tally.put_off,
            "failed:": swept.tally.failed,
        },
    )


def _costs(found: Sequence[Sweep]) -> Iterator[Result]:
    """What the largest sweep of each worker and database costs, beside the smallest."""
    for database, workers in dict.fromkeys((each.database, each.workers) for each in found):
        mine = [each for each in found if (each.database, each.workers) == (database, workers)]
        first, last = mine[0], mine[-1]
        where = f"{last.count:,} due, {database}, {_named(workers)}"
        yield Result(
            f"CPU per connection, {where}",
            last.cpu_seconds / last.count * 1000,
            "ms",
            first.cpu_seconds / first.count * 1000,
            f"with {first.count:,} due",
            most_ratio=FLAT if workers == 1 else None,
        )
        yield Result(
            f"peak memory of a worker, {where}", last.peak_megabytes, "MB", most=300 if workers == 1 else None
        )
        spare = sum(each.logins - each.tally.renewed for each in mine)
        yield Result(f"logins that renewed nothing, {database}, {_named(workers)}", spare, most=0)


def _named(workers: int) -> str:
    return "1 worker" if workers == 1 else f"{workers} workers"


def _tutorial_seconds(org: Salesforce, logins: int) -> float:
    """Seconds of one login in a loop as the tutorials have it, in this process."""
    with TemporaryDirectory() as folder:
        key_file = Path(folder, "app.key")
        key_file.write_text(org.address.app.private_key_pem)
        references.tutorial_login(org.address, key_file)
        started = time.perf_counter()
        for _ in range(logins):
            references.tutorial_login(org.address, key_file)
        return (time.perf_counter() - started) / logins


# In the workers


def due_batches() -> list[list[UUID]]:
    return list(tokens.due_batches())


def renew(batch: list[UUID]) -> Tally:
    return tokens.refresh_batch(batch)


def usage() -> Usage:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Usage(time.process_time(), peak / (1e6 if sys.platform == "darwin" else 1e3))
