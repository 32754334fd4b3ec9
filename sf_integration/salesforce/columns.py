"""The rows of a query as a table: its columns in the order of the query, related records spread over `Owner.Name`.

Only the SELECT list is read. What can't be read (`FIELDS(ALL)`, `TYPEOF`) gives no columns; then the names in the rows serve.
Source: SOQL and SOSL Reference, "SELECT", "GROUP BY", "Aliases".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .rest import QueryResult, Record

# A text without end ends with the query: looking for its end from each of its quotes would take minutes.
_TEXT = re.compile(r"'[^'\\]*(?:\\.[^'\\]*)*'?", re.DOTALL)
_TOKEN = re.compile(r"[()]|,|\b(?:SELECT|FROM)\b", re.IGNORECASE)
_PATH = re.compile(r"(?P<path>[A-Za-z]\w*(?:\.\w+)*)(?:\s+(?P<alias>[A-Za-z]\w*))?\Z")
_CALL = re.compile(
    r"(?P<function>[A-Za-z]\w*)\s*\((?P<inner>.*)\)(?:\s+(?P<alias>[A-Za-z]\w*))?\Z", re.DOTALL
)
_CHILDREN = re.compile(r"\(\s*SELECT\b.*\bFROM\s+(?P<path>\w+(?:\.\w+)*)", re.IGNORECASE | re.DOTALL)
_FROM = re.compile(r"\bFROM\s+(\w+)", re.IGNORECASE)
_GROUPED = re.compile(r"\bGROUP\s+BY\b", re.IGNORECASE)
_OF_ITS_KIND = re.compile(r"(?:MIN|MAX|SUM)\((?P<path>[\w.]+)\)\Z", re.IGNORECASE)
_KEEPS_ITS_NAME = ("format", "tolabel", "convertcurrency")


@dataclass(frozen=True)
class Column:
    path: str
    """Where the value stands in a row: `Name`, `Owner.Name`, `expr0`, `Contacts`."""
    source: str
    """How the query asks for it: `COUNT(Id)`."""

    @property
    def field_path(self) -> str:
        """The field whose kind the values are of; empty for counts and other numbers."""
        found = _OF_ITS_KIND.match(self.source)
        return found["path"] if found else "" if "(" in self.source else self.source


def flat(record: Record, prefix: str = "") -> dict[str, Any]:
    """Path to value; related records become `Owner.Name` beside the record's own fields."""
    values: dict[str, Any] = {}
    for name, value in record.items():
        values |= flat(value, f"{prefix}{name}.") if isinstance(value, Record) else {prefix + name: value}
    return values


def lay_out(asked: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> tuple[Column, ...]:
    """The columns of these flat rows: as asked for, in the org's spelling, then what came besides.

    What was asked for is left out only where the rows call it otherwise, as with `a.Name` of `FROM Account a`.
    """
    came = {name.lower(): name for row in rows for name in row}
    found = [replace(column, path=came.get(column.path.lower(), column.path)) for column in asked]
    known = {column.path.lower() for column in found}
    others = [name for name in came if name not in known and not _is_empty_parent(name, known | came.keys())]
    if others:
        found = [column for column in found if _has_come(column.path.lower(), came)]
    return (*found, *(Column(came[name], came[name]) for name in others))


def _is_empty_parent(name: str, names: Collection[str]) -> bool:
    """Whether it is the bare `Owner` of a row without one, beside the `Owner.Name` of others."""
    return any(other.startswith(f"{name}.") for other in names)


def _has_come(path: str, came: Collection[str]) -> bool:
    return path in came or any(path.startswith(f"{name}.") for name in came)


def sobjects(records: Iterable[Record]) -> dict[str, str]:
    """Which objects the rows are of: `{"": "Contact", "Account": "Account", "Cases": "Case"}`."""
    found: dict[str, str] = {}
    for record in records:
        found.setdefault("", record.sobject)
        for name, value in record.items():
            if isinstance(value, (Record, QueryResult)):
                inner = sobjects([value] if isinstance(value, Record) else value)
                for path, sobject in inner.items():
                    found.setdefault(f"{name}.{path}".rstrip("."), sobject)
    return found


def source(statement: str) -> str:
    """The object that a query is from; empty when it can't be told."""
    found = _FROM.search(_without_brackets(_bare(statement)))
    return found[1] if found else ""


def sources(statement: str) -> list[str]:
    """All that a query and those within it are from: objects, and relationships to children."""
    return sorted(set(_FROM.findall(_bare(statement))))


def is_count(statement: str) -> bool:
    """Whether it is `SELECT COUNT() FROM …`, which is answered by a total without rows.

    Source: SOQL and SOSL Reference, "COUNT() and COUNT(fieldName)".
    """
    return [re.sub(r"\s+", "", item).upper() for item in _items(_bare(statement))] == ["COUNT()"]


def read(statement: str) -> tuple[Column, ...]:
    """The columns of a query; none when they can't be told."""
    bare = _bare(statement)
    items = _items(bare)
    found = [column for item in items if (column := _column(item)) is not None]
    if not items or len(found) < len(items):
        return ()
    return tuple(_numbered(found, grouped=_GROUPED.search(_without_brackets(bare)) is not None))


def _items(statement: str) -> list[str]:
    """The parts of the outermost SELECT list, which ends at the FROM outside of all brackets."""
    depth, start, items = 0, 0, []
    for token in _TOKEN.finditer(statement):
        word = token[0].upper()
        if word == "(":
            depth += 1
        elif word == ")":
            depth -= 1
        elif depth == 0 and word == "SELECT":
            start = token.end()
        elif depth == 0:
            items.append(statement[start : token.start()].strip())
            start = token.end()
            if word == "FROM":
                return items
    return []


def _column(item: str) -> Column | None:
    """None for what can't be told; without a path for what Salesforce numbers."""
    if children := _CHILDREN.match(item):
        return Column(children["path"].rpartition(".")[2], children["path"])
    if plain := _PATH.match(item):
        return Column(plain["alias"] or plain["path"], plain["path"])
    call = _CALL.match(item)
    if not call or call["function"].lower() == "fields" or not call["inner"].strip():
        return None
    source = re.sub(r"\s+", "", item[: call.end("inner") + 1])
    if call["alias"]:
        return Column(call["alias"], source)
    return Column(_kept_name(call), source)


def _kept_name(call: re.Match[str]) -> str:
    """`Amount` of `FORMAT(convertCurrency(Amount))`; empty for functions whose column has no name of its own."""
    if call["function"].lower() not in _KEEPS_ITS_NAME:
        return ""
    inner = _CALL.match(call["inner"].strip())
    return _kept_name(inner) if inner else call["inner"].strip()


def _numbered(columns: list[Column], *, grouped: bool) -> Iterator[Column]:
    """With their names in the rows: `expr0`, `expr1`, … in order; in grouped queries the last part of a path."""
    number = 0
    for column in columns:
        if not column.path:
            yield Column(f"expr{number}", column.source)
            number += 1
        elif grouped and "." in column.path:
            yield Column(column.path.rpartition(".")[2], column.source)
        else:
            yield column


def _bare(statement: str) -> str:
    """The query with its texts emptied: what stands in them is no SOQL."""
    return _TEXT.sub("''", statement)


def _without_brackets(statement: str) -> str:
    depth, kept = 0, []
    for part in re.split(r"([()])", statement):
        if part in ("(", ")"):
            depth += 1 if part == "(" else -1
        elif depth == 0:
            kept.append(part)
    return "".join(kept)
