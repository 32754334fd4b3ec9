"""Signing keys and certificates: read, proved, made, matched.

A key is proved once, when it comes in: OpenSSL's proof costs 55 to 70 ms. What our own authenticated encryption hands
back (`from_sealed_der`) skips it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
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
    b"OPENSSH PRIVATE KEY": "a key in OpenSSH's own form (`ssh-keygen -p -m PEM -f FILE` turns it into PEM)",
    b"EC PRIVATE KEY": "an elliptic-curve key",
    b"EC PARAMETERS": "an elliptic-curve key",
    b"DSA PRIVATE KEY": "a DSA key",
}
_HOW_TO_MAKE = (
    "Give the private key file that was made together with the certificate (server.key in most tutorials)."
)


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
    load = serialization.load_pem_private_key if _is_pem(data) else serialization.load_der_private_key
    try:
        key = load(data, None)
    except TypeError:
        key = _unlock(load, data, passphrase)
    except (ValueError, UnsupportedAlgorithm) as exc:
        # OpenSSL's own text is left out: it can quote what it read.
        raise InvalidPrivateKey(
            "The private key can't be read: it is damaged or cut off.", remedy=_HOW_TO_MAKE
        ) from exc
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
    return cast(
        "RSAPrivateKey", serialization.load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    )


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
    fitting = common_name.encode()[:64].decode(errors="ignore")  # the standard counts bytes
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, fitting)])
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
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as exc:
        raise InvalidInput("The certificate can't be read: it is damaged or cut off.") from exc
    raise InvalidInput(
        "This is not a certificate. Give the .crt or .pem file that was uploaded to Salesforce."
    )


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
    return b"\n".join(line.strip() for line in text.splitlines()).strip() + b"\n"


def _is_pem(data: bytes) -> bool:
    """Whether `data` is PEM, else DER. Raises InvalidPrivateKey when it holds something other than a private key."""
    labels = _PEM_LABEL.findall(data)
    if not labels:
        if what := _kind_without_label(data):
            raise InvalidPrivateKey(f"This is {what}.", remedy=_HOW_TO_MAKE)
        return False
    label = next((label for label in labels if label.endswith(b"PRIVATE KEY")), labels[0])
    if label in _MISTAKES or not label.endswith(b"PRIVATE KEY"):
        what = _MISTAKES.get(label, f"a {label.decode().lower()}")
        raise InvalidPrivateKey(f"This is {what}, not an RSA private key.", remedy=_HOW_TO_MAKE)
    return True


def _kind_without_label(data: bytes) -> str | None:
    """What `data` is when it can't be a private key in DER."""
    if data.lstrip().startswith((b"ssh-rsa", b"ssh-ed25519", b"ecdsa-")):
        return "an OpenSSH public key, not a private key"
    if not data.startswith(b"\x30"):
        return "not a private key"
    for what, load in (
        ("a certificate", x509.load_der_x509_certificate),
        ("a public key", serialization.load_der_public_key),
    ):
        with suppress(ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
            load(data)
            return f"{what}, not an RSA private key"
    return None


def _unlock(load: Callable[..., PrivateKeyTypes], data: bytes, passphrase: str | None) -> PrivateKeyTypes:
    if not passphrase:
        raise InvalidPrivateKey(
            "The private key is protected by a passphrase.",
            remedy="Give the passphrase too; it is used once and not kept.",
        )
    try:
        return load(data, passphrase.encode())
    except UnsupportedAlgorithm as exc:
        raise InvalidPrivateKey(
            "The private key is encrypted in a way that can't be read here.",
            remedy="Encrypt it anew, or take the passphrase off, with `openssl pkcs8`.",
        ) from exc
    except (ValueError, TypeError) as exc:
        raise InvalidPrivateKey(
            "The passphrase does not open this private key.", remedy="Check the passphrase."
        ) from exc


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
