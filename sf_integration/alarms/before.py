"""What changed just before something went wrong: of the audit trail and the events, by names, never values."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from ..audit import READS
from ..models import AuditEvent, ConnectionEvent
from .matters import Member

LOOK_BACK = dt.timedelta(hours=1)
_MOST_LINES = 5
_MOST_ROWS = 500
_NO_CHANGES = (*READS, "checked", "asked for a check")

Told = list[tuple[dt.datetime, str]]


def happened(moments: Mapping[Member, dt.datetime]) -> dict[UUID, list[str]]:
    """For each of these connections, what happened in the hour before its moment; oldest first, the last few. By two queries."""
    if not moments:
        return {}
    first, last = min(moments.values()) - LOOK_BACK, max(moments.values())
    within = Q(at__gte=first, at__lte=last)
    by_subject: dict[UUID, Told] = defaultdict(list)
    subjects = {each for member in moments for each in (member.pk, member.signing_key_id)}
    acts = AuditEvent.objects.filter(within, subject_id__in=subjects).exclude(act__in=_NO_CHANGES)
    for act in acts.order_by("-at")[:_MOST_ROWS]:
        names = f" ({', '.join(map(str, act.fields))})" if act.fields else ""
        by_subject[act.subject_id].append((act.at, f"{act.actor}: {act.act}{names}"))  # type: ignore[index]
    events = ConnectionEvent.objects.filter(within, connection__in=[member.pk for member in moments])
    for event in events.exclude(kind=ConnectionEvent.Kind.SIGNED_IN).order_by("-at")[:_MOST_ROWS]:
        by_subject[event.connection_id].append((event.at, f"{event.kind} {event.code}".strip()))
    return {member.pk: _lines(member, at, by_subject) for member, at in moments.items()}


def _lines(
    member: Member, at: dt.datetime, by_subject: Mapping[UUID, Sequence[tuple[dt.datetime, str]]]
) -> list[str]:
    told = [*by_subject.get(member.pk, ()), *by_subject.get(member.signing_key_id, ())]
    near = sorted(each for each in told if at - LOOK_BACK <= each[0] <= at)
    return [f"{timezone.localtime(when):%H:%M} {words}" for when, words in near[-_MOST_LINES:]]
