"""An org and what lives in it: apps, users, sessions, its data, and what it was asked."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from . import credentials, ids
from .data import company
from .faults import Faults
from .messages import Request
from .rest.cursors import Cursors

_REQUESTS_KEPT = 10_000
_SESSIONS_BEFORE_CLEANING = 2_000


@dataclass
class User:
    """A user of the org, with the states that decide whether it may sign in."""

    id: str
    username: str
    first_name: str = "Integration"
    last_name: str = "User"
    email: str = "ops@nordhafen.example"
    active: bool = True
    frozen: bool = False
    approved: bool = True
    """An admin has pre-authorised it for the app, by profile or permission set."""
    authorized: bool = False
    """It has once approved the app itself in a browser."""
    ip_restricted: bool = False
    """Its login IP ranges leave the caller out."""
    api_enabled: bool = True
    login_times: deque[float] = field(default_factory=deque, repr=False)

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()

    @property
    def may_act(self) -> bool:
        return self.active and not self.frozen


class App:
    """A connected app or external client app of the org, with one certificate."""

    def __init__(
        self,
        *,
        name: str = "Harbor Sync",
        consumer_key: str | None = None,
        consumer_secret: str | None = None,
        certificate_pem: str | None = None,
        private_key_pem: str | None = None,
        kind: Literal["connected", "external"] = "connected",
        scopes: tuple[str, ...] = ("api", "refresh_token"),
        permitted_users: Literal["admin_approved", "self_authorize"] = "admin_approved",
        installed: bool = True,
    ) -> None:
        if certificate_pem is None:
            private_key_pem, certificate_pem = credentials.make_key_and_certificate(name)
        self.name = name
        self.consumer_key = consumer_key or credentials.new_consumer_key()
        self.consumer_secret = consumer_secret or credentials.new_consumer_secret()
        self.kind = kind
        self.scopes = scopes
        self.permitted_users = permitted_users
        self.installed = installed
        self.private_key_pem = private_key_pem
        self._trust(certificate_pem)

    def __repr__(self) -> str:
        return f"<App {self.name!r} {self.kind}>"

    def replace_certificate(self, certificate_pem: str) -> None:
        """Trust another certificate from now on; the private key is its owner's and no longer known here."""
        self._trust(certificate_pem)
        self.private_key_pem = None

    def _trust(self, certificate_pem: str) -> None:
        # Loaded once: reading a certificate costs far more than verifying a signature with it.
        self.public_key: rsa.RSAPublicKey = credentials.public_key_of(certificate_pem)
        self.certificate_pem = certificate_pem


@dataclass(slots=True)
class Session:
    """One access token in force."""

    token: str = field(repr=False)
    user: User
    app: App
    scopes: tuple[str, ...]
    started: float
    last_used: float
    expires: float | None
    """Fixed end of a JWT-format token; None for an opaque one, which lives as long as it is used."""

    def allows(self, *scopes: str) -> bool:
        return any(scope in self.scopes for scope in ("full", *scopes))


class Org:
    """One Salesforce org. Its plain attributes may be changed at any time and hold for the next request."""

    def __init__(
        self,
        *,
        org_id: str | None = None,
        name: str = "Nordhafen Coffee Traders",
        username: str = "integration@nordhafen.example",
        app: App | None = None,
        is_sandbox: bool = False,
        organization_type: str = "Developer Edition",
        oldest_version: int = 42,
        newest_version: int = 67,
    ) -> None:
        self.id = ids.to_18(org_id) if org_id else ids.random_id("00D")
        self.name = name
        self.is_sandbox = is_sandbox
        self.organization_type = organization_type
        self.url = ""
        """Scheme, host and port, no trailing slash; empty until the server runs."""
        self.oldest_version, self.newest_version = oldest_version, newest_version

        self.active = True
        self.session_seconds: float = 7200
        self.clock_offset_seconds: float = 0
        self.token_format: Literal["opaque", "jwt"] = "opaque"  # noqa: S105
        self.reuse_sessions = False
        self.refuse_replayed_jti = False
        self.logins_per_hour = 3600
        self.api_limit = 15_000
        self.api_used = 0
        self.limits_refused = False

        self.token_requests = 0
        self.logins = 0
        self.faults = Faults()
        self.cursors = Cursors()
        self.lock = threading.RLock()
        self._requests: deque[Request] = deque(maxlen=_REQUESTS_KEPT)
        self._sessions: dict[str, Session] = {}
        self._seen_jti: set[str] = set()
        self._signing_key: rsa.RSAPrivateKey | None = None

        self.users: dict[str, User] = {}
        self.store = company.demo_store()
        self.user = self.add_user(username)
        self.app = app or App()
        self.apps = {self.app.consumer_key: self.app}
        company.add_organization_row(
            self.store, org_id=self.id, name=name, is_sandbox=is_sandbox, organization_type=organization_type
        )

    def __repr__(self) -> str:
        return f"<Org {self.id} {self.url}>"

    # People and apps

    def add_user(self, username: str, **state: Any) -> User:
        """A further user; `state` are fields of User. Usernames are told apart without regard to case."""
        with self.lock:
            user = User(id=ids.numbered("005", len(self.users)), username=username, **state)
            self.users[username.lower()] = user
            company.add_user_row(self.store, user)
        return user

    def add_app(self, **settings: Any) -> App:
        """A further app with its own consumer key and certificate; `settings` are arguments of App."""
        app = App(**settings)
        self.apps[app.consumer_key] = app
        return app

    def find_user(self, username: str) -> User | None:
        return self.users.get(username.lower())

    # Time

    def now(self) -> float:
        """The org's own clock, seconds since 1970 UTC."""
        return time.time() + self.clock_offset_seconds

    # Trouble

    def fail(self, kind: str, *, times: int | None = 1, where: str | None = None, **options: Any) -> None:
        """Let the next `times` requests at `where` go wrong (None: all until `heal`); faults queue up.

        where: "token", "rest", "identity" or "any"; "token" if left out ("rest" for kind "rest_error").
        kind, with its options: unknown_error, maintenance, bad_gateway, html, redirect(location, status),
        garbage(body), slow(seconds), drip(seconds, part), cut, close, huge, refuse(error, description, status),
        answer(status, body, content_type), rest_error(status, code, message).
        """
        place = where or ("rest" if kind == "rest_error" else "token")
        self.faults.add(kind, place, times, options)

    def heal(self) -> None:
        """Forget all faults that wait for a request."""
        self.faults.clear()

    # Sessions

    def start_session(self, user: User, app: App) -> Session:
        """Sign the user in: a new token, or the live one of the same user and app with `reuse_sessions`."""
        with self.lock:
            self.logins += 1
            user.login_times.append(time.time())
            if self.reuse_sessions and (live := self._live_session_of(user, app)):
                return live
            if len(self._sessions) % _SESSIONS_BEFORE_CLEANING == _SESSIONS_BEFORE_CLEANING - 1:
                self._sessions = {s.token: s for s in self._sessions.values() if self._is_live(s)}
            now = time.time()
            fixed_end = now + self.session_seconds if self.token_format == "jwt" else None  # noqa: S105
            token = self._new_token(user, app, fixed_end)
            session = Session(token, user, app, app.scopes, now, now, fixed_end)
            self._sessions[token] = session
            return session

    def find_session(self, token: str) -> Session | None:
        """The session of a token if it is still in force."""
        session = self._sessions.get(token)
        return session if session and self._is_live(session) else None

    def touch(self, session: Session) -> None:
        """A call was made: the idle timer starts anew."""
        session.last_used = time.time()

    def ends_at(self, session: Session) -> float:
        return session.expires if session.expires is not None else session.last_used + self.session_seconds

    def end_session(self, token: str) -> bool:
        with self.lock:
            return self._sessions.pop(token, None) is not None

    def end_sessions(self) -> None:
        """End every session, as an admin may: all tokens are refused from now on."""
        with self.lock:
            self._sessions.clear()

    def login_rate_reached(self, user: User) -> bool:
        """Whether the user has used up its logins of the last hour."""
        an_hour_ago = time.time() - 3600
        with self.lock:
            while user.login_times and user.login_times[0] <= an_hour_ago:
                user.login_times.popleft()
            return len(user.login_times) >= self.logins_per_hour

    def is_replayed(self, jti: str) -> bool:
        """Whether this assertion id came before; it is remembered from now on."""
        with self.lock:
            seen = jti in self._seen_jti
            self._seen_jti.add(jti)
            return seen

    def _is_live(self, session: Session) -> bool:
        return session.user.may_act and time.time() < self.ends_at(session)

    def _live_session_of(self, user: User, app: App) -> Session | None:
        for session in self._sessions.values():
            if session.user is user and session.app is app and self._is_live(session):
                return session
        return None

    def _new_token(self, user: User, app: App, expires: float | None) -> str:
        if expires is None:
            return credentials.new_opaque_token(self.id)
        if self._signing_key is None:
            self._signing_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        issued = int(self.now())
        headers = {
            "tnk": f"core/prod/{self.id}",
            "ver": "1.0",
            "kid": f"CORE_ATJWT.{self.id}.{issued * 1000}",
            "tty": "sfdc-core-token",
            "typ": "JWT",
        }
        payload = {
            "scp": " ".join(app.scopes),
            "aud": [self.url],
            "sub": f"uid:{user.id}",
            "iss": self.url,
            "nbf": issued,
            "iat": issued,
            "exp": int(expires + self.clock_offset_seconds),
            "mty": "oauth",
            "sfi": credentials.new_consumer_secret()[:32].lower(),
            "roles": [],
            "hsc": False,
            "client_id": app.consumer_key,
        }
        return jwt.encode(payload, self._signing_key, algorithm="RS256", headers=headers)

    # What was asked

    @property
    def requests(self) -> list[Request]:
        """The latest requests, oldest first."""
        return list(self._requests)

    def remember(self, request: Request) -> None:
        self._requests.append(request)

    def count_token_request(self) -> None:
        with self.lock:
            self.token_requests += 1

    def count_api_call(self) -> bool:
        """Count one REST call; False when the day's quota is used up."""
        with self.lock:
            if self.api_used >= self.api_limit:
                return False
            self.api_used += 1
            return True
