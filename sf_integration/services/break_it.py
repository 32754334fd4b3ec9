"""Trouble for a stand-in org at the press of a button, so that a newcomer sees what the pages make of it; and its end."""

from __future__ import annotations

from typing import Any

from .. import access, audit
from ..access import Deed
from ..models import ConnectedApp
from ..tokens import rows
from . import operations
from .breakages import Breakage, broken
from .operations import Outcome
from .stand_in import Order, StandIn


def do(connection: ConnectedApp, breakage: Breakage, *, actor: Any) -> Outcome:
    """Break this one thing, healing all else, and check. Raises what `StandIn` does."""
    access.require(actor, Deed.BREAK_STAND_IN, connection)
    stand_in = _healed(connection)
    stand_in.tell(breakage.means.order)
    audit.record("broke stand-in", connection, actor=actor, fields=[breakage.key])
    return _checked(connection, actor, with_new_login=breakage.with_new_login)


def heal(connection: ConnectedApp, *, actor: Any) -> Outcome:
    """Heal whatever is broken, and check. Raises what `StandIn` does."""
    access.require(actor, Deed.BREAK_STAND_IN, connection)
    _healed(connection)
    audit.record("healed stand-in", connection, actor=actor)
    return _checked(connection, actor)


def _healed(connection: ConnectedApp) -> StandIn:
    stand_in = StandIn.of(connection)
    for breakage in broken(connection, stand_in.look()):
        if breakage.means.undo is not None:
            stand_in.tell(breakage.means.undo)
    stand_in.tell(Order("heal", {}))  # faults that were ordered by other ways, too
    return stand_in


def _checked(connection: ConnectedApp, actor: Any, *, with_new_login: bool = True) -> Outcome:
    rows.begin_anew(connection.login_url)
    return operations.prove(connection, actor=actor, with_new_login=with_new_login)
