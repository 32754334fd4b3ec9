"""WHERE and HAVING as SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from .. import ids
from ..data.schema import Field, Schema
from ..data.store import Store, fold, salesforce_datetime
from . import dates, functions
from .errors import Misfit, invalid_field, malformed, unexpected, unknown
from .literals import Value
from .syntax import Combined, Compare, Condition, Expression, Item, Like, Negated, OneOf, Path, Query
from .tables import Column, Tables, find_sobject

_MAX_DEPTH = 30
_MAX_PARAMETERS = 30_000
_MAX_PATTERN = 4_000
_CHAINED = 200
_KIND_OF_TYPE = {
    "boolean": "boolean",
    "int": "number",
    "double": "number",
    "currency": "number",
    "date": "date",
    "datetime": "datetime",
}


@dataclass(frozen=True)
class Setting:
    """What every part of one run shares."""

    store: Store
    schema: Schema
    base_path: str
    with_deleted: bool
    now: datetime
    """In the time zone of the user who asks: its days are what date literals mean."""


class Conditions:
    """Every piece of SQL made here is 0 or 1, never NULL, so that NOT turns it round."""

    def __init__(
        self, setting: Setting, tables: Tables, column: Callable[[Expression], Column] | None = None
    ) -> None:
        self._setting = setting
        self._tables = tables
        self._column = column or (lambda expression: functions.plain(tables, expression))
        self._depth = 0
        self._within_or = False
        self.parameters: list[Any] = []

    def sql(self, condition: Condition) -> str:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise unknown("conditions nested this deeply")
        sql = self._piece(condition)
        self._depth -= 1
        if len(self.parameters) > _MAX_PARAMETERS:
            raise unknown("conditions with this many values")
        return sql

    def where(self, query: Query, *further: str) -> str:
        """The whole WHERE part of a query, deleted records left out unless asked for."""
        pieces = [self.sql(query.where)] if query.where is not None else []
        if self._tables.sobject.can_be_deleted and not self._setting.with_deleted:
            pieces.append('t0."IsDeleted" = 0')
        pieces.extend(further)
        return f"WHERE {' AND '.join(pieces)}" if pieces else ""

    def _piece(self, condition: Condition) -> str:
        match condition:
            case Combined(word, parts):
                was_within, self._within_or = self._within_or, self._within_or or word == "OR"
                joined = _chain(f" {word} ", [self.sql(part) for part in parts])
                self._within_or = was_within
                return joined
            case Negated(part):
                return f"(NOT {self.sql(part)})"
            case Compare(expression, operator, value):
                return self._compare(self._filterable(expression), operator, value)
            case Like(expression, pattern):
                return self._like(self._filterable(expression), pattern)
            case OneOf(expression, choices):
                return self._one_of(self._filterable(expression), choices)

    def _filterable(self, expression: Expression) -> Column:
        column = self._column(expression)
        if not column.field.filterable:
            message = f"field '{column.field.name}' can not be filtered in a query call"
            raise invalid_field(column.token, message)
        return column

    # One field and a value

    def _compare(self, column: Column, operator: str, value: Value) -> str:
        if value.kind == "word":
            return self._compare_days(column, operator, value)
        _refuse_order(column.field, operator, value)
        mark = self._mark(_stored(column, value))
        if operator in ("=", "!="):
            return f"({column.comparable} {'IS' if operator == '=' else 'IS NOT'} {mark})"
        return f"COALESCE({column.comparable} {operator} {mark}, 0)"

    def _compare_days(self, column: Column, operator: str, value: Value) -> str:
        """A date literal is a span of days: greater means after its end, less before its beginning."""
        start, end = self._days(column, value)
        sql = column.sql
        match operator:
            case "=" | "!=":
                inside = f"COALESCE({sql} >= {self._mark(start)} AND {sql} < {self._mark(end)}, 0)"
                return inside if operator == "=" else f"(NOT {inside})"
            case "<" | ">=":
                return f"COALESCE({sql} {operator} {self._mark(start)}, 0)"
            case _:
                return f"COALESCE({sql} {'>=' if operator == '>' else '<'} {self._mark(end)}, 0)"

    def _days(self, column: Column, value: Value) -> tuple[str, str]:
        """The first day of a date literal, and the day after its last, as the column stores them."""
        if "FISCAL" in value.value.upper():
            raise unknown(f"the fiscal year of {value.value}")
        span = dates.literal_range(value.value, self._setting.now.date())
        if span is None:
            raise unexpected(value.token)
        if column.field.type == "date":
            return span[0].isoformat(), span[1].isoformat()
        if column.field.type == "datetime":
            return self._midnight(span[0]), self._midnight(span[1])
        raise _wrong_type(column)

    def _midnight(self, day: date) -> str:
        try:
            moment = datetime.combine(day, time(), self._setting.now.tzinfo)
            return salesforce_datetime(moment.astimezone(UTC))
        except OverflowError:
            return f"{day.isoformat()}T00:00:00.000+0000"

    def _like(self, column: Column, pattern: str) -> str:
        if not column.field.is_text:
            raise invalid_field(column.token, f"invalid operator on {column.field.type} field")
        if len(pattern) > _MAX_PATTERN:
            raise unknown("LIKE with a pattern this long")
        return f"COALESCE({column.comparable} LIKE {self._mark(fold(pattern))} ESCAPE '\\', 0)"

    # One field and several values

    def _one_of(self, column: Column, choices: tuple[Value, ...] | Query) -> str:
        if isinstance(choices, Query):
            return self._semi_join(column, choices)
        days = [self._compare_days(column, "=", choice) for choice in choices if choice.kind == "word"]
        stored = [_stored(column, choice) for choice in choices if choice.kind != "word"]
        marks = ", ".join(self._mark(value) for value in stored if value is not None)
        pieces = [*days, f"COALESCE({column.comparable} IN ({marks}), 0)"]
        if None in stored:
            pieces.append(f"({column.comparable} IS NULL)")
        return _chain(" OR ", pieces)

    def _semi_join(self, column: Column, query: Query) -> str:
        if self._within_or:
            raise malformed(column.token, "Semi join sub-selects are not allowed with the 'OR' operator")
        sobject = find_sobject(self._setting.schema, query.source.name)
        if sobject.name == self._tables.sobject.name and column.field.type == "id":
            message = "The inner and outer selects should not be on the same object type"
            raise malformed(query.source.name, message)
        tables = Tables(self._setting.schema, sobject, query.source)
        selected = tables.column(_only_field(query))
        if not (column.field.is_id and selected.field.is_id):
            raise unknown("IN with a sub-query for fields that are no ids")
        if query.group or query.having or query.order or query.limit is not None or query.offset:
            raise unknown("IN with a sub-query that has more than a WHERE part")
        inner = Conditions(self._setting, tables)
        where = inner.where(query)
        self.parameters.extend(inner.parameters)
        return f"COALESCE({column.sql} IN (SELECT {selected.sql} {tables.sql} {where}), 0)"

    def _mark(self, value: Any) -> str:
        self.parameters.append(value)
        return "?"


def _only_field(query: Query) -> Path:
    match query.items:
        case (Item(Path() as path, None),):
            return path
    raise malformed(query.source.name, "The inner select must select exactly one field")


def _refuse_order(field: Field, operator: str, value: Value) -> None:
    """Refuse < and > where Salesforce's answer is not known."""
    if operator in ("=", "!="):
        return
    if value.value is None or value.value == "":
        raise unknown(f"{operator} with an empty value")
    if field.type in ("boolean", "picklist"):
        raise unknown(f"{operator} with the {field.type} field {field.name}")


def _stored(column: Column, value: Value) -> Any:
    """The value as the column stores it; refuses one of another type than the column's."""
    field = column.field
    if value.kind == "null":
        return 0 if field.type == "boolean" else None
    if value.kind != _KIND_OF_TYPE.get(field.type, "string"):
        raise _wrong_type(column)
    if field.is_text:
        return fold(value.value) or None
    if field.is_id:
        return _id(column, value.value)
    return value.value


def _id(column: Column, value: str) -> str:
    if not value:
        raise unknown(f"comparing the id {column.field.name} with an empty text")
    if not ids.is_well_formed(value):
        raise Misfit("INVALID_QUERY_FILTER_OPERATOR", column.token, f"invalid ID field: {value}")
    return ids.to_18(value)


def _wrong_type(column: Column) -> Misfit:
    field = column.field
    type_name = "string" if field.is_text else {"datetime": "dateTime"}.get(field.type, field.type)
    quoted = "" if field.is_text or field.is_id else "not "
    message = (
        f"value of filter criterion for field '{field.name}' must be of type {type_name} and should {quoted}be "
        "enclosed in quotes"
    )
    return invalid_field(column.token, message)


def _chain(word: str, pieces: Sequence[str]) -> str:
    """Pieces joined in groups: SQLite takes a long chain for a deep tree and gives up at a thousand."""
    if len(pieces) > _CHAINED:
        pieces = [_chain(word, pieces[start : start + _CHAINED]) for start in range(0, len(pieces), _CHAINED)]
    return f"({word.join(pieces)})"
