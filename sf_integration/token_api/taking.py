"""Tokens handed out to API clients: those that everybody shares, never one of their own."""

from __future__ import annotations

from .. import tokens
from ..models import ApiClient
from ..salesforce.errors import UnknownConnection
from ..salesforce.oauth import Token
from ..services import api_clients
from . import uses


def take(client: ApiClient, *, connection: str = "", username: str = "") -> Token:
    """The token of a connection that the client may use, empty for its only one, and of its own user or another.

    Raises PermissionMissing, InvalidInput, ActionNeeded or RetryableError.
    """
    granted = api_clients.grant(client, connection)
    wanted = api_clients.require_username(client, granted, username)
    try:
        token = tokens.get(granted.name, wanted)
    except UnknownConnection:
        raise api_clients.not_granted(connection) from None  # deleted or renamed a moment ago
    uses.note(uses.Use(api_clients.caller_name(client), granted, wanted or granted.username))
    return token
