"""API keys as programs show them: whose one is, whether it is in force, and which connections it opens."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from .. import audit
from ..models import ApiClient, normal_username
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
_WHO = "an administrator of this site"


class ClientState(StrEnum):
    ACTIVE = "active"
    EXPIRES_SOON = "expires soon"
    EXPIRED = "expired"
    REVOKED = "revoked"


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


def new_key(client: ApiClient) -> str:
    """Give the client another one. It is not stored, and only its hash will be."""
    prefix = secrets.token_hex(6)
    api_key = Secret(f"sfk_{prefix}_{secrets.token_urlsafe(32)}")
    client.prefix, client.api_key_sha256 = prefix, _sha256(api_key)
    return api_key


def forget(prefix: str) -> None:
    """Whoever shows this one next has its row looked at."""
    _known.pop(prefix, None)


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


def _sha256(api_key: Secret) -> str:
    """Of 32 random bytes a plain hash is enough: there is nothing to guess."""
    return hashlib.sha256(api_key.encode(errors="replace")).hexdigest()
