"""The forms of pages and admin. A form refuses bad input with a sentence; it never calls Salesforce.

Private keys and passphrases go in and never come out: their inputs are empty again on every page.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from django import forms
from django.contrib.admin.widgets import FilteredSelectMultiple
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.urls import reverse

from . import hosts, keystore, tokens
from .fields import keyring
from .keystore import ProvedKey
from .models import ConnectedApp, SigningKey
from .salesforce import ids, keys, soql
from .salesforce.errors import InvalidInput, InvalidPrivateKey, NotAllowedHere
from .salesforce.secret import Secret, SecretBytes
from .state import CERTIFICATE_STAGES

LARGEST_UPLOAD = 64 * 1024
"""Bytes. Keys and certificates have a few thousand."""


# ---- lookups --------------------------------------------------------------------------------------------------------


class RecordForm(forms.Form):
    sobject = forms.CharField(
        label="sObject",
        max_length=80,
        help_text="API name, e.g. Account or Invoice__c.",
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}),
    )
    record_id = forms.CharField(
        label="Record id",
        max_length=60,
        help_text="15 or 18 characters, as in the record's address in Salesforce.",
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false", "class": "sf-mono"}),
    )
    fields = forms.CharField(  # type: ignore[assignment]  # of the same name as the form's own, but apart from it
        required=False,
        max_length=10_000,
        help_text="API names with commas between; empty: all that the user may see.",
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false"}),
    )

    def clean_sobject(self) -> str:
        return _checked(soql.name, self.cleaned_data["sobject"])

    def clean_record_id(self) -> str:
        return _checked(ids.to_18, self.cleaned_data["record_id"])

    def clean_fields(self) -> list[str]:
        names = [name.strip() for name in self.cleaned_data["fields"].split(",")]
        return [
            _checked(lambda text: soql.name(text, "field"), name) for name in dict.fromkeys(names) if name
        ]


class QueryForm(forms.Form):
    soql = forms.CharField(
        label="SOQL",
        max_length=100_000,
        help_text="SELECT only: nothing can be changed here. It runs as the connection's user and sees what that user may see.",
        widget=forms.Textarea(
            {
                "rows": 6,
                "spellcheck": "false",
                "autocapitalize": "off",
                "class": "sf-mono",
                "placeholder": "SELECT Id, Name FROM Account ORDER BY Name LIMIT 50",
            }
        ),
    )

    def clean_soql(self) -> str:
        statement: str = self.cleaned_data["soql"].rstrip("; \n")
        if not re.match(r"SELECT\s", statement, re.IGNORECASE):
            raise ValidationError("Begin with SELECT: this page reads only, and SOQL has no other statement.")
        return statement

    def sobjects(self) -> list[str]:
        """The objects asked for, for the audit trail. Texts in the query are left out: they are data."""
        without_texts = re.sub(r"'(?:[^'\\]|\\.)*'", "''", self.cleaned_data["soql"])
        return sorted(set(re.findall(r"\bFROM\s+(\w+)", without_texts, re.IGNORECASE)))


class NextPageForm(forms.Form):
    """The hidden part of the query form: where the next page is, and how many rows came before."""

    next_path = forms.CharField(required=False, max_length=300)
    before = forms.IntegerField(required=False, min_value=0)


def _checked(check: Callable[[str], str], text: str) -> str:
    try:
        return check(text)
    except InvalidInput as error:
        raise ValidationError(str(error)) from error


# ---- secrets that go in ---------------------------------------------------------------------------------------------


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


_PEM = {"rows": 5, "spellcheck": "false", "class": "vLargeTextField sf-pem"}


class SecretField(forms.CharField):
    """Gives a text that shows itself to nobody."""

    def to_python(self, value: Any) -> str:
        return Secret(super().to_python(value))


class KeyInputs(forms.Form):
    """A private key pasted or uploaded, with its certificate; or the wish that a key pair be made here."""

    private_key = SecretField(
        required=False,
        max_length=LARGEST_UPLOAD,
        help_text="PEM, beginning with -----BEGIN; what mails and variables did to it is repaired. It is stored encrypted "
        "and never shown again.",
        widget=WriteOnlyTextarea(_PEM | {"autocomplete": "off"}),
    )
    private_key_file = forms.FileField(
        required=False,
        label="…or its file",
        help_text="server.key in most tutorials; .pem, .der, .p12 and .pfx are read too.",
    )
    passphrase = SecretField(
        required=False,
        strip=False,
        help_text="Only when the private key is protected by one. Used once and not kept.",
        widget=forms.PasswordInput({"autocomplete": "off"}),
    )
    certificate = SecretField(
        required=False,
        max_length=LARGEST_UPLOAD,
        help_text="PEM; the one uploaded to Salesforce. Without it the connection works, but its end can't be watched.",
        widget=CertificateTextarea(_PEM),
    )
    certificate_file = forms.FileField(
        required=False, label="…or its file", help_text="server.crt in most tutorials."
    )
    make_key = forms.BooleanField(
        required=False,
        label="Make a key pair here",
        help_text="2048 bits, certificate for one year. The private key never leaves this site; "
        "download the certificate afterwards and upload it to the app in Salesforce.",
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
        self._key, self._certificate = _given(self, "private_key"), _given(self, "certificate")
        if data.get("make_key") and (self._key or self._certificate):
            self.add_error("make_key", "Either give a key or have one made, not both.")
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
                "No encryption key is configured, so no private key can be stored. "
                "Set SF_ENCRYPTION_KEYS to a base64url key of 32 bytes.",
            )

    def _ask_again(self) -> None:
        """Say that the private key is gone from the page, when something else was wrong."""
        if self.page_stays:
            return
        if self.errors and self._key and not self.errors.get("private_key"):
            self.add_error(
                "private_key", "Give the private key again: it is not kept while the form has mistakes."
            )


# ---- addresses ------------------------------------------------------------------------------------------------------


class LoginURLInput(forms.TextInput):
    """Tells beside itself what is made of the address, as soon as it is typed; without JavaScript that is told later."""

    class Media:
        js = [forms.Script("sf_integration/login_url.js", type="module")]

    def build_attrs(self, base_attrs: Any, extra_attrs: Any = None) -> dict[str, Any]:
        told_by = {"data-sf-login-url": reverse("sf_integration:login_url")}
        return super().build_attrs(base_attrs, extra_attrs) | told_by


def read_login_url(text: str) -> hosts.LoginAddress:
    """As `hosts.read_login_url`, for forms: raises ValidationError."""
    try:
        return hosts.read_login_url(text)
    except (InvalidInput, NotAllowedHere) as error:
        raise ValidationError(str(error)) from error


# ---- admin ----------------------------------------------------------------------------------------------------------


class LinesField(forms.CharField):
    """A list of texts, one per line."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=forms.Textarea({"rows": 3, "spellcheck": "false"}), required=False, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, (list, tuple)) else value

    def to_python(self, value: Any) -> Any:
        lines = (
            value if isinstance(value, (list, tuple)) else str(value or "").replace(",", "\n").splitlines()
        )
        return [line.strip() for line in lines if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(initial) != self.to_python(data))


class ConnectedAppForm(KeyInputs, forms.ModelForm):  # type: ignore[type-arg]
    """A Connected App profile with the ways to give it a signing key.

    A change writes what the person changed of what the page showed, and nothing else: checks and others may have
    stored something since the page was opened.
    """

    login_url = forms.CharField(
        label="Login URL",
        max_length=255,
        help_text=ConnectedApp._meta.get_field("login_url").help_text,
        widget=LoginURLInput({"class": "vTextField", "spellcheck": "false"}),
    )
    extra_usernames = LinesField(
        label="Allowed extra usernames", help_text="Other users that code may ask tokens for, one per line."
    )
    sample_fields = LinesField(
        label="Sample fields", help_text="Fields that the check reads of one sample record, one per line."
    )
    tags = LinesField(help_text="One per line.")
    # Not named `groups`: the admin refuses a relation with a model of its own (admin.E013).
    visible_to_groups = forms.ModelMultipleChoiceField(
        Group.objects.order_by("name"),
        required=False,
        label="Groups",
        help_text=ConnectedApp._meta.get_field("groups").help_text,
        widget=FilteredSelectMultiple("groups", is_stacked=False),
    )

    login_url_note = ""
    """What was made of the login URL, when it was the address of a page."""

    _noted: AbstractSet[str] = frozenset()
    """Columns that an edit writes besides what the person changed."""

    STORED_BY_CHECKS = ("api_version", "expected_org_id")

    class Meta:
        model = ConnectedApp
        error_messages = {
            "name": {"unique": "There is a connection of this name already: give this one a name of its own."}
        }
        fields = (
            "name",
            "label",
            "enabled",
            "login_url",
            "app_kind",
            "consumer_key",
            "username",
            "audience",
            "signing_key",
            "session_minutes",
            "api_version",
            "sample_sobject",
            "sample_fields",
            "extra_usernames",
            "expected_org_id",
            "staged_signing_key",
            "tags",
            "our_contacts",
            "org_contacts",
            "notes",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "signing_key" in self.fields:
            self.fields["signing_key"].required = False
            self.fields["signing_key"].help_text = "One that is stored already; or give or make one below."
        for secret_free in ("consumer_key", "username"):
            if secret_free in self.fields:
                self.fields[secret_free].widget.attrs |= {"autocomplete": "off", "spellcheck": "false"}
        if self._is_change:
            self.initial.setdefault("visible_to_groups", self.instance.groups.all())
            if "name" in self.fields:
                self.fields[
                    "name"
                ].help_text += " Renamed, it is refused to all code that asks for the old name."
            self._remember_what_is_shown()

    @property
    def _is_change(self) -> bool:
        return not self.instance._state.adding

    def _remember_what_is_shown(self) -> None:
        """Let the page send back what it showed, so that `changed_data` is what the person changed."""
        sent_back = not self.is_bound or self.add_initial_prefix("name") in self.data
        for name, field in self.fields.items():
            # What checks store counts as not shown, unless the page says so: an empty input is then no wish.
            field.show_hidden_initial = name not in self.KEY_FIELDS and (
                sent_back or name in self.STORED_BY_CHECKS
            )

    @property
    def changed_columns(self) -> set[str]:
        """What saving a change has to write."""
        columns = {field.name for field in ConnectedApp._meta.concrete_fields} & set(self.changed_names)
        if columns & {"login_url", "consumer_key", "username"}:  # as ConnectedApp.environment_subject
            columns |= {"environment", "environment_for"}
        return columns | self._noted

    def clean_name(self) -> str:
        """Here, not only in the model: the page that reports the mistake links to the connection by its old name."""
        name: str = self.cleaned_data["name"]
        ConnectedApp._meta.get_field("name").run_validators(name)
        return name

    def clean_login_url(self) -> str:
        address = read_login_url(self.cleaned_data["login_url"])
        self.login_url_note = address.note
        return address.login_url

    def clean_consumer_key(self) -> str:
        return _not_blank(
            self.cleaned_data["consumer_key"], "Copy the consumer key from the app in Salesforce."
        )

    def clean_username(self) -> str:
        return _not_blank(self.cleaned_data["username"], "Give the username of the integration user.")

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        chose_another = "signing_key" in self.changed_data and data.get("signing_key")
        if self.gives_key and chose_another:
            self.add_error("signing_key", "Either choose a stored signing key or give a new one, not both.")
        elif not self.gives_key and not data.get("signing_key"):
            self.add_error(
                "signing_key", "Choose a signing key, give a private key below, or have a key pair made."
            )
        if self._certificate and not self._key and not data.get("make_key"):
            self._prove_certificate(self._certificate, self._stored_key(data))
        return data

    def _stored_key(self, data: dict[str, Any]) -> SigningKey | None:
        untouched = self._is_change and "signing_key" not in self.changed_data
        key: SigningKey | None = self.instance.signing_key if untouched else data.get("signing_key")
        return key

    def _prove_certificate(self, data: bytes, signing_key: SigningKey | None) -> None:
        """One given for a key that is stored already."""
        if signing_key:
            try:
                keystore.prove_certificate(data, signing_key.fingerprint, visible=self.visible_keys)
            except InvalidInput as error:
                self.add_error("certificate", str(error))

    def _post_clean(self) -> None:
        if self._is_change:
            changed = set(self.changed_data)
            self.cleaned_data = {name: value for name, value in self.cleaned_data.items() if name in changed}
        super()._post_clean()  # type: ignore[misc]
        self._ask_again()

    def _save_m2m(self) -> None:
        super()._save_m2m()  # type: ignore[misc]
        if "visible_to_groups" in self.changed_data:
            self.instance.groups.set(self.cleaned_data["visible_to_groups"])

    def save(self, commit: bool = True) -> ConnectedApp:
        """Takes the key in first; so it has to be inside a transaction, as the admin's pages are."""
        if self.is_valid():
            self._take_in()
            self._noted = self.instance.note_edit(self.changed_names)
        saved: ConnectedApp = super().save(commit=commit)
        return saved

    def values_to_try(self) -> tuple[ConnectedApp, RSAPrivateKey]:
        """The connection as the form has it, stored nowhere, and the private key to sign with. Call it without mistakes only.

        Raises InvalidInput when there is no key to try yet, EncryptionKeyMissing when the stored one can't be opened.
        """
        if self.cleaned_data.get("make_key"):
            raise InvalidInput(
                "A key pair that is made here can't be tested before its certificate is in Salesforce: save, download the "
                "certificate, upload it to the app, then test the connection."
            )
        tried = copy.copy(self.instance)
        proved = self.proved_key()
        if proved is not None:
            tried.signing_key = keystore.unsaved(proved, name=tried.name)
            return tried, proved.key
        return tried, tokens.current().private_key(tried.signing_key)

    def _take_in(self) -> None:
        if self.gives_key:
            self.instance.signing_key = self.take_key(self.instance.name)
        elif self._certificate:
            keystore.add_certificate(self.instance.signing_key, self._certificate, visible=self.visible_keys)


class NeverSaved:
    """Mixed into a form whose values are only tested: it is judged as ever and then counts as invalid, so that nobody saves it."""

    def is_valid(self) -> bool:
        super().is_valid()  # type: ignore[misc]
        return False


class NewSigningKeyForm(KeyInputs, forms.ModelForm):  # type: ignore[type-arg]
    """A signing key given or made; it is proved before it is stored."""

    bits = forms.TypedChoiceField(
        label="Size",
        coerce=int,
        choices=[(size, f"{size} bits") for size in keys.SIZES],
        initial=keys.MINIMUM_BITS,
        required=False,
        help_text="2048 is what Salesforce needs; larger ones sign more slowly.",
    )
    days = forms.IntegerField(
        label="Days of the certificate",
        min_value=1,
        max_value=keys.LONGEST_DAYS,
        initial=365,
        required=False,
        help_text=f"1 to {keys.LONGEST_DAYS}. You are warned from {CERTIFICATE_STAGES[0]} days before its end.",
    )
    common_name = forms.CharField(
        max_length=64, required=False, help_text="Of the certificate's subject. Empty: the name above."
    )
    organization = forms.CharField(max_length=64, required=False, help_text="Of the subject; may be empty.")
    country = forms.CharField(
        max_length=2, required=False, help_text="Of the subject: two letters, as DE; may be empty."
    )

    PAIR_FIELDS = ("bits", "days", "common_name", "organization", "country")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields[
            "make_key"
        ].help_text = "The private key never leaves this site; download the certificate afterwards and upload it to the app in Salesforce."

    class Meta:
        model = SigningKey
        fields = ("name",)

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        if not self.gives_key and not self.errors:
            self.add_error("private_key", "Give a private key, or have a key pair made here.")
        if self._proved and not self.errors:
            self._refuse_known(keys.fingerprint(self._proved.key))
        return data

    @property
    def changed_names(self) -> list[str]:
        return sorted(set(super().changed_names) - set(self.PAIR_FIELDS))

    def clean_country(self) -> str:
        country: str = self.cleaned_data["country"].strip()
        if country and not (len(country) == 2 and country.isascii() and country.isalpha()):
            raise ValidationError("A country has two letters here, as DE or US.")
        return country

    def take_key(self, name: str) -> SigningKey:
        if self._proved:
            return super().take_key(name)
        pair = {field: self.cleaned_data[field] for field in self.PAIR_FIELDS if self.cleaned_data[field]}
        return keystore.make(name=name, **pair)

    def _refuse_known(self, fingerprint: str) -> None:
        """One that can't be opened any more may come again: that mends it."""
        known = SigningKey.objects.filter(fingerprint=fingerprint).first()
        if known and known.can_be_opened:
            named = f", as “{known.name}”" if self.visible_keys.filter(pk=known.pk).exists() else ""
            self.add_error("private_key", f"This key pair is stored already{named}.")

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        self._ask_again()

    def save(self, commit: bool = True) -> SigningKey:
        """The stored row; whatever `commit` says, since a secret can't be sealed without storing it."""
        if self.errors:
            raise ValueError("A signing key with mistakes can't be stored.")
        stored = self.take_key(self.cleaned_data["name"])
        self.instance = stored
        self.save_m2m = lambda: None  # type: ignore[method-assign]
        return stored


class SigningKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    """What can be changed of a stored key: its name, and its certificate when it has a new one."""

    new_certificate = SecretField(
        required=False,
        max_length=LARGEST_UPLOAD,
        help_text="PEM; of this very key pair. Needed only when it is missing or was renewed.",
        widget=CertificateTextarea(_PEM),
    )
    new_certificate_file = forms.FileField(required=False, label="…or its file")

    visible_keys: QuerySet[SigningKey] = SigningKey.objects.none()
    """Those whose names may be told to the person."""

    _certificate: bytes | None = None

    class Meta:
        model = SigningKey
        fields = ("name",)

    @property
    def changed_names(self) -> list[str]:
        ways = {"new_certificate", "new_certificate_file"}
        return sorted({"certificate" if name in ways else name for name in self.changed_data})

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        self._certificate = _given(self, "new_certificate")
        if self._certificate:
            try:
                keystore.prove_certificate(
                    self._certificate, self.instance.fingerprint, visible=self.visible_keys
                )
            except InvalidInput as error:
                self.add_error("new_certificate", str(error))
        return data

    def save(self, commit: bool = True) -> SigningKey:
        if self._certificate:
            keystore.add_certificate(self.instance, self._certificate)
        saved: SigningKey = super().save(commit=commit)
        return saved


def _given(form: forms.Form | forms.ModelForm[Any], field: str) -> bytes | None:
    """What was pasted into `field` or uploaded into the one beside it; None when neither was."""
    pasted, upload = form.cleaned_data.get(field), form.cleaned_data.get(f"{field}_file")
    if pasted and upload:
        form.add_error(field, "Paste it or choose a file, not both.")
    if isinstance(upload, UploadedFile):
        if (upload.size or 0) > LARGEST_UPLOAD:
            form.add_error(f"{field}_file", "This file is too large to be a key or certificate.")
            return None
        return SecretBytes(upload.read()) or None
    # Browsers send what is typed with line ends of their own.
    return SecretBytes(pasted.replace("\r\n", "\n").encode()) if pasted else None


def _not_blank(text: str, what_to_do: str) -> str:
    if not text.strip():
        raise ValidationError(f"This is empty. {what_to_do}")
    return text.strip()
