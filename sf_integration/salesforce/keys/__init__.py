"""Signing keys and certificates: read and repaired, proved, made, matched.

A private key is proved once, when it comes in: OpenSSL's proof costs 55 to 70 ms for 2048 bits and seconds for 8192. What
our own authenticated encryption hands back (`from_sealed_der`) skips it.
"""

from __future__ import annotations

from .certificates import (
    LONGEST_DAYS,
    Certificate,
    colon_pairs,
    make_certificate,
    mismatch,
    read_certificate,
    read_subject,
    require_match,
)
from .limits import LARGEST_INPUT
from .outside import OutsideKey, public_key_of, require_signs_for
from .pairs import MINIMUM_BITS, SIZES, fingerprint, from_sealed_der, make_key, to_der
from .private import PASSPHRASE_CODES, PASSPHRASE_NEEDED, Taken, read_private_key, take

__all__ = [
    "LARGEST_INPUT",
    "LONGEST_DAYS",
    "MINIMUM_BITS",
    "PASSPHRASE_CODES",
    "PASSPHRASE_NEEDED",
    "SIZES",
    "Certificate",
    "OutsideKey",
    "Taken",
    "colon_pairs",
    "fingerprint",
    "from_sealed_der",
    "make_certificate",
    "make_key",
    "mismatch",
    "public_key_of",
    "read_certificate",
    "read_private_key",
    "read_subject",
    "require_match",
    "require_signs_for",
    "take",
    "to_der",
]
