"""SOQL's date literals: TODAY, LAST_MONTH, LAST_N_DAYS:30 and their family, as spans of days."""

from __future__ import annotations

import re
from datetime import date, timedelta

_Span = tuple[date, date]
"""First day, and the day after the last."""

_DAYS = {"YESTERDAY": -1, "TODAY": 0, "TOMORROW": 1}
_UNIT = "(DAY|WEEK|MONTH|QUARTER|YEAR)"
_NEIGHBOUR = re.compile(rf"(LAST|THIS|NEXT)_{_UNIT}")
_COUNTED = re.compile(rf"(LAST|NEXT)_N_{_UNIT}S:(\d+)")
_AGO = re.compile(rf"N_{_UNIT}S_AGO:(\d+)")


def literal_range(literal: str, today: date) -> _Span | None:
    """The days a literal means; None for a word that is no literal.

    Weeks begin on Monday, as in the locale of the org's users, de_DE.
    Source: SOQL and SOSL Reference, "Date Formats and Date Literals".
    """
    try:
        return _range(literal, today)
    except (OverflowError, ValueError):  # further away than the calendar goes
        return None


def _range(literal: str, today: date) -> _Span | None:
    word = literal.upper().replace("_90_DAYS", "_N_DAYS:90")
    if word in _DAYS:
        return _span("DAY", today, _DAYS[word], 1)
    if match := _NEIGHBOUR.fullmatch(word):
        return _span(match[2], today, {"LAST": -1, "THIS": 0, "NEXT": 1}[match[1]], 1)
    if match := _AGO.fullmatch(word):
        return _span(match[1], today, -int(match[2]), 1)
    if match := _COUNTED.fullmatch(word):
        direction, unit, count = match[1], match[2], int(match[3])
        if direction == "NEXT":
            return _span(unit, today, 1, count)
        # Days count up to and with today; longer units end before the current one begins.
        return _span(unit, today, -count, count + 1 if unit == "DAY" else count)
    return None


def _span(unit: str, today: date, first: int, count: int) -> _Span:
    return _begin(unit, today, first), _begin(unit, today, first + count)


def _begin(unit: str, today: date, units_ahead: int) -> date:
    """The first day of the unit that lies so many units ahead of the current one."""
    if unit == "DAY":
        return today + timedelta(days=units_ahead)
    if unit == "WEEK":
        monday = today - timedelta(days=today.weekday())
        return monday + timedelta(weeks=units_ahead)
    months = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}[unit]
    month_number = today.year * 12 + today.month - 1
    start = month_number - month_number % months + units_ahead * months
    return date(start // 12, start % 12 + 1, 1)
