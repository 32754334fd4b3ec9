"""Run a query: read by a grammar, checked against the schema, turned into parametrised SQL.

Source: SOQL and SOSL Reference; the wordings of the errors as recorded from orgs.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from lark import Token

from ..data import schema
from ..data.schema import SObject
from ..data.store import Store
from . import groups, metadata
from .conditions import Setting
from .errors import Misfit
from .records import Record, Selection
from .syntax import Call, Item, Query, parse
from .tables import find_sobject

TIME_ZONE = ZoneInfo("Europe/Berlin")
"""Where the org's users live: their days are what TODAY and LAST_WEEK mean."""


@dataclass(frozen=True)
class Result:
    """What a query found."""

    total_size: int
    records: Sequence[Record]
    """Made when they are looked at; cut out as many as are needed."""


def run(
    store: Store,
    text: str,
    *,
    base_path: str,
    with_deleted: bool = False,
    hidden: AbstractSet[str] = frozenset(),
    now: datetime | None = None,
) -> Result:
    """Run a query. `base_path` (`/services/data/vXX.0`) goes into the records' attributes.

    hidden: what the user may not see, as "Account" or "Contact.Email".
    now: the org's time, in the user's time zone.
    Raises SoqlError.
    """
    setting = _setting(store, hidden, base_path, with_deleted, now)
    try:
        return _find(setting, parse(text))
    except Misfit as misfit:
        raise misfit.located_in(text) from None


def columns(store: Store, text: str, *, hidden: AbstractSet[str] = frozenset()) -> dict[str, Any]:
    """The columns of a query, as the Salesforce CLI asks for them. Raises SoqlError."""
    setting = _setting(store, hidden)
    try:
        query = parse(text)
        sobject = find_sobject(setting.schema, query.source.name)
        if not _bare_count(query):
            _plan(setting, query, sobject)  # finds what is wrong beside the columns
        return metadata.describe(setting.schema, query, sobject)
    except Misfit as misfit:
        raise misfit.located_in(text) from None


def _setting(
    store: Store,
    hidden: AbstractSet[str],
    base_path: str = "",
    with_deleted: bool = False,
    now: datetime | None = None,
) -> Setting:
    return Setting(store, schema.visible(hidden), base_path, with_deleted, now or datetime.now(TIME_ZONE))


def _find(setting: Setting, query: Query) -> Result:
    sobject = find_sobject(setting.schema, query.source.name)
    if token := _bare_count(query):
        return Result(groups.count_all(setting, query, sobject, token), [])
    found = _plan(setting, query, sobject).find()
    return Result(len(found), found)


def _plan(setting: Setting, query: Query, sobject: SObject) -> groups.Grouping | Selection:
    kind = groups.Grouping if groups.is_grouped(query) else Selection
    return kind(setting, query, sobject)


def _bare_count(query: Query) -> Token | None:
    """The word COUNT of `SELECT COUNT() FROM`."""
    for item in query.items:
        match item:
            case Item(Call(Token() as token, ()) as call) if call.function == "count":
                return token
    return None
