"""The secrets that are planted, and noted on their way."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings

from sf_integration import crypto
from sf_integration.salesforce import assertion, keys, oauth
from sf_integration.testing import credentials
from sf_integration.testing.django import ConnectableOrg

from .search import Search, Secret

API_KEY = re.compile(rb"sfk_[0-9a-f]{12}_([\w-]{43})")


class Canaries:
    """What must be found nowhere. New for each test: what one plants, SQLite's file keeps in its free pages."""

    def __init__(self, org: ConnectableOrg) -> None:
        self.org = org
        self.pem, self.certificate = credentials.make_key_and_certificate("canary")
        org.app.replace_certificate(self.certificate)
        org.app.private_key_pem = self.pem
        self.passphrase = f"correct horse battery staple {secrets.token_hex(8)}"
        self.password = f"Zwölf-Boxkämpfer-{secrets.token_hex(8)}"
        self.next_password = f"moss-4-Lantern-{secrets.token_hex(8)}"
        self.mistyped_password = f"oops-wrong-window-{secrets.token_hex(8)}"
        self.metrics_token = secrets.token_urlsafe(32)
        self.channel_secret = secrets.token_urlsafe(24)
        self.noted: dict[str, Secret] = {}

    def all(self) -> dict[str, Secret]:
        return {
            **self._of_the_key(),
            "passphrase": self.passphrase,
            "password": self.password,
            "next password": self.next_password,
            "mistyped password": self.mistyped_password,
            "metrics token": self.metrics_token,
            "channel secret": self.channel_secret,
            "encryption key": settings.SF_INTEGRATION["ENCRYPTION_KEYS"][0],
            "encryption key, raw": _raw(settings.SF_INTEGRATION["ENCRYPTION_KEYS"][0]),
            "SECRET_KEY": settings.SECRET_KEY,
            **self.noted,
        }

    def search(self) -> Search:
        return Search(self.all(), public=self._public())

    def note(self, kind: str, secret: Secret) -> None:
        if secret not in self.noted.values():
            number = sum(name.startswith(kind) for name in self.noted)
            self.noted[f"{kind} {number}"] = secret

    def note_api_keys(self, content: bytes) -> int:
        found = API_KEY.findall(content)
        for secret in found:
            self.note("API key", secret.decode())
        return len(found)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Every token, assertion and stored secret is noted on its way; nothing is changed."""
        sign, read, seal = assertion.sign, oauth.Token.from_json, crypto.Keyring.seal

        def noting_sign(*arguments: object, **options: object) -> str:
            value = sign(*arguments, **options)  # type: ignore[arg-type]
            self.note("assertion", str(value).rpartition(".")[2])
            return value

        def noting_read(*arguments: object, **options: object) -> oauth.Token:
            token = read(*arguments, **options)  # type: ignore[arg-type]
            # Before the mark stands the org's id, which is no secret.
            self.note("token", str(token.value).rpartition("!")[2])
            return token

        def noting_seal(keyring: crypto.Keyring, plaintext: bytes, context: str) -> str:
            if "private_key" in context:
                self._note_private_key(bytes(plaintext))
            return seal(keyring, plaintext, context)

        with (
            mock.patch.object(crypto.Keyring, "seal", noting_seal),
            mock.patch.object(assertion, "sign", noting_sign),
            mock.patch.object(oauth.Token, "from_json", noting_read),
        ):
            yield

    def _note_private_key(self, der: bytes) -> None:
        key = serialization.load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
        assert isinstance(key, rsa.RSAPrivateKey)
        numbers = key.private_numbers()
        for name, number in (("p", numbers.p), ("q", numbers.q), ("d", numbers.d)):
            self.note(f"stored private key, {name},", number.to_bytes(-(-number.bit_length() // 8)))

    def encrypted_pem(self) -> bytes:
        return self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(self.passphrase.encode()),
        )

    @property
    def _key(self) -> rsa.RSAPrivateKey:
        key = serialization.load_pem_private_key(self.pem.encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key

    def _of_the_key(self) -> dict[str, Secret]:
        numbers = self._key.private_numbers()
        return {
            "private key, PEM": "\n".join(self.pem.strip().rstrip("=").splitlines()[1:-1]).rstrip("="),
            "private key, DER": keys.to_der(self._key),
            "private key, p": str(numbers.p),
            "private key, q": str(numbers.q),
            "private key, d": str(numbers.d),
        }

    def _public(self) -> Iterator[Secret]:
        """The other half of the pair, with what all keys begin with."""
        certificate = x509.load_pem_x509_certificate(self.certificate.encode())
        yield certificate.public_bytes(serialization.Encoding.DER)
        yield self._key.public_key().public_numbers().n.to_bytes(256)
        yield from (
            "-----BEGIN ENCRYPTED PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----",
            "-----END PRIVATE KEY-----",
            "-----BEGIN CERTIFICATE-----",
        )
        other = credentials.new_private_key()
        yield keys.to_der(other)[:36]


def _raw(key: str) -> bytes:
    import base64

    return base64.urlsafe_b64decode(key + "=" * (-len(key) % 4))
