# ruff: noqa: S608  names in the SQL come from the schema, never from a request; values are parameters
"""The records of one org, in an SQLite database in memory."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from .. import ids
from . import schema
from .schema import ADDRESS_PARTS, Field, SObject

_SQL_TYPES = {"boolean": "INTEGER", "int": "INTEGER", "double": "REAL", "currency": "REAL"}


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
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        # Salesforce compares text without regard to case, umlauts included; SQLite alone knows ASCII only.
        self._connection.create_collation("salesforce", _compare)
        self._connection.create_function("soql_like", 2, _like, deterministic=True)

    def new_id(self, sobject: SObject) -> str:
        with self._lock:
            self._counters[sobject.name] += 1
            return ids.numbered(sobject.prefix, self._counters[sobject.name])

    def add(self, sobject: SObject, rows: Iterable[Mapping[str, Any]]) -> None:
        """Put records in as they are; missing fields are null, missing checkboxes unticked."""
        columns = [field.name for field in sobject.columns]
        defaults = [0 if field.type == "boolean" else None for field in sobject.columns]
        names = ", ".join(f'"{name}"' for name in columns)
        marks = ", ".join("?" * len(columns))
        values = [
            [row.get(name, default) for name, default in zip(columns, defaults, strict=True)] for row in rows
        ]
        with self._lock:
            self._connection.execute("BEGIN")
            self._connection.executemany(f'INSERT INTO "{sobject.name}" ({names}) VALUES ({marks})', values)
            self._connection.execute("COMMIT")

    def change(self, sobject: SObject, record_id: str, values: Mapping[str, Any]) -> None:
        assignments = ", ".join(f'"{name}" = ?' for name in values)
        self.rows(f'UPDATE "{sobject.name}" SET {assignments} WHERE "Id" = ?', (*values.values(), record_id))

    def find(self, sobject: SObject, field: Field, value: str) -> list[dict[str, Any]]:
        """All records, deleted ones too, whose field has this value, with every field."""
        columns = sobject.columns
        names = ", ".join(f'"{column.name}"' for column in columns)
        found = self.rows(f'SELECT {names} FROM "{sobject.name}" WHERE "{field.name}" = ?', (value,))
        return [self._record(sobject, row) for row in found]

    def count(self, sobject: SObject) -> int:
        """How many records there are, deleted ones too."""
        [(count,)] = self.rows(f'SELECT COUNT(*) FROM "{sobject.name}"')
        return int(count)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(sql, parameters).fetchall()

    @staticmethod
    def _record(sobject: SObject, row: Sequence[Any]) -> dict[str, Any]:
        stored = dict(zip((field.name for field in sobject.columns), row, strict=True))
        record: dict[str, Any] = {}
        for field in sobject.fields:
            is_compound = field.type == "address"
            record[field.name] = address(stored, field) if is_compound else as_json(field, stored[field.name])
        return record


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
    collation = " COLLATE salesforce" if field.is_text else ""
    return f'"{field.name}" {_SQL_TYPES.get(field.type, "TEXT")}{collation}'


def _compare(left: str, right: str) -> int:
    left, right = left.casefold(), right.casefold()
    return (left > right) - (left < right)


def _like(pattern: str, value: str | None) -> int:
    return int(value is not None and _like_expression(pattern).fullmatch(value) is not None)


@lru_cache(maxsize=256)
def _like_expression(pattern: str) -> re.Pattern[str]:
    r"""A pattern of LIKE as regular expression: % any text, _ any character, \% and \_ themselves."""
    wildcards = {"%": ".*", "_": "."}
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    expression = "".join(wildcards.get(part) or re.escape(part[-1]) for part in parts)
    return re.compile(expression, re.IGNORECASE | re.DOTALL)
