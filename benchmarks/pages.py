"""The pages that show connections, when there are many of them with a long past."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection as database_connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext

from . import history
from .bench import Bench
from .connections import NAME, add, usernames
from .databases import Database
from .results import Result
from .salesforce import Salesforce, add_users
from .timing import in_turn

TITLE = "Pages, each connection with a past"
APPS = 16
PATHS = {
    "list": "/connections/",
    "list, filtered": "/connections/?state=failing&environment=production",
    "list, searched": f"/connections/?q={NAME}-1",
    "detail": f"/connections/{NAME}-1/",
    f"detail, {history.LONGEST:,} checks": f"/connections/{history.BUSIEST}/",
    "its timeline": f"/connections/{history.BUSIEST}/timeline/",
    "admin list": "/admin/sf_integration/connectedapp/",
}


@dataclass(frozen=True)
class Page:
    queries: int
    seconds: float


def measure(bench: Bench) -> Iterator[Result]:
    with Salesforce(apps=APPS) as org:
        org.call(add_users, usernames(range(1)))
        for database in bench.databases:
            most = 10_000 if database.name == "PostgreSQL" else 1_000
            yield from _on(bench, org, database, (100, bench.either(most, 300)))


def _on(bench: Bench, org: Salesforce, database: Database, sizes: Sequence[int]) -> Iterator[Result]:
    found: dict[int, dict[str, Page]] = {}
    with bench.site(database, org.address) as site:
        worker, there = site.worker(), 0
        worker.call(prepare)
        for count in sizes:
            bench.say(f"{count:,} connections with {count * history.CHECKS:,} checks, {database.name}")
            worker.call(add, org.address, range(there, count))
            worker.call(history.live_through, there)
            there = count
            if count == sizes[-1]:
                worker.call(history.fail_for_long)
            found[count] = worker.call(look, bench.either(9, 5))
    few, many = found[sizes[0]], found[sizes[-1]]
    for name, page in many.items():
        what = f"{name}, {sizes[-1]:,} connections, {database.name}"
        before = f"with {sizes[0]:,}"
        yield Result(f"{what}: queries", page.queries, "", few[name].queries, before, most=15)
        yield Result(f"{what}: time", page.seconds * 1e3, "ms", few[name].seconds * 1e3, before, most=100)


# In the worker


def prepare() -> None:
    call_command("collectstatic", interactive=False, verbosity=0)
    get_user_model().objects.create_superuser("bench")


def look(rounds: int) -> dict[str, Page]:
    """What each page takes."""
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
