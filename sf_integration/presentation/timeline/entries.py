"""Single things that happened, made of the rows of checks, events and the audit trail."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.core.exceptions import FieldDoesNotExist
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ...audit import READS
from ...models import AuditEvent, ConnectedApp, ConnectionCheck, ConnectionEvent, normal_username
from ...state import ConnectionState
from ...tokens.promotion import BY_ITSELF
from .asking import Kind, Place, Window

_TOLD_ELSEWHERE = ("checked",)
"""The check itself tells who asked for it."""
ACTS = {
    "changed": gettext_lazy("Edited"),
    "created": gettext_lazy("Created"),
    "paused": gettext_lazy("Paused"),
    "resumed": gettext_lazy("Resumed"),
    "renewed": gettext_lazy("Asked to sign in anew"),
    "asked for a check": gettext_lazy("Asked for a check"),
    "asked for a sign-in": gettext_lazy("Asked for a sign-in"),
    "broke stand-in": gettext_lazy("Stand-in org broken"),
    "healed stand-in": gettext_lazy("Stand-in org healed"),
    "revoked token": gettext_lazy("Token revoked"),
    "accepted org": gettext_lazy("Another org accepted"),
    "made key": gettext_lazy("Signing key made"),
    "added key": gettext_lazy("Signing key added"),
    "changed key": gettext_lazy("Signing key edited"),
    "registered key": gettext_lazy("Signing key held outside registered"),
    "retired signing key": gettext_lazy("Signing key retired"),
    "staged signing key": gettext_lazy("Signing key staged"),
    "tried staged signing key": gettext_lazy("Staged signing key tried"),
    "promoted signing key": gettext_lazy("Staged signing key promoted"),
    "undid promotion": gettext_lazy("Promotion of the signing key undone"),
    "cancelled rotation": gettext_lazy("Rotation cancelled"),
    "limited to group": gettext_lazy("Limited to a group"),
    "no longer limited to group": gettext_lazy("No longer limited to a group"),
    "looked up": gettext_lazy("Records looked up"),
    "downloaded": gettext_lazy("Records downloaded"),
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
    "downloaded": "download",
    "took token": "download",
    "made set-up kit": "download",
}


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
        took = f"{self.milliseconds}\N{NO-BREAK SPACE}ms" if self.milliseconds is not None else ""
        return " · ".join(filter(None, (who, self.username, self.note, took)))


def entries_of(connection: ConnectedApp, window: Window, kind: str) -> Iterator[Entry]:
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
    if not kind:
        return acts
    return acts.filter(act__in=READS) if kind == Kind.USES else acts.exclude(act__in=READS)


def _of_check(row: ConnectionCheck) -> Entry:
    state = ConnectionState.named(row.state)
    return Entry(
        place=Place(row.at, row.pk),
        icon="check" if row.healthy else "cross",
        colour=state.colour if state else "mute",
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
    state = ConnectionState.named(row.code)
    colour = state.colour if state else "mute"
    return replace(entry, icon="info", colour=colour, title=_("State changed"), state=row.code)


def _of_act(row: AuditEvent) -> Entry:
    what = [", ".join(map(_field_name, row.fields)), _("%d times") % row.count if row.count > 1 else ""]
    return Entry(
        place=Place(row.at, row.pk),
        icon=_ACT_ICONS.get(row.act, "pen"),
        colour="mute" if row.act in READS else "info",
        title=str(ACTS.get(row.act, row.act.capitalize())),
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
