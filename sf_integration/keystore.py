"""Signing keys on their way into the database: proved once, sealed, never handed back."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from django.db.models import Q, QuerySet
from django.utils import timezone

from . import signers
from .fields import seal
from .models import AppKind, SigningKey
from .salesforce import keys, setup_guide
from .salesforce.errors import InvalidInput
from .salesforce.keys import Certificate
from .salesforce.secret import takes_secrets
from .sealed_columns import SealedColumn
from .signals import certificate_ending, send
from .state import CERTIFICATE_STAGES

log = logging.getLogger("sf_integration.keystore")

_UPLOAD = next(step for step in setup_guide.STEPS if step.id == "certificate")
UPLOAD_PATHS = {
    AppKind.EXTERNAL_CLIENT_APP: f"Setup → External Client App Manager → {_UPLOAD.external.menu}",
    AppKind.CONNECTED_APP: f"Setup → App Manager → {_UPLOAD.connected.menu}",
}
"""Where the certificate is uploaded in Salesforce."""
_LONGEST_REFERENCE = 500


@dataclass(frozen=True)
class ProvedKey:
    """A private key that is one, with the certificate that fits it, not stored yet."""

    key: RSAPrivateKey = field(repr=False)
    certificate: Certificate | None
    notes: tuple[str, ...] = ()
    """What was repaired in what was given, in sentences."""


@takes_secrets("data", "passphrase")
def take_in(
    data: bytes, *, name: str, passphrase: str | None = None, certificate: bytes | None = None
) -> SigningKey:
    """The signing key in `data`, stored, with the certificate given or found beside it; a key pair that is already known is
    used again.

    Raises InvalidPrivateKey, InvalidInput (certificate unreadable or of another key) or EncryptionKeyMissing, and then
    stores nothing. The passphrase is used once and not kept.
    """
    return store(prove(data, passphrase=passphrase, certificate=certificate), name=name)


@takes_secrets("data", "passphrase")
def prove(data: bytes, *, passphrase: str | None = None, certificate: bytes | None = None) -> ProvedKey:
    """The first half of `take_in`, which costs time and no query: many are proved before a transaction begins."""
    taken = keys.take(data, passphrase)
    proved = ProvedKey(taken.key, taken.certificate, taken.notes)
    return with_certificate(proved, certificate) if certificate else proved


def with_certificate(
    proved: ProvedKey, data: bytes, *, visible: QuerySet[SigningKey] | None = None
) -> ProvedKey:
    """As `prove_certificate`; takes the place of one that lay beside the key."""
    return replace(proved, certificate=prove_certificate(data, keys.fingerprint(proved.key), visible=visible))


def prove_certificate(
    data: bytes, fingerprint: str, *, visible: QuerySet[SigningKey] | None = None
) -> Certificate:
    """The certificate of the key pair with that fingerprint.

    Raises InvalidInput when it is unreadable or of another key, which is then named if it is among the `visible` ones:
    those whose names may be told.
    """
    certificate = keys.read_certificate(data, belonging_to=fingerprint)
    if certificate.public_key_fingerprint == fingerprint:
        return certificate
    known = SigningKey.objects.none() if visible is None else visible
    owner = known.filter(fingerprint=certificate.public_key_fingerprint).first()
    raise keys.mismatch(f" It belongs to the signing key “{owner.name}”." if owner else "")


def store(proved: ProvedKey, *, name: str) -> SigningKey:
    """The second half. A known key pair whose row can't be opened any more is sealed anew; one that is held outside stays there.

    Raises EncryptionKeyMissing.
    """
    fingerprint = keys.fingerprint(proved.key)
    known = known_key(fingerprint)
    if known is not None:
        if not known.can_sign and not known.signer:
            _seal_anew(known, proved.key)
        return _completed(known, proved.certificate)
    row = SigningKey(name=free_name(name), fingerprint=fingerprint, size=proved.key.key_size)
    row.private_key = seal(SigningKey, "private_key", row.pk, keys.to_der(proved.key))
    _describe(row, proved.certificate)
    row.save(force_insert=True)
    return row


@dataclass(frozen=True)
class ProvedElsewhere:
    """A key that a signer holds, seen to sign for its certificate, not stored yet."""

    signer: str
    reference: str
    certificate: Certificate


def prove_outside(*, signer: str, reference: str, certificate: bytes) -> ProvedElsewhere:
    """Have the signer sign something, and compare that with the certificate.

    Raises InvalidInput when reference or certificate can't be, or they don't belong together; EncryptionKeyMissing for a signer
    that is not configured; what the signer raises, and LoginUnavailable for its own trouble.
    """
    if not 0 < len(reference) <= _LONGEST_REFERENCE or not reference.isprintable():
        raise InvalidInput(f"What the signer knows the key by has 1 to {_LONGEST_REFERENCE} characters.")
    read = keys.read_certificate(certificate)
    keys.public_key_of(read)
    keys.require_signs_for(signers.held_key(signer, reference), read)
    return ProvedElsewhere(signer, reference, read)


def store_outside(proved: ProvedElsewhere, *, name: str) -> SigningKey:
    """The row of a key held outside; one that is known already gets what changed of reference and certificate.

    Raises InvalidInput when the database holds the private key itself: then it would not be a secret of the signer's alone.
    """
    read = proved.certificate
    known = known_key(read.public_key_fingerprint)
    if known is not None and not known.signer:
        raise InvalidInput(
            f"The private key of this pair is stored here already, as “{known.name}”. Have the signer make a new one, "
            "and stage that."
        )
    row = known or SigningKey(
        name=free_name(name),
        fingerprint=read.public_key_fingerprint,
        size=keys.public_key_of(read).key_size,
        origin=SigningKey.Origin.OUTSIDE,
    )
    row.signer, row.signer_reference = proved.signer, proved.reference
    if known is None:
        _describe(row, read)
        row.save(force_insert=True)
        return row
    row.save(update_fields=["signer", "signer_reference"])
    return _completed(row, read)


def known_key(fingerprint: str) -> SigningKey | None:
    """The stored signing key of that key pair."""
    return SigningKey.objects.filter(fingerprint=fingerprint).order_by("created_at").first()


def unsaved(proved: ProvedKey, *, name: str) -> SigningKey:
    """A row that tells of the key what a stored one would, without the private key: for a test of values not saved."""
    row = SigningKey(name=name, fingerprint=keys.fingerprint(proved.key), size=proved.key.key_size)
    _describe(row, proved.certificate)
    return row


def make(
    *,
    name: str,
    bits: int = keys.MINIMUM_BITS,
    days: int = 365,
    common_name: str = "",
    organization: str = "",
    country: str = "",
) -> SigningKey:
    """A new key pair with a self-signed certificate; the private part never leaves.

    Raises InvalidInput for a size, days or a subject that can't be.
    """
    key = keys.make_key(bits)
    row = SigningKey(
        name=free_name(name), fingerprint=keys.fingerprint(key), size=bits, origin=SigningKey.Origin.MADE
    )
    row.private_key = seal(SigningKey, "private_key", row.pk, keys.to_der(key))
    certificate = keys.make_certificate(
        key, common_name=common_name or name, organization=organization, country=country, days=days
    )
    _describe(row, certificate)
    row.save(force_insert=True)
    return row


def add_certificate(row: SigningKey, data: bytes, *, visible: QuerySet[SigningKey] | None = None) -> None:
    """Take the certificate of a known key; as `prove_certificate`."""
    _completed(row, prove_certificate(data, row.fingerprint, visible=visible))


def warn_of_ends(now: dt.datetime | None = None) -> int:
    """Log and signal the certificates that have come to a stage before their end, once per stage; returns how many.

    Those of keys that no connection uses are passed over. Of several who do this at once, one tells.
    """
    now = now or timezone.now()
    used = SigningKey.objects.filter(Q(connections__isnull=False) | Q(staged_connections__isnull=False))
    ending = used.filter(not_after__lte=now + dt.timedelta(days=CERTIFICATE_STAGES[0])).distinct()
    return sum(_warn(row, now) for row in ending.defer("private_key"))


def _warn(row: SigningKey, now: dt.datetime) -> bool:
    stage, days_left = row.ending_stage(now), row.days_left(now)
    # The date is a condition too: a certificate that was renewed meanwhile has stages of its own.
    same = SigningKey.objects.filter(pk=row.pk, not_after=row.not_after)
    if not same.filter(Q(warned_stage__isnull=True) | Q(warned_stage__gt=stage)).update(warned_stage=stage):
        return False
    log.warning("signing key %s: its certificate %s", row.name, row.end_in_words(now))
    send(certificate_ending, SigningKey, signing_key=row, days_left=days_left, stage=stage)
    return True


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
        row.save(
            update_fields=[
                "certificate",
                "certificate_fingerprint",
                "not_before",
                "not_after",
                "warned_stage",
            ]
        )
    return row


def _describe(row: SigningKey, certificate: Certificate | None) -> None:
    if certificate is None:
        return
    row.certificate = certificate.pem
    row.certificate_fingerprint = certificate.fingerprint
    row.not_before = certificate.not_before
    row.not_after = certificate.not_after
    row.warned_stage = None


def _seal_anew(row: SigningKey, key: RSAPrivateKey) -> None:
    """Unless somebody else just did."""
    sealed = seal(SigningKey, "private_key", row.pk, keys.to_der(key))
    if row.private_key is None:
        retired = SigningKey.objects.filter(pk=row.pk, private_key__isnull=True)
        retired.update(private_key=sealed, replaced_at=None, retired_at=None)
    else:
        SealedColumn(SigningKey, "private_key").swap([(row.pk, row.private_key, {"private_key": sealed})])
    row.refresh_from_db(fields=["private_key"])
