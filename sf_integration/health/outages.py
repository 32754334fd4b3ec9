"""One host's outage as one thing: connections that fail at present because the same login host does not answer."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.db.models import Count, Max, Min

from ..models import ConnectedApp, ConnectedAppQuerySet
from ..state import ConnectionState

NO_ANSWER = (
    *("dns_failure", "connection_refused", "connection_failed", "connection_stale", "tls_failure", "timeout"),
    *("cut_off", "not_json", "malformed_answer", "too_large"),
    *("http_500", "http_502", "http_503", "http_504"),
)
"""Codes that tell of the host, not of the connection."""
AT_LOGIN_HOST = ("host", "clock", "sign_in")
"""The steps of a check that ask the login host."""
FEWEST = 2


@dataclass(frozen=True)
class HostOutage:
    host: str
    since: dt.datetime
    count: int
    error: Mapping[str, Any]
    """Of one of the connections that it concerns."""


class _Group(NamedTuple):
    """Of one login URL: a host may have several."""

    connections: int
    first_failure: dt.datetime
    last_answer: dt.datetime | None
    example: str


def host_outages(connections: ConnectedAppQuerySet, *, most: int) -> list[HostOutage]:
    """Among connections with their state; the largest first. By two queries, whatever their number."""
    groups: dict[str, list[_Group]] = defaultdict(list)
    failing = _failing(connections).order_by()
    told = failing.values_list("login_url").annotate(
        Count("pk"), Min("failing_since"), Max("last_success_at"), Min("name")
    )
    for url, *facts in told:
        groups[host_of(url)].append(_Group(*facts))
    counts = {host: sum(group.connections for group in found) for host, found in groups.items()}
    largest = sorted(
        (host for host in counts if counts[host] >= FEWEST), key=lambda host: (-counts[host], host)
    )
    examples = {groups[host][0].example: host for host in largest[:most]}
    errors = dict(ConnectedApp.objects.filter(name__in=examples).values_list("name", "last_error"))
    return [
        HostOutage(host, _of_groups(groups[host]), counts[host], errors.get(name) or {})
        for name, host in examples.items()
    ]


def tells_of_host(error: Mapping[str, Any] | None) -> bool:
    """Whether a connection with this error fails because its login host does not answer."""
    told = error or {}
    return told.get("code") in NO_ANSWER and told.get("step") in AT_LOGIN_HOST


def host_of(login_url: str) -> str:
    return urlsplit(login_url).netloc


def began(first_failure: dt.datetime, last_answers: Iterable[dt.datetime | None]) -> dt.datetime:
    """The first failure; or the host's last answer, as a connection may have begun to fail earlier for another reason."""
    return max([first_failure, *filter(None, last_answers)])


def _failing(rows: ConnectedAppQuerySet) -> ConnectedAppQuerySet:
    return rows.filter(
        failing_since__isnull=False,
        last_error__code__in=NO_ANSWER,
        last_error__step__in=AT_LOGIN_HOST,
        state_rank=ConnectionState.FAILING.rank,  # type: ignore[misc]
    )


def _of_groups(groups: Iterable[_Group]) -> dt.datetime:
    found = list(groups)
    return began(min(group.first_failure for group in found), (group.last_answer for group in found))
