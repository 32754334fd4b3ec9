"""The trouble of a soak: drawn from a seeded list, one thing every few seconds."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.processes import Remote, Worker
from sf_integration.testing.credentials import make_key_and_certificate

from . import soak_orgs, soak_site
from .programs import Program
from .soak_judge import Void
from .soak_orgs import OrgFacts

SPOILED_ANSWERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("refuse", {"error": "invalid_grant", "description": "user hasn't approved this consumer"}),
    ("refuse", {"error": "invalid_client_id", "description": "client identifier invalid"}),
    ("slow", {"seconds": 3}),
    ("slow", {"seconds": 14}),
    ("drip", {"seconds": 0.1}),
    ("html", {}),
    ("maintenance", {}),
    ("bad_gateway", {}),
    ("unknown_error", {}),
    ("garbage", {}),
    ("redirect", {}),
    ("cut", {}),
    ("close", {}),
    ("huge", {}),
)


def from_fake_host(org: OrgFacts) -> dict[str, Any]:
    """What an answer looks like that would send our token elsewhere."""
    return {
        "body": {
            "access_token": f"{org.org_id[:15]}!AQ{'x' * 94}",
            "instance_url": "https://elsewhere.example",
            "id": f"https://elsewhere.example/id/{org.org_id}/005000000000001AAA",
            "token_type": "Bearer",
            "scope": "api",
        }
    }


@dataclass
class Trouble:
    orgs: Remote
    facts: list[OrgFacts]
    editor: Worker
    programs: dict[str, Program]
    """The second worker, the second beat and the broker are killed."""
    usernames: dict[str, str]
    """Of the connections whose settings may be edited or paused, as they are now."""
    rotating: dict[str, tuple[int, str]]
    """Connections with an app of their own: number of its org, and its consumer key."""
    away_seconds: float
    seed: int
    done: Counter[str] = field(default_factory=Counter)
    voids: list[Void] = field(default_factory=list)
    kills: list[float] = field(default_factory=list)
    _later: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    _away: set[int] = field(default_factory=set)
    _paused: set[str] = field(default_factory=set)
    _killed: set[str] = field(default_factory=set)
    _resting: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def make(self, seconds: float) -> None:
        """Trouble for so long; then all is well again."""
        end = time.monotonic() + seconds
        acts: dict[Callable[[], None], int] = {
            self.spoil: 12,
            self.end_sessions: 2,
            self.fake_host: 2,
            self.host_away: 1,
            self.kill_worker: 1,
            self.kill_beat: 1,
            self.kill_broker: 1,
            self.edit: 3,
            self.pause: 3,
            self.rotate: 2,
        }
        for act in acts:  # a short run meets each of them too
            self._at(self.chance.uniform(1, seconds * 0.6), act)
        while time.monotonic() < end:
            time.sleep(self.chance.uniform(1, 4))
            self._what_is_due()
            self._supervise()
            [act] = self.chance.choices(list(acts), list(acts.values()))
            act()
        while self._later or self._killed:
            self._what_is_due()
            self._supervise()
            time.sleep(0.5)
        self._ask(soak_orgs.heal)

    def _ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self.orgs.ask((function, arguments, {}))

    def _at(self, seconds: float, act: Callable[[], None]) -> None:
        self._later.append((time.monotonic() + seconds, act))

    def _what_is_due(self) -> None:
        now = time.monotonic()
        due = [act for at, act in self._later if at <= now]
        self._later = [(at, act) for at, act in self._later if at > now]
        for act in due:
            act()

    def _org(self) -> int:
        return self.chance.randrange(len(self.facts))

    # What can go wrong

    def spoil(self) -> None:
        kind, options = self.chance.choice(SPOILED_ANSWERS)
        times = self.chance.randint(1, 8)
        self._ask(soak_orgs.fail, self._org(), kind, times, options)
        self.done[f"answers of the token endpoint: {kind}"] += times

    def fake_host(self) -> None:
        number, times = self._org(), self.chance.randint(1, 4)
        self._ask(soak_orgs.fail, number, "answer", times, from_fake_host(self.facts[number]))
        self.done["answers of the token endpoint: fake host"] += times

    def end_sessions(self) -> None:
        self._ask(soak_orgs.end_sessions, self._org())
        self.done["all sessions of an org ended"] += 1

    def host_away(self) -> None:
        number = self._org()
        if self._away:
            return
        self._away.add(number)
        self._ask(soak_orgs.go_away, number)
        self.done["org away"] += 1

        def back() -> None:
            self._ask(soak_orgs.come_back, number)
            self._away.discard(number)

        self._at(self.away_seconds, back)

    def kill_worker(self) -> None:
        self._kill(self.programs["worker-2"], "worker killed", 3)

    def kill_beat(self) -> None:
        self._kill(self.programs["beat-2"], "one of two beats killed", 3)

    def kill_broker(self) -> None:
        self._kill(self.programs["redis"], "broker killed", min(10, self.away_seconds))

    def _kill(self, program: Program, what: str, seconds: float) -> None:
        if not program.runs() or self._resting.get(program.name, 0) > time.monotonic():
            return
        program.kill()
        self.kills.append(time.time())
        self.done[what] += 1
        self._resting[program.name] = time.monotonic() + 3 * self.away_seconds
        self._killed.add(program.name)

        def start() -> None:
            program.start()
            self._killed.discard(program.name)

        self._at(seconds, start)

    def _supervise(self) -> None:
        """As systemd does: what ended by itself is started again, and counted.

        Celery's worker does end so when it loses Redis while a task is under way (kombu 5.7: `AttributeError` in `_connparams`).
        """
        for program in self.programs.values():
            if program.name not in self._killed and not program.runs():
                self.kills.append(time.time())
                self.done[f"{program.name} ended by itself"] += 1
                program.start()

    def edit(self) -> None:
        """Another user of the org from now on."""
        name = self.chance.choice(sorted(set(self.usernames) - self._paused))
        old = self.usernames[name]
        handle, number, domain = old.partition("@")[0].rpartition(".")[0], _number(old), old.partition("@")[2]
        new = f"{handle}.{number + 1}@{domain}"
        self._ask(soak_orgs.add_user, int(name[1]), new)
        self.editor.call(soak_site.change_username, name, new)
        self.voids.append(Void(name, time.time(), user=old))
        self.usernames[name] = new
        self.done["username edited"] += 1

    def pause(self) -> None:
        name = self.chance.choice(sorted(set(self.usernames) - self._paused))
        self._paused.add(name)
        self.editor.call(soak_site.set_enabled, name, False)
        since = time.time()
        self.done["connection paused"] += 1

        def resume() -> None:
            self.voids.append(Void(name, since, time.time()))
            self.editor.call(soak_site.set_enabled, name, True)
            self._paused.discard(name)

        self._at(self.chance.uniform(8, 20), resume)

    def rotate(self) -> None:
        """A key staged, and a while later its certificate uploaded in the org; the next sign-in promotes it."""
        busy = set(self.editor.call(soak_site.still_staged)) | self._resting.keys()
        free = sorted(set(self.rotating) - busy)
        if not free:
            return
        name = self.chance.choice(free)
        number, consumer_key = self.rotating[name]
        private_key, certificate = make_key_and_certificate(name)
        self.done["signing key staged"] += 1
        self.editor.call(soak_site.stage, name, f"{name} {time.time():.3f}", private_key, certificate)
        self._resting[name] = float("inf")

        def upload() -> None:
            self._ask(soak_orgs.trust, number, consumer_key, certificate)
            del self._resting[name]

        # Longer than a sign-in takes: one that began before the staging knows the old key alone.
        self._at(15, upload)


def _number(username: str) -> int:
    return int(username.partition("@")[0].rpartition(".")[2])
