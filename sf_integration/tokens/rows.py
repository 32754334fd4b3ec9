"""The statements on AccessToken. Each is one short UPDATE or SELECT; none is held over a call to Salesforce."""

from __future__ import annotations

import datetime as dt
import difflib
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError, connections, router, transaction
from django.db.models import Case, F, Model, Q, QuerySet, Value, When
from django.db.models.functions import Least
from django.utils import timezone

from .. import hosts
from ..fields import keyring, seal
from ..models import (
    AccessToken,
    ConnectedApp,
    NormalUsername,
    SigningKey,
    normal_username,
    settings_fingerprint,
)
from ..salesforce import diagnosis, oauth, origin
from ..salesforce.diagnosis import Kind
from ..salesforce.errors import EncryptionKeyMissing, SalesforceError, UnknownConnection, without_secrets
from ..salesforce.oauth import Token
from . import claims, commits, lifecycle, pin
from .prepared import Given, Select, Update

Changes = dict[str, Any]
"""Columns of a row, and what to write there."""


def find(name: str, username: str | None) -> AccessToken | None:
    """The row with its connection and signing key, in one query. A dropped database connection is tried once more."""
    try:
        return _find(name, username)
    except (OperationalError, InterfaceError):
        database = transaction.get_connection()
        if database.in_atomic_block or commits.by_hand(database):
            raise
        database.close()
        return _find(name, username)


def _find(name: str, username: str | None) -> AccessToken | None:
    found = (
        _ROW_OF.run(name=name, username=normal_username(username)) if username else _OWN_ROW.run(name=name)
    )
    return _joined(found[0]) if found else None


_JOINED: tuple[tuple[type[Model], str], ...] = (
    (AccessToken, ""),
    (ConnectedApp, "connection__"),
    (SigningKey, "connection__signing_key__"),
)
"""The models that are read together, and the way to each from the row."""


def _columns(model: type[Model]) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]


def _rows_of(username: Any) -> QuerySet[AccessToken, Any]:
    columns = [way + name for model, way in _JOINED for name in _columns(model)]
    name = Given("name", ConnectedApp._meta.get_field("name"))
    found = AccessToken.objects.filter(connection__name=name, username=username)
    return found.order_by().values_list(*columns)


def _joined(values: Sequence[Any]) -> AccessToken:
    instances: list[Any] = []
    for model, _ in _JOINED:
        names = _columns(model)
        instances.append(model.from_db(router.db_for_read(model), names, values[: len(names)]))
        values = values[len(names) :]
    row, connection, signing_key = instances
    connection.signing_key = signing_key
    row.connection = connection
    found: AccessToken = row
    return found


_given = partial(Given.of, AccessToken)

_OWN_ROW = Select(AccessToken, lambda: _rows_of(NormalUsername("connection__username")))
_ROW_OF = Select(AccessToken, lambda: _rows_of(_given("username")))


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
    AccessToken.objects.bulk_create(new(connections, username), ignore_conflicts=True)


def new(connections: Collection[ConnectedApp], username: str | None = None) -> list[AccessToken]:
    """Rows that are not stored yet. Where Salesforce has refused the user for too many sign-ins they begin behind that gate."""
    made = [
        AccessToken(connection=connection, username=normal_username(username or connection.username))
        for connection in connections
    ]
    if not made:
        return made
    shut = AccessToken.objects.filter(next_try_at__gt=timezone.now(), last_error__kind="rate")
    gates = {row.username: row for row in shut.only("username", "last_error", "next_try_at")}
    for row in made:
        gate = gates.get(row.username)
        if gate is not None:
            row.last_error, row.next_try_at = gate.last_error, gate.next_try_at
            row.settings_fingerprint = settings_fingerprint(row.connection, row.username)
    return made


def connections_without_row() -> list[ConnectedApp]:
    """With what `ensure` needs of them; there may be thousands."""
    own = AccessToken.objects.filter(username=NormalUsername("connection__username")).values("connection")
    return list(ConnectedApp.objects.filter(enabled=True).exclude(pk__in=own).only("username"))


def in_callers_transaction() -> bool:
    """Whether a rollback that is not ours could undo what we write. Django's TestCase does not count."""
    database = transaction.get_connection()
    if not database.in_atomic_block:
        return commits.by_hand(database)
    try:
        with transaction.atomic(durable=True):
            return False
    except RuntimeError:
        return True


def token_changes(row: AccessToken, token: Token) -> Changes:
    """What stores a new token."""
    return {
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
        "early_ends": 0 if _has_lived(row, token.issued_at) else row.early_ends,
    }


def _has_lived(row: AccessToken, now: dt.datetime) -> bool:
    """Whether the token before reached its renewal, or belonged to other settings: then early ends are over."""
    return not row.fits_settings or (row.refresh_at is not None and row.refresh_at <= now)


def failure_changes(row: AccessToken, error: SalesforceError, kind: Kind, now: dt.datetime) -> Changes:
    """What stores why it failed and when it may be tried again; the token stays, unless it is of other settings."""
    attempts = row.failures + 1 if row.fits_settings else 1
    expiry = row.expected_expiry if row.has_token(now) else None
    changes: Changes = {
        "last_error": without_secrets(error) | {"kind": kind, "type": type(error).__name__},
        "next_try_at": lifecycle.next_try(kind, attempts, now, expiry=expiry),
        "failures": attempts,
    }
    if not row.fits_settings:
        changes |= {"value": None, "expected_expiry": None, "refresh_at": None}
    return changes


def shut_others(row: AccessToken, changes: Changes) -> None:
    """Close the gate of the user's rows in other connections: Salesforce counts by user, whichever app signs in.

    Row by row, as in `carry_over`: a sweep elsewhere may hold some of them.
    """
    shut = {name: changes[name] for name in ("last_error", "next_try_at")}
    others = AccessToken.objects.filter(username=row.username).exclude(pk=row.pk).order_by()
    for pk in others.values_list("pk", flat=True):
        AccessToken.objects.filter(pk=pk).update(**shut)


def write(results: Collection[tuple[AccessToken, Changes]]) -> None:
    """Store what came of claimed rows and give the claims back: a statement or two, however many rows.

    A row that moved on meanwhile stays as it is: whoever wrote it knows better.
    """
    alike: dict[tuple[str, ...], list[tuple[AccessToken, Changes]]] = defaultdict(list)
    for row, changes in results:
        fingerprint = settings_fingerprint(row.connection, row.username)
        every = changes | {
            "settings_fingerprint": fingerprint,
            "version": row.version + 1,
            "claimed_by": "",
            "claimed_until": None,
        }
        alike[tuple(every)].append((row, every))
    for columns, group in alike.items():
        written = _write(columns).run(
            *(changes | {"pk": row.pk, "seen": row.version} for row, changes in group)
        )
        if written < len(group):
            claims.release([row for row, _ in group])  # reaches those that still hold our claim
            continue
        for row, changes in group:
            for name, value in changes.items():
                setattr(row, name, value)


@cache
def _write(columns: tuple[str, ...]) -> Update:
    return Update(
        AccessToken,
        lambda: AccessToken.objects.filter(pk=_given("pk", "id"), version=_given("seen", "version")),
        lambda: {name: _given(name) for name in columns},
    )


def note_success(connections: Collection[ConnectedApp], now: dt.datetime) -> None:
    """Their orgs answered: failures are over, but for those that were stored since `connections` were read."""
    if connections:
        _NOTE_SUCCESS.run(
            *({"id": each.pk, "failing_since": each.failing_since, "now": now} for each in connections)
        )


_NOTE_SUCCESS = Update(
    ConnectedApp,
    lambda: ConnectedApp.objects.filter(
        Q(failing_since__isnull=True) | Q(failing_since__lte=Given.of(ConnectedApp, "failing_since")),
        pk=Given.of(ConnectedApp, "id"),
    ),
    lambda: {
        "last_success_at": Given.of(ConnectedApp, "now", "last_success_at"),
        "failing_since": None,
        "last_error": None,
    },
)


def discard(row: AccessToken, token: Token, **more: Any) -> bool:
    """Forget a token, only if the row still holds that very one. `more`: further changes of the row."""
    return bool(
        AccessToken.objects.filter(pk=row.pk, fingerprint__in=keyring().fingerprints(token.value)).update(
            value=None,
            fingerprint="",
            expected_expiry=None,
            refresh_at=None,
            version=F("version") + 1,
            **more,
        )
    )


def discard_refused(row: AccessToken, failed: Token, now: dt.datetime) -> bool:
    """As `discard`, for what the org no longer takes: several early ends in a row tell of a shorter session length."""
    if now >= failed.expected_expiry:
        return discard(row, failed, early_ends=0)
    lived = Value(max(int((now - failed.issued_at).total_seconds()), 0))
    again = When(early_ends__gt=0, then=Least("shortest_life_seconds", lived))
    return discard(
        row, failed, early_ends=F("early_ends") + 1, shortest_life_seconds=Case(again, default=lived)
    )


def stored_token(row: AccessToken) -> Token | None:
    """The row's token if it may be used now, else None. A token that doesn't open is as good as none."""
    now = timezone.now()
    if not row.has_token(now) and not _in_grace(row, now):
        return None
    # Whoever stored it may have been another installation, or this one by other rules.
    if not hosts.is_allowed(row.instance_url):
        return None
    token = opened(row)
    if token is None or (now >= token.expected_expiry and oauth.is_jwt(token.value)):
        return None
    # The pin may have been set since. A token that does not tell its org was judged when it came.
    found = origin.told_by(token)
    return token if not found or pin.fits(row.connection, found) else None


def opened(row: AccessToken) -> Token | None:
    """The row's token, whatever its age and settings."""
    if row.value is None or row.issued_at is None or row.expected_expiry is None:
        return None
    try:
        value = row.value.open().decode()
    except EncryptionKeyMissing:
        return None
    return Token(
        value=value,
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


def forgive_org(connection: ConnectedApp) -> None:
    """Open the gate of rows that were refused for their org: another one is expected now.

    A sign-in that is under way was judged by the old one; the raised version keeps its result out.
    """
    refused = AccessToken.objects.filter(connection=connection, last_error__type="WrongOrg")
    refused.update(last_error=None, next_try_at=None, failures=0, version=F("version") + 1)


def begin_anew(login_url: str) -> None:
    """Open the gates of all who sign in there, and forget what was counted: what answers was changed by our own order.

    For a stand-in only, since the count of sign-ins keeps users from being locked out of real orgs.
    """
    AccessToken.objects.filter(connection__login_url=login_url).update(
        last_error=None,
        next_try_at=None,
        last_try_at=None,
        failures=0,
        logins=0,
        early_ends=0,
        version=F("version") + 1,
    )


def carry_over(connection: ConnectedApp, old: SigningKey, new: SigningKey) -> None:
    """Let tokens live on under another signing key of the same app, and forget refusals that a person had to end.

    Row by row, and only where the row still is of the old key: no statement waits while it holds another row.
    """
    for row in AccessToken.objects.filter(connection=connection).only("username", "last_error"):
        before, after = (settings_fingerprint(connection, row.username, key=key) for key in (old, new))
        changes: Changes = {"settings_fingerprint": after}
        if (row.last_error or {}).get("kind") == "set-up":
            changes |= {"last_error": None, "next_try_at": None, "failures": 0}
        AccessToken.objects.filter(pk=row.pk, settings_fingerprint=before).update(**changes)


def open_for_another_key(connection: ConnectedApp) -> None:
    """Open the gate of rows whose org did not know the certificate: there is another signing key to try now."""
    failing = AccessToken.objects.filter(connection=connection, last_error__kind="set-up")
    for row in failing.only("last_error", "next_try_at"):
        stored = row.last_error or {}
        if diagnosis.signature_was_refused(stored.get("code", ""), stored.get("description", "")):
            AccessToken.objects.filter(pk=row.pk, next_try_at=row.next_try_at).update(
                next_try_at=timezone.now()
            )


def note_uses(name: str, username: str | None, count: int) -> bool:
    """Extra usernames that nobody asks for idle out, and who deletes a connection is told who used it.

    False when it can't be noted at once: the caller has a token and must not wait for this.
    """
    user = normal_username(username) if username else NormalUsername("connection__username")
    found = AccessToken.objects.filter(connection__name=name, username=user)
    try:
        with _impatient():
            return bool(found.update(uses=F("uses") + count, last_used_at=timezone.now()))
    except (DatabaseError, InterfaceError):
        return False


@contextmanager
def _impatient() -> Iterator[None]:
    """Meanwhile SQLite refuses at once what would wait for its one write lock, which others may hold for long.

    PostgreSQL locks single rows, and those of tokens for a statement only.
    """
    database = connections[router.db_for_write(AccessToken)]
    if database.vendor != "sqlite":
        yield
        return
    with database.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        (milliseconds,) = cursor.fetchone()
        cursor.execute("PRAGMA busy_timeout = 0")
        try:
            yield
        finally:
            # Past Django, which refuses every statement in a transaction that a failed one has spoilt.
            database.connection.execute(f"PRAGMA busy_timeout = {milliseconds}")
