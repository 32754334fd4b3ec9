"""A Connected App profile in the admin."""

from __future__ import annotations

import copy
from collections.abc import Set as AbstractSet
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from django import forms
from django.contrib.admin.widgets import FilteredSelectMultiple
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError

from .. import keystore, tokens
from ..models import ConnectedApp, SigningKey
from ..salesforce.errors import InvalidInput
from .addresses import LoginURLInput, read_login_url
from .key_inputs import KeyInputs


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
    CHANGED_BY_SIGN_INS = ("signing_key", "staged_signing_key")

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
        if (self.gives_key or set(self.CHANGED_BY_SIGN_INS) & set(self.changed_data)) and self._keys_moved_on:
            self.add_error(
                "signing_key",
                "Its signing keys were changed since this page was opened, perhaps by a promotion. Open the page again and look "
                "before you change them.",
            )
        if self._certificate and not self._key and not data.get("make_key"):
            self._prove_certificate(self._certificate, self._stored_key(data))
        return data

    @property
    def _keys_moved_on(self) -> bool:
        """Whether other signing keys are stored than the page showed, as far as it says what it showed."""
        for name in self.CHANGED_BY_SIGN_INS if self._is_change else ():
            shown = self.data.get(self[name].html_initial_name) if name in self.fields else None
            if shown is not None and shown != str(getattr(self.instance, f"{name}_id") or ""):
                return True
        return False

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


def _not_blank(text: str, what_to_do: str) -> str:
    if not text.strip():
        raise ValidationError(f"This is empty. {what_to_do}")
    return text.strip()
