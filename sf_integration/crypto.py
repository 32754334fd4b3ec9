"""Seal and open secrets with AES-256-GCM. Pure: the encryption keys are arguments.

Stored form: `v1.<key id>.<base64url of nonce and ciphertext>`. The additional data bind a ciphertext to its model, field
and row, so that one moved elsewhere does not open. Source: NIST SP 800-38D; the AESGCM recipe of `cryptography`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
HEAD = "v1."
KEY_ID_LENGTH = 8
_KEY_ID_END = len(HEAD) + KEY_ID_LENGTH
_SHORTEST = -(-(_NONCE_BYTES + _TAG_BYTES) * 8 // 6)
"""Characters of an empty secret's nonce and tag."""
_SEALED = re.compile(rf"{re.escape(HEAD)}[0-9a-f]{{{KEY_ID_LENGTH}}}\.[A-Za-z0-9_-]{{{_SHORTEST},}}")


class MalformedKey(ValueError):
    """Not base64url of 32 bytes. The text never holds the key."""


class UnknownKey(LookupError):
    """Sealed with an encryption key that is not at hand."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"the encryption key with id {key_id} is not among those configured")
        self.key_id = key_id


class Tampered(ValueError):
    """The stored value is damaged, or was moved here from another row or column."""


class _Key(bytes):
    """Shows its id only: variables of a traceback are shown by their `repr`."""

    def __repr__(self) -> str:
        return f"<encryption key {key_id(self)}>"


@dataclass(frozen=True)
class Keyring:
    """The first key seals, all open."""

    keys: tuple[bytes, ...] = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", tuple(map(_Key, self.keys)))

    @classmethod
    def from_text(cls, keys: Sequence[str]) -> Keyring:
        """Keys in base64url, with or without `=`. Raises MalformedKey."""
        return cls(tuple(_decode_key(text, place) for place, text in enumerate(keys, start=1)))

    @property
    def key_ids(self) -> tuple[str, ...]:
        return tuple(key_id(key) for key in self.keys)

    def seal(self, plaintext: bytes, context: str) -> str:
        """Raises UnknownKey when there is no key at all: nothing is ever stored in clear text."""
        if not self.keys:
            raise UnknownKey("(none)")
        nonce = os.urandom(_NONCE_BYTES)
        ciphertext = AESGCM(self.keys[0]).encrypt(nonce, plaintext, context.encode())
        encoded = base64.urlsafe_b64encode(nonce + ciphertext).rstrip(b"=").decode()
        return f"{HEAD}{key_id(self.keys[0])}.{encoded}"

    def open(self, stored: str, context: str) -> bytes:
        """Raises UnknownKey or Tampered."""
        sealed_with = key_id_of(stored)
        for key in self.keys:
            if key_id(key) == sealed_with:
                return _decrypt(key, stored[_KEY_ID_END + 1 :], context)
        raise UnknownKey(sealed_with)

    def fingerprints(self, value: str) -> list[str]:
        """Keyed hashes of a secret, one per key, the first key's first: they tell values apart and tell nothing about them."""
        return [
            hmac.new(key, b"fingerprint\0" + value.encode(), hashlib.sha256).hexdigest() for key in self.keys
        ]


def key_id(key: bytes) -> str:
    """First 8 hex digits of the key's SHA-256."""
    return hashlib.sha256(key).hexdigest()[:KEY_ID_LENGTH]


def key_id_of(stored: str) -> str:
    """Which key a stored value was sealed with, by its beginning alone: lists ask it of every row, and databases ask the same.

    Raises Tampered when it does not begin as ours do.
    """
    if not stored.startswith(HEAD) or stored[_KEY_ID_END : _KEY_ID_END + 1] != ".":
        raise Tampered("the stored value is not of the known form")
    return stored[len(HEAD) : _KEY_ID_END]


def is_sealed(text: str) -> bool:
    """Whether the whole text has the form of a sealed value; clear text never has."""
    return _SEALED.fullmatch(text) is not None


def new_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode()


def _decode_key(text: str, place: int) -> bytes:
    try:
        text = text.strip().rstrip("=")
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, TypeError, AttributeError):  # the last two: of a variable that is not set, for one
        raise MalformedKey(f"encryption key {place} is not base64url") from None
    if len(key) != KEY_BYTES:
        raise MalformedKey(f"encryption key {place} has {len(key)} bytes instead of {KEY_BYTES}")
    return key


def _decrypt(key: bytes, encoded: str, context: str) -> bytes:
    try:
        data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        return AESGCM(key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], context.encode())
    except (InvalidTag, ValueError) as exc:
        raise Tampered("the stored value is damaged or belongs to another row") from exc
