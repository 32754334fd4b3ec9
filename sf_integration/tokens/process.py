"""All state of this process, in one object that a fork replaces.

A warm connection shared by two forked children hands one org's answer to the other, and a lock held by a thread that the
child does not have is never released. So the child starts with nothing.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ..models import SigningKey
from ..salesforce import keys, signin
from ..salesforce.errors import InvalidPrivateKey, SalesforceError
from ..salesforce.http import Http
from ..salesforce.oauth import Token
from ..salesforce.secret import Secret
from ..salesforce.signin import Outcome, SignIn
from .lifecycle import CLOCK_WARNING_SECONDS, LOOK_EVERY_SECONDS

log = logging.getLogger("sf_integration.tokens")

Handle = tuple[str, str | None]
"""Name of a connection and the username asked for, None for its own."""


@dataclass
class Copy:
    """A row's token as this process saw it last."""

    token: Token
    api_version: str
    expires: float
    """On the monotonic clock, as is the next look: a jump of the wall clock can't stop the looks."""
    next_look: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def move_mark(self, now: float) -> bool:
        """True for the one thread that is to ask the row now; the others go on with the copy."""
        with self._lock:
            if now < self.next_look:
                return False
            self.next_look = now + LOOK_EVERY_SECONDS
            return True


@dataclass(frozen=True)
class Held:
    """A sign-in done inside a caller's transaction, which is not in the database yet."""

    settings_fingerprint: str
    outcome: Outcome
    error: SalesforceError | None
    failures: int
    """In a row, those of the row before included."""
    next_try_at: dt.datetime
    """When it may be tried again after an error."""


class Process:
    def __init__(self) -> None:
        self.http = Http()
        self.copies: dict[Handle, Copy] = {}
        self.only_connection = (0.0, "")
        """When it was looked up (monotonic), and its name."""
        self.held: dict[Handle, Held] = {}
        self.uncounted_logins: dict[Handle, list[dt.datetime]] = {}
        """When there were sign-ins inside callers' transactions that no row has counted yet, in the last hour."""
        self._lock = threading.Lock()
        self._locks: dict[UUID | Handle, threading.Lock] = {}
        self._keys: dict[UUID, tuple[str, RSAPrivateKey]] = {}
        """Signing key to the stored form that was opened and what came out."""
        self._clock_skews: dict[str, float] = {}
        """Login URL to seconds that our clock was ahead of that host's at its last answer."""

    def remember(self, handle: Handle, token: Token, api_version: str, *, seconds_left: float) -> None:
        now = time.monotonic()
        self.copies[handle] = Copy(token, api_version, now + seconds_left, now + LOOK_EVERY_SECONDS)

    def forget(self, handle: Handle) -> None:
        self.copies.pop(handle, None)

    def lock(self, key: UUID | Handle) -> threading.Lock:
        """For all who wait for the sign-in of a row; by the handle for those inside transactions, who must not meet.

        One of them may hold the database's write lock, which the others need to get on.
        """
        with self._lock:
            return self._locks.setdefault(key, threading.Lock())

    def sign_in(self, request: SignIn, signed: Secret | None = None) -> Outcome:
        """One sign-in, with an assertion made beforehand or its own; any thread may do it."""
        outcome = signin.run(request, self.http, signed)
        self.note_clock(request.login_url, outcome.clock_skew_seconds)
        return outcome

    def clock_skew_seconds(self, login_url: str) -> float:
        return self._clock_skews.get(login_url, 0.0)

    def note_clock(self, login_url: str, skew_seconds: float | None) -> None:
        """Remember what an answer told, for the next sign-in there; None when it told nothing."""
        if skew_seconds is None:
            return
        known = self._clock_skews.get(login_url, 0.0)
        self._clock_skews[login_url] = skew_seconds
        if abs(skew_seconds) >= CLOCK_WARNING_SECONDS > abs(known):
            log.warning(
                "our clock is %.0f s ahead of that of %s: set it by NTP",
                skew_seconds,
                urlsplit(login_url).netloc,
            )

    def private_key(self, signing_key: SigningKey) -> RSAPrivateKey:
        """The loaded key; opened once per process and stored value. Raises EncryptionKeyMissing."""
        sealed = signing_key.private_key
        if sealed is None:
            raise InvalidPrivateKey(f"The signing key “{signing_key.name}” holds no private key.")
        opened, key = self._keys.get(signing_key.pk, ("", None))
        if key is None or opened != sealed.ciphertext:
            key = keys.from_sealed_der(sealed.open())
            self._keys[signing_key.pk] = (sealed.ciphertext, key)
        return key


_current = Process()


def current() -> Process:
    return _current


def reset() -> Process:
    """Start with nothing: after a fork, and between tests. The old pools are left to their owner, not closed."""
    global _current  # noqa: PLW0603 - the one place that replaces it
    _current = Process()
    return _current


os.register_at_fork(after_in_child=reset)
