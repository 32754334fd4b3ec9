"""Records found by a query job, as rows of a table or as JSON.

Source: Bulk API Developer Guides, "Bulk Query"; SOQL that they leave out is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .. import soql
from ..orgs import Org
from ..soql import SoqlError
from ..users import User

_NOT_IN_BULK = "FUNCTIONALITY_NOT_ENABLED"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", re.ASCII)

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Extract:
    """What a query found, read from the org when it is looked at."""

    sobject: str
    columns: Sequence[tuple[str, ...]]
    """The way to each value, through the names of parents."""
    rows: Sequence[Row]

    @property
    def header(self) -> list[str]:
        return [".".join(way) for way in self.columns]

    def cells(self, start: int, end: int) -> list[list[str]]:
        return [[_cell(_value(row, way)) for way in self.columns] for row in self.rows[start:end]]

    def as_json(self) -> list[Any]:
        """All rows as Bulk API gives them: moments in milliseconds since 1970. Source: reports of users."""
        return [_with_milliseconds(row) for row in self.rows[:]]


def extract(org: Org, user: User, text: str, *, base_path: str, with_deleted: bool) -> Extract:
    """Run a query. Raises SoqlError."""
    given = org.answers.rows_for(text, base_path)
    if given is not None:
        described: Mapping[str, Any] = soql.columns_of_rows(given)
        return Extract(str(described["entityName"]), list(_ways(described["columnMetadata"])), given)
    described = soql.columns(org.store, text, hidden=user.hidden)
    ways = list(_ways(described["columnMetadata"]))
    if described["groupBy"] or not ways:
        raise SoqlError(_NOT_IN_BULK, "Aggregate Relationships and functions not supported in Bulk Query")
    found = org.run_query(text, base_path=base_path, with_deleted=with_deleted, hidden=user.hidden)
    return Extract(described["entityName"], ways, found.records)


def _ways(columns: Sequence[Mapping[str, Any]], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for column in columns:
        way = (*above, column["columnName"])
        if column["aggregate"]:
            raise SoqlError(_NOT_IN_BULK, "Aggregate Relationships and functions not supported in Bulk Query")
        if column["apexType"] == "Address":
            raise SoqlError(_NOT_IN_BULK, "Selecting compound data not supported in Bulk Query")
        if column["joinColumns"]:
            yield from _ways(column["joinColumns"], way)
        else:
            yield way


def _value(row: Row, way: tuple[str, ...]) -> Any:
    value: Any = row
    for name in way:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text.replace("+0000", "Z") if _MOMENT.fullmatch(text) else text


def _with_milliseconds(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _with_milliseconds(held) for name, held in value.items()}
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        return round(datetime.fromisoformat(value).timestamp() * 1000)
    return value
