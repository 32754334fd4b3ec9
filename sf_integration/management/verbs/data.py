"""Looking up data of an org: `query`, `record`."""

from __future__ import annotations

import argparse

from ... import access, audit
from ...access import Act
from ...api import get_client
from ...salesforce.columns import flat
from ...salesforce.rest import Record
from .verb import Output, Verb, connection_for


def _query(options: argparse.Namespace, output: Output) -> bool:
    connection = connection_for(options.name, Act.LOOK_UP_RECORDS)
    with get_client(connection.name) as client:
        page = client.query(options.soql)
        total = page.total_size
        records = list(page)
        while page.next_path:
            page = client.query_page(page.next_path)
            records += page
    audit.record("looked up", connection, actor=access.SHELL, fields={record.sobject for record in records})
    if output.as_json:
        output.data(records)
    elif records:
        rows = [flat(record) for record in records]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        output.table(columns, [[row.get(name) for name in columns] for row in rows])
    # SELECT COUNT() has a total and no rows.
    output.say(f"{total} {'row' if total == 1 else 'rows'}")
    return True


def _record(options: argparse.Namespace, output: Output) -> bool:
    connection = connection_for(options.name, Act.LOOK_UP_RECORDS)
    fields = [name.strip() for name in options.fields.split(",") if name.strip()]
    with get_client(connection.name) as client:
        record: Record = client.record(options.sobject, options.id, fields=fields)
    audit.record("looked up", connection, actor=access.SHELL, fields=[options.sobject])
    if output.as_json:
        output.data(record)
    else:
        output.table(["Field", "Value"], flat(record).items())
    return True


def _query_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the connection")
    parser.add_argument("soql", metavar="SOQL", help="the statement, in quotes")


def _record_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the connection")
    parser.add_argument("sobject", metavar="SOBJECT", help="API name, as in Account or Invoice__c")
    parser.add_argument("id", metavar="ID", help="record id of 15 or 18 characters")
    parser.add_argument(
        "--fields", default="", metavar="A,B", help="API names with commas between; else all fields"
    )


VERBS = (
    Verb(
        "query",
        "run SOQL and print all rows",
        _query,
        arguments=_query_arguments,
        examples=[
            'query acme-prod "SELECT Id, Name FROM Account LIMIT 5"',
            'query acme-prod "SELECT Id FROM Contact" --json',
        ],
    ),
    Verb(
        "record",
        "print one record",
        _record,
        arguments=_record_arguments,
        examples=["record acme-prod Account 001Dn00000Gi7HJIAZ --fields Name,AccountNumber"],
    ),
)
