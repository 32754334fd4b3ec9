"""Rows that nobody needs any more: of extra usernames that idled for a month, and of usernames that are not listed now."""

from __future__ import annotations

import datetime as dt

from django.utils import timezone

from ..models import EXTRA_USERNAME_FORGOTTEN_AFTER, AccessToken, AccessTokenQuerySet, NormalUsername
from .claims import HOUR

_BATCH = 500


def delete_unused(now: dt.datetime | None = None) -> int:
    """Delete these rows; returns how many.

    The org is not asked to end their sessions: what idled for a month ended long ago, and what is no longer listed is
    handed to nobody, so that it ends by itself; who wants it ended at once revokes it. Rows that are claimed right now stay
    for the next time, as do those with sign-ins in this hour, which the fuse counts.
    """
    now = now or timezone.now()
    extras = _at_rest(now).exclude(username=NormalUsername("connection__username"))
    ids = [row.pk for row in extras.select_related("connection") if _is_unused(row, now)]
    deleted = 0
    for start in range(0, len(ids), _BATCH):
        deleted += _at_rest(now).filter(pk__in=ids[start : start + _BATCH]).delete()[0]
    return deleted


def _is_unused(row: AccessToken, now: dt.datetime) -> bool:
    used_at = row.last_used_at or row.created_at
    return used_at < now - EXTRA_USERNAME_FORGOTTEN_AFTER or not row.connection.allows(row.username)


def _at_rest(now: dt.datetime) -> AccessTokenQuerySet:
    return AccessToken.objects.free_to_claim(now).exclude(logins_since__gt=now - HOUR)
