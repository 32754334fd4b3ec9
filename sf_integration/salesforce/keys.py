"""Signing keys and certificates: read, proved, made, matched.

A key is proved once, when it comes in: OpenSSL's proof costs 55 to 70 ms. What our own authenticated encryption hands
back (`from_sealed_der`) skips it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.x509.oid import NameOID

from .errors import InvalidInput, InvalidPrivateKey

MINIMUM_BITS = 2048
_PEM_LABEL = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")

_MISTAKES = {
    b"PUBLIC KEY": "a public key",
    b"RSA PUBLIC KEY": "a public key",
    b"CERTIFICATE": "a certificate",
    b"TRUSTED CERTIFICATE": "a certificate",
    b"CERTIFICATE REQUEST": "a certificate request",
    b"NEW CERTIFICATE REQUEST": "a certificate request",
    b"EC PRIVATE KEY": "an elliptic-curve key",
    b"EC PARAMETERS": "an elliptic-curve key",
    b"DSA PRIVATE KEY": "a DSA key",
}
_HOW_TO_MAKE = "Give the private key file that was made together with the certificate (server.key in most tutorials)."


@dataclass(frozen=True)
class Certificate:
    pem: str
    """One PEM block."""
    fingerprint: str
    """SHA-256 of the DER form, lower-case hex."""
    public_key_fingerprint: str
    """SHA-256 of the SubjectPublicKeyInfo; equal to `fingerprint(key)` of the key it belongs to."""
    not_before: dt.datetime
    not_after: dt.datetime
    subject: str


def read_private_key(data: bytes, passphrase: str | None = None) -> RSAPrivateKey:
    """The proved RSA private key in PEM or DER `data`.

    Raises InvalidPrivateKey with a sentence that names what was given instead.
    """
    data = _repair(data)
    label = _private_label(data)
    secret = passphrase.encode() if passphrase else None
    load = serialization.load_pem_private_key if label else serialization.load_der_private_key
    encrypted = label == b"ENCRYPTED PRIVATE KEY" or b"Proc-Type: 4,ENCRYPTED" in data
    if encrypted and secret is None:
        raise InvalidPrivateKey(
            "The private key is protected by a passphrase.",
            remedy="Give the passphrase too; it is used once and not kept.",
        )
    try:
        key = load(data, secret if encrypted or not label else None)
    except TypeError as exc:
        raise InvalidPrivateKey(
            "The private key is protected by a passphrase.",
            remedy="Give the passphrase too; it is used once and not kept.",
        ) from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        # OpenSSL's own text is left out: it can quote what it read.
        raise _unreadable(encrypted) from exc
    if not isinstance(key, RSAPrivateKey):
        kind = type(key).__name__.lstrip("_").removesuffix("PrivateKey")
        raise InvalidPrivateKey(
            f"This is a key of kind {kind}, not RSA.",
            remedy="Salesforce's JWT Bearer Flow takes RSA keys only: make one of 2048 bits or more.",
        )
    if key.key_size < MINIMUM_BITS:
        raise InvalidPrivateKey(
            f"This RSA key has {key.key_size} bits; at least {MINIMUM_BITS} are needed.",
            remedy="Make a new key pair of 2048 bits or more and upload its certificate.",
        )
    return key


def from_sealed_der(der: bytes) -> RSAPrivateKey:
    """Load our own DER again without the proof. Only for bytes that authenticated encryption vouches for."""
    key = serialization.load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, RSAPrivateKey)
    return key


def to_der(key: RSAPrivateKey) -> bytes:
    """PKCS#8, unencrypted: the form that is sealed. Never leaves the process otherwise."""
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def fingerprint(key: RSAPrivateKey) -> str:
    """SHA-256 of the public half (SubjectPublicKeyInfo, DER), lower-case hex."""
    return _public_fingerprint(key.public_key())


def make_key(bits: int = MINIMUM_BITS) -> RSAPrivateKey:
    if bits not in (2048, 3072, 4096):
        raise InvalidInput(f"A key of {bits} bits can't be made here; choose 2048, 3072 or 4096.")
    return generate_private_key(public_exponent=65537, key_size=bits)


def make_certificate(
    key: RSAPrivateKey, *, common_name: str, days: int = 365, now: dt.datetime | None = None
) -> Certificate:
    """A self-signed certificate for `key`, as Salesforce takes it: it checks no chain."""
    now = now or dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    return _describe(certificate)


def read_certificate(data: bytes) -> Certificate:
    """The first certificate in PEM or DER `data`. Raises InvalidInput when there is none."""
    data = _repair(data)
    try:
        if b"-----BEGIN CERTIFICATE-----" in data:
            return _describe(x509.load_pem_x509_certificate(data))
        if not _PEM_LABEL.search(data):
            return _describe(x509.load_der_x509_certificate(data))
    except ValueError as exc:
        raise InvalidInput("The certificate can't be read: it is damaged or cut off.") from exc
    raise InvalidInput("This is not a certificate. Give the .crt or .pem file that was uploaded to Salesforce.")


def require_match(key: RSAPrivateKey, certificate: Certificate) -> None:
    """Raise InvalidInput unless the certificate was made for this key."""
    if fingerprint(key) != certificate.public_key_fingerprint:
        raise mismatch()


def mismatch(hint: str = "") -> InvalidInput:
    return InvalidInput(
        "The certificate belongs to another key; Salesforce would answer “invalid assertion”. "
        f"Give the certificate that was made from this private key.{hint}"
    )


def _repair(data: bytes) -> bytes:
    """Undo what environment variables, editors and clipboards do to PEM text."""
    if b"-----BEGIN" not in data:
        return data
    text = data.removeprefix(b"\xef\xbb\xbf").strip().strip(b"\"'")
    text = text.replace(b"\\r", b"").replace(b"\\n", b"\n")
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").strip() + b"\n"


def _private_label(data: bytes) -> bytes | None:
    """The label of the private key's PEM block; None for DER. Raises when a PEM file holds no private key."""
    labels = _PEM_LABEL.findall(data)
    if not labels:
        _refuse_what_is_no_der(data)
        return None
    private = [label for label in labels if label.endswith(b"PRIVATE KEY")]
    if not private or private[0] in _MISTAKES:
        what = _MISTAKES.get((private or labels)[0], f"a {labels[0].decode().lower()}")
        raise InvalidPrivateKey(f"This is {what}, not an RSA private key.", remedy=_HOW_TO_MAKE)
    return private[0]


def _refuse_what_is_no_der(data: bytes) -> None:
    if data.lstrip().startswith((b"ssh-rsa", b"ssh-ed25519", b"ecdsa-")):
        raise InvalidPrivateKey("This is an OpenSSH public key, not a private key.", remedy=_HOW_TO_MAKE)
    if not data.startswith(b"\x30"):
        raise InvalidPrivateKey("This is not a private key.", remedy=_HOW_TO_MAKE)


def _unreadable(encrypted: bool) -> InvalidPrivateKey:
    if encrypted:
        return InvalidPrivateKey("The passphrase does not open this private key.", remedy="Check the passphrase.")
    return InvalidPrivateKey("The private key can't be read: it is damaged or cut off.", remedy=_HOW_TO_MAKE)


def _describe(certificate: x509.Certificate) -> Certificate:
    der = certificate.public_bytes(serialization.Encoding.DER)
    return Certificate(
        pem=certificate.public_bytes(serialization.Encoding.PEM).decode(),
        fingerprint=hashlib.sha256(der).hexdigest(),
        public_key_fingerprint=_public_fingerprint(certificate.public_key()),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        subject=certificate.subject.rfc4514_string(),
    )


def _public_fingerprint(public_key: object) -> str:
    der = public_key.public_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).hexdigest()
