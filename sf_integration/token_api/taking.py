"""Tokens handed out to API clients: those that everybody shares, never one of their own."""

from __future__ import annotations

import hashlib
import hmac

from .. import tokens
from ..models import ApiClient
from ..salesforce.errors import UnknownConnection
from ..salesforce.oauth import Token
from ..services import api_keys
from ..services.api_keys import Grant
from . import throttle, uses

RENEWALS_PER_MINUTE = 2
"""Of one user that callers may cause: one who takes other refusals for an ended session must not use up the user's sign-ins."""


def take(client: ApiClient, *, connection: str = "", username: str = "", refused: str = "") -> Token:
    """The token of a connection that the client may use, empty for its only one, and of its own user or another.

    `refused`: the one that Salesforce has answered 401 to. Raises PermissionMissing, InvalidInput, ActionNeeded or
    RetryableError.
    """
    granted = api_keys.grant(client, connection)
    wanted = api_keys.require_username(client, granted, username)
    try:
        token = _other_than(refused, tokens.get(granted.name, wanted), granted, wanted)
    except UnknownConnection:
        raise api_keys.not_granted(connection) from None  # deleted or renamed a moment ago
    if not tokens.is_of(token, granted.pk, granted.name, wanted):
        raise api_keys.not_granted(connection)  # another one has its name since
    uses.note(uses.Use(api_keys.caller_name(client), granted, wanted or granted.username))
    return token


def _other_than(refused: str, token: Token, granted: Grant, username: str | None) -> Token:
    if not refused or not hmac.compare_digest(token.value.encode(), refused.encode(errors="replace")):
        return token
    # Many callers, in all processes, find the same session ended: together they cause one sign-in.
    throttle.count(
        f"renewed.{granted.pk}.{username or ''}",
        limit=RENEWALS_PER_MINUTE,
        called="refused tokens of one user",
        once=hashlib.sha256(token.value.encode()).hexdigest(),
    )
    return tokens.renew(granted.name, username, token)
