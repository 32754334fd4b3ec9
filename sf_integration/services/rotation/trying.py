"""Asking orgs whether they take the staged signing key: one, or many at a pace that troubles nobody."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from ... import access, audit, tokens
from ...access import Deed
from ...models import ConnectedApp
from ...salesforce import signin
from ...salesforce.errors import SalesforceError
from ...tokens import promotion, trial
from ...tokens.trial import Trial
from ..operations import Outcome

TOGETHER_SECONDS = 20.0
"""For one round over many connections: a person waits for the page."""
EVERY_SECONDS = 0.1
"""At most ten sign-ins are begun in a second."""
AT_ONCE = 8


@dataclass
class Round:
    """What came of trying many: as far as the time went."""

    outcomes: list[Outcome] = field(default_factory=list)
    left: int = 0
    """Whose turn did not come."""

    @property
    def accepted(self) -> int:
        return sum(outcome.done for outcome in self.outcomes)


def try_staged(connection: ConnectedApp, *, actor: Any) -> Outcome:
    """Sign in with the staged signing key alone. Taken, it is promoted, and the token is everybody's; refused, nothing changes.

    The token is not revoked: orgs that give out a live session again would end everybody's.
    """
    tried = try_all([connection], actor=actor)
    return tried.outcomes[0]


def try_all(connections: Sequence[ConnectedApp], *, actor: Any, seconds: float = TOGETHER_SECONDS) -> Round:
    """Try these in their order, several at once and paced, until the time is up; whose turn did not come are left as they are.

    Raises AccessDenied before anything is tried.
    """
    for connection in connections:
        access.require(actor, Deed.TRY_STAGED, connection)
    process = tokens.current()
    last_start = time.monotonic() + max(seconds - signin.CALL_SECONDS, 0.5)
    told = Round()
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="trial") as pool:
        running: dict[Future[signin.Outcome], Trial] = {}
        try:
            due = 0.0
            for connection in connections:
                time.sleep(max(due - time.monotonic(), 0))
                if time.monotonic() > last_start:
                    break
                audit.record("tried staged signing key", connection, actor=actor)
                try:
                    begun = trial.begin(process, connection)
                except SalesforceError as error:
                    told.outcomes.append(_told(connection, error))
                    continue  # nothing was sent, so the next one need not wait
                due = time.monotonic() + EVERY_SECONDS
                running[pool.submit(process.sign_in, begun.request)] = begun
                if len(running) == AT_ONCE:
                    told.outcomes += _finished(running, actor)
            told.left = len(connections) - len(told.outcomes) - len(running)
            while running:
                told.outcomes += _finished(running, actor)
        finally:
            for begun in running.values():  # after a fault of ours: nobody will write down what they bring
                trial.give_up(begun)
    return told


def _finished(running: dict[Future[signin.Outcome], Trial], actor: Any) -> list[Outcome]:
    """Wait for the next, and store what came of it."""
    done, _rest = wait(running, return_when=FIRST_COMPLETED)
    outcomes = []
    for future in done:
        begun = running[future]
        outcome = future.result()
        del running[future]
        error = trial.finish(begun, outcome, actor=actor)
        outcomes.append(_told(begun.row.connection, error))
    return outcomes


def _told(connection: ConnectedApp, error: SalesforceError | None) -> Outcome:
    if error is None and connection.next_signing_key_id is None:
        said = _("the org takes “%(name)s”, which is promoted.") % {"name": connection.signing_key.name}
    elif error is None:
        said = _("the org takes the staged signing key, which can be promoted.")
    elif signin.refuses_signature(error):
        said = _(
            "the org does not take %(key)s yet: its certificate is not uploaded, or not known everywhere."
        ) % {"key": _named(connection)}
    else:
        said = _("this says nothing about the staged signing key: %(error)s") % {"error": error}
    return Outcome(
        error is None, _("Connection %(name)s: %(said)s") % {"name": connection.name, "said": said}
    )


def _named(connection: ConnectedApp) -> str:
    staged = connection.staged_signing_key
    return f"“{staged.name}”" if staged else _("the staged signing key")


def was_tried_since(connection: ConnectedApp, moment: str) -> bool:
    """`moment`: as `datetime.isoformat` writes it, in UTC."""
    last = promotion.trial_of(connection)
    return last is not None and str(last["at"]) >= moment
