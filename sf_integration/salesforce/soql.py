"""Values and names that are safe to put into SOQL and into REST paths.

Source: SOQL and SOSL Reference, "Quoted String Escape Sequences", "Date Formats and Date Literals".
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from .errors import InvalidInput

_ESCAPES = str.maketrans(
    {
        "\\": "\\\\",
        "'": "\\'",
        '"': '\\"',
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "\b": "\\b",
        "\f": "\\f",
    }
)
_LIKE_ESCAPES = str.maketrans({"%": "\\%", "_": "\\_"})
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}\Z")
_PLACE_OF_ERROR = re.compile(r"^ERROR at Row:(\d{1,6}):Column:(\d{1,6})\n", re.MULTILINE)
_PLACE_OF_CHARACTER = re.compile(r"^line (\d{1,6}):(\d{1,6}) ")
"""As Salesforce's reader of characters tells it, with columns from 0: of a quote that isn't closed, for one."""
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{(?P<kind>:like)?\}|[{}]")


def quote(value: object) -> str:
    """A Python value as a SOQL literal.

    str, bool, None, int, float, Decimal, date, aware datetime, and lists, tuples or sets of these for IN.
    Raises InvalidInput for other types, naive datetimes, NaN and empty lists.
    """
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case str():
            return "'" + value.translate(_ESCAPES) + "'"
        case int():
            return str(value)
        case float() | Decimal():
            return _number(value)
        case dt.datetime():
            return _datetime(value)
        case dt.date():
            return value.isoformat()
        case list() | tuple() | set() | frozenset():
            return _list(value)
    raise InvalidInput(
        f"A value of the type {type(value).__name__} can't be put into SOQL; give text, a number, a date or a list."
    )


def format_soql(template: str, *values: object) -> str:
    """Fill each `{}` with a quoted value, each `{:like}` with text whose % and _ count as themselves.

    `format_soql("SELECT Id FROM Contact WHERE LastName = {}", "O'Neill")`. Without values the text is returned as
    it is. `{{` and `}}` stand for single braces. Raises InvalidInput when the numbers of places and values differ, and
    for no text at all.
    """
    if not isinstance(template, str) or not template.strip():
        raise InvalidInput("There is no SOQL: give a statement such as SELECT Id, Name FROM Account.")
    if not values:
        return template
    remaining = iter(values)
    filled = 0

    def fill(match: re.Match[str]) -> str:
        nonlocal filled
        text = match.group()
        if text in ("{{", "}}"):
            return text[0]
        _require_place(template, match)
        filled += 1
        try:
            value = next(remaining)
        except StopIteration:
            raise InvalidInput(f"The SOQL has more places than values ({len(values)}).") from None
        if match.group("kind"):
            # The backslash of \% must not be escaped again, so the two steps are taken in this order.
            return str(value).translate(_ESCAPES).translate(_LIKE_ESCAPES)
        return quote(value)

    text = _PLACEHOLDER.sub(fill, template)
    if filled != len(values):
        raise InvalidInput(f"The SOQL has fewer places ({filled}) than values ({len(values)}).")
    return text


def _require_place(template: str, match: re.Match[str]) -> None:
    if match.group() in ("{", "}"):
        raise InvalidInput("A lone brace in SOQL: write {} for a value, {{ or }} for a brace.")
    if (match.group("kind") is not None) is not _in_literal(template, match.start()):
        raise InvalidInput(
            "SOQL places: {} quotes its value itself, {:like} stands between quotes ('%{:like}%')."
        )


def _in_literal(template: str, position: int) -> bool:
    """Whether `position` is between quotes. A value that is quoted there once more would end the literal."""
    return re.sub(r"\\.", "", template[:position]).count("'") % 2 == 1


def name(text: str, what: str = "sObject") -> str:
    """`text` when it can be the API name of an sObject or field; else InvalidInput."""
    if not isinstance(text, str) or not _NAME.match(text):
        raise InvalidInput(
            f"“{str(text)[:80]}” can't be the {what}'s API name: letters, digits and underscores only."
        )
    return text


def field_path(text: str) -> str:
    """`text` when it can be a field, also across relationships (`Owner.Name`); else InvalidInput."""
    for part in text.split("."):
        name(part, "field")
    return text


@dataclass(frozen=True)
class Mistake:
    """Where Salesforce found a mistake in a query, and what it says of it."""

    row: int
    column: int
    """Both from 1."""
    message: str


def mistake(message: str) -> Mistake | None:
    """What the message of a refused query tells: before its last lines stands `ERROR at Row:1:Column:8`."""
    if found := _PLACE_OF_ERROR.search(message):
        return Mistake(int(found[1]), int(found[2]), message[found.end() :].strip())
    if found := _PLACE_OF_CHARACTER.match(message):
        return Mistake(int(found[1]), int(found[2]) + 1, message[found.end() :].strip())
    return None


def _number(value: float | Decimal) -> str:
    number = Decimal(repr(float(value))) if isinstance(value, float) else value
    if not number.is_finite():
        raise InvalidInput("NaN and infinity can't be put into SOQL.")
    return format(number, "f")


def _datetime(value: dt.datetime) -> str:
    if value.tzinfo is None:
        raise InvalidInput("A datetime for SOQL needs a time zone; this one has none.")
    return value.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _list(values: Iterable[object]) -> str:
    quoted = [quote(value) for value in values]
    if not quoted:
        raise InvalidInput(
            "An empty list can't be put into SOQL: IN () is not allowed. Skip the query instead."
        )
    return "(" + ", ".join(quoted) + ")"
