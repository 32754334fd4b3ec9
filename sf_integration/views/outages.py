"""One host's outage as one thing: connections that fail at present because the same login host does not answer."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.db.models import Count, Max, Min

from ..models import ConnectedApp, ConnectedAppQuerySet
from ..state import ConnectionState
from .filters import STATES, Filters
from .problems import Shown

NO_ANSWER = (
    *("dns_failure", "connection_refused", "connection_failed", "connection_stale", "tls_failure", "timeout"),
    *("cut_off", "not_json", "malformed_answer", "too_large"),
    *("http_500", "http_502", "http_503", "http_504"),
)
"""Codes that tell of the host, not of the connection."""
AT_LOGIN_HOST = ("host", "clock", "sign_in")
"""The steps of a check that ask the login host."""
FEWEST = 2
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


class _Group(NamedTuple):
    """Of one login URL: a host may have several."""

    connections: int
    first_failure: dt.datetime
    last_answer: dt.datetime | None
    example: str


def outages(visible: ConnectedAppQuerySet) -> list[Outage]:
    """Among connections with their state; the largest first. By two queries, whatever their number."""
    groups: dict[str, list[_Group]] = defaultdict(list)
    failing = _failing(visible).order_by()
    told = failing.values_list("login_url").annotate(
        Count("pk"), Min("failing_since"), Max("last_success_at"), Min("name")
    )
    for url, *facts in told:
        groups[host_of(url)].append(_Group(*facts))
    counts = {host: sum(group.connections for group in found) for host, found in groups.items()}
    largest = sorted(
        (host for host in counts if counts[host] >= FEWEST), key=lambda host: (-counts[host], host)
    )
    examples = {groups[host][0].example: host for host in largest[:MOST]}
    errors = dict(ConnectedApp.objects.filter(name__in=examples).values_list("name", "last_error"))
    return [
        Outage(host, _since(groups[host]), counts[host], _href(host), _problem(errors.get(name)))
        for name, host in examples.items()
    ]


def is_part(connection: ConnectedApp, hosts: Mapping[str, Outage]) -> bool:
    """Whether this connection, which fails, does so because one of these hosts does not answer."""
    error: dict[str, Any] = connection.last_error or {}
    return (
        host_of(connection.login_url) in hosts
        and error.get("code") in NO_ANSWER
        and error.get("step") in AT_LOGIN_HOST
    )


def host_of(login_url: str) -> str:
    return urlsplit(login_url).netloc


def _failing(rows: ConnectedAppQuerySet) -> ConnectedAppQuerySet:
    return rows.filter(
        failing_since__isnull=False,
        last_error__code__in=NO_ANSWER,
        last_error__step__in=AT_LOGIN_HOST,
        state_rank=ConnectionState.FAILING.rank,  # type: ignore[misc]
    )


def _since(groups: Sequence[_Group]) -> dt.datetime:
    """The first failure; or the host's last answer, as a connection may have begun to fail earlier for another reason."""
    last_answers = [group.last_answer for group in groups if group.last_answer]
    return max([min(group.first_failure for group in groups), *last_answers])


def _href(host: str) -> str:
    return Filters(state=_FAILING, host=host).href()


def _problem(error: dict[str, str] | None) -> Shown:
    told = error or {}
    return Shown.of(
        told.get("cause", ""), told.get("who", ""), told.get("remedy", ""), where=told.get("where", "")
    )
