"""What `GET …/query?q=…&columns=true` answers: the columns of a query, without running it.

The Salesforce CLI asks it for its tables. Source: the recorded answers among the tests of the CLI's data plugin; the
`columns` of COUNT() and of compound fields are not among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..data.schema import Field, Schema, SObject
from .functions import aggregate, field_group, fields_in, is_aggregate, plain
from .syntax import Call, Item, Path, Query
from .tables import Tables, find_children

_Shown = dict[str, Any]
_APEX_TYPES = {
    "id": "Id", "reference": "Id", "boolean": "Boolean", "int": "Integer", "double": "Double", "currency": "Double",
    "date": "Date", "datetime": "Datetime", "address": "Address",
}  # fmt: skip


def describe(schema: Schema, query: Query, sobject: SObject) -> _Shown:
    return {
        "columnMetadata": _columns(schema, query, sobject),
        "entityName": sobject.name,
        "groupBy": bool(query.group),
        "idSelected": any(_is_id(item) for item in query.items),
        "keyPrefix": sobject.prefix,
    }


def columns_of_rows(rows: Sequence[Mapping[str, Any]]) -> _Shown:
    """The columns of rows given by hand for a query the stand-in can't read: all it knows is their names."""
    first = rows[0] if rows else {}
    names = [name for name in first if name != "attributes"]
    return {
        "columnMetadata": [_column(name, apexType="String", textType=True) for name in names],
        "entityName": first.get("attributes", {}).get("type"),
        "groupBy": False,
        "idSelected": "Id" in names,
        "keyPrefix": None,
    }


def _is_id(item: Item | Query) -> bool:
    return (
        isinstance(item, Item)
        and isinstance(item.expression, Path)
        and item.expression.names[-1].lower() == "id"
    )


def _columns(schema: Schema, query: Query, sobject: SObject) -> list[_Shown]:
    tables = Tables(schema, sobject, query.source)
    shown: list[_Shown] = []
    unnamed = 0
    for item in query.items:
        if isinstance(item, Query):
            child, reference = find_children(schema, sobject, item.source.name)
            joined = _columns(schema, item, child)
            shown.append(_column(reference.children, aggregate=True, joinColumns=joined))
        elif isinstance(item.expression, Path):
            _add_path(shown, tables, item.expression)
        elif item.expression.function == "fields":
            shown.extend(_of_field(field) for field in fields_in(field_group(item.expression), sobject))
        elif item.expression.arguments:
            shown.append(_of_call(tables, item.expression, str(item.alias or f"expr{unnamed}")))
            unnamed += item.alias is None
    return shown


def _add_path(shown: list[_Shown], tables: Tables, path: Path) -> None:
    """Add a field, below the columns of the parents on the way to it."""
    column = tables.column(path)
    for length in range(1, len(column.way) + 1):
        way = column.way[:length]
        parent = next((known for known in shown if known["columnName"] == way[-1]), None)
        if parent is None:
            parent = _column(way[-1], foreignKeyName=tables.reference(way).name)
            shown.append(parent)
        shown = parent["joinColumns"]
    shown.append(_of_field(column.field))


def _of_call(tables: Tables, call: Call, name: str) -> _Shown:
    column = aggregate(tables, call) if is_aggregate(call) else plain(tables, call)
    argument = call.arguments[0]
    of = ".".join(argument.names) if isinstance(argument, Path) else ""
    is_number = column.field.type in ("int", "double", "currency")
    return _column(
        name,
        aggregate=True,
        displayName=f"{call.function}({of})",
        numberType=is_number,
        textType=column.field.is_text,
    )


def _of_field(field: Field) -> _Shown:
    return _column(
        field.name,
        apexType=_APEX_TYPES.get(field.type, "String"),
        booleanType=field.type == "boolean",
        custom=field.custom,
        insertable=field.writable,
        numberType=field.type in ("int", "double", "currency"),
        textType=field.is_text,
        updatable=field.writable,
    )


def _column(name: str, **known: Any) -> _Shown:
    return {
        "aggregate": False,
        "apexType": None,
        "booleanType": False,
        "columnName": name,
        "custom": False,
        "displayName": name,
        "foreignKeyName": None,
        "insertable": False,
        "joinColumns": [],
        "numberType": False,
        "textType": False,
        "updatable": False,
        **known,
    }
