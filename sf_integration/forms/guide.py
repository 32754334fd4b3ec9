"""The forms of the set-up guide."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import hosts
from ..models import RESERVED_NAMES, AppKind, ConnectedApp, ConnectionDraft, SigningKey
from ..services import drafts
from .addresses import LoginURLInput, read_login_url
from .key_inputs import KeyInputs

_LONGEST_URL = ConnectedApp._meta.get_field("login_url").max_length
_PLAIN = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}


def show_mistake(form: forms.Form) -> None:
    """Let the page, which is long, come up at the first field that is wrong; without one, at what is wrong with all of it."""
    wrong = next((name for name in form.fields if name in form.errors), "")
    if wrong:
        form.fields[wrong].widget.attrs["autofocus"] = True


def _read_login_url(text: str) -> hosts.LoginAddress:
    """Pages have long addresses, login URLs have not."""
    address = read_login_url(text)
    MaxLengthValidator(_LONGEST_URL)(address.login_url)
    return address


class StartForm(forms.Form):
    """What a set-up begins with; the rest is found out on the way."""

    login_url = forms.CharField(
        label=gettext_lazy("Address of the org"),
        max_length=2000,
        help_text=gettext_lazy(
            "Any address that the browser shows in this org will do, such as "
            "https://acme.lightning.force.com/lightning/page/home."
        ),
        widget=LoginURLInput(
            _PLAIN | {"inputmode": "url", "placeholder": "https://acme.lightning.force.com/…"}
        ),
    )
    app_kind = forms.ChoiceField(
        label=gettext_lazy("Kind of app"),
        choices=AppKind.choices,
        initial=AppKind.EXTERNAL_CLIENT_APP,
        widget=forms.RadioSelect,
        help_text=gettext_lazy(
            "New orgs make External Client Apps. Choose Connected App for one that is there already."
        ),
    )
    label = forms.CharField(
        label=gettext_lazy("Name for people"),
        max_length=100,
        required=False,
        help_text=gettext_lazy("Empty: made from the address."),
    )
    name = forms.CharField(
        label=gettext_lazy("Name in code"),
        max_length=60,
        required=False,
        help_text=gettext_lazy("The handle, as in get_client(“acme-prod”). Empty: made from the address."),
        widget=forms.TextInput(_PLAIN),
    )
    username = forms.CharField(
        label=gettext_lazy("Username of the integration user"),
        max_length=255,
        required=False,
        help_text=gettext_lazy("If there is one already. It can come later."),
        widget=forms.TextInput(_PLAIN),
    )

    def __init__(self, *args: Any, draft: ConnectionDraft | None = None, **kwargs: Any) -> None:
        self.draft = draft
        if draft:
            kwargs["initial"] = {name: getattr(draft, name) for name in self.base_fields}
        super().__init__(*args, **kwargs)
        if draft and draft.connection:
            # The connection is there, and code may know it by its name.
            self.fields["name"].disabled = True
        self.note = ""

    def clean_login_url(self) -> str:
        address = _read_login_url(self.cleaned_data["login_url"])
        self.note = address.note
        return address.login_url

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"].strip()
        ConnectedApp._meta.get_field("name").run_validators(name)
        if name in RESERVED_NAMES or drafts.name_is_taken(name, self.draft):
            raise ValidationError(_("“%(name)s” is taken: choose another name.") % {"name": name})
        return name

    def clean_username(self) -> str:
        username: str = self.cleaned_data["username"].strip()
        return username

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        login_url = data.get("login_url", "")
        problem = hosts.app_kind_problem(data.get("app_kind", ""), login_url=login_url, audience="")
        if problem:
            self.add_error(*problem)
        elif login_url:
            self._name_after(login_url, data)
        return data

    def _name_after(self, login_url: str, data: dict[str, Any]) -> None:
        if not data.get("name") and "name" not in self.errors:
            data["name"] = drafts.suggested_name(login_url)
            if not data["name"]:
                self.add_error("name", _("This address does not tell a name: give one, such as acme-prod."))
        data["label"] = data.get("label") or drafts.suggested_label(login_url)


class KeyForm(KeyInputs):
    """A signing key made here, given, or chosen from those that are stored."""

    stored = forms.ModelChoiceField(
        SigningKey.objects.none(),
        required=False,
        label=gettext_lazy("Stored signing key"),
        empty_label=gettext_lazy("Choose one"),
    )

    def __init__(self, *args: Any, choices: QuerySet[SigningKey], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["stored"].queryset = choices  # type: ignore[attr-defined]
        self.visible_keys = choices

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        if self.errors:
            return data
        if self.gives_key == bool(data.get("stored")):
            self.add_error(
                None,
                _("Give one signing key, or choose a stored one: not both.")
                if self.gives_key
                else _("Paste a private key or choose its file, or choose a stored signing key."),
            )
        return data

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        self._ask_again()


class ValuesForm(forms.Form):
    """What comes back from the org. Saved as it stands; the check needs all of it."""

    login_url = forms.CharField(
        label=gettext_lazy("Login URL"), max_length=2000, widget=LoginURLInput(_PLAIN)
    )
    consumer_key = forms.CharField(
        label=gettext_lazy("Consumer key"),
        max_length=512,
        error_messages={"required": gettext_lazy("This is empty. Copy it from the app in Salesforce.")},
        help_text=gettext_lazy("Of the app; also called client id."),
        widget=forms.TextInput(_PLAIN | {"class": "sf-mono"}),
    )
    username = forms.CharField(
        label=gettext_lazy("Username"),
        max_length=255,
        error_messages={
            "required": gettext_lazy("This is empty. Give the username of the integration user.")
        },
        help_text=gettext_lazy("Of the integration user; not the e-mail address."),
        widget=forms.TextInput(_PLAIN),
    )

    def __init__(self, *args: Any, draft: ConnectionDraft, needs_all: bool = True, **kwargs: Any) -> None:
        kwargs["initial"] = {name: getattr(draft, name) for name in self.base_fields}
        super().__init__(*args, **kwargs)
        self.draft, self.note = draft, ""
        self.fields["consumer_key"].required = self.fields["username"].required = needs_all

    def clean_login_url(self) -> str:
        address = _read_login_url(self.cleaned_data["login_url"])
        self.note = address.note
        problem = hosts.app_kind_problem(self.draft.app_kind, login_url=address.login_url, audience="")
        if problem:
            raise ValidationError(problem[1])
        return address.login_url
