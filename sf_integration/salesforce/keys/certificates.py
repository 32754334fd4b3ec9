"""Certificates: made, read, matched with their key."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.x509.oid import NameOID

from ..errors import InvalidInput
from ..secret import takes_secrets
from . import der, mistakes
from .limits import LARGEST_INPUT
from .pairs import fingerprint, public_fingerprint
from .repair import Repaired, repair

LONGEST_DAYS = 3650
CLOCK_LEEWAY = dt.timedelta(minutes=5)
"""A certificate holds from a little before it is made: the org's clock may be behind ours."""
_SUBJECT = {
    NameOID.COMMON_NAME: "common_name",
    NameOID.ORGANIZATION_NAME: "organization",
    NameOID.COUNTRY_NAME: "country",
}
_SUBJECT_FORM = "Write it as acme, or as CN=acme,O=Acme GmbH,C=DE."
_LABELS = ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE")


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


def make_certificate(
    key: RSAPrivateKey,
    *,
    common_name: str,
    organization: str = "",
    country: str = "",
    days: int = 365,
    now: dt.datetime | None = None,
) -> Certificate:
    """A self-signed certificate for `key`, as Salesforce takes it: it checks no chain.

    `country` is a code of two letters. Raises InvalidInput for a subject or days that can't be.
    """
    if not 1 <= days <= LONGEST_DAYS:
        raise InvalidInput(f"A certificate can hold 1 to {LONGEST_DAYS} days, not {days}.")
    now = now or dt.datetime.now(dt.UTC)
    name = _name(common_name, organization, country)
    usage = dict.fromkeys(
        (
            "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign",
            "crl_sign", "encipher_only", "decipher_only",
        ),
        False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_LEEWAY)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _describe(certificate)


def read_subject(text: str) -> dict[str, str]:
    """`common_name`, `organization` and `country` of `CN=acme,O=Acme GmbH,C=DE`; a text without `=` is the common name.

    Raises InvalidInput. The form is that of RFC 4514, in which a comma in a name is written `\\,`.
    """
    if "=" not in text:
        return {"common_name": text}
    try:
        given = {part.oid: str(part.value) for part in x509.Name.from_rfc4514_string(text)}
    except ValueError as exc:
        raise InvalidInput(f"The subject “{text}” can't be read. {_SUBJECT_FORM}") from exc
    if NameOID.COMMON_NAME not in given or not set(given) <= set(_SUBJECT):
        raise InvalidInput(f"A subject has CN, and maybe O and C. {_SUBJECT_FORM}")
    return {_SUBJECT[oid]: value for oid, value in given.items()}


@takes_secrets("data")  # somebody may give the private key here
def read_certificate(data: bytes, *, belonging_to: str = "") -> Certificate:
    """The certificate in PEM or DER `data`: of several the one of the key with that fingerprint, else the first.

    Raises InvalidInput when there is none, or when it can't be read.
    """
    if len(data) > LARGEST_INPUT:
        raise InvalidInput("This is too large to be a certificate: it has more than 64 KB.")
    found = certificates_in(repair(data))
    return next((each for each in found if each.public_key_fingerprint == belonging_to), found[0])


def certificates_in(repaired: Repaired) -> list[Certificate]:
    """At least one. Raises InvalidInput."""
    bodies = [block.body for block in repaired.blocks if block.label in _LABELS]
    if not bodies and repaired.der:
        bodies = [repaired.der]
    what = "" if bodies else _mistake(repaired)
    try:
        if bodies:
            # Behind a trusted one its trust settings stand.
            return [_describe(x509.load_der_x509_certificate(each[: der.length_of(each)])) for each in bodies]
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as exc:
        what = _mistake(repaired)
        if not what:
            # The library's own text is left out: it can quote what it read.
            raise InvalidInput("The certificate can't be read: it is damaged or cut off.") from exc
    told = f" It is {what}." if what else ""
    raise InvalidInput(
        f"This is not a certificate.{told} Give the .crt or .pem file that was uploaded to Salesforce."
    )


def _mistake(repaired: Repaired) -> str:
    """What was given instead; empty when it is a certificate, or nobody can tell."""
    if repaired.blocks:
        block = next((each for each in repaired.blocks if each.label in _LABELS), repaired.blocks[0])
        if block.label in _LABELS:
            return ""
        return "a private key" if block.is_private_key else mistakes.of_label(block.label)
    if not repaired.der:
        return repaired.mistake
    version = der.version_of(repaired.der)
    if version == der.PKCS12_VERSION:
        return "a PKCS#12 file: give it as the private key, its certificate is taken with it"
    return "a private key" if version is not None else mistakes.of_der(repaired.der)


def require_match(key: RSAPrivateKey, certificate: Certificate) -> None:
    """Raise InvalidInput unless the certificate was made for this key."""
    if fingerprint(key) != certificate.public_key_fingerprint:
        raise mismatch()


def mismatch(hint: str = "") -> InvalidInput:
    return InvalidInput(
        "The certificate belongs to another key; Salesforce would answer “invalid assertion”. "
        f"Give the certificate that was made from this private key.{hint}"
    )


def colon_pairs(fingerprint: str) -> str:
    """`AB:CD:…`, as `openssl x509 -fingerprint` and certificate viewers show it."""
    return ":".join(fingerprint[place : place + 2] for place in range(0, len(fingerprint), 2)).upper()


def _name(common_name: str, organization: str, country: str) -> x509.Name:
    for text in (common_name, organization):
        if not text.isprintable():
            raise InvalidInput("The certificate's subject can't have line breaks or control characters.")
    if not common_name.strip():
        raise InvalidInput("The certificate's subject needs a common name, such as the connection's name.")
    if country and not (len(country) == 2 and country.isascii() and country.isalpha()):
        raise InvalidInput("The country in the certificate's subject has two letters, as DE or US.")
    parts = {
        NameOID.COUNTRY_NAME: country.upper(),
        NameOID.ORGANIZATION_NAME: _fitting(organization.strip()),
        NameOID.COMMON_NAME: _fitting(common_name.strip()),
    }
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts.items() if text])


def _fitting(text: str) -> str:
    """The standard counts bytes."""
    return text.encode()[:64].decode(errors="ignore")


def _describe(certificate: x509.Certificate) -> Certificate:
    der_form = certificate.public_bytes(serialization.Encoding.DER)
    return Certificate(
        pem=certificate.public_bytes(serialization.Encoding.PEM).decode(),
        fingerprint=hashlib.sha256(der_form).hexdigest(),
        public_key_fingerprint=public_fingerprint(certificate.public_key()),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        subject=certificate.subject.rfc4514_string(),
    )
