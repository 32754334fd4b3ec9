"""The orgs of a soak, in a process of their own: a stand-in each, which writes down every sign-in that it was asked for."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.processes import serve
from sf_integration.testing import Org, StandIn
from sf_integration.testing.faults import Effect, Faults
from sf_integration.testing.messages import Request

TOKEN_PATH = "/services/oauth2/token"
CALL_SECONDS = 10.0
"""After that the app has hung up."""
_NOTHING = Effect()


@dataclass(frozen=True)
class OrgFacts:
    """What the others need to know of an org."""

    url: str
    org_id: str
    consumer_key: str
    private_key_pem: str
    certificate_pem: str


class _WatchedFaults(Faults):
    """Remembers for each request, which has a thread of its own, what was done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.last = threading.local()

    def take(self, place: str, path: str) -> Effect | None:
        self.last.effect = super().take(place, path)
        return self.last.effect


class SoakOrg(Org):
    journal: Path

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.faults: _WatchedFaults = _WatchedFaults()
        self._written = threading.Lock()

    def remember(self, request: Request) -> None:
        """In a file instead of in memory, whose growth is measured here."""
        if request.path != TOKEN_PATH or request.method != "POST":
            return
        effect = getattr(self.faults.last, "effect", None) or _NOTHING
        line = {
            "at": time.time(),
            "user": request.user,
            "signed_in": request.user is not None and request.error is None,
            "spoiled": effect.delivery != "whole" or effect.wait_seconds >= CALL_SECONDS,
            "made_up": effect.answer is not None,
        }
        with self._written, self.journal.open("a") as file:
            file.write(json.dumps(line) + "\n")


class Orgs:
    def __init__(self, count: int, usernames: list[list[str]], journal: str, token_seconds: float) -> None:
        SoakOrg.journal = Path(journal)
        self.running = [
            StandIn(
                org_type=SoakOrg,
                username=f"admin{number}@soak.example",
                # The last one's tokens don't tell their end.
                token_format="opaque" if number == count - 1 else "jwt",
                session_seconds=7200 if number == count - 1 else token_seconds,
                api_limit=10**9,
            ).start()
            for number in range(count)
        ]
        for server, names in zip(self.running, usernames, strict=True):
            for name in names:
                server.org.add_user(name)


def main(
    pipe: Connection, count: int, usernames: list[list[str]], journal: str, token_seconds: float
) -> None:
    serve(pipe, Orgs(count, usernames, journal, token_seconds))


# What can be asked of it, each with the orgs as first argument.


def facts(orgs: Orgs) -> list[OrgFacts]:
    return [
        OrgFacts(
            server.url,
            server.org.id,
            server.org.app.consumer_key,
            server.org.app.private_key_pem or "",
            server.org.app.certificate_pem,
        )
        for server in orgs.running
    ]


def add_app(orgs: Orgs, number: int) -> tuple[str, str, str]:
    """A further app of an org: its consumer key, private key and certificate."""
    app = orgs.running[number].org.add_app()
    return app.consumer_key, app.private_key_pem or "", app.certificate_pem


def trust(orgs: Orgs, number: int, consumer_key: str, certificate_pem: str) -> None:
    orgs.running[number].org.apps[consumer_key].replace_certificate(certificate_pem)


def add_user(orgs: Orgs, number: int, username: str) -> None:
    orgs.running[number].org.add_user(username)


def fail(orgs: Orgs, number: int, kind: str, times: int, options: dict[str, Any]) -> None:
    orgs.running[number].org.fail(kind, times=times, where="token", **options)


def end_sessions(orgs: Orgs, number: int) -> None:
    orgs.running[number].org.end_sessions()


def go_away(orgs: Orgs, number: int) -> None:
    orgs.running[number].stop()


def come_back(orgs: Orgs, number: int) -> None:
    orgs.running[number].start()


def heal(orgs: Orgs) -> None:
    for server in orgs.running:
        server.org.heal()


def logins(orgs: Orgs) -> int:
    return sum(server.org.logins for server in orgs.running)


def process_id(orgs: Orgs) -> int:
    return os.getpid()
