"""The login URL, which may be pasted as the browser shows it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.urls import reverse

from .. import hosts
from ..salesforce.errors import InvalidInput, NotAllowedHere


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
