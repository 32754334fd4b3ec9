"""Many connections at once: paused or resumed here and now, checked or renewed by the worker.

Whoever asks for checks or sign-ins leaves an event for each connection in the trail, all of one moment; whoever does them
leaves one when it is done. So the trail tells how far it has come, and nothing else has to be kept.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import access, audit, health, tokens
from ..access import Deed
from ..models import AuditEvent, ConnectedApp, ConnectedAppQuerySet
from ..salesforce.errors import SalesforceError
from ..state import ConnectionState
from ..tokens import renewal
from .operations import Outcome

MOST = 1000
"""At once: each check or sign-in takes a second or more, and a few of the org's API calls."""
LANES = 4
"""How many workers at most are busy with one request: renewals by beat go on beside it."""
PER_MESSAGE = 5
"""So many one after the other, before the worker takes up what else is waiting."""
WAITS_FOR = dt.timedelta(minutes=10)
"""For a worker; later nobody counts on it any more."""
SILENT_AFTER = dt.timedelta(seconds=60)
CHECK, RENEW = "check", "renew"
_ASKED = {CHECK: "asked for a check", RENEW: "asked for a sign-in"}
_DONE = {CHECK: "checked", RENEW: "renewed"}
_CALLABLE = (
    ConnectionState.FAILING,
    ConnectionState.NEEDS_ATTENTION,
    ConnectionState.NOT_CHECKED_YET,
    ConnectionState.IDLE,
    ConnectionState.HEALTHY,
)

Send = Callable[[str, list[str], str, str], object]
"""Hands (act, ids, id of who asked, the moment) to a worker; raises when that can't be."""


class NotSent(Exception):
    """No worker could be told: nothing is done. The trail keeps that it was asked for."""


@dataclass(frozen=True)
class Asked:
    began: dt.datetime
    count: int
    left_out: int
    """Paused, not allowed here, or without their encryption key: nothing can be called for them."""


@dataclass(frozen=True)
class Progress:
    """How far a request has come."""

    act: str
    began: dt.datetime
    ids: frozenset[UUID]
    done: frozenset[UUID]
    last_at: dt.datetime
    """When something was last done; at first, when it was asked for."""

    @classmethod
    def of(cls, actor: Any, began: dt.datetime) -> Self | None:
        """None when `actor` asked for nothing at that moment."""
        asked = AuditEvent.objects.filter(at=began, actor=actor.get_username(), act__in=_ASKED.values())
        acts: dict[Any, str] = dict(asked.values_list("subject_id", "act"))
        if not acts:
            return None
        act = next(name for name, words in _ASKED.items() if words in acts.values())
        done = dict(_done(act, actor, began, acts).order_by("at").values_list("subject_id", "at"))
        return cls(act, began, frozenset(acts), frozenset(done), max((began, *done.values())))

    @property
    def left(self) -> frozenset[UUID]:
        return self.ids - self.done

    def is_stuck(self, now: dt.datetime) -> bool:
        """So it is when a worker died with it: what it held is nobody's, until somebody asks for the rest anew."""
        return bool(self.left) and now - self.last_at > SILENT_AFTER


def ask(act: str, connections: ConnectedAppQuerySet, *, actor: Any, send: Send) -> Asked:
    """Have the connections checked, or signed in to anew, by the worker. Raises NotSent, and nothing is done, if no broker answers.

    The broker is told after the trail was written: it may take seconds to say nothing, and no lock waits for it meanwhile.
    """
    access.require(actor, DEEDS[act])
    now = timezone.now()
    chosen = list(
        connections.order_by().select_related("signing_key").defer("signing_key__certificate", "notes")[:MOST]
    )
    access.require_all(actor, DEEDS[act], chosen)
    callable_ = [each for each in chosen if each.connection_state(now) in _CALLABLE]
    if callable_:
        audit.record_many(_ASKED[act], callable_, actor=actor, at=now)
        try:
            send(act, [str(each.pk) for each in callable_], str(actor.pk), now.isoformat())
        except Exception as error:
            raise NotSent from error
    return Asked(now, len(callable_), len(chosen) - len(callable_))


def lanes(ids: Sequence[str]) -> Iterator[list[str]]:
    """What may be done side by side."""
    count = min(LANES, -(-len(ids) // PER_MESSAGE))
    return (list(ids[start::count]) for start in range(count))


def work(act: str, ids: Iterable[str], asked_by: str, began: dt.datetime) -> None:
    """In the worker: do it to each, as far as who asked may still do so. A doubled message does nothing."""
    actor = get_user_model().objects.filter(pk=asked_by).first()
    if actor is None or not access.may(actor, DEEDS[act]):
        return
    chosen = access.visible_to(actor).filter(pk__in=ids).select_related("signing_key")
    done = set(_done(act, actor, began, ids).values_list("subject_id", flat=True))
    for connection in chosen.exclude(pk__in=done):
        try:
            _ACTS[act](connection, actor)
        finally:
            audit.record(_DONE[act], connection, actor=actor)


def pause(connections: ConnectedAppQuerySet, *, actor: Any) -> Outcome:
    """Nothing is called any more for any of them, everywhere within five seconds."""
    count = _switch(connections, enabled=False, actor=actor)
    told = ngettext(
        "%(count)d paused: nothing is called for it until it is resumed.",
        "%(count)d paused: nothing is called for them until they are resumed.",
        count,
    )
    return Outcome(True, told % {"count": count})


def resume(connections: ConnectedAppQuerySet, *, actor: Any) -> Outcome:
    count = _switch(connections, enabled=True, actor=actor)
    return Outcome(True, _("%(count)d resumed.") % {"count": count})


def _switch(connections: ConnectedAppQuerySet, *, enabled: bool, actor: Any) -> int:
    """Returns how many were not so before."""
    access.require(actor, Deed.PAUSE)
    other = connections.order_by().exclude(enabled=enabled)[:MOST]
    changed = list(other.select_related("signing_key").defer("signing_key__certificate", "notes"))
    access.require_all(actor, Deed.PAUSE, changed)
    with transaction.atomic():
        ConnectedApp.objects.filter(pk__in=[each.pk for each in changed]).update(enabled=enabled)
        audit.record_many("resumed" if enabled else "paused", changed, actor=actor)
    now = timezone.now()
    for connection in changed:
        connection.enabled = enabled
        renewal.tell_change(connection, now)
    return len(changed)


def _done(act: str, actor: Any, began: dt.datetime, ids: Iterable[Any]) -> Any:
    return AuditEvent.objects.filter(
        act=_DONE[act], actor=actor.get_username(), at__gt=began, subject_id__in=list(ids)
    )


def _check(connection: ConnectedApp, actor: Any) -> None:
    with suppress(IntegrityError):  # deleted meanwhile
        health.check_connection(connection, asked_by=actor.get_username())


def _renew(connection: ConnectedApp, actor: Any) -> None:
    with suppress(SalesforceError):  # stored with the connection, where pages and signals have it from
        tokens.refresh(connection.name)


DEEDS = {CHECK: Deed.CHECK, RENEW: Deed.RENEW}
_ACTS: dict[str, Callable[[ConnectedApp, Any], None]] = {CHECK: _check, RENEW: _renew}
