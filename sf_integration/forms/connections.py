"""A Connected App profile in the admin."""

from __future__ import annotations

import copy
from collections.abc import Set as AbstractSet
from typing import Any

from django import forms
from django.contrib.admin.widgets import FilteredSelectMultiple
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import keystore, tokens
from ..models import ConnectedApp, SigningKey
from ..salesforce.assertion import Key
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


HELP = {
    "app_kind": gettext_lazy(
        "What the org's admin made: Setup → External Client App Manager lists the one kind, Setup → App Manager the other."
    ),
    "consumer_key": gettext_lazy(
        "External Client App Manager → the app → Settings → OAuth Settings → Consumer Key and Secret; of a Connected App: App "
        "Manager → the app → View → Manage Consumer Details. Others call it client id."
    ),
    "username": gettext_lazy(
        "Setup → Users → the integration user → Username. It looks like an e-mail address and often is none; in a sandbox it "
        "ends with the sandbox's name."
    ),
    "audience": gettext_lazy(
        "The assertion's aud. Empty: the login URL, which is right for nearly every org."
    ),
    "staged_signing_key": gettext_lazy(
        "The next one: in force by itself once its certificate is in the app's settings in Salesforce."
    ),
    "session_minutes": gettext_lazy(
        "Timeout Value of the app's session policy; if it has none, of the user's profile, else of Setup → Session Settings."
    ),
    "expected_org_id": gettext_lazy(
        "Setup → Company Information → Organization ID. Pinned by the first successful check; another org is then refused."
    ),
    "api_version": gettext_lazy(
        "As 67.0. Empty: the newest one that the org and this app know, set by the first check."
    ),
    "sample_sobject": gettext_lazy(
        "API name of the object of which the check reads one record: Setup → Object Manager."
    ),
}
"""In Salesforce's words: which menu, and what it is called there."""


class ConnectedAppForm(KeyInputs, forms.ModelForm):  # type: ignore[type-arg]
    """A Connected App profile with the ways to give it a signing key.

    A change writes what the person changed of what the page showed, and nothing else: checks and others may have
    stored something since the page was opened.
    """

    login_url = forms.CharField(
        label=gettext_lazy("Login URL"),
        max_length=255,
        help_text=gettext_lazy(
            "The org's address: Setup → My Domain → Current My Domain URL, as https://acme.my.salesforce.com. Any address of "
            "the org copied from the browser will do."
        ),
        widget=LoginURLInput({"class": "vTextField", "spellcheck": "false"}),
    )
    extra_usernames = LinesField(
        label=gettext_lazy("Allowed extra usernames"),
        help_text=gettext_lazy(
            "Other users of the org that code may ask tokens for, one per line; each needs the app's permission set or profile."
        ),
    )
    sample_fields = LinesField(
        label=gettext_lazy("Sample fields"),
        help_text=gettext_lazy(
            "API names of fields that the check reads of one sample record, one per line."
        ),
    )
    tags = LinesField(
        label=gettext_lazy("Tags"),
        help_text=gettext_lazy("One per line, as billing; lists are filtered by them."),
    )
    # Not named `groups`: the admin refuses a relation with a model of its own (admin.E013).
    visible_to_groups = forms.ModelMultipleChoiceField(
        Group.objects.order_by("name"),
        required=False,
        label=gettext_lazy("Groups"),
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
            "name": {
                "unique": gettext_lazy(
                    "There is a connection of this name already: give this one a name of its own."
                )
            }
        }
        help_texts = HELP
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
            self.fields["signing_key"].help_text = _("One that is stored already; or give or make one below.")
        for secret_free in ("consumer_key", "username"):
            if secret_free in self.fields:
                self.fields[secret_free].widget.attrs |= {"autocomplete": "off", "spellcheck": "false"}
        if self._is_change:
            self.initial.setdefault("visible_to_groups", self.instance.groups.all())
            if "name" in self.fields:
                renamed = _("Renamed, it is refused to all code that asks for the old name.")
                self.fields["name"].help_text = format_lazy("{} {}", self.fields["name"].help_text, renamed)
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
            self.cleaned_data["consumer_key"], _("Copy the consumer key from the app in Salesforce.")
        )

    def clean_username(self) -> str:
        return _not_blank(self.cleaned_data["username"], _("Give the username of the integration user."))

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        chose_another = "signing_key" in self.changed_data and data.get("signing_key")
        if self.gives_key and chose_another:
            self.add_error(
                "signing_key", _("Either choose a stored signing key or give a new one, not both.")
            )
        elif not self.gives_key and not data.get("signing_key"):
            self.add_error(
                "signing_key", _("Choose a signing key, give a private key below, or have a key pair made.")
            )
        if (self.gives_key or set(self.CHANGED_BY_SIGN_INS) & set(self.changed_data)) and self._keys_moved_on:
            self.add_error(
                "signing_key",
                _(
                    "Its signing keys were changed since this page was opened, perhaps by a promotion. Open the page again and "
                    "look before you change them."
                ),
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

    def values_to_try(self) -> tuple[ConnectedApp, Key]:
        """The connection as the form has it, stored nowhere, and the signing key. Call it without mistakes only.

        Raises InvalidInput when there is no key to try yet, EncryptionKeyMissing when the stored one can't be opened.
        """
        if self.cleaned_data.get("make_key"):
            raise InvalidInput(
                _(
                    "A key pair that is made here can't be tested before its certificate is in Salesforce: save, download the "
                    "certificate, upload it to the app, then test the connection."
                )
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
        raise ValidationError(_("This is empty. %(what_to_do)s") % {"what_to_do": what_to_do})
    return text.strip()
