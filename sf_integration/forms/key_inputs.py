"""Secrets that go in and never come out: their inputs are empty again on every page."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import keystore
from ..fields import keyring
from ..keystore import ProvedKey
from ..models import SigningKey
from ..salesforce import keys
from ..salesforce.errors import InvalidInput, InvalidPrivateKey
from ..salesforce.secret import Secret, SecretBytes

LARGEST_UPLOAD = 64 * 1024
"""Bytes. Keys and certificates have a few thousand."""


class WriteOnlyTextarea(forms.Textarea):
    """Forgets what was typed: a secret must not come back in the page that reports a mistake elsewhere."""

    def format_value(self, value: Any) -> str:
        return ""


_CERTIFICATES = re.compile(
    r"\s*(?:-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*)+"
)


class CertificateTextarea(forms.Textarea):
    """Gives back certificates only: some paste the private key here, by mistake or beside its certificate."""

    def format_value(self, value: Any) -> str:
        return str(value) if value and _CERTIFICATES.fullmatch(value) else ""


PEM_INPUT = {"rows": 5, "spellcheck": "false", "class": "vLargeTextField sf-pem"}


class SecretField(forms.CharField):
    """Gives a text that shows itself to nobody."""

    def to_python(self, value: Any) -> str:
        return Secret(super().to_python(value))


class KeyInputs(forms.Form):
    """A private key pasted or uploaded, with its certificate; or the wish that a key pair be made here."""

    private_key = SecretField(
        label=gettext_lazy("Private key"),
        required=False,
        max_length=LARGEST_UPLOAD,
        help_text=gettext_lazy(
            "PEM, beginning with -----BEGIN; what mails and variables did to it is repaired. It is stored "
            "encrypted and never shown again."
        ),
        widget=WriteOnlyTextarea(PEM_INPUT | {"autocomplete": "off"}),
    )
    private_key_file = forms.FileField(
        required=False,
        label=gettext_lazy("…or its file"),
        help_text=gettext_lazy("server.key in most tutorials; .pem, .der, .p12 and .pfx are read too."),
    )
    passphrase = SecretField(
        label=gettext_lazy("Passphrase"),
        required=False,
        strip=False,
        help_text=gettext_lazy("Only when the private key is protected by one. Used once and not kept."),
        widget=forms.PasswordInput({"autocomplete": "off"}),
    )
    certificate = SecretField(
        label=gettext_lazy("Certificate"),
        required=False,
        max_length=LARGEST_UPLOAD,
        help_text=gettext_lazy(
            "PEM; the one uploaded to Salesforce. Without it the connection works, but its end can't be "
            "watched."
        ),
        widget=CertificateTextarea(PEM_INPUT),
    )
    certificate_file = forms.FileField(
        required=False,
        label=gettext_lazy("…or its file"),
        help_text=gettext_lazy("server.crt in most tutorials."),
    )
    make_key = forms.BooleanField(
        required=False,
        label=gettext_lazy("Make a key pair here"),
        help_text=gettext_lazy(
            "2048 bits, certificate for one year. The private key never leaves this site; download the "
            "certificate afterwards and upload it to the app in Salesforce."
        ),
    )

    page_stays = False
    """Whether what was typed stays before the person, because a script sent it."""

    visible_keys: QuerySet[SigningKey] = SigningKey.objects.none()
    """Those whose names may be told to the person."""

    _key: bytes | None = None
    _certificate: bytes | None = None
    _proved: ProvedKey | None = None

    KEY_FIELDS = (
        "private_key",
        "private_key_file",
        "passphrase",
        "certificate",
        "certificate_file",
        "make_key",
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        self._key, self._certificate = given_bytes(self, "private_key"), given_bytes(self, "certificate")
        if data.get("make_key") and (self._key or self._certificate):
            self.add_error("make_key", _("Either give a key or have one made, not both."))
        elif self._key or data.get("make_key"):
            self._require_encryption_key()
        if self._key:
            self._prove_key(self._key, data.get("passphrase") or None)
        return data

    @property
    def changed_names(self) -> list[str]:
        """Names of what is changed, for the audit trail: whatever way a key comes in, it is the signing key."""
        ways = set(self.KEY_FIELDS)
        changed = set(self.changed_data)
        return sorted(changed - ways | {"signing_key"} if changed & ways else changed)

    @property
    def gives_key(self) -> bool:
        """Whether there is a new key to take in or to make."""
        return bool(self._key or self.cleaned_data.get("make_key"))

    def proved_key(self) -> ProvedKey | None:
        """The key given, stored nowhere; None when none was given. Call it after is_valid()."""
        return self._proved

    @property
    def key_notes(self) -> tuple[str, ...]:
        """What was repaired in the key that was given, in sentences."""
        return self._proved.notes if self._proved else ()

    def take_key(self, name: str) -> SigningKey:
        """Store the key given, or make one. Call it inside a transaction, after is_valid()."""
        return keystore.store(self._proved, name=name) if self._proved else keystore.make(name=name)

    def _prove_key(self, data: bytes, passphrase: str | None) -> None:
        try:
            self._proved = keystore.prove(data, passphrase=passphrase)
            if self._certificate:
                self._proved = keystore.with_certificate(
                    self._proved, self._certificate, visible=self.visible_keys
                )
        except InvalidPrivateKey as error:
            self.add_error("passphrase" if error.code in keys.PASSPHRASE_CODES else "private_key", str(error))
        except InvalidInput as error:
            self.add_error("certificate", str(error))

    def _require_encryption_key(self) -> None:
        if not keyring().keys:
            self.add_error(
                None,
                _(
                    "No encryption key is configured, so no private key can be stored. Set SF_ENCRYPTION_KEYS to a "
                    "base64url key of 32 bytes."
                ),
            )

    def _ask_again(self) -> None:
        """Say that the private key is gone from the page, when something else was wrong."""
        if self.page_stays:
            return
        if self.errors and self._key and not self.errors.get("private_key"):
            self.add_error(
                "private_key", _("Give the private key again: it is not kept while the form has mistakes.")
            )


def given_bytes(form: forms.Form | forms.ModelForm[Any], field: str) -> bytes | None:
    """What was pasted into `field` or uploaded into the one beside it; None when neither was."""
    pasted, upload = form.cleaned_data.get(field), form.cleaned_data.get(f"{field}_file")
    if pasted and upload:
        form.add_error(field, _("Paste it or choose a file, not both."))
    if isinstance(upload, UploadedFile):
        if (upload.size or 0) > LARGEST_UPLOAD:
            form.add_error(f"{field}_file", _("This file is too large to be a key or certificate."))
            return None
        return SecretBytes(upload.read()) or None
    # Browsers send what is typed with line ends of their own.
    return SecretBytes(pasted.replace("\r\n", "\n").encode()) if pasted else None
