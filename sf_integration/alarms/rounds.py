"""One round: what is amiss is compared with the open alarms; who has to be told is written down in the same transaction.

Rounds come one after the other, whichever processes begin them: the first statement of the transaction takes the place, and a
round that looked earlier than the last one stored gives way. So nobody is told twice, and nothing told is lost.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from ..conf import settings
from ..models import Alarm, AlarmMessage, Heartbeat
from ..signals import alarm_changed, send
from . import before, contacts, matters, texts
from .matters import Kind, Matter, Member
from .texts import ENDED, LOUDER, RAISED, Item

log = logging.getLogger("sf_integration.alarms")

ROUND = "round of alarms"
"""Name of the heartbeat that each round writes."""
_NEVER = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_CLOCKS_DIFFER_BY = dt.timedelta(minutes=5)
"""At most: a last round still further ahead was one of a wrong clock."""
_MOST_LOOKED_BACK = 50
_BATCH = 100
_WRITTEN = (
    *("title", "level", "told_at", "count", "facts", "connections", "told", "calm_since"),
    *("ended_at", "ending"),
)


@dataclass(frozen=True)
class Change:
    alarm: Alarm
    what: str


def run(now: dt.datetime | None = None, *, kinds: Collection[str] = matters.ALL_KINDS) -> list[Change]:
    """Look, store, have messages ready. Returns what changed; nothing when another round was later."""
    now = now or timezone.now()
    open_hosts = Alarm.objects.filter(kind=Kind.HOST, ended_at=None).values_list("about", flat=True)
    found = matters.present(now, known_hosts=set(open_hosts), kinds=kinds)
    Heartbeat.objects.get_or_create(name=ROUND, defaults={"at": _NEVER})
    with transaction.atomic():
        if not _take_turn(now):
            return []
        round_ = _Round(now, dt.timedelta(seconds=settings.ALARM_AFTER_SECONDS))
        round_.compare([*Alarm.objects.filter(ended_at=None, kind__in=kinds)], found)
        round_.store()
    for change in round_.changes:
        log.info("alarm %s: %s %s", change.what, change.alarm.kind, change.alarm.title)
        send(alarm_changed, Alarm, alarm=change.alarm, change=change.what)
    return round_.changes


def _take_turn(now: dt.datetime) -> bool:
    """First of all a write: on every database it makes others wait, before this round has read anything."""
    earlier = Q(at__lt=now) | Q(at__gt=now + _CLOCKS_DIFFER_BY)
    return bool(Heartbeat.objects.filter(earlier, name=ROUND).update(at=now))


@dataclass
class _Round:
    now: dt.datetime
    after: dt.timedelta
    changes: list[Change] = field(default_factory=list)
    _new: list[Alarm] = field(default_factory=list)
    _old: list[tuple[Alarm, tuple[object, ...]]] = field(default_factory=list)
    """Each with what was stored."""
    _passed: list[Alarm] = field(default_factory=list)
    _items: dict[str, list[Item]] = field(default_factory=lambda: defaultdict(list))
    _known_already: dict[str, dict[UUID, str]] = field(default_factory=lambda: defaultdict(dict))
    """Of each target the connections that it was told of by alarms which go on as one of a host."""

    # ---- compare ----

    def compare(self, alarms: Sequence[Alarm], found: Sequence[Matter]) -> None:
        self._old = [(alarm, _columns(alarm)) for alarm in alarms]
        present = {matter.key: matter for matter in found}
        absent = [alarm for alarm in alarms if (alarm.kind, alarm.about) not in present]
        begun = {(alarm.kind, alarm.about) for alarm in alarms if alarm.told_at} | {
            matter.key for matter in found if self._counts_at_once(matter)
        }
        self._end(absent, found, begun)
        for alarm in alarms:
            matter = present.pop((alarm.kind, alarm.about), None)
            if matter is not None:
                self._go_on(alarm, matter)
        for matter in present.values():
            self._begin(matter)

    def _counts_at_once(self, matter: Matter) -> bool:
        """Whether it is known to have lasted."""
        began = _known_beginning(matter)
        return not self.after or (began is not None and began <= self.now - self.after)

    def _begin(self, matter: Matter) -> None:
        counts = self._counts_at_once(matter)
        if not counts and _known_beginning(matter) is not None:
            return  # a later round will see how long it has lasted
        alarm = Alarm(
            kind=matter.kind, about=matter.about, since=matter.since or self.now, raised_at=self.now, count=0
        )
        self._describe(alarm, matter)
        self._new.append(alarm)
        if counts:
            self._raise(alarm, matter)

    def _go_on(self, alarm: Alarm, matter: Matter) -> None:
        self._describe(alarm, matter)
        alarm.calm_since = None
        if alarm.told_at is not None:
            level = self._level(alarm, matter)
            louder, alarm.level = level > alarm.level, level
            self._tell(alarm, matter, LOUDER if louder else "")
        elif self._counts_at_once(matter) or alarm.raised_at <= self.now - self.after:
            self._raise(alarm, matter)

    def _raise(self, alarm: Alarm, matter: Matter) -> None:
        alarm.level = self._level(alarm, matter)
        self._tell(alarm, matter, RAISED)

    def _describe(self, alarm: Alarm, matter: Matter) -> None:
        alarm.title, alarm.facts = matter.title[:200], matter.facts
        alarm.connections = sorted({*alarm.connections, *(str(member.pk) for member in matter.members)})
        alarm.count = max(alarm.count, len(matter.members))

    def _level(self, alarm: Alarm, matter: Matter) -> int:
        return matters.loudness(self.now - alarm.since) if matter.level is None else matter.level

    def _tell(self, alarm: Alarm, matter: Matter, change: str) -> None:
        """To all when it has become louder, else to those who don't know of it yet."""
        for target, members in contacts.recipients(alarm.kind, matter.members, alarm.level).items():
            known = self._known_already.get(target, {}) if alarm.kind == Kind.HOST else {}
            if target not in alarm.told and members and all(member.pk in known for member in members):
                alarm.told = {**alarm.told, target: known[members[0].pk]}
            elif target not in alarm.told or change == LOUDER:
                said = LOUDER if target in alarm.told else RAISED
                self._items[target].append(Item(said, alarm, members))
        if change:
            alarm.told_at = self.now
            self.changes.append(Change(alarm, change))

    # ---- the end ----

    def _end(
        self, absent: Sequence[Alarm], found: Sequence[Matter], begun: Collection[tuple[str, str]]
    ) -> None:
        self._passed += [alarm for alarm in absent if alarm.told_at is None]
        told = [alarm for alarm in absent if alarm.told_at is not None]
        ids = {each for alarm in told for each in alarm.connections}
        there = matters.members(ids) if ids else {}
        elsewhere = _elsewhere(found)
        for alarm in told:
            self._end_one(alarm, there, elsewhere, begun)

    def _end_one(
        self,
        alarm: Alarm,
        there: Mapping[str, tuple[Member, str]],
        elsewhere: Mapping[str, Matter],
        begun: Collection[tuple[str, str]],
    ) -> None:
        known = [there[each] for each in alarm.connections if each in there]
        successor = elsewhere.get(alarm.connections[0]) if _is_of_one(alarm) and known else None
        if alarm.kind == Kind.SCHEDULER:
            self._calm_down(alarm, "recovered", [])
        elif not known:
            self._close(alarm, "deleted")
        elif all(state in matters.AT_REST for _, state in known):
            self._close(alarm, "paused")
        elif successor is None:
            well = [member for member, _ in known if str(member.pk) not in elsewhere] or [m for m, _ in known]
            recovered = alarm.kind in (Kind.CONNECTION, Kind.HOST)
            self._calm_down(alarm, "recovered" if recovered else "settled", well)
        elif successor.key in begun and alarm.kind == Kind.CONNECTION:
            for target, message in alarm.told.items():
                self._known_already[target][known[0][0].pk] = message
            self._close(alarm, "merged")

    def _calm_down(self, alarm: Alarm, ending: str, members: Sequence[Member]) -> None:
        """Told only once it lasts: what comes back at once was not over."""
        alarm.calm_since = alarm.calm_since or self.now
        if alarm.calm_since > self.now - self.after:
            return
        # At the highest level all are asked for, of whom those count who were told.
        everyone = contacts.recipients(alarm.kind, members, level=1)
        for target in alarm.told:
            if target in everyone:
                self._items[target].append(Item(ENDED, alarm, everyone[target]))
        self._close(alarm, ending)

    def _close(self, alarm: Alarm, ending: str) -> None:
        alarm.ended_at, alarm.ending = self.now, ending
        self.changes.append(Change(alarm, ENDED))

    # ---- store ----

    def store(self) -> None:
        messages = self._messages()
        Alarm.objects.filter(pk__in=[alarm.pk for alarm in self._passed]).delete()
        changed = [alarm for alarm, stored in self._old if _columns(alarm) != stored]
        Alarm.objects.bulk_update(changed, _WRITTEN, batch_size=_BATCH)
        Alarm.objects.bulk_create(self._new, batch_size=500)
        AlarmMessage.objects.bulk_create(messages, batch_size=500)

    def _messages(self) -> list[AlarmMessage]:
        """One for each target, with all that it is told in this round."""
        happened = before.happened(self._moments())
        made = []
        for target, items in self._items.items():
            told = [replace(item, before=happened) for item in items]
            subject, body = texts.compose(told, self.now)
            made.append(
                AlarmMessage(
                    pk=uuid4(),
                    target=target,
                    subject=subject,
                    tone=texts.tone(told),
                    body=body,
                    in_reply_to=_earlier(items, target),
                    created_at=self.now,
                    next_try_at=self.now,
                )
            )
            for item in items:
                item.alarm.told = {target: str(made[-1].pk)} | item.alarm.told
        return made

    def _moments(self) -> dict[Member, dt.datetime]:
        """The connections of which it is told what happened before: some of each alarm, as there may be thousands."""
        found: dict[Member, dt.datetime] = {}
        for item in (item for items in self._items.values() for item in items):
            if item.change == RAISED and len(found) < _MOST_LOOKED_BACK:
                found |= dict.fromkeys(item.members[:3], item.alarm.since)
        return found


def _elsewhere(found: Iterable[Matter]) -> dict[str, Matter]:
    """By connection: what else says that it does not work."""
    broken = (Kind.HOST, Kind.CONNECTION, Kind.ENCRYPTION_KEY)
    return {str(member.pk): matter for matter in found if matter.kind in broken for member in matter.members}


def _known_beginning(matter: Matter) -> dt.datetime | None:
    """None where only watching tells how long it lasts. So with the scheduler: the whole site may just have been started."""
    return None if matter.kind == Kind.SCHEDULER else matter.since


def _is_of_one(alarm: Alarm) -> bool:
    return alarm.kind in (Kind.CONNECTION, Kind.ATTENTION)


def _earlier(items: Sequence[Item], target: str) -> UUID | None:
    """What a message about one alarm alone goes on from."""
    known = items[0].alarm.told.get(target) if len(items) == 1 else None
    return UUID(known) if known else None


def _columns(alarm: Alarm) -> tuple[object, ...]:
    return tuple(getattr(alarm, name) for name in _WRITTEN)
