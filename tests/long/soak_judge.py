"""What a soak must hold to: pure functions of what its processes wrote down."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.faults.table import foreseen

from .soak_callers import PER_DOUBLING

IN_FORCE_AFTER_SECONDS = 5.0
"""Any edit is in force everywhere within this time."""
LOOSE_SECONDS = 0.25
"""How late a note of ours may be."""
CLAIM_SECONDS = 12.0
FLAT = 0.05

Note = Mapping[str, Any]


@dataclass(frozen=True)
class Void:
    """From when until when a connection's tokens, or those of one of its users, must not be handed out."""

    name: str
    since: float
    until: float = float("inf")
    user: str = ""

    def forbids(self, served: Note) -> bool:
        begins = self.since + IN_FORCE_AFTER_SECONDS + LOOSE_SECONDS
        return (
            served["name"] == self.name
            and self.user in ("", served["user"])
            and begins < served["at"] < self.until
        )


def wrong_tokens(notes: Iterable[Note], voids: Sequence[Void]) -> list[Note]:
    """Tokens of another user, past their end, or void by an edit or a pause."""
    by_name = defaultdict(list)
    for void in voids:
        by_name[void.name].append(void)
    return [
        note
        for note in notes
        if note["what"] in ("wrong", "past its end")
        or (note["what"] == "served" and any(void.forbids(note) for void in by_name[note["name"]]))
    ]


def errors(notes: Iterable[Note]) -> Counter[tuple[str, str]]:
    """(Class, code) of the errors that callers met."""
    return Counter((note["type"], note["code"]) for note in notes if note["what"] == "error")


def unforeseen(met: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(kind, code) for kind, code in met if foreseen(code or kind) is None]


@dataclass(frozen=True)
class Balance:
    """Sign-ins that the orgs granted, and what became of them."""

    granted: int
    stored: int
    spoiled: int
    lost: tuple[tuple[float, str], ...]
    """When and to whom those were granted that came to nothing though nobody spoiled them."""
    from_nowhere: int
    """Tokens stored that no org has granted."""

    def unexplained(self, kills: Sequence[float]) -> list[tuple[float, str]]:
        """Those lost that no killed process can have had in its hands."""
        return [
            (at, user)
            for at, user in self.lost
            if not any(kill - CLAIM_SECONDS < at < kill + 1 for kill in kills)
        ]


def balance(journal: Iterable[Note], stored: Iterable[tuple[str, float]]) -> Balance:
    """Each token stored goes with the sign-in of its user just before."""
    granted: dict[str, list[float]] = defaultdict(list)
    spoiled = count = 0
    for line in journal:
        if not line["signed_in"]:
            continue
        count += 1
        if line["spoiled"]:
            spoiled += 1
        else:
            granted[line["user"].lower()].append(line["at"])
    tokens, from_nowhere = 0, 0
    for username, at in stored:
        tokens += 1
        before = [each for each in granted[username] if at - 3 * CLAIM_SECONDS < each < at + LOOSE_SECONDS]
        if before:
            granted[username].remove(before[-1])
        else:
            from_nowhere += 1
    lost = sorted((at, user) for user, times in granted.items() for at in times)
    return Balance(count, tokens, spoiled, tuple(lost), from_nowhere)


def share_of_time(times: Mapping[int, int], share: float) -> float:
    """Seconds that this share of the calls stayed below."""
    left = share * sum(times.values())
    for step in sorted(times):
        left -= times[step]
        if left <= 0:
            return float(2 ** (step / PER_DOUBLING))
    return 0.0


@dataclass(frozen=True)
class Memory:
    name: str
    minutes: tuple[float, ...]
    """Medians of a minute, in MB: at the beginning, each five minutes on, and at the end."""

    @property
    def first(self) -> float:
        return self.minutes[0]

    @property
    def last(self) -> float:
        return self.minutes[-1]

    @property
    def growth(self) -> float:
        return self.last / self.first - 1

    @property
    def is_flat(self) -> bool:
        return abs(self.growth) <= FLAT


def memory(
    samples: Mapping[tuple[str, int], Sequence[tuple[float, int]]],
    *,
    since: float,
    until: float,
    window: float,
) -> list[Memory]:
    """Of each process that lived all that time; `samples` are (when, kilobytes)."""
    steps = [
        *(since + step * 300 for step in range(int((until - window - since) // 300) + 1)),
        until - window,
    ]
    found = []
    for (name, _), seen in sorted(samples.items()):
        sizes = [[size for at, size in seen if begin <= at <= begin + window] for begin in steps]
        if all(sizes):
            found.append(Memory(name, tuple(median(each) / 1024 for each in sizes)))
    return found
