"""Signing keys on their way into the database: proved once, sealed, never handed back."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from .fields import seal
from .models import SigningKey
from .salesforce import keys
from .salesforce.keys import Certificate
from .salesforce.secret import takes_secrets


@dataclass(frozen=True)
class ProvedKey:
    """A private key that is one, with the certificate that fits it, not stored yet."""

    key: RSAPrivateKey = field(repr=False)
    certificate: Certificate | None


@takes_secrets("data", "passphrase")
def take_in(
    data: bytes, *, name: str, passphrase: str | None = None, certificate: bytes | None = None
) -> SigningKey:
    """The signing key in PEM or DER `data`, stored; a key pair that is already known is used again.

    Raises InvalidPrivateKey, InvalidInput (certificate unreadable or of another key) or EncryptionKeyMissing, and then
    stores nothing. The passphrase is used once and not kept.
    """
    return store(prove(data, passphrase=passphrase, certificate=certificate), name=name)


@takes_secrets("data", "passphrase")
def prove(data: bytes, *, passphrase: str | None = None, certificate: bytes | None = None) -> ProvedKey:
    """The first half of `take_in`, which costs time and no query: many are proved before a transaction begins."""
    proved = ProvedKey(keys.read_private_key(data, passphrase), None)
    return with_certificate(proved, certificate) if certificate else proved


def with_certificate(proved: ProvedKey, data: bytes) -> ProvedKey:
    """Raises InvalidInput when the certificate is unreadable or of another key."""
    shown = keys.read_certificate(data)
    keys.require_match(proved.key, shown)
    return ProvedKey(proved.key, shown)


def store(proved: ProvedKey, *, name: str) -> SigningKey:
    """The second half. Raises EncryptionKeyMissing."""
    fingerprint = keys.fingerprint(proved.key)
    known = SigningKey.objects.filter(fingerprint=fingerprint).order_by("created_at").first()
    if known is not None:
        return _completed(known, proved.certificate)
    row = SigningKey(name=free_name(name), fingerprint=fingerprint, size=proved.key.key_size)
    row.private_key = seal(SigningKey, "private_key", row.pk, keys.to_der(proved.key))
    _describe(row, proved.certificate)
    row.save(force_insert=True)
    return row


def unsaved(proved: ProvedKey, *, name: str) -> SigningKey:
    """A row that tells of the key what a stored one would, without the private key: for a test of values not saved."""
    row = SigningKey(name=name, fingerprint=keys.fingerprint(proved.key), size=proved.key.key_size)
    _describe(row, proved.certificate)
    return row


def make(*, name: str, common_name: str = "", bits: int = keys.MINIMUM_BITS, days: int = 365) -> SigningKey:
    """A new key pair with a self-signed certificate; the private part never leaves."""
    key = keys.make_key(bits)
    row = SigningKey(
        name=free_name(name), fingerprint=keys.fingerprint(key), size=bits, origin=SigningKey.Origin.MADE
    )
    row.private_key = seal(SigningKey, "private_key", row.pk, keys.to_der(key))
    _describe(row, keys.make_certificate(key, common_name=common_name or name, days=days))
    row.save(force_insert=True)
    return row


def add_certificate(row: SigningKey, data: bytes) -> None:
    """Take the certificate of a known key. Raises InvalidInput when it is of another one."""
    certificate = keys.read_certificate(data)
    if certificate.public_key_fingerprint != row.fingerprint:
        other = SigningKey.objects.filter(fingerprint=certificate.public_key_fingerprint).first()
        hint = f" It belongs to the signing key “{other.name}”." if other else ""
        raise keys.mismatch(hint)
    _completed(row, certificate)


def free_name(wanted: str) -> str:
    """`wanted`, or with a number when another key has that name; cut so that the number fits too."""
    wanted = wanted[:90]
    taken = set(SigningKey.objects.filter(name__startswith=wanted).values_list("name", flat=True))
    if wanted not in taken:
        return wanted
    number = 2
    while f"{wanted}-{number}" in taken:
        number += 1
    return f"{wanted}-{number}"


def _completed(row: SigningKey, certificate: Certificate | None) -> SigningKey:
    if certificate is not None and certificate.fingerprint != row.certificate_fingerprint:
        _describe(row, certificate)
        row.save(update_fields=["certificate", "certificate_fingerprint", "not_before", "not_after"])
    return row


def _describe(row: SigningKey, certificate: Certificate | None) -> None:
    if certificate is None:
        return
    row.certificate = certificate.pem
    row.certificate_fingerprint = certificate.fingerprint
    row.not_before = certificate.not_before
    row.not_after = certificate.not_after
