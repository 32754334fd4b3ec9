"""Running SOQL for people: a page of rows at a time, or all of them as a file that is written as they come."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from .. import access, api, audit
from ..access import Deed
from ..models import ConnectedApp
from ..salesforce import columns
from ..salesforce.columns import Column
from ..salesforce.describe import DescribedObject, Field
from ..salesforce.errors import InvalidInput, SalesforceError
from ..salesforce.rest import Client, QueryResult, Record
from .describes import Describes

MOST_ROWS = 50_000
"""Of a file: 25 calls of the org. Who needs more takes the command line, or Salesforce's Bulk API."""
ROWS_AT_ONCE = 500
_STARTS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@dataclass(frozen=True)
class Answer:
    """One page of a query, with what is known of the objects it is of."""

    page: QueryResult
    asked: Sequence[Column]
    source: str
    """The object that the query is from."""
    sobjects: Mapping[str, str]
    """Where in the rows there are which: `{"": "Contact", "Account": "Account"}`."""
    described: Mapping[str, DescribedObject]

    def field(self, column: Column, at: str = "") -> Field | None:
        """What is known of the values of a column; `at`: of a child query, by its path."""
        before, _, name = column.field_path.rpartition(".")
        path = ".".join(filter(None, (at, before)))
        sobject = self.sobjects.get(path, "")
        if sobject == "AggregateResult":
            sobject = self.source
        described = self.described.get(sobject)
        return described.field(name) if described and name else None


def run(
    connection: ConnectedApp, statement: str, *, sobjects: Iterable[str], actor: Any, path: str = ""
) -> Answer:
    """The first page of a query, or the one at `path`. Raises SalesforceError."""
    access.require(actor, Deed.RUN_SOQL, connection)
    client = api.get_client(connection.name)
    page = client.query_page(path) if path else client.query(statement)
    audit.record("looked up", connection, actor=actor, fields=sobjects)
    found, source = columns.sobjects(page), columns.source(statement)
    wanted = [source if name == "AggregateResult" else name for name in found.values()]
    described = Describes(connection).of(filter(None, wanted))
    # A page of a child query has columns of its own.
    asked = columns.read(statement) if found.get("") in (source, "AggregateResult") else ()
    return Answer(page, asked, source, found, described)


# ---- All rows -------------------------------------------------------------------------------------------------------


@dataclass
class Rows:
    """The whole result of a query. Its first page is there already; the others are asked for as they are taken."""

    statement: str
    first: QueryResult
    client: Client
    taken: int = 0

    @property
    def total(self) -> int:
        """What the org told at first."""
        return self.first.total_size

    def batches(self, size: int = ROWS_AT_ONCE, *, most: int | None = None) -> Iterator[list[Record]]:
        """Some rows at a time, their child queries complete. Raises SalesforceError when the rest can't be had."""
        batch: list[Record] = []
        try:
            for record in islice(self._whole(self.first), most):
                batch.append(record)
                if len(batch) == size:
                    yield self._counted(batch)
                    batch = []
        except SalesforceError:
            yield self._counted(batch)
            raise
        yield self._counted(batch)

    def _counted(self, batch: list[Record]) -> list[Record]:
        self.taken += len(batch)
        return batch

    def _whole(self, page: QueryResult) -> Iterator[Record]:
        """All records of a result from this page on, their child queries complete."""
        for record in chain.from_iterable(self.client.pages(page)):
            for name, value in record.items():
                if isinstance(value, QueryResult) and value.next_path:
                    record[name] = self._children(value)
            yield record

    def _children(self, found: QueryResult) -> QueryResult:
        """A child query complete. Unlike the rows around it, it is held in memory as a whole."""
        rows = list(islice(self._whole(found), MOST_ROWS + 1))
        if len(rows) > MOST_ROWS:
            raise InvalidInput(
                _(
                    "One record alone has more than %(most)d rows of a child query. Ask for these by a query of their own."
                )
                % {"most": MOST_ROWS}
            )
        return QueryResult(rows, found.total_size)


def stream(connection: ConnectedApp, statement: str, *, actor: Any, username: str | None = None) -> Rows:
    """All rows of a query, however many; `username`: another user that the connection lists.

    Raises SalesforceError for what the first page tells.
    """
    access.require(actor, Deed.RUN_SOQL, connection)
    client = api.get_client(connection.name, username=username)
    rows = Rows(statement, _first_page(client, statement), client)
    audit.record(
        "looked up", connection, actor=actor, fields=columns.sources(statement), username=username or ""
    )
    return rows


def _first_page(client: Client, statement: str) -> QueryResult:
    """The number of COUNT() as the row that COUNT(Id) gives, since whoever writes rows would write nothing."""
    page = client.query(statement)
    return QueryResult([Record(expr0=page.total_size)], 1) if columns.is_count(statement) else page


class Sheet:
    """Rows of a query as CSV: RFC 4180 in UTF-8, with the columns of the first page."""

    def __init__(
        self, statement: str, first: QueryResult, *, text: Callable[[str], str] = lambda value: value
    ) -> None:
        """`text` is what becomes of the texts in the rows, and of their names, which are the org's too."""
        laid_out = columns.lay_out(columns.read(statement), map(columns.flat, first))
        self._text = text
        self._paths = dict.fromkeys(column.path.lower() for column in laid_out)
        self.head = csv_lines([[text(column.path) for column in laid_out]])
        self.late: set[str] = set()
        """Columns that came later, as with TYPEOF, whose columns only the rows tell. They are left out."""

    def lines(self, rows: Iterable[Record]) -> bytes:
        values = [{path.lower(): value for path, value in columns.flat(row).items()} for row in rows]
        known = self._paths.keys()
        self.late.update(path for row in values for path in row.keys() - known if row[path] is not None)
        return csv_lines([self._cell(row.get(path)) for path in known] for row in values)

    def _cell(self, value: Any) -> str:
        match value:
            case None:
                return ""
            case bool():
                return "true" if value else "false"
            case str():
                return self._text(value)
            case int() | float():
                return str(value)
        return json.dumps(_plain(value), ensure_ascii=False)


def csv_lines(rows: Iterable[Sequence[str]]) -> bytes:
    lines = io.StringIO(newline="")
    csv.writer(lines, lineterminator="\r\n").writerows(rows)
    return lines.getvalue().encode()


# ---- Files ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Download:
    """The result of a query as a file, of at most MOST_ROWS."""

    name: str
    """Of the file, without its ending."""
    rows: Rows

    @property
    def total(self) -> int:
        return self.rows.total

    def csv(self) -> Iterator[bytes]:
        """A last line that begins with # tells when rows or columns are missing.

        Texts that a spreadsheet would take for a formula have a ' before them.
        Source: OWASP, "CSV Injection".
        """
        sheet = Sheet(self.rows.statement, self.rows.first, text=without_formula)
        yield sheet.head
        for rows in self._batches():
            yield csv_lines([[f"# {rows}"]]) if isinstance(rows, str) else sheet.lines(rows)
        if sheet.late:
            told = _("Columns that came after the first page are missing: %(names)s.")
            yield csv_lines([[f"# {told % {'names': ', '.join(sorted(sheet.late))}}"]])

    def json(self) -> Iterator[bytes]:
        """`{"records": […], "rows": 3, "complete": true}`; else `"complete": false` and `"why"`."""
        yield b'{"records": ['
        comma, why = "\n", ""
        for rows in self._batches():
            if isinstance(rows, str):
                why = rows
                break
            for record in rows:
                yield f"{comma}{json.dumps(_plain(record), ensure_ascii=False)}".encode()
                comma = ",\n"
        told = {"rows": self.rows.taken, "complete": not why} | ({"why": why} if why else {})
        yield f"\n], {json.dumps(told, ensure_ascii=False)[1:]}\n".encode()

    def _batches(self) -> Iterator[list[Record] | str]:
        """Some rows at a time; at the end a sentence, if not all could be had."""
        try:
            yield from self.rows.batches(most=MOST_ROWS)
        except SalesforceError as error:
            yield _("The download broke off after %(taken)d of %(total)d rows: %(error)s") % {
                "taken": self.rows.taken,
                "total": self.total,
                "error": error,
            }
            return
        if self.rows.taken < self.total:
            full = _("Only the first %(taken)d of %(total)d rows: a file holds no more.")
            fewer = _("The org gave %(taken)d of the %(total)d rows that it told of at first.")
            told = full if self.rows.taken >= MOST_ROWS else fewer
            yield told % {"taken": self.rows.taken, "total": self.total}


def download(connection: ConnectedApp, statement: str, *, sobjects: Iterable[str], actor: Any) -> Download:
    """Raises SalesforceError for what the first page tells; what happens later stands at the end of the file."""
    access.require(actor, Deed.DOWNLOAD_ROWS, connection)
    client = api.get_client(connection.name)
    first = _first_page(client, statement)
    audit.record("downloaded", connection, actor=actor, fields=sobjects)
    part = f"first-{MOST_ROWS}-" if first.total_size > MOST_ROWS else ""
    name = f"{connection.name}-{columns.source(statement) or 'rows'}-{part}{timezone.now():%Y%m%dT%H%M%SZ}"
    return Download(name, Rows(statement, first, client))


KINDS: Mapping[str, tuple[str, Callable[[Download], Iterator[bytes]]]] = {
    "csv": ("text/csv; charset=utf-8", Download.csv),
    "json": ("application/json", Download.json),
}


def without_formula(text: str) -> str:
    return f"'{text}" if text.startswith(_STARTS_FORMULA) else text


def _plain(value: Any) -> Any:
    """As JSON has it, child queries as lists of their records."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (QueryResult, list, tuple)) else value
