"""Looking up data of an org: `query`, `record`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator

from ... import audit
from ...access import Deed
from ...api import get_client
from ...salesforce import columns
from ...salesforce.columns import flat
from ...salesforce.errors import InvalidInput, SalesforceError
from ...salesforce.rest import Record
from ...services import queries
from ...services.queries import ROWS_AT_ONCE, Rows, Sheet
from .verb import Output, Verb, connection_for, sentence

_ROWS_OF_A_TABLE = 2_000
"""As many as a page of the org's has. The next begins another table, so that nothing is held in memory."""


def _query(options: argparse.Namespace, output: Output) -> bool:
    if options.csv and options.json:
        raise InvalidInput("--csv and --json can't go together: choose one.")
    connection = connection_for(options.name, options.deed, actor=options.actor)
    rows = queries.stream(connection, options.soql, actor=options.actor, username=options.username)
    try:
        if output.as_json:
            output.array(record for batch in _batches(rows, output) for record in batch)
        elif options.csv:
            _write_csv(rows, output)
        else:
            _show(rows, output)
    except SalesforceError as exc:
        output.complain(
            f"The query broke off after {rows.taken:,} of {rows.total:,} rows, so what is printed is not all: "
            f"{sentence(exc)}"
        )
        return False
    return _conclude(rows, output, spoils_data=output.as_json or options.csv)


def _batches(rows: Rows, output: Output, size: int = ROWS_AT_ONCE) -> Iterator[list[Record]]:
    """With a bar, unless the rows go to the terminal: there they are progress enough, and would tear it."""
    if output.is_terminal or rows.first.next_path is None:
        yield from rows.batches(size)
        return
    with output.bar("Rows", rows.total) as advance:
        for batch in rows.batches(size):
            yield batch
            advance(len(batch))


def _write_csv(rows: Rows, output: Output) -> None:
    sheet = Sheet(rows.statement, rows.first)
    output.part(sheet.head.decode())
    for batch in _batches(rows, output):
        output.part(sheet.lines(batch).decode())
    if sheet.late:
        output.complain(
            f"Columns that came after the first page are left out: {', '.join(sorted(sheet.late))}."
        )


def _show(rows: Rows, output: Output) -> None:
    for batch in _batches(rows, output, _ROWS_OF_A_TABLE):
        if batch and not columns.is_count(rows.statement):
            output.table(*_table(batch))


def _table(records: Iterable[Record]) -> tuple[list[str], list[list[object]]]:
    shown = [flat(record) for record in records]
    names = list(dict.fromkeys(name for row in shown for name in row))
    return names, [[row.get(name) for name in names] for row in shown]


def _conclude(rows: Rows, output: Output, *, spoils_data: bool) -> bool:
    """How many there are; whether these are all that the org told of."""
    number = rows.first.records[0]["expr0"] if columns.is_count(rows.statement) else rows.taken
    (output.note if spoils_data else output.line)(f"{number} {'row' if number == 1 else 'rows'}")
    if rows.taken < rows.total:
        output.complain(f"The org gave {rows.taken:,} of the {rows.total:,} rows that it told of at first.")
    return rows.taken >= rows.total


def _record(options: argparse.Namespace, output: Output) -> bool:
    connection = connection_for(options.name, options.deed, actor=options.actor)
    fields = [name.strip() for name in options.fields.split(",") if name.strip()]
    with get_client(connection.name, username=options.username) as client:
        record: Record = client.record(options.sobject, options.id, fields=fields)
    audit.record(
        "looked up",
        connection,
        actor=options.actor,
        fields=[options.sobject],
        username=options.username or "",
    )
    if output.as_json:
        output.data(record)
    else:
        output.table(["Field", "Value"], flat(record).items())
    return True


def _query_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the connection")
    parser.add_argument("soql", metavar="SOQL", help="the statement, in quotes")
    parser.add_argument("--username", help="another user that the connection lists")
    parser.add_argument("--csv", action="store_true", help="print CSV (RFC 4180, UTF-8) instead of a table")


def _record_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the connection")
    parser.add_argument("sobject", metavar="SOBJECT", help="API name, as in Account or Invoice__c")
    parser.add_argument("id", metavar="ID", help="record id of 15 or 18 characters")
    parser.add_argument(
        "--fields", default="", metavar="A,B", help="API names with commas between; else all fields"
    )
    parser.add_argument("--username", help="another user that the connection lists")


VERBS = (
    Verb(
        "query",
        "run SOQL and print all rows",
        _query,
        arguments=_query_arguments,
        examples=[
            'query acme-prod "SELECT Id, Name FROM Account LIMIT 5"',
            'query acme-prod "SELECT Id, Owner.Name FROM Contact" --csv > contacts.csv',
            'query acme-prod "SELECT Id FROM Contact" --json | jq -r ".[].Id"',
            'query acme-prod "SELECT COUNT() FROM Contact" --json',
        ],
        details="Rows are printed as they come, page by page; none is kept. When the rest can't be had, standard error says "
        "so and the exit status is 1: what is printed is then not all. In CSV, related fields have columns such as Owner.Name and "
        "child queries are JSON in one cell; values stay as they are in the org, so a spreadsheet may take one that begins "
        "with = + - or @ for a formula (the file that the site's pages offer guards against that). COUNT() gives one row, "
        "as COUNT(Id) does.",
        deed=Deed.RUN_SOQL,
    ),
    Verb(
        "record",
        "print one record",
        _record,
        arguments=_record_arguments,
        examples=[
            "record acme-prod Account 001Dn00000Gi7HJIAZ",
            "record acme-prod Account 001Dn00000Gi7HJIAZ --fields Name,AccountNumber --json",
        ],
        deed=Deed.LOOK_UP,
    ),
)
