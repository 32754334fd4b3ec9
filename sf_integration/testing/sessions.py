"""Access tokens in force, opaque or as JWT, and when they end."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from . import credentials
from .apps import App
from .users import User

_SESSIONS_BEFORE_CLEANING = 2_000


@dataclass(slots=True)
class Session:
    """One access token in force. Times are seconds since 1970 by this machine's clock."""

    token: str = field(repr=False)
    user: User
    app: App
    scopes: tuple[str, ...]
    started: float
    last_used: float
    fixed_end: float | None
    """Of a token in JWT format; an opaque one lives as long as it is used."""
    idle_seconds: Callable[[], float]
    """Asked at each use, so that a changed policy counts for sessions in force, too."""

    @property
    def ends(self) -> float:
        return self.last_used + self.idle_seconds() if self.fixed_end is None else self.fixed_end

    @property
    def is_live(self) -> bool:
        return self.user.may_act and time.time() < self.ends

    def allows(self, *scopes: str) -> bool:
        return any(scope in self.scopes for scope in ("full", *scopes))

    def touch(self) -> None:
        """A call was made: the idle timer starts anew."""
        self.last_used = time.time()


class Sessions:
    """All sessions of one org."""

    def __init__(self) -> None:
        self._by_token: dict[str, Session] = {}
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_token.values()))

    def find(self, token: str) -> Session | None:
        """The session of a token if it is still in force."""
        session = self._by_token.get(token)
        return session if session and session.is_live else None

    def find_live(self, user: User, app: App) -> Session | None:
        return next(
            (session for session in self if session.user is user and session.app is app and session.is_live),
            None,
        )

    def add(self, session: Session) -> None:
        with self._lock:
            if len(self._by_token) % _SESSIONS_BEFORE_CLEANING == _SESSIONS_BEFORE_CLEANING - 1:
                self._by_token = {token: known for token, known in self._by_token.items() if known.is_live}
            self._by_token[session.token] = session

    def end(self, token: str) -> bool:
        """Whether there was one in force to end."""
        with self._lock:
            session = self._by_token.pop(token, None)
        return session is not None and session.is_live

    def end_all(self) -> None:
        with self._lock:
            self._by_token.clear()


def jwt_token(
    *, org_id: str, instance_url: str, user: User, app: App, issued_at: int, expires_at: int
) -> str:
    """A token in JWT format, times by the org's clock.

    Source: Salesforce Help, "JWT-Based Access Tokens"; keys as in the tests of Salesforce's mobile SDK.
    """
    headers = {
        "tnk": f"core/prod/{org_id}",
        "ver": "1.0",
        "kid": f"CORE_ATJWT.{org_id}.{issued_at * 1000}",
        "tty": "sfdc-core-token",
        "typ": "JWT",
    }
    payload = {
        "scp": " ".join(app.scopes),
        "aud": [instance_url],
        "sub": f"uid:{user.id}",
        "iss": instance_url,
        "nbf": issued_at,
        "iat": issued_at,
        "exp": expires_at,
        "mty": "oauth",
        "sfi": secrets.token_hex(32),
        "roles": [],
        "hsc": False,
        "client_id": app.consumer_key,
    }
    return jwt.encode(payload, _signing_key(), algorithm="RS256", headers=headers)


@cache
def _signing_key() -> rsa.RSAPrivateKey:
    """What Salesforce would sign with: one for all orgs of this process, since making one takes a tenth of a second."""
    return credentials.new_private_key()
