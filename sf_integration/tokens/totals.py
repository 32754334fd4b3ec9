"""How often things happened since the installation was made: what metrics count by."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from functools import partial

from django.db import Error, transaction
from django.db.models import F

from ..models import Total
from ..salesforce import diagnosis
from .commits import after_commit
from .prepared import Given, Update, Values

log = logging.getLogger("sf_integration.tokens")

What = Total.What
OK = "ok"
OTHER = "other"
"""The outcome of all that the catalogue of errors does not name: what a host invents must not become rows without end."""

_CODES = frozenset(entry.code for entry in diagnosis.CATALOGUE) - set(diagnosis.FAMILIES)
_STATUSES = ("http_4", "http_5")

Happening = tuple[str, int]
"""Outcome and milliseconds."""


def outcome_of(code: str) -> str:
    """The outcome that a failure with this code counts as; of an empty one, a success."""
    if not code:
        return OK
    if code in _CODES:
        return code
    return next((f"{family}xx" for family in _STATUSES if code.startswith(family)), OTHER)


def add(what: What, happenings: Iterable[Happening]) -> None:
    """Raise the totals in the transaction of the caller, which should end soon: others wait for these rows.

    One statement for each outcome. In the order of the alphabet, so that two who raise several never wait for each other.
    """
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for outcome, milliseconds in happenings:
        sums[outcome][0] += 1
        sums[outcome][1] += milliseconds
    for outcome, (count, milliseconds) in sorted(sums.items()):
        values = {"what": what.value, "outcome": outcome, "count": count, "milliseconds": milliseconds}
        if not _RAISE.run(values):
            Total.objects.bulk_create([Total(what=what, outcome=outcome)], ignore_conflicts=True)
            _RAISE.run(values)


def tell(what: What, *happenings: Happening) -> None:
    """Raise the totals after the commit, outside of all transactions. What can't be counted costs nobody anything."""
    after_commit(_tell, what, happenings)


def _tell(what: What, happenings: Iterable[Happening]) -> None:
    try:
        with transaction.atomic():
            add(what, happenings)
    except Error as exc:
        log.warning("a %s was not counted: %s", what.value, type(exc).__name__)


def _raised() -> Values:
    return {name: F(name) + _given(name) for name in ("count", "milliseconds")}


_given = partial(Given.of, Total)
_RAISE = Update(Total, lambda: Total.objects.filter(what=_given("what"), outcome=_given("outcome")), _raised)
