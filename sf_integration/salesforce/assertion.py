"""The JWT that stands in for a password.

Source: RFC 7523 section 3; Salesforce Help, "OAuth 2.0 JWT Bearer Flow for Server-to-Server Integration".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from .keys import OutsideKey
from .secret import Secret

Key = RSAPrivateKey | OutsideKey
"""What signs: a loaded key, or one that somebody else holds."""
LIFETIME_SECONDS = 180
"""Salesforce's documented maximum. It bounds the assertion only and says nothing about the access token's life."""
SIGNER_SECONDS = 5.0
"""Most that somebody else may take to sign: half of what a sign-in may take."""


@dataclass(frozen=True)
class Claims:
    issuer: str
    """Consumer key of the app."""
    subject: str
    """Username of the Salesforce user, not the e-mail address."""
    audience: str
    """Login authority: one whole URL, no trailing slash."""
    expires_at: int
    """Seconds since 1970 UTC."""

    def as_json(self) -> dict[str, str | int]:
        return {"iss": self.issuer, "sub": self.subject, "aud": self.audience, "exp": self.expires_at}


def claims(*, consumer_key: str, username: str, audience: str, now: float) -> Claims:
    """Claims for a sign-in at `now` (seconds since 1970 UTC)."""
    return Claims(consumer_key, username, audience.rstrip("/"), int(now) + LIFETIME_SECONDS)


def sign(claims: Claims, key: Key, *, timeout_seconds: float = SIGNER_SECONDS) -> Secret:
    """The compact JWS, RS256. Takes a loaded key: reading a PEM costs a hundred times the signature.

    Within `timeout_seconds` where somebody else signs; then whatever that one raises as a SalesforceError.
    """
    if isinstance(key, RSAPrivateKey):
        return Secret(jwt.encode(dict(claims.as_json()), key, algorithm="RS256"))
    payload = json.dumps(claims.as_json(), separators=(",", ":")).encode()
    signing: Any = partial(key.sign, timeout_seconds=timeout_seconds)
    return Secret(_OUTSIDE.encode(payload, signing, algorithm="RS256"))


class _SignedOutside(jwt.algorithms.Algorithm):
    """RS256 by a function from message to signature."""

    def prepare_key(self, key: Any) -> Any:
        return key

    def sign(self, msg: bytes, key: Callable[[bytes], bytes]) -> bytes:
        return key(msg)

    def verify(self, msg: bytes, key: Any, sig: bytes) -> NoReturn:
        raise NotImplementedError

    @staticmethod
    def to_jwk(key_obj: Any, as_dict: bool = False) -> NoReturn:
        raise NotImplementedError

    @staticmethod
    def from_jwk(jwk: Any) -> NoReturn:
        raise NotImplementedError


_OUTSIDE = jwt.PyJWS(algorithms=[])
_OUTSIDE.register_algorithm("RS256", _SignedOutside())
