"""Where people sign in who open a page without having done so."""

from __future__ import annotations

from django.conf import global_settings, settings
from django.contrib.auth import decorators
from django.urls import NoReverseMatch, is_valid_path, reverse
from django.utils.functional import lazy


def sign_in_url() -> str:
    """The site's LOGIN_URL; the admin's, where a new site has nothing yet at Django's default."""
    given = str(settings.LOGIN_URL)
    if given != global_settings.LOGIN_URL or is_valid_path(given):
        return given
    try:
        return reverse("admin:login")
    except NoReverseMatch:
        return given


# Lazy: views are decorated before the site's URLs can be asked.
login_required = decorators.login_required(login_url=lazy(sign_in_url, str)())
