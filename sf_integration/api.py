"""The facade for other Django code: tokens and clients by the name of a connection.

This module is imported by the package root, before Django's apps are ready; so whatever needs Django is imported inside the
functions. Nowhere else.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import requests
from requests.auth import AuthBase

from .salesforce.answers import raise_for_error
from .salesforce.errors import SalesforceError, SessionExpired
from .salesforce.http import BearerAuth
from .salesforce.oauth import Token
from .salesforce.rest import DEFAULT_TIMEOUT_SECONDS, Client


def get_token(name: str | None = None, *, username: str | None = None) -> Token:
    """A live access token of a connection, from memory in nearly every call.

    Without a name: SF_INTEGRATION["DEFAULT"], else the only connection. `username`: another user of the same app that the
    connection lists. Raises UnknownConnection, ActionNeeded (a person must act) or RetryableError (try later).
    """
    from . import tokens

    return tokens.get(name or default_name(), username)


async def aget_token(name: str | None = None, *, username: str | None = None) -> Token:
    """`get_token` for async code: a caller who waits for a sign-in never stops the others."""
    from asgiref.sync import sync_to_async

    from . import tokens

    token = tokens.in_memory(name, username) if name else None
    return token or await sync_to_async(_get_in_thread, thread_sensitive=False)(name, username)


def _get_in_thread(name: str | None, username: str | None) -> Token:
    """In a thread of its own the database connection is this call's too, and nobody else would close it."""
    from django.db import connections

    try:
        return get_token(name, username=username)
    finally:
        connections.close_all()


def get_client(
    name: str | None = None,
    *,
    username: str | None = None,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
) -> Client:
    """A REST client that shares the connection's token with everybody and renews it when the org ends the session.

    Cheap to make: it uses the connection pools of the process. Raises as `get_token` does, at the first call.
    """
    from . import tokens

    name = name or default_name()
    return Client(
        tokens.Source(name, username),
        api_version=tokens.api_version(name, username),
        timeout_seconds=timeout_seconds,
        http=tokens.current().http,
    )


class SalesforceAuth(AuthBase):
    """Signs the requests of your own `requests` session, and replays one once when the org has ended the session.

    `session.get(f"{token.instance_url}/services/apexrest/stock", auth=SalesforceAuth("reporting"))`. The token goes to the
    connection's own instance host only; a request elsewhere raises TransportError.
    """

    def __init__(self, name: str | None = None, *, username: str | None = None) -> None:
        self._name = name
        self._username = username

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        token = get_token(self._name, username=self._username)
        self.sign(request, token)
        request.hooks["response"].append(partial(self._renew_once, token, _position(request.body)))
        return request

    def sign(self, request: requests.PreparedRequest, token: Token) -> None:
        """Put the token where the API looks for it; for subclasses that know of further places."""
        BearerAuth(token.value, token.instance_url)(request)

    def _renew_once(
        self, failed: Token, position: int | None, response: requests.Response, **arguments: Any
    ) -> requests.Response:
        if not _session_has_ended(response):
            return response
        from . import tokens

        renewed = tokens.renew(self._name or default_name(), self._username, failed)
        if renewed.value == failed.value:
            return response
        response.close()
        request = response.request.copy()
        if position is not None:
            request.body.seek(position)  # type: ignore[union-attr]
        self.sign(request, renewed)
        replay: requests.Response = response.connection.send(request, **arguments)
        replay.history.append(response)
        replay.request = request
        return replay


def default_name() -> str:
    """The connection meant when none is named. Raises UnknownConnection when that is not clear."""
    from . import tokens
    from .conf import settings

    if settings.DEFAULT:
        return settings.DEFAULT
    return tokens.only_connection()


def _session_has_ended(response: requests.Response) -> bool:
    if response.status_code not in (401, 403):
        return False
    try:
        raise_for_error(response)
    except SessionExpired:
        return True
    except SalesforceError:
        return False
    return False


def _position(body: Any) -> int | None:
    """Where a file-like body stands; None for bodies that can be sent again as they are."""
    try:
        return int(body.tell())
    except (AttributeError, OSError):
        return None
