"""One run of the ladder, for a stored connection or for values that are not saved."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .. import tokens
from ..models import ConnectedApp, ConnectionCheck
from ..salesforce import rest, trace
from ..salesforce.assertion import Key
from ..salesforce.errors import SalesforceError
from ..salesforce.http import Call, recorded
from ..tokens import totals
from . import facts
from .ladder import LADDER, LIGHT_LADDER
from .logins import Apart, Login, Shared
from .steps import FAILED, Run, Step, climb

log = logging.getLogger("sf_integration.health")


@dataclass(frozen=True)
class Trial:
    """What came of trying values that are not saved."""

    steps: list[Step]
    healthy: bool
    """Whether every step was passed, with or without warnings."""
    trace: dict[str, Any] | None
    session_ended: bool | None
    """Whether the session was ended in the org; None when there was none."""


def check_connection(
    connection: ConnectedApp, *, asked_by: str, light: bool = False, renew: bool = True
) -> ConnectionCheck:
    """Run the ladder, store it and what it found. Never raises for what is wrong with the connection.

    `renew` makes it a real sign-in whose token becomes the stored one; else the stored token serves. `light` asks the org
    for one thing only.
    """
    run = _run(connection, Shared(connection, renew=renew))
    started = time.monotonic()
    with recorded() as calls:
        steps, error = climb(LIGHT_LADDER if light else LADDER, run)
    if facts.store_facts(run, steps, error, light=light):
        facts.store_outcome(run, steps, error)
    state = connection.connection_state()
    check = ConnectionCheck.objects.create(
        connection=connection,
        asked_by=asked_by,
        healthy=error is None and state.is_healthy,
        light=light,
        state=state.value,
        steps=[step.as_json() for step in steps],
        trace=_trace(run, calls),
        milliseconds=round((time.monotonic() - started) * 1000),
        api_used=run.usage.used if run.usage else None,
        api_limit=run.usage.limit if run.usage else None,
    )
    totals.tell(totals.What.CHECK, (check.state, check.milliseconds))
    _announce(check, steps, error)
    return check


def try_values(connection: ConnectedApp, key: Key) -> Trial:
    """Run the same ladder for values that are not saved, with a sign-in of its own. Nothing is stored, and the token is
    revoked afterwards."""
    login = Apart(connection, key)
    try:
        run = _run(connection, login)
        with recorded() as calls:
            steps, error = climb(LADDER, run)
    finally:
        session_ended = login.end()
    return Trial(steps, error is None, _trace(run, calls), session_ended)


def _announce(check: ConnectionCheck, steps: Iterable[Step], error: SalesforceError | None) -> None:
    """One log line per check."""
    failed = next((step.step for step in steps if step.status == FAILED), "")
    code = tokens.code_of(error) if error else ""
    log.info(
        "check connection=%s state=%r light=%s asked_by=%r step=%s code=%s seconds=%.3f",
        check.connection.name,
        check.state,
        check.light,
        check.asked_by,
        failed or "-",
        code or "-",
        check.milliseconds / 1000,
        extra={
            "event": "check",
            "connection": check.connection.name,
            "state": check.state,
            "light": check.light,
            "asked_by": check.asked_by,
            "step": failed,
            "code": code,
            "milliseconds": check.milliseconds,
        },
    )


def _trace(run: Run, calls: Iterable[Call]) -> dict[str, Any] | None:
    return trace.with_calls(run.login.trace, calls) if run.login.trace else None


def _run(connection: ConnectedApp, login: Login) -> Run:
    client = rest.Client(login.source, api_version=connection.api_version, http=tokens.current().http)
    return Run(connection, login, client)
