"""Signing keys that are held outside: by a key management service, an HSM, a folder. The database has their certificate alone.

`SF_INTEGRATION["SIGNERS"]` names who holds them; docs/overriding.md tells how one is written.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Protocol

from django.utils.module_loading import import_string

from .conf import SignerSettings, settings
from .salesforce.errors import EncryptionKeyMissing, LoginUnavailable, SalesforceError

log = logging.getLogger("sf_integration.signers")

MOST_AT_ONCE = 64
"""Calls of one signer under way in a process: more than a sweep's threads, and the most that a hanging one leaves behind."""


class Signer(Protocol):
    """What a class named in SIGNERS has to be: made once per process, called from any thread."""

    def sign(self, reference: str, message: bytes) -> bytes:
        """The RSASSA-PKCS1-v1_5 signature with SHA-256 of `message`, by the key known as `reference`.

        A SalesforceError that it raises goes on as it is: ActionNeeded says that a person must act. Anything else counts as
        trouble that passes, of which only the class is told, for its text may hold anything.
        """


@dataclass(frozen=True)
class HeldKey:
    """A `salesforce.keys.OutsideKey`: a key that the signer of this name knows by this reference."""

    signer: str
    reference: str

    def sign(self, message: bytes, *, timeout_seconds: float) -> bytes:
        """Raises LoginUnavailable (`signer_unavailable`) for passing trouble and hanging; else what the signer says itself."""
        give_up_at = time.monotonic() + timeout_seconds
        asked = _current.named(self.signer)
        if not asked.places.acquire(timeout=timeout_seconds):
            raise self._unavailable(f"{MOST_AT_ONCE} calls of it hang")
        answer: SimpleQueue[_Answer] = SimpleQueue()
        work = partial(_answer, partial(asked.sign, self.reference), message, asked.places, answer)
        try:
            # Nobody can end a thread that hangs; as a daemon it holds up nothing, not even the end of the process.
            threading.Thread(target=work, name=f"signer {self.signer}", daemon=True).start()
        except RuntimeError:
            asked.places.release()
            raise self._unavailable("no more threads here") from None
        try:
            given = answer.get(timeout=max(give_up_at - time.monotonic(), 0))
        except Empty:
            raise self._unavailable(f"no answer in {timeout_seconds:.1f} seconds") from None
        if isinstance(given, bytes):
            return given
        if isinstance(given, SalesforceError):
            raise given.with_traceback(None) from None
        raise self._unavailable(given)

    def _unavailable(self, what: str) -> LoginUnavailable:
        log.warning("signer %s did not sign: %s", self.signer, what)
        return LoginUnavailable(
            f"The signer “{self.signer}”, which holds the signing key, did not sign ({what}).",
            code="signer_unavailable",
        )


def held_key(signer: str, reference: str) -> HeldKey:
    """Raises EncryptionKeyMissing (`signer_missing`) where no signer of that name is configured. Asks nobody."""
    _configured(signer)
    return HeldKey(signer, reference)


def _configured(name: str) -> SignerSettings:
    found = settings.SIGNERS.get(name)
    if found is None:
        raise _missing(
            f"The signing key is held outside by “{name}”, and no signer of that name is configured here."
        )
    return found


_Answer = bytes | SalesforceError | str
"""A signature, what the signer raised on purpose, or the class of whatever else came: no variable of ours holds more of that."""


def _answer(
    ask: Callable[[bytes], object], message: bytes, places: threading.Semaphore, answer: SimpleQueue[_Answer]
) -> None:
    try:
        given = ask(message)
        answer.put(given if isinstance(given, bytes) else type(given).__name__)
    except SalesforceError as exc:
        answer.put(exc)
    except BaseException as exc:  # noqa: BLE001 - somebody waits for the answer, whatever it is
        answer.put(type(exc).__name__)
    finally:
        places.release()


class _Named:
    """A signer of this process, made when first asked. Its lock is its own: where the making hangs, it holds up no other."""

    def __init__(self, name: str) -> None:
        self.places = threading.Semaphore(MOST_AT_ONCE)
        self._name = name
        self._lock = threading.Lock()
        self._made: tuple[SignerSettings, Signer] | None = None

    def sign(self, reference: str, message: bytes) -> bytes:
        return self._signer().sign(reference, message)

    def _signer(self) -> Signer:
        """Raises EncryptionKeyMissing (`signer_missing`) when it can't be made."""
        configured = _configured(self._name)
        with self._lock:
            if self._made is None or self._made[0] != configured:
                self._made = configured, _make(self._name, configured)
            return self._made[1]


class _Signers:
    """Those of this process. A fork starts anew: it must share neither their connections nor a lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._named: dict[str, _Named] = {}

    def named(self, name: str) -> _Named:
        with self._lock:
            return self._named.setdefault(name, _Named(name))


def _make(name: str, configured: SignerSettings) -> Signer:
    try:
        made: Signer = import_string(configured.backend)(**configured.options)
    except SalesforceError:
        raise
    except Exception as exc:  # noqa: BLE001 - somebody else's code
        told = f"The signer “{name}” can't be made from {configured.backend}: {type(exc).__name__}."
        raise _missing(told) from None
    return made


def _missing(cause: str) -> EncryptionKeyMissing:
    return EncryptionKeyMissing(
        cause,
        remedy='Name it in SF_INTEGRATION["SIGNERS"], or choose another signing key.',
        who="whoever runs this site",
        code="signer_missing",
    )


_current = _Signers()


def reset() -> None:
    """Start with none."""
    global _current  # noqa: PLW0603 - the one place that replaces it
    _current = _Signers()


os.register_at_fork(after_in_child=reset)
