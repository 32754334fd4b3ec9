"""Key pairs, self-signed certificates and the random strings Salesforce hands out."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID


def new_private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def make_key_and_certificate(common_name: str, *, days: int = 365) -> tuple[str, str]:
    """A fresh RSA 2048 key (PKCS#8, clear) and its self-signed certificate, both as PEM."""
    key = new_private_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    private_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private_pem.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()


# Reading a certificate costs far more than verifying a signature with its key.
@lru_cache(maxsize=256)
def public_key_of(certificate_pem: str) -> rsa.RSAPublicKey:
    """The public key in a certificate; its dates are not looked at, as Salesforce doesn't.

    Raises ValueError when it is no PEM certificate or holds no RSA key of at least 2048 bits.
    """
    public_key = x509.load_pem_x509_certificate(certificate_pem.encode()).public_key()
    if not isinstance(public_key, rsa.RSAPublicKey) or public_key.key_size < 2048:
        raise ValueError("the certificate must hold an RSA public key of at least 2048 bits")
    return public_key


def new_consumer_key() -> str:
    return f"3MVG9{_random_text(80)}"


def new_consumer_secret() -> str:
    return secrets.token_hex(32).upper()


def new_opaque_token(org_id: str) -> str:
    """A session id of 112 characters that begins with the org's 15-character id."""
    return f"{org_id[:15]}!AQ{_random_text(94)}"


def _random_text(length: int) -> str:
    """Letters, digits, dots and underscores: what Salesforce's keys and session ids are made of."""
    return secrets.token_urlsafe(length)[:length].replace("-", ".")
