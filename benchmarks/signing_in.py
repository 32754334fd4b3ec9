"""What CPU one refresh takes, alone and in a sweep, and on what."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.utils import timezone

from sf_integration import get_token, tokens
from sf_integration.models import AccessToken, ConnectedApp
from sf_integration.salesforce import assertion, oauth, signin
from sf_integration.salesforce.signin import SignIn

from . import references
from .bench import Bench
from .connections import NAME, add, connect, make_due, usernames
from .databases import Database
from .results import Result
from .salesforce import Address, Salesforce, add_users
from .timing import Call, cpu_in_turn, cpu_of

TITLE = "CPU of one refresh"
SIMPLE_SALESFORCE, TUTORIAL = "simple-salesforce, login", "the tutorial's flow"
SWEEPS = 3
THREADS = 32
"""As a sweep has."""


def measure(bench: Bench) -> Iterator[Result]:
    count = bench.either(1000, 200)
    with Salesforce() as org:
        org.call(add_users, usernames(range(count)))
        for database in bench.databases:
            yield from _on(bench, org, database, count)


def _on(bench: Bench, org: Salesforce, database: Database, count: int) -> Iterator[Result]:
    with bench.site(database, org.address) as site:
        bench.say(f"a refresh alone and the others' logins in turn, {database.name}")
        alone = site.worker().call(alone_seconds, org.address, rounds=bench.either(20, 6))
        bench.say(f"{count:,} refreshes in sweeps, {database.name}")
        swept = site.worker().call(swept_seconds, org.address, count)
    yield from compare(database.name, {name: seconds * 1e3 for name, seconds in {**alone, **swept}.items()})


def compare(database: str, found: dict[str, float]) -> Iterator[Result]:
    for how, limit in (("alone", 1 / 20), ("swept", 1 / 30)):
        what = f"one refresh {'alone' if how == 'alone' else 'in a sweep'}, {database}"
        ours = found[how]
        yield Result(what, ours, "ms", found[SIMPLE_SALESFORCE], SIMPLE_SALESFORCE, most_ratio=limit)
        yield Result(what, ours, "ms", found[TUTORIAL], TUTORIAL)
        for part in ("key", "sign", "HTTP", "store"):
            yield Result(
                f"  of it {part}", found[f"{how} {part}"], "ms", found.get(f"{TUTORIAL} {part}"), TUTORIAL
            )


def alone_seconds(address: Address, *, rounds: int) -> dict[str, float]:
    """In a worker: CPU seconds of whole sign-ins and of their parts, by name."""
    connect(address)
    get_token(NAME)
    with TemporaryDirectory() as folder:
        key_file = Path(folder, "app.key")
        key_file.write_text(address.app.private_key_pem)
        whole = cpu_in_turn(
            {
                "make due": make_due,
                "alone": refresh_due_one,
                SIMPLE_SALESFORCE: references.simple_salesforce_login(address),
                TUTORIAL: lambda: references.tutorial_login(address, key_file),
            },
            rounds=rounds,
        )
        whole["alone"] -= whole.pop("make due")
        parts = cpu_in_turn(_our_parts() | _tutorial_parts(address, key_file), rounds=rounds)
    parts["alone store"] = whole["alone"] - sum(parts[f"alone {part}"] for part in ("key", "sign", "HTTP"))
    return whole | parts


def refresh_due_one() -> None:
    make_due()
    tokens.refresh(NAME)


def _our_parts() -> dict[str, Call]:
    """With the process warm, as it is at every refresh but its first."""
    connection = ConnectedApp.objects.select_related("signing_key").get(name=NAME)
    process = tokens.current()
    key = process.private_key(connection.signing_key)
    claims = _request(connection).claims(time.time())
    signed = assertion.sign(claims, key)

    def post() -> None:
        token_url = oauth.token_url(connection.login_url)
        oauth.exchange(signed, token_url=token_url, session=connection.session, http=process.http)

    return {
        "alone key": lambda: process.private_key(connection.signing_key),
        "alone sign": lambda: assertion.sign(claims, key),
        "alone HTTP": post,
    }


def _tutorial_parts(address: Address, key_file: Path) -> dict[str, Call]:
    def load() -> RSAPrivateKey:
        key = load_pem_private_key(key_file.read_bytes(), None)
        assert isinstance(key, RSAPrivateKey)
        return key

    key = load()
    signed = jwt.encode(references.claims(address), key, algorithm="RS256")
    return {
        f"{TUTORIAL} key": load,
        f"{TUTORIAL} sign": lambda: jwt.encode(references.claims(address), key, algorithm="RS256"),
        f"{TUTORIAL} HTTP": lambda: references.tutorial_post(address, signed),
    }


def swept_seconds(address: Address, count: int) -> dict[str, float]:
    """In a worker: CPU seconds of this process per connection in a sweep, and of its parts."""
    add(address, range(count))
    tokens.refresh_due()  # opens the keys and the connections
    seconds = {"swept": median(_sweep_cpu() for _ in range(SWEEPS)) / AccessToken.objects.count()}
    seconds |= _parts_in_threads()
    parts = sum(seconds[f"swept {part}"] for part in ("key", "sign", "HTTP"))
    return seconds | {"swept store": seconds["swept"] - parts}


def _sweep_cpu() -> float:
    make_due()
    seconds = cpu_of(tokens.refresh_due)
    assert not AccessToken.objects.filter(refresh_at__lt=timezone.now()).exists()
    return seconds


def _parts_in_threads() -> dict[str, float]:
    """The part of a sweep that its threads do, done by as many threads."""
    process = tokens.current()
    connections = list(ConnectedApp.objects.select_related("signing_key")[:400])
    requests = [_request(connection) for connection in connections]

    def open_key(connection: ConnectedApp) -> None:
        process.private_key(connection.signing_key)

    def sign(request: SignIn) -> None:
        assertion.sign(request.claims(time.time()), request.key)

    def sign_in(request: SignIn) -> None:
        signin.run(request, process.http).require()

    with ThreadPoolExecutor(THREADS) as pool:
        opening = median(cpu_of(lambda: list(map(open_key, connections))) for _ in range(SWEEPS))
        signing = median(cpu_of(lambda: list(pool.map(sign, requests))) for _ in range(SWEEPS))
        calling = median(cpu_of(lambda: list(pool.map(sign_in, requests))) for _ in range(SWEEPS))
    count = len(requests)
    return {
        "swept key": opening / count,
        "swept sign": signing / count,
        "swept HTTP": (calling - signing) / count,
    }


def _request(connection: ConnectedApp) -> SignIn:
    return SignIn(
        login_url=connection.login_url,
        audience=connection.effective_audience,
        consumer_key=connection.consumer_key,
        username=connection.username,
        key=tokens.current().private_key(connection.signing_key),
        session=connection.session,
    )
