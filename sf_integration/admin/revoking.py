"""Revoking tokens from the admin's lists: it asks first, as deleting does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse

from ..models import AccessToken
from ..services import operations
from ..services.operations import Outcome

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
        "title": "Revoke tokens?",
        "opts": model_admin.opts,
        "media": model_admin.media,
        "rows": stored,
        "chosen": chosen.values_list("pk", flat=True),
        "checkbox": ACTION_CHECKBOX_NAME,
        "confirmed": _CONFIRMED,
    }
    return TemplateResponse(request, "admin/sf_integration/revoke_confirmation.html", context)


def tell(request: HttpRequest, outcome: Outcome) -> None:
    level = messages.SUCCESS if outcome.done else messages.ERROR
    messages.add_message(request, level, f"{outcome.sentence} {outcome.advice}".strip())


def _revoke_all(request: HttpRequest, rows: Iterable[AccessToken]) -> None:
    if not rows:
        messages.info(request, "There is no token to revoke.")
    for row in rows:
        username = None if row.is_own else row.username
        tell(request, operations.revoke(row.connection, actor=request.user, username=username))
