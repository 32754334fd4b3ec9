"""A program that takes tokens over HTTP, in the admin."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms
from django.contrib.admin.widgets import FilteredSelectMultiple
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import access
from ..models import ApiClient, ConnectedApp
from ..salesforce.errors import InvalidInput
from ..services import api_clients
from ..services.api_clients import IssuedKey
from .connections import LinesField

_KEEP = "keep"
_NEVER = "never"
_TERMS = {
    "30": gettext_lazy("in 30 days"),
    "90": gettext_lazy("in 90 days"),
    "365": gettext_lazy("in a year"),
    "730": gettext_lazy("in two years"),
    _NEVER: gettext_lazy("never, until it is revoked"),
}
"""By days."""
_DEFAULT_TERM = "365"


class ApiClientForm(forms.ModelForm):  # type: ignore[type-arg]
    """Makes an API client, or changes one; only the services do that, since they ask for the right and write the trail."""

    connections = forms.ModelMultipleChoiceField(
        ConnectedApp.objects.none(),
        required=False,
        label=gettext_lazy("Connections"),
        help_text=gettext_lazy("Those it may take tokens of. None: no tokens."),
        widget=FilteredSelectMultiple("connections", is_stacked=False),
    )
    usernames = LinesField(
        label=gettext_lazy("Usernames"),
        help_text=gettext_lazy(
            "Salesforce users it may ask for beside each connection's own, one per line; the connection must list them too."
        ),
    )
    expires = forms.ChoiceField(label=gettext_lazy("Expires"), initial=_DEFAULT_TERM)

    actor: Any = None
    """Who does it."""
    issued: IssuedKey | None = None
    """Once a new one is stored."""

    class Meta:
        model = ApiClient
        fields = ("name", "connections", "usernames", "notes")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Those who may only look at it get no inputs.
        if "connections" in self.fields:
            self.fields["connections"].queryset = access.visible_to(self.actor).order_by("name")  # type: ignore[attr-defined]
        if "expires" in self.fields:
            self.fields["expires"].choices = [*self._present_term(), *_TERMS.items()]  # type: ignore[attr-defined]
            self.initial["expires"] = _DEFAULT_TERM if self.instance._state.adding else _KEEP

    def _present_term(self) -> list[tuple[str, str]]:
        if self.instance._state.adding:
            return []
        at = self.instance.expires_at
        told = date_format(timezone.localtime(at), "j M Y, H:i T") if at else _("never")
        return [(_KEEP, _("%(when)s, as now") % {"when": told})]

    def _post_clean(self) -> None:
        """Stored at the end of the validation, which is part of the admin's transaction: what the services refuse is told like
        any other mistake."""
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            self._store()
        except InvalidInput as error:
            self.add_error(None, str(error))

    def _store(self) -> None:
        asked = self.cleaned_data
        values = {name: asked[name] for name in ("name", "connections", "usernames", "notes")}
        if self.instance._state.adding:
            self.issued = api_clients.make(**values, expires_at=self._expires_at(None), actor=self.actor)
            self.instance = self.issued.client
            return
        # Not the form's own, which has the new values by now.
        stored = ApiClient.objects.get(pk=self.instance.pk)
        api_clients.change(stored, **values, expires_at=self._expires_at(stored.expires_at), actor=self.actor)
        self.instance = stored

    def _expires_at(self, present: dt.datetime | None) -> dt.datetime | None:
        term = self.cleaned_data["expires"]
        if term == _KEEP:
            return present
        return None if term == _NEVER else timezone.now() + dt.timedelta(days=int(term))

    def save(self, commit: bool = True) -> ApiClient:
        """What is stored already."""
        if self.errors:
            raise ValueError("An API client with mistakes can't be stored.")
        self.save_m2m = lambda: None  # type: ignore[method-assign]
        stored: ApiClient = self.instance
        return stored
