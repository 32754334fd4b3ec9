"""Shares drawn as small bars and told in words: what is left of a session, what is used of an org's API calls."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from ..models import AccessToken, ConnectedApp
from .gauges import Gauge

_OF_A_SESSION = (
    *("connection", "username", "settings_fingerprint"),
    *("issued_at", "expected_expiry", "refresh_at"),
)


@dataclass(frozen=True)
class Meter:
    gauge: Gauge
    words: str
    full: str
    """The drawing for who doesn't see it."""


def token_lives(connections: Collection[ConnectedApp], now: dt.datetime) -> dict[UUID, Meter]:
    """By connection, what is left of the session of its own user. No token is read for that."""
    by_id = {each.pk: each for each in connections}
    rows = AccessToken.objects.filter(
        connection__in=by_id, value__isnull=False, expected_expiry__gt=now, issued_at__isnull=False
    )
    found = {}
    for row in rows.only(*_OF_A_SESSION).order_by():
        row.connection = by_id[row.connection_id]
        gauge = Gauge.of_life(row.issued_at, row.expected_expiry, now, colour="info")
        if gauge and row.is_own and row.fits_settings and row.issued_at and row.expected_expiry:
            found[row.connection_id] = Meter(
                gauge, *_session(row.issued_at, row.expected_expiry, row.refresh_at, now)
            )
    return found


def _session(
    issued: dt.datetime, expiry: dt.datetime, renewal: dt.datetime | None, now: dt.datetime
) -> tuple[str, str]:
    """In short, and in full."""
    left, whole = expiry - now, expiry - issued
    told = _("%(left)s of %(whole)s of the session left") % {"left": _length(left), "whole": _length(whole)}
    if renewal and renewal > now:
        clock = date_format(timezone.localtime(renewal), "H:i")
        told = _("%(told)s; renewal at %(time)s") % {"told": told, "time": clock}
    return _length(left), told


def api_usage(connection: ConnectedApp) -> Meter | None:
    """As at the last check that asked; None when unknown."""
    usage = connection.told.get("api_usage")
    if not usage or not usage["limit"]:
        return None
    used, limit = usage["used"], usage["limit"]
    return Meter(
        Gauge.of_use(used, limit),
        words=f"{used / limit:.0%}" if used * 100 >= limit or not used else "< 1%",
        full=_("%(used)s of %(limit)s API calls in 24 hours") % {"used": f"{used:,}", "limit": f"{limit:,}"},
    )


def _length(time: dt.timedelta) -> str:
    minutes = round(time.total_seconds() / 60)
    if minutes < 1:
        return _("less than a minute")
    if minutes < 90:
        return _("%(count)d min") % {"count": minutes}
    hours, rest = divmod(minutes, 60)
    return (
        _("%(hours)d h %(minutes)d min") % {"hours": hours, "minutes": rest}
        if rest
        else _("%(hours)d h") % {"hours": hours}
    )
