"""The right to sign in for a row, and the count of sign-ins that it comes with: who holds it, until when, how it is given back."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import socket
from collections.abc import Collection
from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import Case, F, QuerySet, Subquery, Sum, Value, When
from django.db.models.functions import Coalesce

from ..models import FARTHEST_CLAIM, AccessToken
from . import lifecycle
from .prepared import Given, Update, Values

HOUR = dt.timedelta(hours=1)

_given = partial(Given.of, AccessToken)


def claim(row: AccessToken, now: dt.datetime) -> bool:
    """Take the right to sign in for this row: one conditional UPDATE, the count of rows says who won.

    Nobody wins when the user has no logins left; `gate.require_fuse` tells.
    """
    claimant = new_claimant()
    won = _CLAIM.run(
        {
            "pk": row.pk,
            "seen": row.version,
            "username": row.username,
            "now": now,
            "an_hour_ago": now - HOUR,
            "claimant": claimant,
            "lapse": now + lifecycle.CLAIM_LAPSE,
            "farthest": now + FARTHEST_CLAIM,
        }
    )
    if won:
        row.claimed_by = claimant
    return bool(won)


def _claimable() -> QuerySet[AccessToken]:
    now, an_hour_ago = _given("now", "logins_since"), _given("an_hour_ago", "logins_since")
    user = _by_username([_given("username")], now, an_hour_ago)
    spent = user.annotate(total=Sum("logins")).values("total")
    return (
        AccessToken.objects.filter(pk=_given("pk", "id"), version=_given("seen", "version"))
        .free_to_claim(_given("now", "claimed_until"), _given("farthest", "claimed_until"))
        .alias(spent=Coalesce(Subquery(spent), 0))
        .filter(spent__lt=lifecycle.FUSE_LOGINS)
    )


def claim_batch(row_ids: Collection[UUID], now: dt.datetime) -> list[AccessToken]:
    """Claim all of these that are still due and free, with one UPDATE."""
    claimant = new_claimant()
    due = AccessToken.objects.due_for_refresh(now).filter(pk__in=row_ids).order_by()
    ids = list(due.values_list("pk", flat=True))
    AccessToken.objects.filter(pk__in=ids).free_to_claim(now).update(
        **_claimed(claimant, now, now + lifecycle.CLAIM_LAPSE, now - HOUR)
    )
    mine = AccessToken.objects.filter(pk__in=ids, claimed_by=claimant).order_by()
    keys = ("signing_key", "staged_signing_key", "previous_signing_key")
    return list(mine.select_related(*(f"connection__{key}" for key in keys)))


def new_claimant() -> str:
    return f"{socket.gethostname()[:30]}:{os.getpid()}:{secrets.token_hex(6)}"


def _claimed(claimant: Any, now: Any, lapse: Any, an_hour_ago: Any) -> Values:
    return {"claimed_by": claimant, "claimed_until": lapse, **_counted(1, now, an_hour_ago)}


def _counted(logins: int, now: Any, an_hour_ago: Any) -> Values:
    """What notes sign-ins: added to those of the hour, or the first of a new one."""
    this_hour = _this_hour(now, an_hour_ago)
    return {
        "last_try_at": now,
        "logins": Case(When(**this_hour, then=F("logins") + logins), default=Value(logins)),
        "logins_since": Case(When(**this_hour, then=F("logins_since")), default=now),
    }


def _this_hour(now: Any, an_hour_ago: Any) -> Values:
    """Where the count is that of the hour. One that begins in the future was begun by a clock that was ahead."""
    return {"logins_since__gt": an_hour_ago, "logins_since__lte": now}


_CLAIM = Update(
    AccessToken,
    _claimable,
    lambda: _claimed(
        _given("claimant", "claimed_by"),
        _given("now", "last_try_at"),
        _given("lapse", "claimed_until"),
        _given("an_hour_ago", "logins_since"),
    ),
)


def release(rows: Collection[AccessToken], *, called: bool = True) -> None:
    """Give claims back. `called` False: nothing was sent, so the sign-in does not count."""
    changes: dict[str, Any] = {"claimed_by": "", "claimed_until": None}
    if not called:
        changes |= {"logins": F("logins") - 1, "last_try_at": None}
    for claimant in {row.claimed_by for row in rows}:
        mine = [row.pk for row in rows if row.claimed_by == claimant]
        AccessToken.objects.filter(pk__in=mine, claimed_by=claimant).update(**changes)


def logins_this_hour(usernames: Collection[str], now: dt.datetime) -> dict[str, int]:
    """Sign-ins by us per username, over all connections: Salesforce counts by user."""
    found = _by_username(set(usernames), now, now - HOUR)
    return dict(found.annotate(total=Sum("logins")).values_list("username", "total"))


def all_logins_this_hour(now: dt.datetime) -> dict[str, int]:
    """As `logins_this_hour`, of everybody."""
    recent = AccessToken.objects.filter(**_this_hour(now, now - HOUR)).order_by().values("username")
    return dict(recent.annotate(total=Sum("logins")).values_list("username", "total"))


def _by_username(usernames: Collection[Any], now: Any, an_hour_ago: Any) -> QuerySet[AccessToken, Any]:
    rows = AccessToken.objects.filter(username__in=usernames, **_this_hour(now, an_hour_ago))
    return rows.order_by().values("username")


def add_logins(row: AccessToken, count: int, now: dt.datetime) -> None:
    """Note sign-ins that no claim has counted."""
    if count:
        AccessToken.objects.filter(pk=row.pk).update(**_counted(count, now, now - HOUR))
