"""What it is that was given instead of a private key or a certificate, by its outward signs. Nothing given is quoted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7

_PKCS7 = "a PKCS#7 file (.p7b), which holds certificates only"
_KEYSTORE = "a Java keystore"
_PUTTY = "a key in PuTTY's own form"
EMPTY = "empty"
WAYS_OUT = {
    _KEYSTORE: "Turn it into PKCS#12: “keytool -importkeystore -srckeystore FILE -destkeystore server.p12 -deststoretype pkcs12”.",
    _PUTTY: "Open it in PuTTYgen and choose Conversions → Export OpenSSH key; that file can be given.",
}
"""What to do about some of them."""
_LABELS = {
    "PUBLIC KEY": "a public key",
    "RSA PUBLIC KEY": "a public key",
    "SSH2 PUBLIC KEY": "a public key of SSH",
    "CERTIFICATE": "a certificate",
    "TRUSTED CERTIFICATE": "a certificate",
    "X509 CERTIFICATE": "a certificate",
    "CERTIFICATE REQUEST": "a certificate request (CSR)",
    "NEW CERTIFICATE REQUEST": "a certificate request (CSR)",
    "EC PRIVATE KEY": "an elliptic-curve key",
    "EC PARAMETERS": "an elliptic-curve key",
    "DSA PRIVATE KEY": "a DSA key",
    "DSA PARAMETERS": "a DSA key",
    "DH PARAMETERS": "a file of Diffie-Hellman parameters",
    "PKCS7": _PKCS7,
    "CMS": _PKCS7,
    "PGP PRIVATE KEY BLOCK": "a PGP key",
    "PGP PUBLIC KEY BLOCK": "a PGP key",
}
_BEGINNINGS = (
    (b"\xfe\xed\xfe\xed", _KEYSTORE),
    (b"\xce\xce\xce\xce", _KEYSTORE),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or office document"),
    (b"\x1f\x8b", "a packed file (gzip)"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
)
_SHAPES = (
    (r"PuTTY-User-Key-File-", _PUTTY),
    (r"(?:ssh-|ecdsa-|sk-ssh-|sk-ecdsa-)[\w@.-]+ +AAAA", "an OpenSSH public key"),
    (r"<!doctype html|<html", "a web page"),
    (r"<(?!<)", "a web page or XML"),
    (r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*$", "a signed token (JWT)"),
    (r"00D[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?!", "an access token of Salesforce"),
    (r"3MVG9[\w.]+$", "a consumer key of Salesforce"),
    (r"https?://", "an address"),
)
_LOADERS: tuple[tuple[str, Callable[[bytes], object]], ...] = (
    ("a certificate", x509.load_der_x509_certificate),
    ("a certificate request (CSR)", x509.load_der_x509_csr),
    ("a public key", serialization.load_der_public_key),
    (_PKCS7, pkcs7.load_der_pkcs7_certificates),
)


def of_label(label: str) -> str:
    """For a PEM block that is not a private key. The label itself is not told: it is somebody's input."""
    return _LABELS.get(label, "a PEM block of another kind")


def of_bytes(data: bytes) -> str:
    if not data.strip(b"\0\t\n\r \xef\xbb\xbf\xff\xfe"):
        return EMPTY
    return next((what for start, what in _BEGINNINGS if data.startswith(start)), "")


def of_text(text: str) -> str:
    """For text without a PEM block."""
    text = text.strip(" \t\n\"'`")
    for shape, what in _SHAPES:
        if re.match(shape, text, re.IGNORECASE if "html" in shape else 0):
            return what
    return _of_json(text) if text.startswith("{") else ""


def of_der(data: bytes) -> str:
    """For DER that is no private key; empty when nobody can tell."""
    for what, load in _LOADERS:
        with suppress(ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
            load(data)
            return what
    return ""


def _of_json(text: str) -> str:
    with suppress(ValueError, RecursionError):
        found = json.loads(text)
        if isinstance(found, dict) and "kty" in found:
            return "a JSON Web Key (JWK)"
        if isinstance(found, dict) and "access_token" in found:
            return "a token answer"
    return ""
