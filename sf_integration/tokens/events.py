"""What tokens did by themselves, told to the history: a row each, codes only, never a secret nor Salesforce's own words.

Written after the commit of what it tells of, in one statement however much there is: a history that can't be written costs
nobody a token. Sign-ins are counted in the same transaction.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
from collections.abc import Sequence
from contextlib import nullcontext

from django.db import Error, IntegrityError, transaction

from ..models import AccessToken, ConnectedApp, ConnectionEvent
from ..salesforce.errors import SalesforceError
from ..salesforce.signin import Outcome
from ..state import ConnectionState
from . import totals
from .commits import after_commit
from .prepared import Insert, Values

log = logging.getLogger("sf_integration.tokens")

Kind = ConnectionEvent.Kind
_CODE = re.compile(r"\w{1,100}", re.ASCII)
_INSERT = Insert(ConnectionEvent)


def sign_ins(
    results: Sequence[tuple[AccessToken, Outcome, SalesforceError | None]], now: dt.datetime
) -> None:
    _store([_sign_in(row, outcome, error, now) for row, outcome, error in results])


def session_ended(row: AccessToken, now: dt.datetime) -> None:
    """The org took a token no longer, which we took for good."""
    _store([{"connection": row.connection_id, "at": now, "kind": Kind.ENDED, "username": row.username}])


def state_changed(connection: ConnectedApp, state: ConnectionState, now: dt.datetime) -> None:
    _store([{"connection": connection.pk, "at": now, "kind": Kind.STATE, "code": state.value}])


def _sign_in(
    row: AccessToken, outcome: Outcome, error: SalesforceError | None, now: dt.datetime
) -> dict[str, object]:
    return {
        "connection": row.connection_id,
        "at": now,
        "kind": Kind.REFUSED if error else Kind.SIGNED_IN,
        "username": row.username,
        "code": code_of(error) if error else "",
        "milliseconds": round(outcome.seconds * 1000),
    }


def code_of(error: SalesforceError) -> str:
    """A word, as all codes are: whatever else an org sends in its place stays out."""
    code = error.code or ""
    return code if _CODE.fullmatch(code) else type(error).__name__


def _store(events: Sequence[Values]) -> None:
    if events:
        after_commit(_insert, events)


def _insert(events: Sequence[Values]) -> None:
    counted = _counted(events)
    try:
        with transaction.atomic() if counted else nullcontext():
            _INSERT.run(*events)
            totals.add(totals.What.SIGN_IN, counted)
    except IntegrityError:
        # A connection was deleted meanwhile, which the others have nothing to do with.
        if len(events) > 1:
            for event in events:
                _insert([event])
        else:
            totals.tell(totals.What.SIGN_IN, *counted)
    except Error as exc:
        log.warning("%d events were not stored: %s", len(events), type(exc).__name__)


def _counted(events: Sequence[Values]) -> list[totals.Happening]:
    return [
        (totals.outcome_of(event["code"]), event["milliseconds"])
        for event in events
        if event["kind"] in (Kind.SIGNED_IN, Kind.REFUSED)
    ]
