"""What happened to a connection, of all sources in one line of time: checks, sign-ins, changes of state, acts of people."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Self
from uuid import UUID

from django import forms
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ..models import AuditEvent, ConnectedApp, ConnectionCheck, ConnectionEvent, normal_username
from ..state import ConnectionState
from ..tokens.promotion import BY_ITSELF

PAGE = 60
FEWEST_FOLDED = 3
AFTER_ASKED = dt.timedelta(minutes=5)
"""How much of what came after a moment that was asked for is shown with it."""

_USES = (
    "looked up",
    "asked identity",
    "took token",
    "looked for the fault",
    "tested values",
    "made set-up kit",
)
_TOLD_ELSEWHERE = ("checked",)
"""The check itself tells who asked for it."""
_ACTS = {
    "changed": gettext_lazy("Edited"),
    "created": gettext_lazy("Created"),
    "added": gettext_lazy("Added"),
    "paused": gettext_lazy("Paused"),
    "resumed": gettext_lazy("Resumed"),
    "renewed": gettext_lazy("Asked to sign in anew"),
    "revoked token": gettext_lazy("Token revoked"),
    "accepted org": gettext_lazy("Another org accepted"),
    "staged signing key": gettext_lazy("Signing key staged"),
    "tried staged signing key": gettext_lazy("Staged signing key tried"),
    "promoted signing key": gettext_lazy("Staged signing key promoted"),
    "undid promotion": gettext_lazy("Promotion of the signing key undone"),
    "cancelled rotation": gettext_lazy("Rotation cancelled"),
    "looked up": gettext_lazy("Records looked up"),
    "asked identity": gettext_lazy("Identity asked"),
    "took token": gettext_lazy("Token taken out"),
    "looked for the fault": gettext_lazy("Fault looked for"),
    "tested values": gettext_lazy("Unsaved values tried"),
    "made set-up kit": gettext_lazy("Set-up kit made"),
}
_ACT_ICONS = {
    "paused": "pause",
    "resumed": "play",
    "renewed": "renew",
    "revoked token": "barred",
    "looked up": "search",
    "took token": "download",
    "made set-up kit": "download",
}


class Kind(models.TextChoices):
    """What the line of time can be narrowed to."""

    CHECKS = "checks", gettext_lazy("Checks")
    SIGN_INS = "sign-ins", gettext_lazy("Sign-ins and sessions")
    STATES = "states", gettext_lazy("Changes of state")
    CHANGES = "changes", gettext_lazy("Edits, rotations, pauses")
    USES = "uses", gettext_lazy("Lookups and tokens taken")


@dataclass(frozen=True, order=True)
class Place:
    """Between two entries. Moments may be equal, so the row's key decides with them."""

    at: dt.datetime
    pk: UUID

    def __str__(self) -> str:
        return f"{self.at.astimezone(dt.UTC):%Y%m%dT%H%M%S.%f}-{self.pk.hex}"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """None for no text. Raises ValidationError for what `str` has not made."""
        if not text:
            return None
        try:
            at, _dash, pk = text.partition("-")
            return cls(dt.datetime.strptime(at, "%Y%m%dT%H%M%S.%f").replace(tzinfo=dt.UTC), UUID(pk))
        except ValueError as exc:
            raise ValidationError(_("The address leads to no place in the timeline.")) from exc


@dataclass(frozen=True)
class Entry:
    """One thing that happened."""

    place: Place
    icon: str
    colour: str
    title: str
    who: str = ""
    username: str = ""
    """Whose token it is about, where that is not the connection's own user."""
    note: str = ""
    state: str = ""
    """As a pill beside the title."""
    code: str = ""
    """Leads to its explanation."""
    check: UUID | None = None
    """Leads to its steps."""
    milliseconds: int | None = None
    routine: str = ""
    """What it counts as where it is folded with its like: nothing new was learned from it."""
    is_asked_for: bool = False

    @property
    def at(self) -> dt.datetime:
        return self.place.at

    @property
    def told(self) -> str:
        """What else there is to say, after the title."""
        who = _("by %s") % self.who if self.who else ""
        took = f"{self.milliseconds} ms" if self.milliseconds is not None else ""
        return " · ".join(filter(None, (who, self.username, self.note, took)))


@dataclass(frozen=True)
class Run:
    """Entries one after the other that tell nothing new, the newest first."""

    entries: Sequence[Entry]

    @property
    def first(self) -> dt.datetime:
        return self.entries[-1].at

    @property
    def last(self) -> dt.datetime:
        return self.entries[0].at

    @property
    def words(self) -> str:
        """`14 light checks and 3 sign-ins, all well`."""
        checks = sum(each.routine == "check" for each in self.entries)
        sign_ins = len(self.entries) - checks
        parts = [
            ngettext("%d light check", "%d light checks", checks) % checks if checks else "",
            ngettext("%d sign-in", "%d sign-ins", sign_ins) % sign_ins if sign_ins else "",
        ]
        return _("%(what)s, all well") % {"what": _(" and ").join(filter(None, parts))}


@dataclass(frozen=True)
class Day:
    date: dt.date
    items: Sequence[Entry | Run]


@dataclass(frozen=True)
class Page:
    days: Sequence[Day]
    newer: str = ""
    """The place after which what is newer begins; empty when there is nothing newer."""
    older: str = ""
    met: bool = True
    """Whether anything happened in the minute that was asked for."""


@dataclass(frozen=True)
class Window:
    """Which part of the line is wanted: what comes before a place, or what comes after it."""

    before: Place | None = None
    after: Place | None = None
    size: int = PAGE

    def of(self, rows: QuerySet[Any]) -> list[Any]:
        """Its rows of one source, one more than wanted, so that it shows whether there are others."""
        if self.after:
            rows = rows.filter(at__gte=self.after.at).exclude(at=self.after.at, pk__lte=self.after.pk)
            return list(rows.order_by("at", "pk")[: self.size + 1])
        if self.before:
            rows = rows.filter(at__lte=self.before.at).exclude(at=self.before.at, pk__gte=self.before.pk)
        return list(rows.order_by("-at", "-pk")[: self.size + 1])


class MomentInput(forms.DateTimeInput):
    input_type = "datetime-local"

    def format_value(self, value: Any) -> str:
        """In the one form that browsers take; they complain about what can't be read."""
        try:
            moment = parse_datetime(value) if isinstance(value, str) else value
        except ValueError:
            return ""
        return f"{moment:%Y-%m-%dT%H:%M}" if moment else ""


class Question(forms.Form):
    """What the address of the page asks for; nothing: the newest of all."""

    kind = forms.ChoiceField(choices=Kind.choices, required=False, widget=forms.HiddenInput)
    at = forms.DateTimeField(
        label=gettext_lazy("What happened at"),
        required=False,
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"],
        widget=MomentInput,
        error_messages={"invalid": gettext_lazy("Give a day and a time, as 2026-11-22T03:12.")},
    )
    before = forms.CharField(required=False)
    after = forms.CharField(required=False)

    def clean_at(self) -> dt.datetime | None:
        """The whole minute."""
        at: dt.datetime | None = self.cleaned_data["at"]
        return at and at.replace(second=0, microsecond=0)

    def clean_before(self) -> Place | None:
        return Place.read(self.cleaned_data["before"])

    def clean_after(self) -> Place | None:
        return Place.read(self.cleaned_data["after"])

    @property
    def window(self) -> Window:
        told = getattr(self, "cleaned_data", {})
        at = told.get("at")
        before = told.get("before") or (Place(at + AFTER_ASKED, UUID(int=0)) if at else None)
        return Window(before=before, after=told.get("after"))


def page_of(
    connection: ConnectedApp, window: Window, *, kind: str = "", asked: dt.datetime | None = None
) -> Page:
    """The newest first. `asked`: the minute in which what is of it is marked."""
    entries = sorted(
        _entries(connection, window, kind), key=lambda each: each.place, reverse=not window.after
    )
    has_more, entries = len(entries) > window.size, entries[: window.size]
    if window.after:
        if not has_more:  # the newest page is a whole one
            return page_of(connection, Window(size=window.size), kind=kind)
        entries.reverse()
    if asked:
        entries = [_marked(each, asked) for each in entries]
    reaches_now = window.after is None and (window.before is None or window.before.at > timezone.now())
    return Page(
        days=list(_days(entries)),
        newer="" if reaches_now or not entries else str(entries[0].place),
        older=str(entries[-1].place) if entries and (has_more or window.after) else "",
        met=asked is None or any(each.is_asked_for for each in entries),
    )


def lately(connection: ConnectedApp, *, most: int) -> list[Entry | Run]:
    """The last few things, whatever day they are of."""
    page = page_of(connection, Window(size=4 * most))
    return [item for day in page.days for item in day.items][:most]


def _entries(connection: ConnectedApp, window: Window, kind: str) -> Iterator[Entry]:
    sources: Sequence[tuple[Collection[str], Callable[[], QuerySet[Any]], Callable[[Any], Entry]]] = (
        ((Kind.CHECKS,), lambda: _checks(connection), _of_check),
        ((Kind.SIGN_INS, Kind.STATES), lambda: _events(connection, kind), _of_event),
        # By themselves: for both subjects at once the database would walk through the acts on all others.
        ((Kind.CHANGES, Kind.USES), lambda: _acts(connection.pk, kind), _of_act),
        ((Kind.CHANGES,), lambda: _acts(connection.signing_key_id, kind), _of_act),
    )
    own = normal_username(connection.username)
    for kinds, rows, entry_of in sources:
        if not kind or kind in kinds:
            for row in window.of(rows()):
                entry = entry_of(row)
                yield replace(entry, username="") if normal_username(entry.username) == own else entry


def _checks(connection: ConnectedApp) -> QuerySet[ConnectionCheck]:
    return connection.checks.only("connection", "at", "asked_by", "healthy", "light", "state", "milliseconds")


def _events(connection: ConnectedApp, kind: str) -> QuerySet[ConnectionEvent]:
    states = {"kind": ConnectionEvent.Kind.STATE}
    events = connection.events.all()
    return events.filter(**states) if kind == Kind.STATES else events.exclude(**states) if kind else events


def _acts(subject_id: UUID, kind: str) -> QuerySet[AuditEvent]:
    acts = AuditEvent.objects.filter(subject_id=subject_id).exclude(act__in=_TOLD_ELSEWHERE)
    return acts.filter(act__in=_USES) if kind == Kind.USES else acts.exclude(act__in=_USES) if kind else acts


def _of_check(row: ConnectionCheck) -> Entry:
    state = ConnectionState(row.state)
    return Entry(
        place=Place(row.at, row.pk),
        icon="check" if row.healthy else "cross",
        colour=state.colour,
        title=_("Light check") if row.light else _("Check"),
        who=row.asked_by,
        state=row.state,
        check=row.pk,
        milliseconds=row.milliseconds,
        routine="check" if row.light and state is ConnectionState.HEALTHY else "",
    )


def _of_event(row: ConnectionEvent) -> Entry:
    entry = Entry(
        Place(row.at, row.pk), "renew", "good", "", username=row.username, milliseconds=row.milliseconds
    )
    match row.kind:
        case ConnectionEvent.Kind.SIGNED_IN:
            return replace(entry, title=_("Signed in"), routine="sign-in")
        case ConnectionEvent.Kind.REFUSED:
            return replace(entry, icon="cross", colour="bad", title=_("Sign-in failed"), code=row.code)
        case ConnectionEvent.Kind.ENDED:
            return replace(
                entry, icon="alert", colour="warn", title=_("The org had ended the session"), code=row.code
            )
    known = row.code in {state.value for state in ConnectionState}
    colour = ConnectionState(row.code).colour if known else "mute"
    return replace(
        entry, icon="info", colour=colour, title=_("State changed"), state=row.code if known else ""
    )


def _of_act(row: AuditEvent) -> Entry:
    what = [", ".join(map(_field_name, row.fields)), _("%d times") % row.count if row.count > 1 else ""]
    return Entry(
        place=Place(row.at, row.pk),
        icon=_ACT_ICONS.get(row.act, "pen"),
        colour="mute" if row.act in _USES else "info",
        title=str(_ACTS.get(row.act, row.act.capitalize())),
        who=_("itself, at a sign-in") if row.actor == BY_ITSELF else row.actor,
        username=row.username,
        note=" · ".join(filter(None, what)),
    )


def _field_name(name: str) -> str:
    """As forms call it."""
    try:
        return str(getattr(ConnectedApp._meta.get_field(name), "verbose_name", name))
    except FieldDoesNotExist:
        return name


def _marked(entry: Entry, asked: dt.datetime) -> Entry:
    is_of_it = asked <= entry.at < asked + dt.timedelta(minutes=1)
    return replace(entry, is_asked_for=True, routine="") if is_of_it else entry


def _days(entries: Iterable[Entry]) -> Iterator[Day]:
    for date, found in groupby(entries, key=lambda each: timezone.localtime(each.at).date()):
        yield Day(date, list(_folded(found)))


def _folded(entries: Iterable[Entry]) -> Iterator[Entry | Run]:
    for is_routine, group in groupby(entries, key=lambda each: bool(each.routine)):
        found = list(group)
        if is_routine and len(found) >= FEWEST_FOLDED:
            yield Run(found)
        else:
            yield from found
