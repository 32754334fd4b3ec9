"""Revoking tokens from the admin's lists: it asks first, as deleting does."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from ..models import AccessToken
from ..presentation.telling import do_all
from ..services import operations
from .choosing import chosen_again

_CONFIRMED = "revoke_confirmed"


def revoke(
    model_admin: admin.ModelAdmin[Any],
    request: HttpRequest,
    chosen: QuerySet[Any],
    rows: QuerySet[AccessToken],
) -> TemplateResponse | None:
    """The page that asks; once confirmed nothing but messages. `chosen` are the lines of the list, `rows` their tokens."""
    stored = list(rows.filter(value__isnull=False).select_related("connection"))
    if _CONFIRMED in request.POST or not stored:
        _revoke_all(request, stored)
        return None
    context = {
        **model_admin.admin_site.each_context(request),
        **chosen_again(request, chosen),
        "title": _("Revoke tokens?"),
        "opts": model_admin.opts,
        "media": model_admin.media,
        "rows": stored,
        "confirmed": _CONFIRMED,
    }
    return TemplateResponse(request, "admin/sf_integration/revoke_confirmation.html", context)


def _revoke_all(request: HttpRequest, rows: Iterable[AccessToken]) -> None:
    if not rows:
        messages.info(request, _("There is no token to revoke."))
    do_all(request, [partial(_revoked, row, request.user) for row in rows])


def _revoked(row: AccessToken, actor: Any) -> operations.Outcome:
    return operations.revoke(row.connection, actor=actor, username=None if row.is_own else row.username)
