"""Which alarms somebody may see, and what of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from .. import access
from ..models import Alarm


@dataclass(frozen=True)
class Seen:
    alarm: Alarm
    names: tuple[str, ...]
    """Of its connections, those that the reader may see."""


def told_alarms() -> QuerySet[Alarm]:
    """What passed by itself, and what may do so yet, is nobody's business."""
    return Alarm.objects.filter(told_at__isnull=False)


def visible(user: Any, alarms: Iterable[Alarm]) -> list[Seen]:
    """Those of connections in sight, and the scheduler's. By one query."""
    found = list(alarms)
    wanted = {each for alarm in found for each in alarm.connections}
    rows = access.visible_to(user).order_by("name").values_list("pk", "name") if wanted else []
    names = {str(pk): name for pk, name in rows if str(pk) in wanted}
    seen = [
        Seen(alarm, tuple(sorted(names[each] for each in alarm.connections if each in names)))
        for alarm in found
    ]
    # Of a deleted connection nothing is left that could hide it but who sees everything.
    return [
        each for each in seen if each.names or each.alarm.kind == Alarm.Kind.SCHEDULER or user.is_superuser
    ]
