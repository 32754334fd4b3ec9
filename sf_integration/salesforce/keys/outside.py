"""Private keys that somebody else holds: an HSM, a key management service. They sign, and nobody here ever has them."""

from __future__ import annotations

import secrets
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from ..errors import InvalidInput
from .certificates import Certificate
from .pairs import MINIMUM_BITS

PROOF_SECONDS = 5.0


class OutsideKey(Protocol):
    def sign(self, message: bytes, *, timeout_seconds: float) -> bytes:
        """The RSASSA-PKCS1-v1_5 signature with SHA-256, as bytes. Raises SalesforceError."""


def public_key_of(certificate: Certificate) -> RSAPublicKey:
    """Raises InvalidInput unless it is one that Salesforce takes: RSA with 2048 bits or more."""
    key = x509.load_pem_x509_certificate(certificate.pem.encode()).public_key()
    if not isinstance(key, RSAPublicKey) or key.key_size < MINIMUM_BITS:
        raise InvalidInput(
            f"The certificate is not of an RSA key with {MINIMUM_BITS} bits or more, as Salesforce needs it. "
            "Make another key pair."
        )
    return key


def require_signs_for(key: OutsideKey, certificate: Certificate) -> None:
    """Have something signed, and raise InvalidInput unless that fits the certificate."""
    message = secrets.token_bytes(64)
    signature = key.sign(message, timeout_seconds=PROOF_SECONDS)
    try:
        public_key_of(certificate).verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature as exc:
        raise InvalidInput(
            "What the signer signs does not fit the certificate: it belongs to another key, or the signature is not "
            "RSASSA-PKCS1-v1_5 with SHA-256. Check the reference, and give the certificate of that very key.",
        ) from exc
