"""The rows of a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...salesforce.columns import Column, flat, lay_out
from ...salesforce.rest import QueryResult
from ...services.queries import Answer
from .cells import EMPTY, Cell, cell, number


@dataclass(frozen=True)
class Heading:
    name: str
    """As in the query: `Owner.Name`, `COUNT(Id)`."""
    label: str = ""
    """The field's, if it is called otherwise."""
    is_number: bool = False


@dataclass(frozen=True)
class Table:
    headings: Sequence[Heading]
    rows: Sequence[Sequence[Cell]]
    total: int
    """Rows of the whole query, not of this page."""
    next_path: str = ""
    """Of a child query: where its other rows are."""

    @property
    def total_shown(self) -> str:
        return number(self.total)


def table(answer: Answer) -> Table:
    return _table(answer, answer.page, answer.asked)


def _table(answer: Answer, page: QueryResult, asked: Sequence[Column], at: str = "") -> Table:
    """`at`: the path of the child query that this is the result of."""
    rows = [flat(record) for record in page]
    columns = lay_out(asked, rows)
    fields = [answer.field(column, at) for column in columns]
    places = list(zip((column.path for column in columns), fields, strict=True))

    def shown(row: dict[str, Any], path: str, field: Any, currency: str) -> Cell:
        value = row.get(path)
        if isinstance(value, QueryResult):
            below = ".".join(filter(None, (at, path)))
            return Cell("table", table=_table(answer, value, (), below)) if value.records else EMPTY
        return cell(value, field, currency=currency)

    cells = []
    for row in rows:
        currency = str(row.get("CurrencyIsoCode") or "")
        cells.append([shown(row, path, field, currency) for path, field in places])
    headings = [
        Heading(_name(column), _label(column, field), any(row[place].kind == "number" for row in cells[:50]))
        for place, (column, field) in enumerate(zip(columns, fields, strict=True))
    ]
    return Table(headings, cells, page.total_size, page.next_path or "")


def _name(column: Column) -> str:
    """What Salesforce numbers (`expr0`) is called as the query has it; an alias is a name that somebody chose."""
    return column.source if column.path.startswith("expr") and "(" in column.source else column.path


def _label(column: Column, field: Any) -> str:
    if field is None or "(" in column.source:
        return "" if column.path == column.source or _name(column) == column.source else column.source
    return "" if field.label == column.path else str(field.label)
