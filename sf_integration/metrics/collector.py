"""All metrics, worked out from the database when they are asked for.

Several web processes answer scrapers and nobody scrapes workers, so no process counts for itself: what is told is the same
whoever tells it. Named as https://prometheus.io/docs/practices/naming/ says; docs/metrics.md has the table.
"""

from __future__ import annotations

import datetime as dt
import platform
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import metadata
from typing import Any, cast

import django
from django.db.models import Count, Exists, OuterRef, Q
from django.utils import timezone
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import choose_encoder

from .. import access
from ..health import scheduler
from ..models import (
    AccessToken,
    Alarm,
    AlarmMessage,
    ConnectedApp,
    NormalUsername,
    SigningKey,
    Total,
    missing_signers,
)
from ..sealed_columns import missing_keys_of_late
from ..state import ConnectionState
from ..tokens import claims, lifecycle, totals

PREFIX = "sf_integration"
_USAGE_IS_OLD_AFTER = dt.timedelta(hours=24)
_VERSION = re.compile(r"[0-9]\.[0-9]\.[0-9]", re.ASCII)

_COLUMNS: Any = ("pk", "name", "state", "effective_environment", "failing_since", "organization__api_usage")

Samples = Iterable[tuple[Sequence[str], float]]
"""Values of the labels, and the value."""


def exposition(user: Any, accept: str) -> tuple[bytes, str]:
    """Body and content type, in the first format of an Accept header that is known here, else as text."""
    encode, content_type = choose_encoder(_understood(accept))
    return encode(cast("CollectorRegistry", Collector(user))), content_type


def _understood(accept: str) -> str:
    """Without formats of versions that are none: the library stumbles over them."""
    return ",".join(
        part
        for part in accept.split(",")
        if all(_VERSION.fullmatch(version.strip()) for version in re.findall(r"version\s*=([^;]*)", part))
    )


@dataclass(frozen=True)
class _Connection:
    name: str
    state: str
    environment: str
    failing_since: dt.datetime | None
    usage: dict[str, Any]


@dataclass(frozen=True)
class _Token:
    connection: Any
    username: str
    expiry: dt.datetime | None


class Collector:
    """Those of the connections that `user` sees. What concerns the whole site is told to who sees all of them."""

    def __init__(self, user: Any) -> None:
        self._user = user
        self._now = timezone.now()

    def collect(self) -> Iterator[Metric]:
        yield _build()
        yield from self._of_connections()
        yield from self._of_tokens()
        yield self._certificates()
        yield from _heartbeat()
        if self._sees_all:
            yield from _of_totals()
            yield from _of_alarms()
            yield _missing_keys()
            yield _missing_signers()

    @cached_property
    def _sees_all(self) -> bool:
        return self._user.is_superuser or access.sees_all(self._user)

    @cached_property
    def _connections(self) -> dict[Any, _Connection]:
        found = access.visible_to(self._user).with_state(self._now).order_by("name")
        return {
            pk: _Connection(name, state, environment, since, usage or {})
            for pk, name, state, environment, since, usage in found.values_list(*_COLUMNS)
        }

    def _of_connections(self) -> Iterator[Metric]:
        found = self._connections.values()
        counts = Counter(each.state for each in found)
        yield _gauge(
            "connections",
            "Connections in each state.",
            ["state"],
            (([state.value], counts[state.value]) for state in ConnectionState),
        )
        yield _gauge(
            "connection_state",
            "1 for the present state of a connection.",
            ["connection", "state", "environment"],
            (([each.name, each.state, each.environment], 1) for each in found),
        )
        yield _gauge(
            "connection_failing_since_timestamp_seconds",
            "Since when a connection in the state Failing fails.",
            ["connection"],
            (
                ([each.name], each.failing_since.timestamp())
                for each in found
                if each.failing_since and each.state == ConnectionState.FAILING.value
            ),
        )
        yield from self._of_api_usage()

    def _of_api_usage(self) -> Iterator[Metric]:
        """As the last check saw it; old news are no news."""
        oldest = (self._now - _USAGE_IS_OLD_AFTER).isoformat()
        known = [each for each in self._connections.values() if each.usage.get("at", "") >= oldest]
        for name, what in (
            (
                "used",
                "API calls of the last 24 hours that the org counted, as the last check of its limits saw it.",
            ),
            ("limit", "API calls that the org allows in 24 hours."),
        ):
            yield _gauge(
                f"api_calls_{name}", what, ["connection"], (([each.name], each.usage[name]) for each in known)
            )

    def _of_tokens(self) -> Iterator[Metric]:
        """Of each connection's own user. Usernames are nobody's business here."""
        own = AccessToken.objects.filter(username=NormalUsername("connection__username")).order_by()
        if not self._sees_all:
            own = own.filter(connection__in=access.visible_to(self._user).values("pk"))
        tokens = [
            _Token(connection, username, expiry if has_value else None)
            for connection, username, expiry, has_value in own.annotate(
                has_value=Q(value__isnull=False)
            ).values_list("connection_id", "username", "expected_expiry", "has_value")
            if connection in self._connections
        ]
        logins = claims.all_logins_this_hour(self._now)
        names = {pk: each.name for pk, each in self._connections.items()}
        yield _gauge(
            "token_expiry_timestamp_seconds",
            "When the stored access token of a connection's own user is expected to end.",
            ["connection"],
            (([names[each.connection]], each.expiry.timestamp()) for each in tokens if each.expiry),
        )
        yield _gauge(
            "sign_in_budget_used",
            "Sign-ins of a connection's own user in the hour that is counted, over all connections with this user; if any.",
            ["connection"],
            (([names[each.connection]], logins[each.username]) for each in tokens if each.username in logins),
        )
        yield _gauge(
            "sign_in_budget_limit",
            "Sign-ins of one user in an hour after which no more are made.",
            [],
            [([], lifecycle.FUSE_LOGINS)],
        )

    def _certificates(self) -> Metric:
        this = OuterRef("pk")
        used = [
            ConnectedApp.objects.filter(**{field: this}) for field in ("signing_key", "staged_signing_key")
        ]
        keys = SigningKey.objects if self._sees_all else access.visible_keys(self._user)
        ends = keys.filter(Exists(used[0]) | Exists(used[1]), not_after__isnull=False).order_by("name")
        return _gauge(
            "signing_key_certificate_end_timestamp_seconds",
            "When the certificate of a signing key ends that a connection uses or has staged.",
            ["signing_key"],
            (([name], end.timestamp()) for name, end in ends.values_list("name", "not_after") if end),
        )


def _build() -> Metric:
    return InfoMetricFamily(
        f"{PREFIX}_build",
        "Versions that answer.",
        {"version": _version(), "django": django.get_version(), "python": platform.python_version()},
    )


@cache
def _version() -> str:
    try:
        return metadata.version("sf-integration")
    except metadata.PackageNotFoundError:
        return "checkout"


def _heartbeat() -> Iterator[Metric]:
    if heartbeat := scheduler.last_heartbeat():
        yield _gauge(
            "scheduler_heartbeat_timestamp_seconds",
            "When a worker last did what beat asks for every minute; missing until the first time.",
            [],
            [([], heartbeat.timestamp())],
        )


_COUNTED = {
    Total.What.SIGN_IN: ("sign_ins", "sign_in", "outcome", "Sign-ins, by outcome.", (totals.OK,)),
    Total.What.CHECK: (
        "checks",
        "check",
        "state",
        "Checks, by the state they found.",
        tuple(state.value for state in ConnectionState),
    ),
    Total.What.SWEEP: ("sweeps", "sweep", "", "Batches of due tokens that beat had renewed.", ("",)),
}
"""Plural, singular, label, what it is, and outcomes that are told from the beginning, so that their first increase is seen."""


def _of_totals() -> Iterator[Metric]:
    found: dict[str, dict[str, tuple[int, float]]] = {what: {} for what in _COUNTED}
    for what, outcome, count, milliseconds in Total.objects.values_list(
        "what", "outcome", "count", "milliseconds"
    ):
        found.setdefault(what, {})[outcome] = count, milliseconds / 1000
    for what, (plural, singular, label, words, first) in _COUNTED.items():
        labels = [label] if label else []
        counter = CounterMetricFamily(f"{PREFIX}_{plural}", words, labels=labels)
        took = SummaryMetricFamily(
            f"{PREFIX}_{singular}_duration_seconds", f"How long they took. {words}", labels=labels
        )
        for outcome, (count, seconds) in (dict.fromkeys(first, (0, 0.0)) | found[what]).items():
            values = [outcome] if label else []
            counter.add_metric(values, count)
            took.add_metric(values, count, seconds)
        yield counter
        yield took


def _of_alarms() -> Iterator[Metric]:
    opened = (
        Alarm.objects.filter(ended_at=None, told_at__isnull=False)
        .order_by()
        .values_list("kind")
        .annotate(Count("pk"))
    )
    counts: dict[str, int] = dict(opened)
    yield _gauge(
        "alarms_open",
        "Alarms that were told and have not ended, by kind.",
        ["kind"],
        (([kind.value], counts.get(kind.value, 0)) for kind in Alarm.Kind),
    )
    unsent = AlarmMessage.objects.filter(sent_at=None).aggregate(
        waiting=Count("pk", filter=Q(next_try_at__isnull=False)),
        given_up=Count("pk", filter=Q(next_try_at__isnull=True)),
    )
    yield _gauge(
        "alarm_messages_unsent",
        "Messages of alarms that nobody got: still waiting for a try, or given up.",
        ["status"],
        (([status], count) for status, count in unsent.items()),
    )


def _missing_keys() -> Metric:
    return _gauge(
        "encryption_keys_missing",
        "Encryption keys that sealed something stored and are not configured in the process that answers.",
        [],
        [([], len(missing_keys_of_late()))],
    )


def _missing_signers() -> Metric:
    return _gauge(
        "signers_missing",
        "Signers that hold signing keys and are not configured in the process that answers.",
        [],
        [([], len(missing_signers()))],
    )


def _gauge(name: str, what: str, labels: Sequence[str], samples: Samples) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", what, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
