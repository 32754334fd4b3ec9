"""All connections: the page and the same as JSON."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.paginator import Page
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from .. import access
from ..health import report
from ..health.outages import host_of
from ..models import ConnectedApp, ConnectedAppQuerySet, SigningKey
from ..presentation import facts, meters
from ..presentation.filters import CERTIFICATES, ENVIRONMENTS, STATES, Filters
from ..presentation.meters import Meter
from ..presentation.outages import Outage, is_part, outages
from ..presentation.paging import IdsFirst
from ..presentation.strips import Strip, strips_of
from ..services import tagging
from ..state import ConnectionState
from .gate import signed_in

PAGE_SIZE = 25
_NOT_SHOWN = ("signing_key__certificate", "notes", "our_contacts", "org_contacts")
_GROUPS: tuple[tuple[str | Promise, str, tuple[ConnectionState, ...]], ...] = (
    (_("not working"), "bad", (ConnectionState.FAILING, ConnectionState.ENCRYPTION_KEY_MISSING)),
    (_("working"), "good", (ConnectionState.NEEDS_ATTENTION, ConnectionState.HEALTHY)),
    (
        _("at rest"),
        "mute",
        (
            ConnectionState.NOT_ALLOWED_HERE,
            ConnectionState.PAUSED,
            ConnectionState.NOT_CHECKED_YET,
            ConnectionState.IDLE,
        ),
    ),
)
_COLUMNS: tuple[tuple[str, str | Promise], ...] = (
    ("name", _("Connection")),
    ("", _("State")),
    ("checked", _("Checks of 24 hours")),
    ("org", _("Org and user")),
    ("certificate", _("Certificate")),
)


@dataclass(frozen=True)
class Chip:
    """A filter by state, with how many there are."""

    state: ConnectionState
    count: int
    href: str
    current: bool

    @property
    def shown_count(self) -> str:
        return f"{self.count:,}"


@dataclass(frozen=True)
class Tile:
    """Of several states together, what one reads first."""

    words: str | Promise
    colour: str
    chips: list[Chip]

    @property
    def shown_count(self) -> str:
        return f"{sum(chip.count for chip in self.chips):,}"


@dataclass(frozen=True)
class Column:
    words: str | Promise
    sorting: str
    """For aria-sort; empty for none."""
    href: str


@dataclass(frozen=True)
class Row:
    """A line of the list."""

    summary: facts.Summary
    strip: Strip
    token: Meter | None
    usage: Meter | None
    silent_host: str
    """The login host whose outage, told above, is why it fails."""


@signed_in
def index(request: HttpRequest) -> HttpResponse:
    """The connections, sick first."""
    now = timezone.now()
    visible, filters = access.visible_to(request.user).with_state(now), Filters.of(request.GET.dict())
    in_any_state = filters.in_any_state(visible, now)
    counts = _counts(in_any_state)
    chosen = filters.chosen_state
    found = counts.get(chosen.rank, 0) if chosen else sum(counts.values())
    rows = filters.in_state(in_any_state).select_related("signing_key").defer(*_NOT_SHOWN)
    pages = IdsFirst(rows, PAGE_SIZE)
    pages.count = found  # counted before, by state
    page = pages.get_page(request.GET.get("page"))
    silent = outages(visible)
    context = {
        "filters": filters,
        "page": page,
        "found": f"{found:,}",
        "rows": list(_rows(list(page), {each.host: each for each in silent}, now)),
        "outages": silent,
        "tiles": list(_tiles(counts, filters)),
        "everything": sum(counts.values()),
        "columns": [
            Column(words, *filters.sorting(key)) if key else _by_state(words, filters)
            for key, words in _COLUMNS
        ],
        "environments": ENVIRONMENTS,
        "certificates": CERTIFICATES,
        "tags": tagging.known(visible),
        "page_links": _page_links(page, filters),
        "query": filters.query,
        "may_manage": access.may(request.user, access.Deed.MAKE),
        "may_run": access.may(request.user, access.Deed.CHECK),
        "scheduler": facts.scheduler_note(now),
        "unfinished": list(access.own_drafts(request.user)[:5]),
    }
    return render(request, "sf_integration/list.html", context)


@signed_in
def health_json(request: HttpRequest) -> JsonResponse:
    """As `manage.py salesforce list --json`, with ages. Always 200: how sick the connections are is in the body."""
    now = timezone.now()
    rows = list(access.visible_to(request.user).sick_first().defer("organization", *_NOT_SHOWN[1:]))
    # Many connections share few signing keys, and a sealed one is as long as all the rest of a row.
    keys = SigningKey.objects.defer("certificate").in_bulk({each.signing_key_id for each in rows})
    for each in rows:
        each.signing_key = keys[each.signing_key_id]
    return JsonResponse([report.with_ages(each, now) for each in rows], safe=False)


def _counts(rows: ConnectedAppQuerySet) -> dict[int, int]:
    """By the rank of the state."""
    return dict(rows.order_by().values_list("state_rank").annotate(Count("pk")))  # type: ignore[misc]


def _rows(
    connections: Collection[ConnectedApp], silent: Mapping[str, Outage], now: dt.datetime
) -> Iterator[Row]:
    strips: dict[UUID, Strip] = strips_of([each.pk for each in connections], now)
    tokens = meters.token_lives(connections, now)
    for each in connections:
        summary = facts.Summary.of(each, now)
        is_silent = summary.state is ConnectionState.FAILING and is_part(each, silent)
        yield Row(
            summary=summary,
            strip=strips[each.pk],
            token=tokens.get(each.pk),
            usage=meters.api_usage(each),
            silent_host=host_of(each.login_url) if is_silent else "",
        )


def _tiles(counts: Mapping[int, int], filters: Filters) -> Iterator[Tile]:
    slugs = {state: slug for slug, state in STATES.items()}
    for words, colour, states in _GROUPS:
        chips = [
            Chip(
                state, counts.get(state.rank, 0), filters.href(state="" if current else slugs[state]), current
            )
            for state in states
            if counts.get(state.rank) or state is filters.chosen_state
            for current in [state is filters.chosen_state]
        ]
        yield Tile(words, colour if any(chip.count for chip in chips) else "mute", chips)


def _by_state(words: str | Promise, filters: Filters) -> Column:
    """Sick first, which is the order without any."""
    return Column(words, "" if filters.sort else "other", filters.href(sort=""))


def _page_links(page: Page[Any], filters: Filters) -> list[dict[str, Any]]:
    """Number and address of the pages around this one; without an address where some are left out."""
    return [
        {
            "number": number,
            "href": filters.href(page=number) if isinstance(number, int) else "",
            "current": number == page.number,
        }
        for number in page.paginator.get_elided_page_range(page.number, on_each_side=2, on_ends=1)
    ]
