"""Where sealed secrets lie, and which encryption keys sealed them. Opens none."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import DatabaseError, connections, models, router, transaction
from django.db.models import Count, F
from django.db.models.functions import Length
from django.db.models.lookups import GreaterThan

from .fields import Sealed, SealedField, keyring

LOOK_EVERY_SECONDS = 60.0

Swap = tuple[Any, Sealed, Mapping[str, Any]]
"""Primary key of a row, the sealed value that was seen in it, and the columns to write."""


@dataclass(frozen=True)
class SealedColumn:
    model: type[models.Model]
    name: str

    def __str__(self) -> str:
        return f"{self.model._meta.label}.{self.name}"

    @property
    def words(self) -> str:
        """What people call its rows, `signing key`."""
        return str(self.model._meta.verbose_name)

    @property
    def database(self) -> str:
        """The alias of the one that is written to."""
        return router.db_for_write(self.model)

    def filled(self) -> models.QuerySet[Any]:
        """The rows that hold something."""
        return self._rows().filter(GreaterThan(Length(self.name), 0))

    def by_key_id(self) -> Counter[str]:
        """Key id to number of rows; under the empty id what is no sealed value at all."""
        found = self.filled().order_by().values_list(F(f"{self.name}__key_id")).annotate(Count("pk"))
        return Counter(dict(found))

    def not_sealed_with(self, key_id: str) -> models.QuerySet[Any]:
        return self.filled().exclude(**{f"{self.name}__key_id": key_id})

    def swap(self, swaps: Iterable[Swap]) -> int:
        """Write these where the row still holds what was seen; the number of rows written.

        Waits for nobody who holds rows, so that it can't come into a deadlock with those who write several at once.
        """
        wanted = list(swaps)
        with transaction.atomic(using=self.database):
            free = self._lockable([pk for pk, _, _ in wanted])
            return sum(
                self._rows().filter(pk=pk, **{self.name: seen}).update(**changes)
                for pk, seen, changes in wanted
                if pk in free
            )

    def _lockable(self, pks: list[Any]) -> set[Any]:
        """Those that no other transaction holds, locked until the end of ours; all of them where rows have no locks."""
        if not connections[self.database].features.has_select_for_update_skip_locked:
            return set(pks)
        found = self._rows().filter(pk__in=pks).select_for_update(skip_locked=True)
        return set(found.values_list("pk", flat=True))

    def _rows(self) -> models.QuerySet[Any]:
        return self.model._base_manager.using(self.database)


def sealed_columns() -> list[SealedColumn]:
    """Of all models of the site, found by the kind of field."""
    return [
        SealedColumn(model, field.name)
        for model in apps.get_models()
        for field in model._meta.local_concrete_fields
        if isinstance(field, SealedField)
    ]


def stored_key_ids(columns: Iterable[SealedColumn] | None = None) -> Counter[str]:
    """Encryption key id to number of secrets, over all these columns."""
    counts: Counter[str] = Counter()
    for column in sealed_columns() if columns is None else columns:
        counts.update(column.by_key_id())
    return counts


def missing_keys(databases: Iterable[str] | None = None) -> dict[str, str]:
    """Ids of encryption keys that sealed something and are not configured, each with what: `2 signing keys, 1 access token`."""
    wanted = [column for column in sealed_columns() if databases is None or column.database in databases]
    found: dict[str, list[str]] = {}
    for column in wanted:
        for key_id, count in sorted(column.by_key_id().items()):
            if key_id and key_id not in keyring().key_ids:
                plural = "" if count == 1 else "s"
                found.setdefault(key_id, []).append(f"{count:,} {column.words}{plural}")
    return {key_id: ", ".join(parts) for key_id, parts in found.items()}


_seen: tuple[float, tuple[str, ...], dict[str, str]] | None = None
"""When it was looked (monotonic), with which keys, and what came of it."""


def missing_keys_of_late() -> dict[str, str]:
    """As `missing_keys`, asked for once a minute at most; empty when the database can't tell."""
    global _seen  # noqa: PLW0603 - what a process has seen
    now, configured = time.monotonic(), keyring().key_ids
    if _seen is None or now > _seen[0] + LOOK_EVERY_SECONDS or _seen[1] != configured:
        try:
            with transaction.atomic():
                _seen = (now, configured, missing_keys())
        except DatabaseError:
            return {}
    return _seen[2]
