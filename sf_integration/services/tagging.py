"""Tags of connections: which there are, who has one, and putting one on or off many at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import connections as databases
from django.db import transaction
from django.db.models import BooleanField
from django.db.models.expressions import RawSQL

from .. import access, audit
from ..access import Deed
from ..models import ConnectedApp, ConnectedAppQuerySet

LONGEST = 60


def known(rows: ConnectedAppQuerySet) -> list[str]:
    """All tags that these connections have."""
    found = rows.order_by().exclude(tags=[]).values_list("tags", flat=True).distinct()
    return sorted({tag for tags in found for tag in tags}, key=str.casefold)


def tagged(rows: ConnectedAppQuerySet, tag: str) -> ConnectedAppQuerySet:
    """Those of `rows` that have exactly this tag."""
    if databases[rows.db].features.supports_json_field_contains:
        return rows.filter(tags__contains=[tag])
    table = ConnectedApp._meta.db_table
    has = f"EXISTS (SELECT 1 FROM json_each({table}.tags) WHERE json_each.value = %s)"  # noqa: S608 - no input
    return rows.filter(RawSQL(has, [tag], output_field=BooleanField()))  # noqa: S611 - `tag` is a parameter


def add(rows: Iterable[ConnectedApp], tag: str, *, actor: Any) -> int:
    """Returns how many of them did not have it before."""
    return _change([row for row in rows if tag not in row.tags], lambda tags: [*tags, tag], actor=actor)


def remove(rows: Iterable[ConnectedApp], tag: str, *, actor: Any) -> int:
    """Returns how many of them had it."""
    having = [row for row in rows if tag in row.tags]
    return _change(having, lambda tags: [each for each in tags if each != tag], actor=actor)


def _change(rows: list[ConnectedApp], changed: Any, *, actor: Any) -> int:
    access.require_all(actor, Deed.CHANGE, rows)
    with transaction.atomic():
        for row in rows:
            row.tags = changed(row.tags)
        audit.record_many("changed", rows, actor=actor, fields=["tags"])
        ConnectedApp.objects.bulk_update(rows, ["tags"], batch_size=500)
    return len(rows)
