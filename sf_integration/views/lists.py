"""All connections: the page and the same as JSON."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.text import slugify

from .. import access
from ..models import ConnectedApp, ConnectedAppQuerySet
from ..state import ConnectionState
from . import facts
from .gate import signed_in

PAGE_SIZE = 50
_BY_SLUG = {slugify(state.value): state for state in ConnectionState}


@dataclass(frozen=True)
class Chip:
    """A filter by state, with how many there are."""

    word: str
    slug: str
    count: int
    href: str
    current: bool
    colour: str = "plain"


@signed_in
def index(request: HttpRequest) -> HttpResponse:
    """The connections, sick first."""
    searched = request.GET.get("q", "").strip()[:100]
    chosen = _BY_SLUG.get(request.GET.get("state", ""))
    found = _search(access.visible_to(request.user), searched)
    counts = dict(found.with_state().order_by().values_list("state").annotate(Count("pk")))  # type: ignore[misc]
    rows = found.sick_first().select_related("signing_key").defer("signing_key__certificate", "notes")
    if chosen:
        rows = rows.filter(state=chosen.value)  # type: ignore[misc]
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    now = timezone.now()
    context = {
        "page": page,
        "rows": [facts.Summary.of(connection, now) for connection in page],
        "chips": _chips(counts, searched, chosen),
        "total": sum(counts.values()),
        "searched": searched,
        "chosen": slugify(chosen.value) if chosen else "",
        "page_links": _page_links(page, searched, chosen),
        "may_manage": access.may(request.user, access.Act.MANAGE_KEYS),
        "scheduler": facts.scheduler_note(now),
        "unfinished": list(access.own_drafts(request.user)[:5]),
    }
    return render(request, "sf_integration/list.html", context)


@signed_in
def health_json(request: HttpRequest) -> JsonResponse:
    """As `manage.py salesforce list --json`, with ages. Always 200: how sick the connections are is in the body."""
    now = timezone.now()
    rows = access.visible_to(request.user).sick_first().select_related("signing_key")
    return JsonResponse([_as_json(connection, now) for connection in rows], safe=False)


def _as_json(connection: ConnectedApp, now: dt.datetime) -> dict[str, Any]:
    return {
        **connection.summary(now),
        "seconds_since_check": _seconds_since(connection.last_checked_at, now),
        "seconds_since_success": _seconds_since(connection.last_success_at, now),
        "seconds_failing": _seconds_since(connection.failing_since, now),
        "certificate_days": connection.signing_key.days_left(now),
    }


def _seconds_since(moment: dt.datetime | None, now: dt.datetime) -> int | None:
    return None if moment is None else max(round((now - moment).total_seconds()), 0)


def _search(rows: ConnectedAppQuerySet, text: str) -> ConnectedAppQuerySet:
    for word in text.split():
        rows = rows.filter(
            Q(name__icontains=word)
            | Q(label__icontains=word)
            | Q(username__icontains=word)
            | Q(login_url__icontains=word)
            | Q(organization__name__icontains=word)
        )
    return rows


def _chips(counts: dict[str, int], searched: str, chosen: ConnectionState | None) -> list[Chip]:
    chips = [Chip("All", "", sum(counts.values()), _href(searched, None), chosen is None)]
    for slug, state in _BY_SLUG.items():
        if counts.get(state.value) or state is chosen:
            count = counts.get(state.value, 0)
            chips.append(
                Chip(state.value, slug, count, _href(searched, state), state is chosen, state.colour)
            )
    return chips


def _page_links(page: Any, searched: str, chosen: ConnectionState | None) -> list[dict[str, Any]]:
    """Number and address of the pages around this one; without an address where some are left out."""
    return [
        {
            "number": number,
            "href": _href(searched, chosen, number) if isinstance(number, int) else "",
            "current": number == page.number,
        }
        for number in page.paginator.get_elided_page_range(page.number, on_each_side=2, on_ends=1)
    ]


def _href(searched: str, chosen: ConnectionState | None, page: int = 1) -> str:
    query = {
        "q": searched,
        "state": slugify(chosen.value) if chosen else "",
        "page": page if page > 1 else "",
    }
    return "?" + urlencode({name: value for name, value in query.items() if value})
