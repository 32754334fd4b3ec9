"""Programs that take tokens over HTTP: made, changed and revoked by people, known again by their API keys.

Who gives a program connections gives it their tokens, and so needs the rights to manage and to take them, for each one that
the program has.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from .. import access, audit
from ..access import Deed
from ..models import ApiClient, ConnectedApp, normal_username
from ..salesforce.errors import ApiKeyRefused, InvalidInput, PermissionMissing
from ..salesforce.secret import Secret

API_KEY_PATTERN = r"sfk_[0-9a-f]{12}_[A-Za-z0-9_-]{43}"
"""For secret scanners. The twelve digits are the client's `prefix`; the rest are 32 random bytes."""
LOOK_EVERY_SECONDS = 5.0
"""How old what is remembered of a client may be before its row is asked again: an edit is in force everywhere within this time."""
EXPIRES_SOON = dt.timedelta(days=14)

_IS_API_KEY = re.compile(API_KEY_PATTERN)
_IS_NAME = re.compile(r"[a-z0-9_-]{1,60}")
_PREFIX = slice(4, 16)
_USE_NOTED_EVERY = dt.timedelta(minutes=1)
_LONGEST_USERNAME = 255  # that AccessToken has room for
_WHO = "an administrator of this site"


class ClientState(StrEnum):
    ACTIVE = "active"
    EXPIRES_SOON = "expires soon"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True)
class IssuedKey:
    """An API key at the only moment when it is known; the database has its hash."""

    client: ApiClient
    api_key: str = field(repr=False)


@dataclass(frozen=True)
class Grant:
    """A connection that a client may take tokens of."""

    pk: UUID
    """The connection's, as are the others."""
    name: str
    username: str
    """Its own user, as AccessToken has it."""


@dataclass
class _Known:
    """What this process remembers of a client."""

    client: ApiClient
    next_look: float
    """On the monotonic clock."""
    grants: dict[str, Grant] = field(default_factory=dict)
    """By the name that was asked for; empty for none."""


_known: dict[str, _Known] = {}
"""By prefix. Only clients that showed their API key here, so it can't grow beyond those there are."""


def manageable(actor: Any) -> QuerySet[ApiClient]:
    """The clients that `actor` may manage: those none of whose connections is hidden from them."""
    everything = ApiClient.objects.all()
    if not access.may(actor, Deed.MANAGE_API_CLIENTS):
        return everything.none()
    if actor.is_superuser:
        return everything
    hidden = ConnectedApp.objects.exclude(pk__in=access.visible_to(actor).values("pk"))
    return everything.exclude(connections__in=hidden)


def make(
    name: str,
    *,
    connections: Iterable[ConnectedApp],
    usernames: Iterable[str] = (),
    expires_at: dt.datetime | None = None,
    notes: str = "",
    actor: Any,
) -> IssuedKey:
    """A new client with an API key. Raises InvalidInput, or AccessDenied for a connection whose tokens `actor` may not take."""
    connections = [*connections]
    _require(actor, connections)
    client = ApiClient(
        name=_valid_name(name),
        usernames=_valid_usernames(usernames),
        expires_at=_valid_expiry(expires_at),
        notes=notes.strip(),
    )
    api_key = _new_key(client)
    with transaction.atomic():
        _save(client, force_insert=True)
        client.connections.set(connections)
        audit.record("made API client", client, actor=actor)
    return IssuedKey(client, api_key)


def replace_key(client: ApiClient, *, actor: Any) -> IssuedKey:
    """A new API key; the old one stops at once, elsewhere within five seconds. Raises AccessDenied, InvalidInput if revoked."""
    _require_client(actor, client)
    before = client.prefix
    api_key = _new_key(client)
    client.last_used_at = None  # tells whether the new one has arrived
    with transaction.atomic():
        client.save(update_fields=["prefix", "api_key_sha256", "last_used_at"])
        audit.record("replaced API key", client, actor=actor)
    _known.pop(before, None)
    return IssuedKey(client, api_key)


def change(
    client: ApiClient,
    *,
    connections: Iterable[ConnectedApp],
    usernames: Iterable[str],
    expires_at: dt.datetime | None,
    notes: str,
    name: str,
    actor: Any,
) -> list[str]:
    """Set all of it; the names of the fields that are other than before. Raises AccessDenied or InvalidInput."""
    connections = [*connections]
    _require_client(actor, client)
    _require(actor, connections)
    wanted: dict[str, Any] = {
        "name": _valid_name(name),
        "usernames": _valid_usernames(usernames),
        "expires_at": expires_at if expires_at == client.expires_at else _valid_expiry(expires_at),
        "notes": notes.strip(),
    }
    changed = [field for field, value in wanted.items() if getattr(client, field) != value]
    with transaction.atomic():
        if {*client.connections.values_list("pk", flat=True)} != {each.pk for each in connections}:
            client.connections.set(connections)
            changed.append("connections")
        for field_name, value in wanted.items():
            setattr(client, field_name, value)
        if changed:
            _save(client, update_fields=[*wanted])
            audit.record("changed API client", client, actor=actor, fields=changed)
    _known.pop(client.prefix, None)
    return sorted(changed)


def revoke(client: ApiClient, *, actor: Any) -> None:
    """For good: its API key is refused at once, elsewhere within five seconds. Done before: nothing happens."""
    _require_manageable(actor, client)
    now = timezone.now()
    with transaction.atomic():
        if ApiClient.objects.filter(pk=client.pk, revoked_at=None).update(revoked_at=now):
            audit.record("revoked API client", client, actor=actor)
            client.revoked_at = now
    _known.pop(client.prefix, None)


def state_of(client: ApiClient, now: dt.datetime) -> ClientState:
    if client.revoked_at is not None:
        return ClientState.REVOKED
    if client.expires_at is None or client.expires_at > now + EXPIRES_SOON:
        return ClientState.ACTIVE
    return ClientState.EXPIRES_SOON if client.expires_at > now else ClientState.EXPIRED


def authenticate(api_key: str) -> ApiClient:
    """The client that has this API key, read at most five seconds ago; its use is noted, once a minute.

    Raises ApiKeyRefused with the code `api_key_unknown`, `api_key_revoked` or `api_key_expired`.
    """
    api_key = Secret(api_key)
    known = _remembered(api_key)
    if known is None or time.monotonic() > known.next_look:
        known = _looked_up(api_key)
    client = known.client
    _require_in_force(client)
    return client


def is_familiar(api_key: str) -> bool:
    """Whether it is one that was good in this process before, as far as can be told without a query."""
    return _remembered(Secret(api_key)) is not None


def grant(client: ApiClient, name: str = "") -> Grant:
    """The connection of that name, or the client's only one; remembered as long as the client.

    Raises PermissionMissing, in the same words for a connection that the client may not use and for one that isn't there, and
    InvalidInput if it has to be named.
    """
    known = _known.get(client.prefix)
    if known is None or known.client is not client:
        return _asked_grant(client, name)
    found = known.grants.get(name)
    if found is None:
        found = known.grants[name] = _asked_grant(client, name)
    return found


def require_username(client: ApiClient, granted: Grant, username: str) -> str | None:
    """The user to ask a token for, None for the connection's own. Raises PermissionMissing for one that is not the client's."""
    wanted = normal_username(username)
    if wanted in ("", granted.username):
        return None
    if wanted not in map(normal_username, client.usernames):
        raise PermissionMissing(
            f"This API client may not take tokens of the user {username}.",
            remedy="Add the username to the API client, or leave “sub” out for the connection's own user.",
            who=_WHO,
        )
    return wanted


def not_granted(name: str) -> PermissionMissing:
    told = f"the connection “{name}”, or there is none of that name" if name else "any connection"
    return PermissionMissing(
        f"This API client may not use {told}.",
        remedy="Check the name, or add the connection to the API client.",
        who=_WHO,
    )


def caller_name(client: ApiClient) -> str:
    """As the audit trail calls it, so that it is not taken for a person of that name."""
    return f"API client {client.name}"


def _asked_grant(client: ApiClient, name: str) -> Grant:
    found = client.connections.filter(name=name) if name else client.connections.all()
    # No database is asked for what it could not even hold.
    rows = (
        list(found.values_list("pk", "name", "username")[:2]) if not name or _IS_NAME.fullmatch(name) else []
    )
    if len(rows) == 1:
        pk, its_name, username = rows[0]
        return Grant(pk, its_name, normal_username(username))
    if rows:
        raise InvalidInput("This API client has several connections: say in “connection” which one is meant.")
    raise not_granted(name)


def _remembered(api_key: Secret) -> _Known | None:
    known = _known.get(api_key[_PREFIX])
    return known if known is not None and _fits(known.client, api_key) else None


def _looked_up(api_key: Secret) -> _Known:
    prefix = api_key[_PREFIX]
    client = ApiClient.objects.filter(prefix=prefix).first() if _IS_API_KEY.fullmatch(api_key) else None
    if client is None:
        _known.pop(prefix, None)
    if client is None or not _fits(client, api_key):
        raise ApiKeyRefused(
            "The API key is not known here.",
            remedy="Check that it was copied whole, sfk_ included, and is meant for this site; else have it replaced.",
            who=_WHO,
            code="api_key_unknown",
        )
    known = _known[prefix] = _Known(client, time.monotonic() + LOOK_EVERY_SECONDS)
    _require_in_force(client)
    _note_use(client)
    return known


def _fits(client: ApiClient, api_key: Secret) -> bool:
    return hmac.compare_digest(client.api_key_sha256, _sha256(api_key))


def _require_in_force(client: ApiClient) -> None:
    match state_of(client, timezone.now()):
        case ClientState.REVOKED:
            raise ApiKeyRefused(
                f"The API client “{client.name}” was revoked.",
                remedy="Have a new API client made, if it should have tokens again.",
                who=_WHO,
                code="api_key_revoked",
            )
        case ClientState.EXPIRED:
            raise ApiKeyRefused(
                f"The API key of “{client.name}” has expired.",
                remedy="Have its expiry moved, if it should have tokens again.",
                who=_WHO,
                code="api_key_expired",
            )


def _note_use(client: ApiClient) -> None:
    now = timezone.now()
    if client.last_used_at is not None and client.last_used_at > now - _USE_NOTED_EVERY:
        return
    # Of several processes one writes; of the first use one tells.
    same = ApiClient.objects.filter(pk=client.pk, last_used_at=client.last_used_at)
    with transaction.atomic():
        if same.update(last_used_at=now) and client.last_used_at is None:
            audit.record("first used API key", client, actor=caller_name(client))


def _new_key(client: ApiClient) -> str:
    prefix = secrets.token_hex(6)
    api_key = Secret(f"sfk_{prefix}_{secrets.token_urlsafe(32)}")
    client.prefix, client.api_key_sha256 = prefix, _sha256(api_key)
    return api_key


def _sha256(api_key: Secret) -> str:
    """Of 32 random bytes a plain hash is enough: there is nothing to guess."""
    return hashlib.sha256(api_key.encode(errors="replace")).hexdigest()


def _save(client: ApiClient, **how: Any) -> None:
    try:
        with transaction.atomic():
            client.save(**how)
    except IntegrityError as exc:
        raise InvalidInput(
            _("There is an API client “%(name)s” already: choose another name.") % {"name": client.name}
        ) from exc


def _require(actor: Any, connections: Collection[ConnectedApp]) -> None:
    """Raise AccessDenied unless `actor` may give out the tokens of these."""
    access.require_all(actor, Deed.MANAGE_API_CLIENTS, connections)


def _require_manageable(actor: Any, client: ApiClient) -> ApiClient:
    """The client as it is stored now."""
    found = manageable(actor).filter(pk=client.pk).first()
    if found is None:
        raise access.denied(Deed.MANAGE_API_CLIENTS)
    return found


def _require_client(actor: Any, client: ApiClient) -> None:
    if _require_manageable(actor, client).revoked_at is not None:
        raise InvalidInput(
            _("The API client “%(name)s” was revoked, for good: make a new one.") % {"name": client.name}
        )


def _valid_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > 100 or not name.isprintable():
        raise InvalidInput(_("Give the API client a name of up to 100 printable characters."))
    return name


def _valid_usernames(usernames: Iterable[str]) -> list[str]:
    """Each once, whatever its case; in their order."""
    given = {normal_username(each.strip()): each.strip() for each in usernames if each.strip()}
    for username in given.values():
        if "@" not in username or not username.isprintable() or len(username) > _LONGEST_USERNAME:
            raise InvalidInput(
                _("“%(username)s” is no Salesforce username: it has the form of an e-mail address.")
                % {"username": username}
            )
    return [*given.values()]


def _valid_expiry(expires_at: dt.datetime | None) -> dt.datetime | None:
    if expires_at is None:
        return None
    if timezone.is_naive(expires_at):
        expires_at = timezone.make_aware(expires_at)
    if expires_at <= timezone.now():
        raise InvalidInput(_("The expiry lies in the past: choose a later time, or none."))
    return expires_at
