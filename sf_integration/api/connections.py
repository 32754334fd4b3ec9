"""Tokens and clients by the name of a connection."""

from __future__ import annotations

from ..salesforce.oauth import Token
from ..salesforce.rest import DEFAULT_TIMEOUT_SECONDS, Client


def get_token(name: str | None = None, *, username: str | None = None) -> Token:
    """A live access token of a connection, from memory in nearly every call.

    Without a name: SF_INTEGRATION["DEFAULT"], else the only connection. `username`: another user of the same app that the
    connection lists. Raises UnknownConnection, ActionNeeded (a person must act) or RetryableError (try later).
    """
    from .. import tokens

    return tokens.get(name or default_name(), username)


def get_client(
    name: str | None = None,
    *,
    username: str | None = None,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
) -> Client:
    """A REST client that shares the connection's token with everybody and renews it when the org ends the session.

    Cheap to make: it uses the connection pools of the process. Raises as `get_token` does, at the first call.
    """
    from .. import tokens

    name, process = name or default_name(), tokens.current()
    return Client(
        tokens.Source(name, username),
        api_version=tokens.api_version(name, username),
        timeout_seconds=timeout_seconds,
        http=process.http,
        newest_versions=process.newest_versions,
        connection=name,
    )


def renew_token(name: str | None, username: str | None, failed: Token) -> Token:
    """A token other than `failed`, which the org has refused; or the same when there is no other."""
    from .. import tokens

    return tokens.renew(name or default_name(), username, failed)


def default_name() -> str:
    """The connection meant when none is named. Raises UnknownConnection when that is not clear."""
    from .. import tokens
    from ..conf import settings

    if settings.DEFAULT:
        return settings.DEFAULT
    return tokens.only_connection()
