"""Many connections at once: the buttons over the list, and how far what they began has come."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from .. import access
from ..access import Deed
from ..models import ConnectedAppQuerySet
from ..presentation import facts, many
from ..presentation.filters import Filters
from ..services import selected as services
from ..services.selected import CHECK, RENEW, Progress
from ..state import ConnectionState
from .gate import allowed

PAUSE, RESUME = "pause", "resume"
ACTS: dict[str, str | Promise] = {
    CHECK: gettext_lazy("Check now"),
    RENEW: gettext_lazy("Sign in anew"),
    PAUSE: gettext_lazy("Pause"),
    RESUME: gettext_lazy("Resume"),
}
_UNDER_WAY = {CHECK: gettext_lazy("Checking"), RENEW: gettext_lazy("Signing in anew")}
_NAMED = 10
_SHOWN = 50


@transaction.non_atomic_requests
@allowed(Deed.CHECK)
def selected(request: HttpRequest) -> HttpResponse:
    return _act(request) if request.method == "POST" else _progress(request)


# ---- the buttons ----


def _act(request: HttpRequest) -> HttpResponse:
    act, query = request.POST.get("act", ""), request.POST.get("query", "")
    if act not in ACTS:
        raise Http404("There is no such button.")
    filters = Filters.of(QueryDict(query).dict())
    rows = _chosen(request, filters)
    count = rows.count()
    if reason := many.problem(count):
        messages.error(request, reason)
        return many.to_list(filters)
    # Who is sure of some is not of others that the filters find meanwhile.
    if "all" in request.POST and request.POST.get("sure") != str(count):
        return _confirm(request, act, rows, count, filters)
    if act in (PAUSE, RESUME):
        outcome = (services.pause if act == PAUSE else services.resume)(rows, actor=request.user)
        messages.success(request, outcome.sentence)
        return many.to_list(filters)
    return many.begin(request, act, rows, filters)


def _chosen(request: HttpRequest, filters: Filters) -> ConnectedAppQuerySet:
    visible = access.visible_to(request.user)
    if "rest_of" in request.POST:
        progress = _asked_at(request, request.POST["rest_of"])
        return visible.filter(pk__in=progress.left if progress else [])
    if "all" in request.POST:
        return filters.apply(visible, timezone.now())
    return visible.filter(pk__in=_uuids(request.POST.getlist("chosen")))


def _confirm(
    request: HttpRequest, act: str, rows: ConnectedAppQuerySet, count: int, filters: Filters
) -> HttpResponse:
    context = {
        "act": act,
        "words": ACTS[act],
        "count": count,
        "named": rows[:_NAMED],
        "more": max(count - _NAMED, 0),
        "filters": filters,
        "query": filters.query,
    }
    return render(request, "sf_integration/selected_sure.html", context)


# ---- how far it has come ----


def _progress(request: HttpRequest) -> HttpResponse:
    """Told by what stands in the audit trail since that moment."""
    filters = Filters.of(QueryDict(request.GET.get("query", "")).dict())
    progress = _asked_at(request, request.GET.get("began", ""))
    if progress is None:
        return many.to_list(filters)
    now = timezone.now()
    visible = access.visible_to(request.user).filter(pk__in=progress.done)
    done = list(visible.sick_first().select_related("signing_key").defer("signing_key__certificate", "notes"))
    summaries = [facts.Summary.of(each, now) for each in done]
    unwell = [each for each in summaries if each.state is not ConnectionState.HEALTHY]
    context = {
        "words": _UNDER_WAY[progress.act],
        "progress": progress,
        "total": len(progress.ids),
        "done": len(progress.done),
        "left": len(progress.left),
        "is_stuck": progress.is_stuck(now),
        "counts": _counted(summaries),
        "unwell": unwell[:_SHOWN],
        "more": max(len(unwell) - _SHOWN, 0),
        "back": filters.href(),
        "query": filters.query,
    }
    return render(request, "sf_integration/selected.html", context)


def _counted(summaries: Iterable[facts.Summary]) -> list[tuple[ConnectionState, int]]:
    found = [each.state for each in summaries]
    return [(state, found.count(state)) for state in ConnectionState if state in found]


# ---- what came with the request ----


def _uuids(texts: Iterable[str]) -> list[UUID]:
    found = []
    for text in texts:
        try:
            found.append(UUID(text))
        except ValueError:
            continue
    return found


def _asked_at(request: HttpRequest, text: str) -> Progress | None:
    began = _moment(text)
    return Progress.of(request.user, began) if began else None


def _moment(text: str) -> dt.datetime | None:
    try:
        moment = dt.datetime.fromisoformat(text)
        return moment.astimezone(dt.UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
