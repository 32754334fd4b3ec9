"""How a check signs in: for everybody, or for itself alone."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Protocol

from .. import hosts, tokens
from ..models import ConnectedApp
from ..salesforce import oauth, rest, trace
from ..salesforce.assertion import Key
from ..salesforce.errors import SalesforceError
from ..salesforce.oauth import Token
from ..salesforce.signin import Outcome, SignIn
from ..tokens import promotion, renewal

log = logging.getLogger("sf_integration.health")


class Login(Protocol):
    trace: dict[str, Any] | None
    """The sign-in as `trace.describe` tells it; None when there was none."""
    key_fingerprint: str
    """Of the signing key that the org took; empty when that is not known."""
    is_real: bool
    """Whether it signs in, whatever token there is."""

    @property
    def source(self) -> rest.TokenSource:
        """For the calls after the sign-in."""

    def private_key(self) -> Key:
        """Raises EncryptionKeyMissing or InvalidPrivateKey."""

    def sign_in(self) -> Token:
        """Raises SalesforceError."""


class Shared:
    """The stored token serves; or a real sign-in, whose token becomes everybody's."""

    def __init__(self, connection: ConnectedApp, *, renew: bool) -> None:
        self.source = tokens.Source(connection.name, counts_as_use=False)
        self.trace: dict[str, Any] | None = None
        self.key_fingerprint = ""
        self.is_real = renew
        self._connection = connection

    def private_key(self) -> Key:
        return tokens.current().private_key(self._connection.signing_key)

    def sign_in(self) -> Token:
        name = self._connection.name
        if self.is_real:
            token = tokens.refresh(name, observe=self._observe)
            promotion.follow(self._connection)
            return token
        refused = tokens.refusal(name)
        if refused is not None:
            # The stored token may still be served, but the org has refused the next one.
            raise refused
        token = tokens.get(name, counts_as_use=False)
        promotion.follow(self._connection)
        return token

    def _observe(self, request: SignIn, outcome: Outcome) -> None:
        self.trace = trace.describe(request, outcome)
        self.key_fingerprint = outcome.key_fingerprint


class Apart:
    """A sign-in with values that are stored nowhere. Call `end` afterwards: the token is of no use to anybody."""

    def __init__(self, connection: ConnectedApp, key: Key) -> None:
        self.trace: dict[str, Any] | None = None
        self.key_fingerprint = ""
        self.source = _OneToken()
        self.is_real = True
        self._connection, self._key = connection, key

    def private_key(self) -> Key:
        return self._key

    def sign_in(self) -> Token:
        process = tokens.current()
        request = renewal.request(process, self._connection, self._connection.username, self._key)
        outcome = process.sign_in(request)
        self.trace = trace.describe(request, outcome)
        self.source.token = outcome.token
        error = renewal.verdict(self._connection, outcome)
        if error is not None:
            raise error
        return self.source.get()

    def end(self) -> bool | None:
        """End the session in the org and tell whether that was done; None without a session.

        A host that may not be called does not get the token for that either: the session then ends by itself.
        """
        token, self.source.token = self.source.token, None
        if token is None:
            return None
        try:
            hosts.require_allowed(token.instance_url)
            oauth.revoke(token, http=tokens.current().http)
        except SalesforceError as error:
            log.warning("a session made to try values could not be ended: %s", error)
            return False
        return True


@dataclass
class _OneToken:
    """A source that has what the sign-in brought, and no other."""

    token: Token | None = None

    def get(self) -> Token:
        if self.token is None:
            raise SalesforceError("Nothing has signed in yet.")
        return self.token

    def renew(self, failed: Token) -> Token:
        return failed
