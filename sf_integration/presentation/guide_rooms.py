"""The rooms of the set-up guide, made ready for the templates: what is done, what to copy, where to click in this org."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ..salesforce import my_domain, setup_guide
from ..salesforce.setup_guide import Copied, Kind, Refusal, Room, Step, Way

_WORDS: dict[Copied, str] = {
    "login_url": gettext_noop("Login URL"),
    "username": gettext_noop("Username"),
    "app_name": gettext_noop("Name of the app"),
    "callback_url": gettext_noop("Callback URL"),
    "scopes": gettext_noop("Scopes"),
    "certificate": gettext_noop("Certificate"),
    "permission_set": gettext_noop("Name of the permission set"),
    "profile": gettext_noop("Profile"),
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
    is_next: bool
    """Whether it is the first of its room that is not done."""
    is_likeliest: bool
    """Whether the present error is first of all the one that comes when this step was left out."""
    is_possible: bool
    """Whether the error may come of it, too."""
    copies: list[Copy]
    lacks_certificate: bool
    setup_url: str
    """Of the page in the org's own Setup; empty where the org is not known."""

    @property
    def skipped(self) -> tuple[Refusal, ...]:
        return self.step.skipped

    @property
    def told_errors(self) -> list[str]:
        """The most telling errors by their codes; where a code says little, in Salesforce's words."""
        told = [each.description if each.code == "invalid_grant" else each.code for each in self.skipped]
        return list(dict.fromkeys(told))[:2]

    @property
    def is_open(self) -> bool:
        """Where to go on, and what the error is about; the others show their titles alone."""
        return self.is_likeliest or self.is_next


@dataclass(frozen=True)
class ShownRoom:
    room: Room
    number: int
    steps: list[ShownStep]

    @property
    def done(self) -> int:
        return sum(shown.is_done for shown in self.steps)

    @property
    def progress(self) -> str:
        return _("%(done)d of %(steps)d done") % {"done": self.done, "steps": len(self.steps)}


def rooms(
    kind: Kind,
    *,
    values: Mapping[Copied, str],
    done: Collection[str] = (),
    explaining: Sequence[Step] = (),
) -> list[ShownRoom]:
    """All rooms for one kind of app. `values`: what there is to copy, as far as it is known."""
    return [
        ShownRoom(room, number, _steps(room, kind, values, done, explaining))
        for number, room in enumerate(setup_guide.ROOMS, 1)
    ]


def progress(shown: Sequence[ShownRoom]) -> dict[str, str]:
    """`3 of 5 done` by the room's id, and of all together by an empty one."""
    done, steps = sum(room.done for room in shown), sum(len(room.steps) for room in shown)
    return {room.room.id: room.progress for room in shown} | {
        "": _("%(done)d of %(steps)d done") % {"done": done, "steps": steps}
    }


def _steps(
    room: Room,
    kind: Kind,
    values: Mapping[Copied, str],
    done: Collection[str],
    explaining: Sequence[Step],
) -> list[ShownStep]:
    to_do = next((step for step in room.steps if step.id not in done), None)
    return [
        ShownStep(
            step=step,
            way=step.way(kind),
            is_done=step.id in done,
            is_next=step is to_do,
            is_likeliest=step in explaining[:1],
            is_possible=step in explaining[1:],
            copies=[
                Copy(f"copy-{step.id}-{name}", name, _(_WORDS[name]), values[name])
                for name in step.copies
                if values.get(name)
            ],
            lacks_certificate="certificate" in step.copies and not values.get("certificate"),
            setup_url=my_domain.setup_url(values.get("login_url", ""), step.way(kind).setup_path),
        )
        for step in room.steps
    ]
