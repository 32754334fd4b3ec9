"""Running SOQL for people: a page of rows at a time, or all of them as a file that is written as they come."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from .. import access, api, audit
from ..access import Act
from ..models import ConnectedApp
from ..salesforce import columns
from ..salesforce.columns import Column
from ..salesforce.describe import DescribedObject, Field
from ..salesforce.errors import InvalidInput, SalesforceError
from ..salesforce.rest import Client, QueryResult, Record
from .describes import Describes

MOST_ROWS = 50_000
"""Of a file: 25 calls of the org. Who needs more takes the command line, or Salesforce's Bulk API."""
_ROWS_AT_ONCE = 500
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
    access.require(actor, Act.LOOK_UP_RECORDS, connection)
    client = api.get_client(connection.name)
    page = client.query_page(path) if path else client.query(statement)
    audit.record("looked up", connection, actor=actor, fields=sobjects)
    found, source = columns.sobjects(page), columns.source(statement)
    wanted = [source if name == "AggregateResult" else name for name in found.values()]
    described = Describes(connection).of(filter(None, wanted))
    # A page of a child query has columns of its own.
    asked = columns.read(statement) if found.get("") in (source, "AggregateResult") else ()
    return Answer(page, asked, source, found, described)


# ---- Files ----------------------------------------------------------------------------------------------------------


@dataclass
class Download:
    """The whole result of a query. Its first page is there already; the others are asked for as they are written."""

    name: str
    """Of the file, without its ending."""
    statement: str
    first: QueryResult
    client: Client
    taken: int = 0

    @property
    def total(self) -> int:
        return self.first.total_size

    def csv(self) -> Iterator[bytes]:
        """RFC 4180 in UTF-8. A last line that begins with # tells when rows or columns are missing.

        Texts that a spreadsheet would take for a formula have a ' before them.
        Source: OWASP, "CSV Injection".
        """
        laid_out = columns.lay_out(columns.read(self.statement), map(columns.flat, self.first))
        paths = dict.fromkeys(column.path.lower() for column in laid_out)
        yield _csv_lines([[column.path for column in laid_out]])
        late: set[str] = set()
        for rows in self._batches():
            if isinstance(rows, str):
                yield _csv_lines([[f"# {rows}"]])
                continue
            values = [{path.lower(): value for path, value in columns.flat(row).items()} for row in rows]
            late.update(path for row in values for path in row.keys() - paths.keys() if row[path] is not None)
            yield _csv_lines([_csv_text(row.get(path)) for path in paths] for row in values)
        if late:  # as with TYPEOF, whose columns only the rows tell
            told = _("Columns that came after the first page are missing: %(names)s.")
            yield _csv_lines([[f"# {told % {'names': ', '.join(sorted(late))}}"]])

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
        told = {"rows": self.taken, "complete": not why} | ({"why": why} if why else {})
        yield f"\n], {json.dumps(told, ensure_ascii=False)[1:]}\n".encode()

    def _batches(self) -> Iterator[list[Record] | str]:
        """Some rows at a time; at the end a sentence, if not all could be had."""
        rows = self._rows()
        try:
            while batch := list(islice(rows, _ROWS_AT_ONCE)):
                self.taken += len(batch)
                yield batch
        except SalesforceError as error:
            yield _("The download broke off after %(taken)d of %(total)d rows: %(error)s") % {
                "taken": self.taken,
                "total": self.total,
                "error": error,
            }
            return
        if self.taken < self.total:
            full = _("Only the first %(taken)d of %(total)d rows: a file holds no more.")
            fewer = _("The org gave %(taken)d of the %(total)d rows that it told of at first.")
            told = full if self.taken >= MOST_ROWS else fewer
            yield told % {"taken": self.taken, "total": self.total}

    def _rows(self) -> Iterator[Record]:
        return islice(self._whole(self.first), MOST_ROWS)

    def _whole(self, page: QueryResult) -> Iterator[Record]:
        """All records of a result from this page on, their child queries complete."""
        while True:
            for record in page:
                for name, value in record.items():
                    if isinstance(value, QueryResult) and value.next_path:
                        record[name] = self._children(value)
                yield record
            if not page.next_path:
                return
            page = self.client.query_page(page.next_path)

    def _children(self, found: QueryResult) -> QueryResult:
        """A child query complete. Unlike the rows around it, it is held in memory as a whole."""
        rows = list(islice(self._whole(found), MOST_ROWS + 1))
        if len(rows) > MOST_ROWS:
            raise InvalidInput(
                f"One record alone has more than {MOST_ROWS} rows of a child query. Ask for these by a query of their own."
            )
        return QueryResult(rows, found.total_size)


def download(connection: ConnectedApp, statement: str, *, sobjects: Iterable[str], actor: Any) -> Download:
    """Raises SalesforceError for what the first page tells; what happens later stands at the end of the file."""
    access.require(actor, Act.LOOK_UP_RECORDS, connection)
    client = api.get_client(connection.name)
    first = client.query(statement)
    audit.record("downloaded", connection, actor=actor, fields=sobjects)
    part = f"first-{MOST_ROWS}-" if first.total_size > MOST_ROWS else ""
    name = f"{connection.name}-{columns.source(statement) or 'rows'}-{part}{timezone.now():%Y%m%dT%H%M%SZ}"
    return Download(name, statement, first, client)


KINDS: Mapping[str, tuple[str, Callable[[Download], Iterator[bytes]]]] = {
    "csv": ("text/csv; charset=utf-8", Download.csv),
    "json": ("application/json", Download.json),
}


def _csv_lines(rows: Iterable[Sequence[str]]) -> bytes:
    lines = io.StringIO(newline="")
    csv.writer(lines, lineterminator="\r\n").writerows(rows)
    return lines.getvalue().encode()


def _csv_text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return f"'{value}" if value.startswith(_STARTS_FORMULA) else value
        case int() | float():
            return str(value)
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    """As JSON has it, child queries as lists of their records."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (QueryResult, list, tuple)) else value
