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
from collections.abc import Hashable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import UUID
from weakref import WeakValueDictionary

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from .. import signers
from ..models import ConnectedApp, SigningKey
from ..salesforce import keys, signin
from ..salesforce.assertion import Key
from ..salesforce.errors import InvalidPrivateKey, SalesforceError
from ..salesforce.http import Http
from ..salesforce.oauth import Token
from ..salesforce.secret import Secret
from ..salesforce.signin import Outcome, SignIn
from .lifecycle import CLOCK_WARNING_SECONDS, LOOK_EVERY_SECONDS, TELL_USES_EVERY_SECONDS

log = logging.getLogger("sf_integration.tokens")

Handle = tuple[str, str | None]
"""Name of a connection and the username asked for, None for its own."""


@dataclass
class Uses:
    """How often this process handed a token out that the row has not been told of.

    Callers count without a lock, which would cost more than all else they do: two at once may count as one.
    """

    count: int = 0
    _told_at: float = float("-inf")
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> int:
        """What the row is to be told now; 0 while it has been told within the minute."""
        with self._lock:
            now = time.monotonic()
            if now < self._told_at + TELL_USES_EVERY_SECONDS:
                return 0
            self._told_at = now
            count, self.count = self.count, 0
            return count

    def give_back(self, count: int) -> None:
        """The row could not be told: again at the next look."""
        self.count += count
        self._told_at = float("-inf")


@dataclass
class Copy:
    """A row's token as this process saw it last."""

    token: Token
    connection_id: UUID
    """Whose token it is: names can change hands."""
    api_version: str
    uses: Uses
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
        self.newest_versions: dict[str, str] = {}
        """By instance URL: the newest API version that the org and this package know, for connections that have none yet."""
        self.copies: dict[Handle, Copy] = {}
        self.uses: dict[Handle, Uses] = {}
        """Apart from the copies, which come and go."""
        self.only_connection = (0.0, "")
        """When it was looked up (monotonic), and its name."""
        self.held: dict[Handle, Held] = {}
        self.uncounted_logins: dict[Handle, list[dt.datetime]] = {}
        """When there were sign-ins inside callers' transactions that no row has counted yet, in the last hour."""
        self._lock = threading.Lock()
        self._locks: dict[UUID | Handle, threading.Lock] = {}
        self._keys: dict[UUID, tuple[str, RSAPrivateKey]] = {}
        """Signing key to the stored form that was opened and what came out."""
        self.executors: WeakValueDictionary[Hashable, Executor] = WeakValueDictionary()
        """Threads that async callers wait in; they end with the last one who holds their executor."""
        self._clock_skews: dict[str, float] = {}
        """Login URL to seconds that our clock was ahead of that host's at its last answer."""

    def remember(
        self, handle: Handle, token: Token, connection: ConnectedApp, *, expires: float, looked_at: float
    ) -> None:
        """Both on the monotonic clock. `looked_at`: when the row was read, before the sign-in if there was one."""
        self.copies[handle] = Copy(
            token,
            connection.pk,
            connection.api_version,
            uses=self.uses_of(handle),
            expires=expires,
            next_look=looked_at + LOOK_EVERY_SECONDS,
        )

    def uses_of(self, handle: Handle) -> Uses:
        return self.uses.setdefault(handle, Uses())

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

    def private_key(self, signing_key: SigningKey) -> Key:
        """The loaded key, opened once per process and stored value; or one to ask where it is held outside.

        Raises EncryptionKeyMissing.
        """
        if signing_key.signer:
            return signers.held_key(signing_key.signer, signing_key.signer_reference)
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
