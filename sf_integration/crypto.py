"""Seal and open secrets with AES-256-GCM. Pure: the encryption keys are arguments.

Stored form: `v1.<key id>.<base64url of nonce and ciphertext>`. The additional data bind a ciphertext to its model, field
and row, so that one moved elsewhere does not open. Source: NIST SP 800-38D; the AESGCM recipe of `cryptography`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_NONCE_BYTES = 12
_VERSION = "v1"
KEY_ID_START = len(_VERSION) + 1
KEY_ID_LENGTH = 8


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
        return f"{_VERSION}.{key_id(self.keys[0])}.{encoded}"

    def open(self, stored: str, context: str) -> bytes:
        """Raises UnknownKey or Tampered."""
        sealed_with = key_id_of(stored)
        for key in self.keys:
            if key_id(key) == sealed_with:
                return _decrypt(key, stored.split(".")[2], context)
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
    """Which key a stored value was sealed with. Raises Tampered when it is no stored value of ours."""
    parts = stored.split(".")
    if len(parts) != 3 or parts[0] != _VERSION or len(parts[1]) != KEY_ID_LENGTH:
        raise Tampered("the stored value is not of the known form")
    return parts[1]


def new_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode()


def _decode_key(text: str, place: int) -> bytes:
    text = text.strip().rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
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
