"""The statements on AccessToken. Each is one short UPDATE or SELECT; none is held over a call to Salesforce."""

from __future__ import annotations

import datetime as dt
import difflib
import os
import secrets
import socket
from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Case, F, Sum, Value, When
from django.db.models.functions import Lower
from django.utils import timezone

from ..fields import keyring, seal
from ..models import AccessToken, ConnectedApp, settings_fingerprint
from ..salesforce import oauth
from ..salesforce.errors import EncryptionKeyMissing, UnknownConnection, without_secrets
from ..salesforce.oauth import Token
from ..salesforce.secret import Secret
from . import lifecycle

HOUR = dt.timedelta(hours=1)


def find(name: str, username: str | None) -> AccessToken | None:
    """The row with its connection and signing key, in one query. A dropped database connection is tried once more."""
    rows = AccessToken.objects.of(name, username)
    try:
        return rows.first()
    except (OperationalError, InterfaceError):
        database = transaction.get_connection()
        if database.in_atomic_block:
            raise
        database.close()
        return rows.first()


def connection_named(name: str) -> ConnectedApp:
    """Raises UnknownConnection with the nearest name."""
    found = ConnectedApp.objects.select_related("signing_key").filter(name=name).first()
    if found is None:
        known = list(ConnectedApp.objects.values_list("name", flat=True))
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        raise UnknownConnection(name, suggestion=near[0] if near else None)
    return found


def ensure(connections: Collection[ConnectedApp], username: str | None = None) -> None:
    """Make the rows that are missing; two at once make one."""
    AccessToken.objects.bulk_create(
        [
            AccessToken(connection=connection, username=(username or connection.username).lower())
            for connection in connections
        ],
        ignore_conflicts=True,
    )


def connections_without_row() -> list[ConnectedApp]:
    own = AccessToken.objects.filter(username=Lower("connection__username")).values("connection")
    return list(ConnectedApp.objects.filter(enabled=True).exclude(pk__in=own))


def in_callers_transaction() -> bool:
    """Whether a rollback that is not ours could undo what we write. Django's TestCase does not count."""
    if not transaction.get_connection().in_atomic_block:
        return False
    try:
        with transaction.atomic(durable=True):
            return False
    except RuntimeError:
        return True


def claim(row: AccessToken, now: dt.datetime) -> bool:
    """Take the right to sign in for this row: one conditional UPDATE, the count of rows says who won."""
    claimant = new_claimant()
    won = (
        AccessToken.objects.filter(pk=row.pk, version=row.version)
        .free_to_claim(now)
        .update(**_claimed(claimant, now))
    )
    if won:
        row.claimed_by = claimant
    return bool(won)


def claim_batch(row_ids: Collection[UUID], now: dt.datetime) -> list[AccessToken]:
    """Claim all of these that are still due and free, with one UPDATE."""
    claimant = new_claimant()
    due = AccessToken.objects.due_for_refresh(now).filter(pk__in=row_ids).order_by().values("pk")
    AccessToken.objects.filter(pk__in=list(due.values_list("pk", flat=True))).free_to_claim(now).update(
        **_claimed(claimant, now)
    )
    return list(AccessToken.objects.filter(claimed_by=claimant).select_related("connection__signing_key"))


def new_claimant() -> str:
    return f"{socket.gethostname()[:30]}:{os.getpid()}:{secrets.token_hex(6)}"


def _claimed(claimant: str, now: dt.datetime) -> dict[str, Any]:
    counting = When(logins_since__gt=now - HOUR, then=F("logins") + 1)
    since = When(logins_since__gt=now - HOUR, then=F("logins_since"))
    return {
        "claimed_by": claimant,
        "claimed_until": now + lifecycle.CLAIM_LAPSE,
        "last_try_at": now,
        "logins": Case(counting, default=Value(1)),
        "logins_since": Case(since, default=Value(now)),
    }


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
    rows = AccessToken.objects.filter(username__in=set(usernames), logins_since__gt=now - HOUR)
    return dict(rows.values_list("username").annotate(Sum("logins")).order_by())


def write_token(row: AccessToken, token: Token) -> bool:
    """Store a new token. False when the row moved on meanwhile: whoever wrote it knows better."""
    changes = {
        "value": seal(AccessToken, "value", row.pk, token.value.encode()),
        "instance_url": token.instance_url,
        "identity_url": token.identity_url,
        "scopes": " ".join(token.scopes)[:1000],
        "issued_at": token.issued_at,
        "expected_expiry": token.expected_expiry,
        "refresh_at": lifecycle.refresh_time(token.issued_at, token.expected_expiry),
        "fingerprint": keyring().fingerprints(token.value)[0],
        "failures": 0,
        "last_error": None,
        "next_try_at": None,
    }
    return _write(row, changes)


def write_failure(row: AccessToken, error: Any, kind: Any, now: dt.datetime) -> bool:
    """Store why it failed and when it may be tried again; the token stays as it is."""
    attempts = row.failures + 1 if row.fits_settings else 1
    expiry = row.expected_expiry if row.has_token(now) else None
    shut: dict[str, Any] = {
        "last_error": without_secrets(error) | {"kind": kind, "type": type(error).__name__},
        "next_try_at": lifecycle.next_try(kind, attempts, now, expiry=expiry),
    }
    if kind == "rate":
        # Salesforce counts by user, whichever app signs in.
        AccessToken.objects.filter(username=row.username).exclude(pk=row.pk).update(**shut)
    changes: dict[str, Any] = {"failures": attempts, **shut}
    if not row.fits_settings:
        changes |= {"value": None, "expected_expiry": None, "refresh_at": None}
    return _write(row, changes)


def _write(row: AccessToken, changes: dict[str, Any]) -> bool:
    changes |= {
        "settings_fingerprint": settings_fingerprint(row.connection, row.username),
        "version": row.version + 1,
        "claimed_by": "",
        "claimed_until": None,
    }
    if not AccessToken.objects.filter(pk=row.pk, version=row.version).update(**changes):
        release([row])
        return False
    for name, value in changes.items():
        setattr(row, name, value)
    return True


def discard(row: AccessToken, failed: Token) -> bool:
    """Forget a dead token, only if the row still holds that very token."""
    return bool(
        AccessToken.objects.filter(pk=row.pk, fingerprint__in=keyring().fingerprints(failed.value)).update(
            value=None, fingerprint="", expected_expiry=None, refresh_at=None, version=F("version") + 1
        )
    )


def stored_token(row: AccessToken) -> Token | None:
    """The row's token if it may be used now, else None. A token that doesn't open is as good as none."""
    now = timezone.now()
    if row.value is None or row.issued_at is None or row.expected_expiry is None:
        return None
    if not row.has_token(now) and not _in_grace(row, now):
        return None
    try:
        value = row.value.open().decode()
    except EncryptionKeyMissing:
        return None
    if now >= row.expected_expiry and oauth.is_jwt(value):
        return None
    return Token(
        value=Secret(value),
        instance_url=row.instance_url,
        issued_at=row.issued_at,
        expected_expiry=row.expected_expiry,
        identity_url=row.identity_url,
        scopes=tuple(row.scopes.split()),
    )


def _in_grace(row: AccessToken, now: dt.datetime) -> bool:
    """Past the estimate while only the login host is down: use may well have kept the session alive."""
    return (
        row.expected_expiry is not None
        and now < row.expected_expiry + lifecycle.GRACE
        and (row.last_error or {}).get("kind") in ("passing", "rate")
        and row.fits_settings
    )


def add_logins(row: AccessToken, count: int) -> None:
    AccessToken.objects.filter(pk=row.pk).update(logins=F("logins") + count)


def note_use(row: AccessToken) -> None:
    """Extra usernames that nobody asks for idle out; noted at most once an hour."""
    now = timezone.now()
    if row.last_used_at is None or row.last_used_at < now - HOUR:
        AccessToken.objects.filter(pk=row.pk).update(last_used_at=now)
