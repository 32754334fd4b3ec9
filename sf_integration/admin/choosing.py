"""Rows that were chosen in a list, carried through a page that asks before the act."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest

_ACROSS = "select_across"


def chosen_again(request: HttpRequest, rows: QuerySet[Any]) -> dict[str, Any]:
    """For that page: the inputs that choose the same rows.

    All rows across pages are chosen again as such: their ids would be more inputs than Django takes.
    """
    across = request.POST.get(_ACROSS) == "1"
    ids = rows.order_by().values_list("pk", flat=True)
    return {
        "chosen": ids[:1] if across else ids,
        "checkbox": ACTION_CHECKBOX_NAME,
        "across": _ACROSS if across else "",
        "action": request.POST.get("action", ""),
    }
