# ruff: noqa: S608  names in the SQL come from the schema, never from a request; values are parameters
"""The records of one org, in an SQLite database in memory."""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from itertools import groupby, islice
from typing import Any

from .. import ids
from . import schema
from .schema import ADDRESS_PARTS, Field, SObject

_SQL_TYPES = {"boolean": "INTEGER", "int": "INTEGER", "double": "REAL", "currency": "REAL"}
_BATCH = 5_000


def salesforce_datetime(moment: datetime) -> str:
    """UTC with milliseconds and an offset without a colon; such texts sort as the moments do."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}+0000"


class Store:
    """Tables named and shaped like the sObjects. Values are kept as Salesforce's JSON shows them, booleans as 0 and 1."""

    def __init__(self) -> None:
        self._connect()
        for sobject in schema.SOBJECTS:
            columns = ", ".join(_column(field) for field in sobject.columns)
            self._connection.execute(f'CREATE TABLE "{sobject.name}" ({columns})')
            for field in sobject.columns:
                if field.children:
                    self._connection.execute(
                        f'CREATE INDEX "{sobject.name}_{field.name}" ON "{sobject.name}" ("{field.name}")'
                    )
        self._counters = dict.fromkeys((sobject.name for sobject in schema.SOBJECTS), 0)

    def copy(self) -> Store:
        """A store with the same records, far quicker than filling it anew."""
        twin = Store.__new__(Store)
        twin._connect()
        with self._lock:
            self._connection.backup(twin._connection)
            twin._counters = dict(self._counters)
        return twin

    def _connect(self) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        # An org lives as long as anybody looks at it, so that there is no other moment to close it.
        weakref.finalize(self, self._connection.close)
        # Salesforce compares text without regard to case, umlauts included; SQLite alone knows ASCII only.
        self._connection.create_function("fold", 1, fold, deterministic=True)
        self._connection.create_collation("salesforce", _compare)

    def new_id(self, sobject: SObject) -> str:
        [new] = self.new_ids(sobject, 1)
        return new

    def new_ids(self, sobject: SObject, count: int) -> Iterator[str]:
        """Ids for so many records to come, in ascending order."""
        with self._lock:
            first = self._counters[sobject.name] + 1
            self._counters[sobject.name] += count
        return (ids.numbered(sobject.prefix, number) for number in range(first, first + count))

    def last_number(self, sobject: SObject) -> int:
        """How many ids were given out."""
        return self._counters[sobject.name]

    def add(self, sobject: SObject, rows: Iterable[Mapping[str, Any]]) -> None:
        """Put records in as they are; missing fields are null, missing checkboxes unticked."""
        for names, alike in groupby(rows, key=tuple):
            columns = ", ".join(f'"{name}"' for name in names)
            marks = ", ".join("?" * len(names))
            sql = f'INSERT INTO "{sobject.name}" ({columns}) VALUES ({marks})'
            # By batches, so that others get their turn, and that many rows don't pile up.
            while batch := [tuple(row.values()) for row in islice(alike, _BATCH)]:
                self._add_batch(sql, batch)

    def _add_batch(self, sql: str, batch: list[tuple[Any, ...]]) -> None:
        with self.transaction():
            self._connection.executemany(sql, batch)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is changed inside is undone when it ends by an exception; other callers wait. May be nested."""
        with self._lock:
            self._connection.execute("SAVEPOINT changes")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK TO changes")
                raise
            finally:
                self._connection.execute("RELEASE changes")

    def change(self, sobject: SObject, record_id: str, values: Mapping[str, Any]) -> None:
        assignments = ", ".join(f'"{name}" = ?' for name in values)
        self.rows(f'UPDATE "{sobject.name}" SET {assignments} WHERE "Id" = ?', (*values.values(), record_id))

    def find(self, sobject: SObject, field: Field, value: str) -> list[dict[str, Any]]:
        """All records, deleted ones too, whose field has this value, with every field."""
        columns = sobject.columns
        names = ", ".join(f'"{column.name}"' for column in columns)
        matches = f'fold("{field.name}") = fold(?)' if field.is_text else f'"{field.name}" = ?'
        found = self.rows(f'SELECT {names} FROM "{sobject.name}" WHERE {matches}', (value,))
        return [_record(sobject, row) for row in found]

    def is_used(self, sobject: SObject, field: Field, record_id: str) -> bool:
        """Whether a record that is not deleted refers to this one by the field."""
        sql = f'SELECT 1 FROM "{sobject.name}" WHERE "{field.name}" = ? AND "IsDeleted" = 0 LIMIT 1'
        return bool(self.rows(sql, (record_id,)))

    def count(self, sobject: SObject) -> int:
        """How many records there are, deleted ones too."""
        [(count,)] = self.rows(f'SELECT COUNT(*) FROM "{sobject.name}"')
        return int(count)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(sql, parameters).fetchall()


def _record(sobject: SObject, row: Sequence[Any]) -> dict[str, Any]:
    stored = dict(zip((field.name for field in sobject.columns), row, strict=True))
    return {
        field.name: address(stored, field) if field.type == "address" else as_json(field, stored[field.name])
        for field in sobject.fields
    }


@lru_cache(maxsize=10_000)
def fold(text: str | None) -> str | None:
    """Text as Salesforce compares it: in upper case, as long as each character stays one character (ß does)."""
    if text is None:
        return None
    upper = text.upper()
    if len(upper) == len(text):
        return upper
    return "".join(char if len(char.upper()) > 1 else char.upper() for char in text)


def as_json(field: Field, value: Any) -> Any:
    return bool(value) if field.type == "boolean" else value


def address_columns(field: Field) -> list[str]:
    """The columns a compound address is put together from, in the order of its JSON."""
    kind = field.name.removesuffix("Address")
    return [f"{kind}{part}" for part in ADDRESS_PARTS]


def address(stored: Mapping[str, Any], field: Field) -> dict[str, Any] | None:
    """A compound address; null when all its parts are."""
    parts = [stored[column] for column in address_columns(field)]
    if all(part is None for part in parts):
        return None
    return {part[0].lower() + part[1:]: value for part, value in zip(ADDRESS_PARTS, parts, strict=True)}


def _column(field: Field) -> str:
    if field.type == "id":
        return f'"{field.name}" TEXT PRIMARY KEY'
    default = " DEFAULT 0" if field.type == "boolean" else ""
    return f'"{field.name}" {_SQL_TYPES.get(field.type, "TEXT")}{default}'


def _compare(left: str, right: str) -> int:
    """For MIN and MAX; all else compares by `fold`, which SQLite calls once a row only."""
    folded_left, folded_right = fold(left) or "", fold(right) or ""
    return (folded_left > folded_right) - (folded_left < folded_right)
