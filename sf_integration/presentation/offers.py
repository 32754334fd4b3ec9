"""What the page of a connection offers to put right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from urllib.parse import urlencode

from django.urls import reverse

from ..models import ConnectedApp
from ..services import corrections, fault_finder
from ..services.corrections import OtherOrg
from ..state import ConnectionState
from . import problems


@dataclass(frozen=True)
class Offers:
    """What can be put right here and now, for who may do it."""

    other_org: OtherOrg | None
    own_login_url: str
    fault: bool
    guide: str
    """Address of the set-up guide, at the step that was left out where one explains the failure; empty when it works."""

    @classmethod
    def of(cls, connection: ConnectedApp, *, may_run: bool, may_manage: bool) -> Self:
        state = connection.connection_state()
        failing = state is ConnectionState.FAILING
        works = state in (ConnectionState.NEEDS_ATTENTION, ConnectionState.IDLE)
        return cls(
            other_org=corrections.other_org(connection) if failing and may_manage else None,
            own_login_url=corrections.own_login_url(connection) if works and may_manage else "",
            fault=failing and may_run and fault_finder.may_help(connection),
            guide=_guide(connection) if failing else "",
        )

    def __bool__(self) -> bool:
        return bool(self.other_org or self.own_login_url or self.fault or self.guide)


def _guide(connection: ConnectedApp) -> str:
    left_out = problems.steps_left_out(connection)
    asked = {"connection": connection.name} | ({"step": left_out[0].id} if left_out else {})
    return f"{reverse('sf_integration:guide')}?{urlencode(asked)}"
