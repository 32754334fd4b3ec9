"""`client.query` beside the bare call and simple-salesforce, all over TLS."""

from __future__ import annotations

from collections.abc import Iterator

import requests

from sf_integration import get_client, get_token

from .bench import Bench
from .connections import API_VERSION, NAME, connect
from .databases import SQLITE
from .results import Result
from .salesforce import Salesforce
from .timing import Call, cpu_in_turn, in_turn

TITLE = "A query, over TLS"
BARE, SIMPLE_SALESFORCE = "requests.Session.get, json()", "simple-salesforce, query"


def measure(bench: Bench) -> Iterator[Result]:
    pages = bench.either({1: 200, 50: 200, 2000: 40}, {1: 30, 50: 30, 2000: 5})
    with Salesforce(tls=True) as org, bench.site(SQLITE, org.address) as site:
        worker = site.worker()
        worker.call(connect, org.address)
        for rows, rounds in pages.items():
            bench.say(f"pages of {rows:,} rows, three clients in turn")
            yield from _compare(rows, *worker.call(seconds, rows, rounds))


def _compare(rows: int, wall: dict[str, float], cpu: dict[str, float]) -> Iterator[Result]:
    what = f"client.query, {rows:,} row{'s' if rows > 1 else ''}"
    ours = wall["ours"] * 1e3
    facts = {"ms CPU:": cpu["ours"] * 1e3, "the bare call's:": cpu[BARE] * 1e3}
    yield Result(what, ours, "ms", wall[BARE] * 1e3, BARE, most_ratio=1.1, facts=facts)
    yield Result(what, ours, "ms", wall[SIMPLE_SALESFORCE] * 1e3, SIMPLE_SALESFORCE)


def seconds(rows: int, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """In a worker: seconds and CPU seconds of a call, by whose it is."""
    calls = _calls(f"SELECT Id, Name FROM Contact LIMIT {rows}")
    return in_turn(calls, rounds=rounds), cpu_in_turn(calls, rounds=max(rounds // 4, 4))


def _calls(soql: str) -> dict[str, Call]:
    from simple_salesforce.api import Salesforce as SimpleSalesforce

    token, client = get_token(NAME), get_client(NAME)
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token.value}"
    url = f"{token.instance_url}/services/data/v{API_VERSION}/query"
    theirs = SimpleSalesforce(
        session_id=token.value,
        instance=token.instance_url.removeprefix("https://"),
        session=requests.Session(),
        version=API_VERSION,
    )
    return {
        "ours": lambda: client.query(soql),
        BARE: lambda: session.get(url, params={"q": soql}, timeout=30).json(),
        SIMPLE_SALESFORCE: lambda: theirs.query(soql),
    }
