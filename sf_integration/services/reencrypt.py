"""All stored secrets under the first encryption key, so that the others can be dropped.

Nothing is remembered between runs: what is under the first key already is passed over by its key id, in SQL. So a run that was
killed is simply started again, and two at once do no harm. Others may write meanwhile: a secret is replaced only where the
row still holds what was seen.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .. import access, audit, tokens
from ..access import Deed
from ..fields import Sealed, require_key, seal
from ..models import AccessToken
from ..salesforce.errors import EncryptionKeyMissing
from ..salesforce.secret import SecretBytes
from ..sealed_columns import SealedColumn, sealed_columns, stored_key_ids

BATCH = 200
ROUNDS = 10
"""Others write while it runs; each round takes what the one before has missed."""
_PAUSE_SECONDS = 0.1

Advance = Callable[[int], object]
"""Is told how many more rows have been looked at."""


@dataclass(frozen=True)
class Unopened:
    """A secret that does not open, and stays as it is."""

    model: str
    name: str
    """Of the row, for people."""
    key_id: str
    """Of the encryption key that sealed it; empty when it is no sealed value at all."""
    code: str
    """`encryption_key_missing` or `secret_damaged`."""


@dataclass(frozen=True)
class Report:
    key_id: str
    """Of the first encryption key."""
    before: Counter[str]
    """Key id to number of secrets."""
    after: Counter[str]
    resealed: int
    """In a dry run: those that would be."""
    unopened: list[Unopened]

    @property
    def left(self) -> int:
        """Secrets that still need another key."""
        return self.after.total() - self.after[self.key_id]


@dataclass
class _Work:
    column: SealedColumn
    batch: int
    advance: Advance
    resealed: int = 0
    unopened: dict[Any, Unopened] = field(default_factory=dict)
    """By primary key."""

    def run(self, key_id: str) -> None:
        """Until nothing is left that opens."""
        for _ in range(ROUNDS):
            tried = changed = 0
            for opened in self.opened(key_id):
                tried += len(opened)
                written = _reseal(self.column, opened)
                changed += written
                self.resealed += written
            if not tried:
                return
            if changed < tried:
                time.sleep(_PAUSE_SECONDS)  # somebody else writes these rows just now

    def run_dry(self, key_id: str) -> None:
        self.resealed = sum(map(len, self.opened(key_id)))

    def opened(self, key_id: str) -> Iterator[list[tuple[Any, Sealed, SecretBytes]]]:
        """What is not under that key, in batches; what doesn't open is noted."""
        rows = self.column.not_sealed_with(key_id).order_by("pk")
        if self.column.model is AccessToken:
            rows = rows.select_related("connection")
        found = list(rows[: self.batch])
        while found:
            yield list(self._open(found))
            self.advance(len(found))
            found = list(rows.filter(pk__gt=found[-1].pk)[: self.batch])

    def _open(self, found: Iterable[Any]) -> Iterator[tuple[Any, Sealed, SecretBytes]]:
        for row in found:
            sealed = getattr(row, self.column.name)
            if sealed is None or row.pk in self.unopened:
                continue
            try:
                yield row.pk, sealed, sealed.open()
            except EncryptionKeyMissing as exc:
                name = _name(row)
                self.unopened[row.pk] = Unopened(self.column.words, name, sealed.key_id, exc.code)


def waiting() -> int:
    """How many secrets are not under the first key. Raises EncryptionKeyMissing when there is none."""
    key_id = require_key()
    return sum(column.not_sealed_with(key_id).count() for column in sealed_columns())


def reencrypt(
    *, actor: Any, batch: int = BATCH, dry_run: bool = False, advance: Advance = lambda count: None
) -> Report:
    """Seal everything with the first encryption key. Raises AccessDenied, or EncryptionKeyMissing when there is none."""
    access.require(actor, Deed.REENCRYPT)
    key_id = require_key()
    columns = sealed_columns()
    before = stored_key_ids(columns)
    works = [_Work(column, batch, advance) for column in columns]
    try:
        for work in works:
            (work.run_dry if dry_run else work.run)(key_id)
    finally:
        if not dry_run:
            _tell_audit(works, actor)
    return Report(
        key_id,
        before,
        after=stored_key_ids(columns),
        resealed=sum(work.resealed for work in works),
        unopened=[each for work in works for each in work.unopened.values()],
    )


def _tell_audit(works: Iterable[_Work], actor: Any) -> None:
    """Also of a run that was broken off: what is done is done."""
    changed = [work for work in works if work.resealed]
    if changed:
        count = sum(work.resealed for work in changed)
        audit.record("re-encrypted", actor=actor, fields=[str(work.column) for work in changed], count=count)


def _reseal(column: SealedColumn, opened: list[tuple[Any, Sealed, SecretBytes]]) -> int:
    """Tokens have a writer of their own."""
    if column.model is AccessToken:
        return tokens.reseal(opened)
    return column.swap(
        (pk, seen, {column.name: seal(column.model, column.name, pk, secret)}) for pk, seen, secret in opened
    )


def _name(row: Any) -> str:
    if isinstance(row, AccessToken):
        return f"{row.connection.name}, {row.username}"
    return str(row)
