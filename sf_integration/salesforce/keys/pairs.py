"""Key pairs as such: made, told apart, and the form in which they are sealed."""

from __future__ import annotations

import hashlib
from typing import cast

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from ..errors import InvalidInput

MINIMUM_BITS = 2048
SIZES = (2048, 3072, 4096)
"""Bits of the keys that are made here."""


def make_key(bits: int = MINIMUM_BITS) -> RSAPrivateKey:
    if bits not in SIZES:
        raise InvalidInput(f"A key of {bits} bits can't be made here; choose 2048, 3072 or 4096.")
    return generate_private_key(public_exponent=65537, key_size=bits)


def fingerprint(key: RSAPrivateKey) -> str:
    """SHA-256 of the public half (SubjectPublicKeyInfo, DER), lower-case hex."""
    return public_fingerprint(key.public_key())


def public_fingerprint(public_key: object) -> str:
    """Of a public key of any kind, as `fingerprint`."""
    der = public_key.public_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).hexdigest()


def to_der(key: RSAPrivateKey) -> bytes:
    """PKCS#8, unencrypted: the form that is sealed. Never leaves the process otherwise."""
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def from_sealed_der(der: bytes) -> RSAPrivateKey:
    """Load our own DER again without the proof. Only for bytes that authenticated encryption vouches for."""
    return cast(
        "RSAPrivateKey", serialization.load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    )
