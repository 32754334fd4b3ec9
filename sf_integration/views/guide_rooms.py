"""The rooms of the set-up guide, made ready for the templates: what is done, what to copy, where to click in this org."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ..salesforce import my_domain, setup_guide
from ..salesforce.setup_guide import Copied, Kind, Refusal, Room, Step, Way

_WORDS: dict[Copied, str] = {
    "login_url": "Login URL",
    "username": "Username",
    "app_name": "Name of the app",
    "callback_url": "Callback URL",
    "scopes": "Scopes",
    "certificate": "Certificate",
    "permission_set": "Name of the permission set",
    "profile": "Profile",
}


@dataclass(frozen=True)
class Copy:
    """A value that goes into the org."""

    id: str
    """Of the element that holds it."""
    name: Copied
    words: str
    value: str


@dataclass(frozen=True)
class ShownStep:
    step: Step
    way: Way
    is_done: bool
    explains: bool
    """Whether the present error is the one that comes when this step was left out."""
    copies: list[Copy]
    lacks_certificate: bool
    setup_url: str
    """Of the page in the org's own Setup; empty where the org is not known."""

    @property
    def skipped(self) -> tuple[Refusal, ...]:
        return self.step.skipped

    @property
    def is_open(self) -> bool:
        return self.explains or not self.is_done


@dataclass(frozen=True)
class ShownRoom:
    room: Room
    number: int
    steps: list[ShownStep]

    @property
    def done(self) -> int:
        return sum(shown.is_done for shown in self.steps)

    @property
    def is_done(self) -> bool:
        return self.done == len(self.steps)

    @property
    def progress(self) -> str:
        return f"{self.done} of {len(self.steps)} done"


def rooms(
    kind: Kind,
    *,
    values: Mapping[Copied, str],
    done: Collection[str] = (),
    explaining: Sequence[Step] = (),
) -> list[ShownRoom]:
    """All rooms for one kind of app. `values`: what there is to copy, as far as it is known."""
    return [
        ShownRoom(
            room,
            number,
            [_shown(step, kind, values, step.id in done, step in explaining) for step in room.steps],
        )
        for number, room in enumerate(setup_guide.ROOMS, 1)
    ]


def progress(shown: Sequence[ShownRoom]) -> dict[str, str]:
    """`3 of 5 done` by the room's id, and of all together by an empty one."""
    done, steps = sum(room.done for room in shown), sum(len(room.steps) for room in shown)
    return {room.room.id: room.progress for room in shown} | {"": f"{done} of {steps} done"}


def _shown(step: Step, kind: Kind, values: Mapping[Copied, str], is_done: bool, explains: bool) -> ShownStep:
    way = step.way(kind)
    return ShownStep(
        step=step,
        way=way,
        is_done=is_done,
        explains=explains,
        copies=[
            Copy(f"copy-{step.id}-{name}", name, _WORDS[name], values[name])
            for name in step.copies
            if values.get(name)
        ],
        lacks_certificate="certificate" in step.copies and not values.get("certificate"),
        setup_url=my_domain.setup_url(values.get("login_url", ""), way.setup_path),
    )
