"""The outages of login hosts, as the list shows them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from ..health.outages import host_of, host_outages, tells_of_host
from ..models import ConnectedApp, ConnectedAppQuerySet
from ..state import ConnectionState
from .filters import STATES, Filters
from .problems import Shown

MOST = 3
"""So many are told at length."""
_FAILING = next(slug for slug, state in STATES.items() if state is ConnectionState.FAILING)


@dataclass(frozen=True)
class Outage:
    host: str
    since: dt.datetime
    count: int
    href: str
    """Of the list of those it concerns."""
    problem: Shown


def outages(visible: ConnectedAppQuerySet) -> list[Outage]:
    """Among connections with their state; the largest first."""
    return [
        Outage(each.host, each.since, each.count, href_of(each.host), Shown.of_facts(each.error))
        for each in host_outages(visible, most=MOST)
    ]


def is_part(connection: ConnectedApp, hosts: Mapping[str, Outage]) -> bool:
    """Whether this connection, which fails, does so because one of these hosts does not answer."""
    return host_of(connection.login_url) in hosts and tells_of_host(connection.last_error)


def href_of(host: str) -> str:
    return Filters(state=_FAILING, host=host).href()
