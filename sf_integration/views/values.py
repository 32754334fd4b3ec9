"""What Salesforce answered, as cells and tables that a template can show without thinking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..models import ConnectedApp, normal_username
from ..salesforce.oauth import Identity
from ..salesforce.rest import QueryResult


@dataclass(frozen=True)
class Table:
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    total: int
    """Rows of the whole query, not of this page."""


@dataclass(frozen=True)
class Cell:
    kind: Literal["empty", "text", "long", "number", "parts", "table"]
    text: str = ""
    parts: Sequence[tuple[str, Cell]] = field(default_factory=tuple)
    """Name and value of each part of a compound value or related record."""
    table: Table | None = None
    """Of a child query."""


_EMPTY = Cell("empty")


def cell(value: Any) -> Cell:
    match value:
        case None | "":
            return _EMPTY
        case bool():
            return Cell("text", "true" if value else "false")
        case int() | float():
            return Cell("number", str(value))
        case str():
            return Cell("long" if "\n" in value or len(value) > 80 else "text", value)
        case QueryResult():
            return Cell("table", table=table(value)) if value.records else _EMPTY
        case Mapping():
            parts = parts_of(value)
            return Cell("parts", parts=parts) if parts else _EMPTY
        case list() | tuple():
            return Cell("text", ", ".join(map(str, value))) if value else _EMPTY
    return Cell("text", str(value))


def parts_of(record: Mapping[str, Any], *, keep_empty: bool = False) -> tuple[tuple[str, Cell], ...]:
    """Name and cell of each field. Within a compound value what is empty only stands in the way."""
    parts = ((name, cell(value)) for name, value in record.items())
    return tuple((name, shown) for name, shown in parts if keep_empty or shown.kind != "empty")


def table(page: QueryResult) -> Table:
    """One row per record. Related records are spread over columns such as `Owner.Name`, child queries stay one cell."""
    rows = [dict(_flat(record)) for record in page.records]
    columns = _columns(rows)
    cells = [[cell(row.get(column)) for column in columns] for row in rows]
    return Table(columns, cells, page.total_size)


def _flat(record: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, Mapping) and hasattr(value, "sobject"):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """All names in order of appearance, without the bare `Owner` of a row that has none beside `Owner.Name` of the others."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    parents = {name[:place] for name in names for place, letter in enumerate(name) if letter == "."}
    return [name for name in names if name not in parents]


@dataclass(frozen=True)
class Compared:
    """One line of an identity: what the org says beside what the connection expects."""

    what: str
    found: str
    expected: str = ""
    """Empty: nothing is expected."""
    fits: bool = True
    is_id: bool = False


def compared(identity: Identity, connection: ConnectedApp) -> list[Compared]:
    user_fits = normal_username(identity.username) == normal_username(connection.username)
    pinned = connection.expected_org_id
    lines = [
        Compared("Username", identity.username, connection.username, user_fits),
        Compared(
            "Org id",
            identity.organization_id,
            pinned,
            identity.organization_id[:15] == pinned[:15],
            is_id=True,
        ),
        Compared("User id", identity.user_id, is_id=True),
        Compared("Name", identity.display_name),
        Compared("E-mail", identity.email),
        Compared("User type", identity.user_type),
        Compared("Time zone", identity.timezone),
        Compared("Language and locale", " · ".join(filter(None, (identity.language, identity.locale)))),
    ]
    return [line for line in lines if line.found]
