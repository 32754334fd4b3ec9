"""`get_token` with the token in memory: what nearly every call in a site is."""

from __future__ import annotations

from sf_integration import get_token

from . import references
from .bench import Bench
from .connections import NAME, connect
from .databases import SQLITE
from .results import Result
from .salesforce import Address, Salesforce
from .timing import in_turn

TITLE = "A token in memory"


def measure(bench: Bench) -> list[Result]:
    with Salesforce() as org, bench.site(SQLITE, org.address) as site:
        bench.say("get_token, google-auth and botocore in turn")
        calls = bench.either(20_000, 5_000)
        return compare(site.worker().call(seconds, org.address, rounds=15, calls=calls))


def compare(found: dict[str, float]) -> list[Result]:
    microseconds = {name: seconds * 1e6 for name, seconds in found.items()}
    what, ours = "get_token, token in memory", microseconds["ours"]
    return [
        Result(what, ours, "µs", microseconds["google"], "google-auth, Credentials.valid", most_ratio=1),
        Result(what, ours, "µs", microseconds["botocore"], "botocore, get_frozen_credentials"),
    ]


def seconds(address: Address, *, rounds: int, calls: int) -> dict[str, float]:
    """In a worker: seconds of a call, by whose it is. The look at the row every 5 s is among ours."""
    connect(address)
    google = references.valid_google_credentials(address)
    botocore = references.valid_botocore_credentials()
    return in_turn(
        {
            "ours": lambda: get_token(NAME),
            "google": lambda: google.valid,
            "botocore": botocore.get_frozen_credentials,
        },
        rounds=rounds,
        repeat=calls,
    )
