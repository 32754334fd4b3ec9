# ruff: noqa: S608  names in the SQL come from the schema, never from a request; values are parameters
"""Grouped and aggregate queries, whose results are no records but sums over them."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

from lark import Token

from ..data.schema import Field, SObject
from ..data.store import as_json
from .conditions import Conditions, Setting
from .errors import SoqlError, invalid_field, malformed, unknown
from .functions import aggregate, is_aggregate, plain
from .records import Record, Row, limit_of, order_by
from .syntax import Call, Expression, Item, Query
from .tables import Column, Tables

_MAX_GROUPS = 2_000
_Labelled = tuple[str, Field]


def is_grouped(query: Query) -> bool:
    return bool(query.group or query.having) or any(
        isinstance(item, Item) and is_aggregate(item.expression) for item in query.items
    )


def count_all(setting: Setting, query: Query, sobject: SObject, token: Token) -> int:
    """SELECT COUNT() FROM …"""
    if len(query.items) > 1:
        raise malformed(token, "COUNT() must be the only item of the select list")
    if query.group or query.having or query.order:
        raise unknown("COUNT() with GROUP BY or ORDER BY")
    tables = Tables(setting.schema, sobject, query.source)
    conditions = Conditions(setting, tables)
    where = conditions.where(query)
    sql = f"SELECT COUNT(*) FROM (SELECT 1 {tables.sql} {where} {limit_of(query)})"
    [(found,)] = setting.store.rows(sql, conditions.parameters)
    return int(found)


class Grouping:
    """One grouped SELECT: its SQL, and how its rows are shown."""

    def __init__(self, setting: Setting, query: Query, sobject: SObject) -> None:
        if not query.group and query.limit is not None:
            message = "Non-grouped query that uses overall aggregate functions cannot also use LIMIT"
            raise malformed(query.source.name, message)
        self._setting = setting
        self._tables = Tables(setting.schema, sobject, query.source)
        keys = [self._key(expression) for expression in query.group]
        self._keys = {key.sql for key in keys}
        selected = [self._labelled(item) for item in query.items]
        self._labels = _number([(label, column.field) for label, column in selected])
        conditions = Conditions(setting, self._tables)
        where = conditions.where(query)
        group = f"GROUP BY {', '.join(key.comparable for key in keys)}" if keys else ""
        on_groups = Conditions(setting, self._tables, self._grouped)
        having = f"HAVING {on_groups.sql(query.having)}" if query.having else ""
        order = order_by(query.order, lambda ordering: self._grouped(ordering.expression))
        shown = ", ".join(column.sql for _, column in selected)
        self._sql = f"SELECT {shown} {self._tables.sql} {where} {group} {having} {order} {limit_of(query)}"
        self._parameters = conditions.parameters + on_groups.parameters

    def find(self) -> list[Record]:
        rows = self._setting.store.rows(self._sql, self._parameters)
        if len(rows) > _MAX_GROUPS:
            message = "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch"
            raise SoqlError("EXCEEDED_ID_LIMIT", message)
        return [self._render(row) for row in rows]

    def _key(self, expression: Expression) -> Column:
        column = plain(self._tables, expression)
        if not column.field.groupable:
            message = f"field '{column.field.name}' can not be grouped in a query call"
            raise invalid_field(column.token, message)
        return column

    def _grouped(self, expression: Expression) -> Column:
        """The column of an aggregate, or of something that is grouped by."""
        if isinstance(expression, Call) and is_aggregate(expression):
            return aggregate(self._tables, expression)
        column = plain(self._tables, expression)
        if column.sql not in self._keys:
            raise malformed(column.token, f"Field must be grouped or aggregated: {column.field.name}")
        return column

    def _labelled(self, item: Item | Query) -> tuple[str, Column]:
        """A column and the name it has in the answer; empty for one that is to be numbered."""
        if isinstance(item, Query):
            raise unknown("sub-queries in grouped queries")
        expression, column = item.expression, self._grouped(item.expression)
        if isinstance(expression, Call):
            return str(item.alias or ""), column
        if column.field.is_text:
            # Texts that differ in case only are one group: show the first of them.
            column = replace(column, sql=f"MIN({column.sql})")
        return str(item.alias or column.field.name), column

    def _render(self, row: Row) -> Record:
        record: dict[str, Any] = {"attributes": {"type": "AggregateResult"}}
        for (label, field), value in zip(self._labels, row, strict=True):
            record[label] = as_json(field, value)
        return record


def _number(labelled: list[_Labelled]) -> list[_Labelled]:
    """Give the nameless their names: expr0, expr1, …"""
    numbers = count()
    numbered = [(label or f"expr{next(numbers)}", field) for label, field in labelled]
    labels = [label for label, _ in numbered]
    if repeated := next((label for label in labels if labels.count(label) > 1), None):
        raise SoqlError("MALFORMED_QUERY", f"duplicate alias: {repeated}")
    return numbered
