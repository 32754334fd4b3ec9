"""The two lists of connections, when there are many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection as database_connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sf_integration.models import ConnectedApp

from .bench import Bench
from .connections import add
from .databases import Database
from .results import Result
from .salesforce import Salesforce
from .timing import in_turn

TITLE = "Lists of connections"
PATHS = {"list page": "/connections/", "admin list": "/admin/sf_integration/connectedapp/"}


@dataclass(frozen=True)
class Page:
    queries: int
    seconds: float


def measure(bench: Bench) -> Iterator[Result]:
    sizes = bench.either((100, 10_000), (100, 1_000))
    with Salesforce() as org:
        for database in bench.databases:
            yield from _on(bench, org, database, sizes)


def _on(bench: Bench, org: Salesforce, database: Database, sizes: Sequence[int]) -> Iterator[Result]:
    found: dict[int, dict[str, Page]] = {}
    with bench.site(database, org.address) as site:
        worker, there = site.worker(), 0
        worker.call(prepare)
        for count in sizes:
            bench.say(f"lists of {count:,} connections, {database.name}")
            worker.call(add, org.address, range(there, count))
            there = count
            found[count] = worker.call(look, bench.either(9, 5))
    few, many = found[sizes[0]], found[sizes[-1]]
    for name, page in many.items():
        what = f"{name}, {sizes[-1]:,} connections, {database.name}"
        yield Result(
            f"{what}: queries", page.queries, "", few[name].queries, f"with {sizes[0]:,} connections", most=15
        )
        yield Result(
            f"{what}: time",
            page.seconds * 1e3,
            "ms",
            few[name].seconds * 1e3,
            f"with {sizes[0]:,} connections",
            most=100,
        )


# In the worker


def prepare() -> None:
    call_command("collectstatic", interactive=False, verbosity=0)
    get_user_model().objects.create_superuser("bench")


def look(rounds: int) -> dict[str, Page]:
    """What each list takes, with all connections in use."""
    now = timezone.now()
    ConnectedApp.objects.update(last_checked_at=now, last_success_at=now)
    browser = Browser()
    browser.force_login(get_user_model().objects.get())
    seconds = in_turn({name: partial(_get, browser, path) for name, path in PATHS.items()}, rounds=rounds)
    return {name: Page(_queries(browser, path), seconds[name]) for name, path in PATHS.items()}


def _get(browser: Browser, path: str) -> None:
    answer = browser.get(path, headers={"host": "127.0.0.1"})
    assert answer.status_code == 200, (path, answer.status_code)


def _queries(browser: Browser, path: str) -> int:
    with CaptureQueriesContext(database_connection) as queries:
        _get(browser, path)
    return len(queries)
