"""An act on many connections: whether it may begin, and the way to the page that tells how far it has come."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import tasks
from ..models import ConnectedAppQuerySet
from ..services import selected
from .filters import Filters


def problem(count: int) -> str:
    """Why an act on so many can't begin; empty when it can."""
    if not count:
        return _("Nothing was chosen: tick connections first.")
    if count > selected.MOST:
        return _(
            "%(count)s connections are more than the %(most)s that go at once: filter the list first."
        ) % {
            "count": f"{count:,}",
            "most": f"{selected.MOST:,}",
        }
    return ""


def begin(request: HttpRequest, act: str, rows: ConnectedAppQuerySet, filters: Filters) -> HttpResponse:
    """Hand it to the worker, and lead to the page that tells how far it has come; `filters` are those to come back to."""
    try:
        asked = selected.ask(act, rows, actor=request.user, send=tasks.begin_selected.delay)
    except selected.NotSent:
        messages.error(
            request,
            _(
                "Nothing was done: the message broker that leads to the Celery worker does not answer. Start it, or "
                "press the buttons on the connections' own pages, which need no worker."
            ),
        )
        return to_list(filters)
    if asked.left_out:
        messages.warning(
            request,
            ngettext(
                "%(count)d was left out: it is paused, or may not be called here.",
                "%(count)d were left out: they are paused, or may not be called here.",
                asked.left_out,
            )
            % {"count": asked.left_out},
        )
    if not asked.count:
        return to_list(filters)
    where = {"began": asked.began.isoformat(), "query": filters.query}
    return redirect(f"{reverse('sf_integration:selected')}?{urlencode(where)}")


def to_list(filters: Filters) -> HttpResponse:
    return redirect(f"{reverse('sf_integration:list')}{filters.href()}")
