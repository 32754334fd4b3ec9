"""The way into every page: signed in, allowed, and the connection found by its name; times are the reader's."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from .. import access
from ..access import Deed
from ..models import ConnectedApp
from ..presentation import problems
from ..salesforce.errors import UnknownConnection
from ..sign_in import login_required

View = Callable[..., HttpResponseBase]

TIMEZONE_COOKIE = "sf_timezone"
"""Name of the reader's time zone, as their browser told it."""


def _page(view: View) -> View:
    """For the signed in, in their own time zone. Answers are kept by no cache."""

    @never_cache
    @login_required
    @wraps(view)
    def entered(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
        zone = _zone(request.COOKIES.get(TIMEZONE_COOKIE, ""))
        with timezone.override(zone or timezone.get_current_timezone()):
            return view(request, **arguments)

    return entered


@lru_cache(maxsize=100)
def _zone(name: str) -> ZoneInfo | None:
    """None for what is no zone: a cookie may hold anything."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return None


def _doing(deed: Deed, view: View) -> View:
    """With what it does as an attribute, from which the table of docs/access.md is made."""
    view.deed = deed  # type: ignore[attr-defined]
    return view


def allowed(deed: Deed) -> Callable[[View], View]:
    """For pages that are not of one connection, to people who may do it to any."""

    def decorate(view: View) -> View:
        @_page
        @wraps(view)
        def gated(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
            try:
                access.require(request.user, deed)
            except access.AccessDenied as error:
                return refusal(request, error, status=403)
            return view(request, **arguments)

        return _doing(deed, gated)

    return decorate


signed_in = allowed(Deed.LIST)
"""For pages over many connections, to people who may see any."""


def for_connection(deed: Deed) -> Callable[[View], View]:
    """For pages of one connection: the view gets it in place of its name."""

    def decorate(view: View) -> View:
        @_page
        @wraps(view)
        def gated(request: HttpRequest, name: str, **more: Any) -> HttpResponseBase:
            try:
                # In this order: who may see nothing does not learn which names there are.
                access.require(request.user, deed)
                connection = _named(request.user, name, deed)
            except access.AccessDenied as error:
                return refusal(request, error, status=403)
            except UnknownConnection as error:
                return refusal(request, error, status=404)
            return view(request, connection, **more)

        return _doing(deed, gated)

    return decorate


def refusal(
    request: HttpRequest, error: access.AccessDenied | UnknownConnection, *, status: int
) -> HttpResponse:
    context = {
        "title": _("Not allowed") if status == 403 else _("No such connection"),
        "problem": problems.of_error(error),
        "suggestion": getattr(error, "suggestion", None),
        "may_list": access.may(request.user, Deed.LIST),
    }
    return render(request, "sf_integration/refused.html", context, status=status)


def _named(user: Any, name: str, deed: Deed) -> ConnectedApp:
    """Raises AccessDenied, or UnknownConnection with the nearest name."""
    visible = access.visible_to(user)
    found = (
        visible.select_related("signing_key", "staged_signing_key", "previous_signing_key")
        .filter(name=name)
        .first()
    )
    if found is not None:
        return found
    # That a name is unknown is told only to those from whom nothing is hidden. To others a hidden connection and none
    # look the same; else trying names would tell which there are.
    if not access.sees_all(user):
        raise access.denied(deed, name)
    near = difflib.get_close_matches(name, list(visible.values_list("name", flat=True)), n=1, cutoff=0.5)
    raise UnknownConnection(name, suggestion=near[0] if near else None)
