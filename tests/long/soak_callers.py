"""Programs that want tokens, in processes of their own: so many a second, each looked at for whose it is."""

from __future__ import annotations

import json
import math
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from django.db import close_old_connections

from sf_integration import get_client, get_token, tokens
from sf_integration.salesforce.errors import SalesforceError
from sf_integration.salesforce.oauth import Token, is_jwt

THREADS = 16
"""Some wait for sign-ins while the others keep up the pace."""
QUERY_SHARE = 0.1
REPORT_SHARE = 0.001
"""Of calls after which the token is reported as refused, though it was not."""
GRACE_SECONDS = 15 * 60
LOOSE_SECONDS = 0.5
"""Between the handing out of a token and our look at the clock, on a machine that has much to do."""
PER_DOUBLING = 8
"""Steps of the histogram of times."""


@dataclass
class Callers:
    names: list[str]
    restless: set[str]
    """Those whose settings change: each of their tokens is written down."""
    per_second: float
    notes: Path
    seed: int
    going_on: bool = True
    taken: int = 0
    times: Counter[int] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    whose: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Name to its last token and the user that the org said it is of."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    threads: list[threading.Thread] = field(default_factory=list)

    def run(self, number: int) -> None:
        chance, session = random.Random(f"{self.seed} {number}"), requests.Session()
        session.trust_env = False
        while self.going_on:
            with self.lock:
                due = self.started + self.taken / self.per_second
                self.taken += 1
            time.sleep(max(due - time.monotonic(), 0))
            try:
                self.once(chance.choice(self.names), chance, session)
            finally:
                close_old_connections()

    def start(self) -> None:
        self.started = time.monotonic()
        self.threads = [
            threading.Thread(target=self.run, args=(each,), daemon=True) for each in range(THREADS)
        ]
        for thread in self.threads:
            thread.start()

    def once(self, name: str, chance: random.Random, session: requests.Session) -> None:
        began, at = time.perf_counter(), time.time()
        try:
            token = get_token(name)
        except Exception as error:  # noqa: BLE001 - judged at the end
            self.note_error(at, name, error)
            return
        finally:
            self.note_time(time.perf_counter() - began)
        self.look_at(token, name, at, session)
        try:
            if chance.random() < REPORT_SHARE:
                tokens.renew(name, None, token)
                self.count("reported")
            elif chance.random() < QUERY_SHARE:
                get_client(name).query("SELECT Id FROM Organization")
                self.count("queries")
        except Exception as error:  # noqa: BLE001
            self.note_error(at, name, error)

    def look_at(self, token: Token, name: str, at: float, session: requests.Session) -> None:
        self.count("tokens")
        # Before the call, since a busy machine may let any time pass between its end and here.
        late = at - token.expected_expiry.timestamp()
        if late > LOOSE_SECONDS + (0 if is_jwt(token.value) else GRACE_SECONDS):
            self.note(at, "past its end", name, late=late)
        known, user = self.whose.get(name, ("", ""))
        if known != token.value:
            user = self.ask(token, session)
            if not user:
                return
            self.whose[name] = (token.value, user)
            if user.partition(".")[0] != name:
                self.note(at, "wrong", name, user=user)
        if name in self.restless:
            self.note(at, "served", name, user=user)

    def ask(self, token: Token, session: requests.Session) -> str:
        """The user that the org knows this token as; empty when it says nothing."""
        try:
            answer = session.get(
                f"{token.instance_url}/services/oauth2/userinfo",
                headers={"Authorization": f"Bearer {token.value}"},
                timeout=5,
            )
        except requests.RequestException:
            self.count("not looked at")
            return ""
        if answer.status_code != 200:
            self.count("ended meanwhile")
            return ""
        self.count("looked at")
        return str(answer.json()["preferred_username"])

    def count(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1

    def note_time(self, seconds: float) -> None:
        step = round(math.log2(max(seconds, 1e-7)) * PER_DOUBLING)
        with self.lock:
            self.times[step] += 1

    def note_error(self, at: float, name: str, error: Exception) -> None:
        self.count("errors")
        said = "" if isinstance(error, SalesforceError) else str(error)[:300]
        self.note(at, "error", name, type=type(error).__name__, code=getattr(error, "code", ""), said=said)

    def note(self, at: float, what: str, name: str, **more: Any) -> None:
        line = json.dumps({"at": at, "what": what, "name": name, **more})
        with self.lock, self.notes.open("a") as file:
            file.write(line + "\n")


_callers: list[Callers] = []


def begin(names: list[str], restless: set[str], per_second: float, notes: str, seed: int) -> None:
    _callers.append(Callers(names, restless, per_second, Path(notes), seed))
    _callers[0].start()


def end() -> tuple[dict[str, int], dict[int, int]]:
    """Counts, and the histogram of times: step (eighths of a doubling of a second) to calls."""
    callers = _callers[0]
    callers.going_on = False
    for thread in callers.threads:
        thread.join(40)
    return dict(callers.counts), dict(callers.times)
