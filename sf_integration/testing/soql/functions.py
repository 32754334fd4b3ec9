"""The functions of SOQL: those that aggregate records and those that take dates apart."""

from __future__ import annotations

from dataclasses import replace

from ..data.schema import Field, FieldType, SObject
from .errors import invalid_field, malformed, unexpected, unknown
from .syntax import Call, Expression, Path
from .tables import Column, Tables

AGGREGATES = {
    "count": "COUNT({})",
    "count_distinct": "COUNT(DISTINCT {})",
    "sum": "SUM({})",
    "avg": "AVG({})",
    "min": "MIN({})",
    "max": "MAX({})",
}

_DAY = "CAST(SUBSTR({0}, 9, 2) AS INTEGER)"
_DAY_OF_YEAR = "CAST(STRFTIME('%j', SUBSTR({0}, 1, 10)) AS INTEGER)"
_MONTH = "CAST(SUBSTR({0}, 6, 2) AS INTEGER)"
_OF_DATES = {
    "calendar_year": "CAST(SUBSTR({0}, 1, 4) AS INTEGER)",
    "calendar_quarter": f"({_MONTH} + 2) / 3",
    "calendar_month": _MONTH,
    "day_in_year": _DAY_OF_YEAR,
    "day_in_month": _DAY,
    "day_in_week": "CAST(STRFTIME('%w', SUBSTR({0}, 1, 10)) AS INTEGER) + 1",
    "week_in_year": f"({_DAY_OF_YEAR} + 6) / 7",
    "week_in_month": f"({_DAY} + 6) / 7",
}
"""Numbers, from dates and from date-times in UTC; weeks begin with the year or month, Sunday is day 1.

Source: SOQL and SOSL Reference, "Date Functions".
"""
_OF_DATETIMES: dict[str, tuple[str, FieldType]] = {
    "day_only": ("SUBSTR({0}, 1, 10)", "date"),
    "hour_in_day": ("CAST(SUBSTR({0}, 12, 2) AS INTEGER)", "int"),
}
_UNKNOWN_HERE = {
    "convertcurrency", "converttimezone", "cube", "distance", "fields", "fiscal_month", "fiscal_quarter",
    "fiscal_year", "format", "geolocation", "grouping", "rollup", "tolabel",
}  # fmt: skip
_NUMBERS = ("int", "double", "currency")


def is_aggregate(expression: Expression) -> bool:
    return isinstance(expression, Call) and expression.function in AGGREGATES


def plain(tables: Tables, expression: Expression) -> Column:
    """The column of a field or date function; aggregates don't belong here."""
    if isinstance(expression, Path):
        return tables.column(expression)
    function = expression.function
    if function in _OF_DATES:
        return _of_date(tables, expression, _OF_DATES[function], "int", ("date", "datetime"))
    if function in _OF_DATETIMES:
        template, result = _OF_DATETIMES[function]
        return _of_date(tables, expression, template, result, ("datetime",))
    if function in _UNKNOWN_HERE:
        raise unknown(f"{expression.token}()")
    raise unexpected(expression.token)


def aggregate(tables: Tables, call: Call) -> Column:
    """The column of COUNT(Id), SUM(Amount) and the like."""
    column = tables.column(_only_path(call))
    function, found = call.function, column.field
    if (
        found.type == "boolean"
        or not found.filterable
        or (_is_arithmetic(call) and found.type not in _NUMBERS)
    ):
        message = f"field {found.name} does not support aggregate operator {call.token.upper()}"
        raise invalid_field(call.token, message)
    if function in ("min", "max"):
        if found.type == "picklist":
            raise unknown(f"{call.token}() of picklists")
        collated = f"{column.sql} COLLATE salesforce" if found.is_text else column.sql
        return replace(column, sql=AGGREGATES[function].format(collated), token=call.token)
    counted = column.comparable if function == "count_distinct" else column.sql
    result: FieldType = "int" if function.startswith("count") else "double"
    return Column(AGGREGATES[function].format(counted), Field("", result), call.token)


def field_group(call: Call) -> str:
    """The word in FIELDS(ALL), FIELDS(STANDARD) or FIELDS(CUSTOM), in lower case."""
    match call.arguments:
        case (Path((name,)),) if name.lower() in ("all", "standard", "custom"):
            return str(name).lower()
    raise unexpected(call.token)


def fields_in(group: str, sobject: SObject) -> list[Field]:
    return [field for field in sobject.fields if group == "all" or field.custom == (group == "custom")]


def _is_arithmetic(call: Call) -> bool:
    return call.function in ("sum", "avg")


def _of_date(
    tables: Tables, call: Call, template: str, result: FieldType, types: tuple[FieldType, ...]
) -> Column:
    column = tables.column(_only_path(call))
    if column.field.type not in types:
        raise unknown(f"{call.token}() of the {column.field.type} {column.field.name}")
    # A name, so that errors can tell which; in brackets, since it becomes part of a comparison.
    return Column(f"({template.format(column.sql)})", Field(str(call.token), result), call.token)


def _only_path(call: Call) -> Path:
    match call.arguments:
        case (Path() as path,):
            return path
        case (Call() as inner,):
            raise unknown(f"{inner.token}() within {call.token}()")
    raise malformed(call.token, f"unexpected token: '{call.token}'")
