"""An hour without the login host, for many connections, on a clock that is turned: beat each minute, callers in between."""

from __future__ import annotations

import datetime as dt
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import time_machine
from django.db.models import Count
from django.utils import timezone

from sf_integration import RetryableError, get_token, tokens
from sf_integration.models import AccessToken, ConnectedApp, ConnectionEvent
from sf_integration.testing.django import ConnectableOrg
from sf_integration.tokens import process, source

STEP_SECONDS = 20
START = dt.datetime(2027, 3, 1, 8, tzinfo=dt.UTC)
HOUR = 60.0
"""Minutes."""


@dataclass
class Seen:
    """What came of it."""

    connections: int
    requests: list[int] = field(default_factory=list)
    """Token requests of each connection while the host was dead."""
    served: int = 0
    refused: int = 0
    unforeseen: Counter[str] = field(default_factory=Counter)
    longest_wait: float = 0.0
    """The most that a caller was told to wait, in seconds."""
    recovered: list[float] = field(default_factory=list)
    """Minutes after the host's return until each connection that had none left had a token again."""
    without_token: int = 0
    """How many had none left at the host's return."""
    settled: float = 0.0
    """Minutes until no row held a failure any more, those included that have a token and wait for their renewal."""

    def __str__(self) -> str:
        return (
            f"{self.connections} connections: token requests each while dead: most {max(self.requests)}, "
            f"mean {statistics.mean(self.requests):.1f}, in all {sum(self.requests)}; callers served {self.served}, told to wait "
            f"{self.refused} (at most {self.longest_wait:.0f} s); after the return: the {self.without_token} without a token all "
            f"had one after {max(self.recovered):.1f} min, half of them after {statistics.median(self.recovered):.1f} min; no "
            f"failure left anywhere after {self.settled:.1f} min"
        )


class Clock:
    """The wall clock and the monotonic one, at rest until they are moved."""

    def __init__(self, traveller: time_machine.Coordinates) -> None:
        self._traveller = traveller
        self.minutes = 0.0

    def monotonic(self) -> float:
        return 1_000.0 + self.minutes * 60

    def advance(self, seconds: float) -> None:
        self._traveller.shift(seconds)
        self.minutes += seconds / 60


class Site:
    """Connections of one org, each with a user of its own, as the limits of sign-ins are by user."""

    def __init__(self, org: ConnectableOrg, clock: Clock, count: int, seed: int) -> None:
        self._clock, self._random = clock, random.Random(seed)
        self.seen = Seen(count)
        first = org.connect("c0")
        made = []
        for number in range(1, count):
            user = org.add_user(username=f"u{number}@nordhafen.example")
            made.append(
                ConnectedApp(
                    name=f"c{number}",
                    login_url=org.url,
                    consumer_key=org.app.consumer_key,
                    username=user.username,
                    signing_key=first.signing_key,
                )
            )
        ConnectedApp.objects.bulk_create(made)
        self.names = [f"c{number}" for number in range(count)]

    def age(self) -> None:
        """Half of them have a token, each at another point of its two hours; the others have none yet."""
        tokens.refresh_due()
        for number, row in enumerate(AccessToken.objects.all()):
            if number % 2:
                row.delete()
                continue
            left = dt.timedelta(minutes=self._random.uniform(1, 115))
            AccessToken.objects.filter(pk=row.pk).update(
                issued_at=timezone.now() + left - dt.timedelta(hours=2),
                expected_expiry=timezone.now() + left,
                refresh_at=timezone.now() + left - dt.timedelta(hours=1),
            )
        ConnectionEvent.objects.all().delete()
        tokens.reset()

    def live(self, minutes: float, each_minute: Callable[[], bool] = lambda: False) -> None:
        """Callers come for each connection once in a minute, at a moment of their own."""
        end = self._clock.minutes + minutes
        steps = 60 // STEP_SECONDS
        turns = {name: self._random.randrange(steps) for name in self.names}
        step = 0
        while self._clock.minutes < end - 1e-6:
            if step % steps == 0:
                tokens.refresh_due()
                if each_minute():
                    return
            for name in self.names:
                if turns[name] == step % steps:
                    self._call(name)
            self._clock.advance(STEP_SECONDS)
            step += 1

    def _call(self, name: str) -> None:
        try:
            get_token(name)
        except RetryableError as exc:
            self.seen.refused += 1
            self.seen.longest_wait = max(self.seen.longest_wait, exc.retry_after)
        except Exception as exc:  # noqa: BLE001  whatever it is, it was not foreseen
            self.seen.unforeseen[type(exc).__name__] += 1
        else:
            self.seen.served += 1

    def without_token(self) -> set[str]:
        now = timezone.now()
        rows = AccessToken.objects.select_related("connection__signing_key")
        return set(self.names) - {row.connection.name for row in rows if row.has_token(now)}


def told(kind: str) -> Counter[str]:
    """Sign-ins of each connection, by what the history holds."""
    found = ConnectionEvent.objects.filter(kind=kind).values_list("connection__name").annotate(Count("pk"))
    return Counter(dict(found))


def run(
    org: ConnectableOrg,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    *,
    kill: Callable[[], None],
    revive: Callable[[], None],
    seed: int = 1,
) -> Seen:
    """An hour of it, then as long as it takes until all are well again, twelve minutes at most."""
    with time_machine.travel(START, tick=False) as traveller:
        clock = Clock(traveller)
        for module in (process, source):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic, sleep=time.sleep))
        site = Site(org, clock, count, seed)
        site.age()
        kill()
        site.live(HOUR)
        refused = told(ConnectionEvent.Kind.REFUSED)
        site.seen.requests = [refused[name] for name in site.names]
        revive()
        back = clock.minutes
        pending = site.without_token()
        site.seen.without_token = len(pending)

        def all_well() -> bool:
            well = pending - site.without_token()
            site.seen.recovered += [clock.minutes - back] * len(well)
            pending.difference_update(well)
            return not pending and not AccessToken.objects.filter(failures__gt=0).exists()

        site.live(12.0, all_well)
        site.seen.settled = clock.minutes - back
        assert not pending, f"{len(pending)} connections without a token twelve minutes after the return"
        return site.seen
