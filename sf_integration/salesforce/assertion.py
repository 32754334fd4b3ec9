"""The JWT that stands in for a password.

Source: RFC 7523 section 3; Salesforce Help, "OAuth 2.0 JWT Bearer Flow for Server-to-Server Integration".
"""

from __future__ import annotations

from dataclasses import dataclass

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from .secret import Secret

LIFETIME_SECONDS = 180
"""Salesforce's documented maximum. It bounds the assertion only and says nothing about the access token's life."""


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


def sign(claims: Claims, key: RSAPrivateKey) -> Secret:
    """The compact JWS, RS256. Takes a loaded key: reading a PEM costs a hundred times the signature."""
    return Secret(jwt.encode(dict(claims.as_json()), key, algorithm="RS256"))
