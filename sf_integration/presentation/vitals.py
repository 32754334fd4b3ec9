"""The few numbers on top of the page of a connection, each with its bar."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..models import ConnectedApp
from .charts import Chart
from .facts import Certificate, TokenFacts
from .gauges import Gauge
from .times import distance


@dataclass(frozen=True)
class Vital:
    title: str
    value: str
    note: str
    gauge: Gauge | None = None
    colour: str = ""
    """Of the value, where it calls for attention."""


def of_connection(
    connection: ConnectedApp, *, checks: Chart, token: TokenFacts | None, now: dt.datetime
) -> list[Vital]:
    """`checks`: of the shortest period. `token`: of the connection's own user."""
    return [
        _checks(checks),
        _token(connection, token, now),
        _api_calls(connection, now),
        _certificate(connection, now),
    ]


def _checks(chart: Chart) -> Vital:
    title = _("Checks, %(period)s") % {"period": chart.period.words}
    if not chart.checks:
        return Vital(title, _("none"), _("nothing was asked of the org"))
    note = ngettext(
        "%(healthy)d of %(checks)d check found it working",
        "%(healthy)d of %(checks)d checks found it working",
        chart.checks,
    ) % {"healthy": chart.healthy, "checks": chart.checks}
    gauge = Gauge(round(100 * chart.healthy / chart.checks), chart.colour)
    return Vital(title, chart.share, note, gauge, "" if chart.colour == "good" else chart.colour)


def _token(connection: ConnectedApp, token: TokenFacts | None, now: dt.datetime) -> Vital:
    title = _("Access token")
    if token is None or token.expected_expiry is None:
        note = (
            _("the next call or check signs in") if connection.enabled else _("none is fetched while paused")
        )
        return Vital(title, _("none"), note)
    renewal = distance(token.renewal_at, now) if token.renewal_at else ""
    is_late = token.renewal_at is not None and token.renewal_at <= now
    note = _("is due for renewal") if is_late else _("renewed %(when)s") % {"when": renewal}
    note = note if connection.enabled else _("not renewed while paused")
    return Vital(title, _("ends %(when)s") % {"when": distance(token.expected_expiry, now)}, note, token.life)


def _api_calls(connection: ConnectedApp, now: dt.datetime) -> Vital:
    title, usage = _("API calls, 24 hours"), connection.told.get("api_usage")
    if not usage:
        return Vital(title, _("not known"), _("the next whole check asks"))
    gauge, at = Gauge.of_use(usage["used"], usage["limit"]), parse_datetime(usage["at"])
    note = _("of %(limit)s, %(when)s") % {
        "limit": f"{usage['limit']:,}",
        "when": distance(at, now) if at else "",
    }
    return Vital(title, f"{usage['used']:,}", note, gauge, "warn" if gauge.colour == "warn" else "")


def _certificate(connection: ConnectedApp, now: dt.datetime) -> Vital:
    key, told = connection.signing_key, Certificate.of(connection, now)
    colour = "warn" if told.colour == "warn" else ""
    if key.not_after is None:
        return Vital(_("Certificate"), _("end not known"), _("add the certificate"))
    note = _("on %(day)s") % {"day": date_format(timezone.localtime(key.not_after), "j M Y")}
    gauge = Gauge.of_life(key.not_before, key.not_after, now, colour=colour or "good")
    return Vital(_("Certificate"), told.words, note, gauge, colour)
