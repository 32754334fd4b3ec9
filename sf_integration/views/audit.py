"""The audit trail: the newest first, narrowed by what the address asks for, and as a file."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ..access import Deed
from ..models import AuditEvent, ConnectedApp
from ..presentation.filters import Removable
from ..presentation.timeline import Place, Window
from ..services import trail
from ..services.trail import Question
from .gate import allowed
from .streams import streamed

PAGE_SIZE = 50
_NO_DAY = {"invalid": _("Give a day, as 2026-11-22.")}


class Day(forms.DateInput):
    input_type = "date"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%d")

    def format_value(self, value: Any) -> str:
        """Browsers complain about what can't be read."""
        try:
            return str(dt.date.fromisoformat(str(value)))
        except ValueError:
            return ""


class Filters(forms.Form):
    """What the address of the page asks for; nothing: all."""

    actor = forms.CharField(label=_("Who"), required=False, max_length=150)
    act = forms.ChoiceField(label=_("Did what"), required=False)
    connection = forms.CharField(label=_("To what"), required=False, max_length=150)
    username = forms.CharField(label=_("Salesforce user"), required=False, max_length=255)
    since = forms.DateField(label=_("From"), required=False, widget=Day, error_messages=_NO_DAY)
    until = forms.DateField(label=_("To"), required=False, widget=Day, error_messages=_NO_DAY)
    before = forms.CharField(required=False, widget=forms.HiddenInput)
    after = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        self.fields["act"].choices = [("", _("anything")), *((act, act) for act in trail.acts())]  # type: ignore[attr-defined]

    def clean_since(self) -> dt.datetime | None:
        return _midnight(self.cleaned_data["since"])

    def clean_until(self) -> dt.datetime | None:
        """The end of that day."""
        return _midnight(self.cleaned_data["until"], days=1)

    def clean_before(self) -> Place | None:
        return Place.read(self.cleaned_data["before"])

    def clean_after(self) -> Place | None:
        return Place.read(self.cleaned_data["after"])

    @property
    def question(self) -> Question:
        return Question(
            **{name: self.cleaned_data.get(name) or default for name, default in vars(Question()).items()}
        )

    @property
    def window(self) -> Window:
        return Window(self.cleaned_data.get("before"), self.cleaned_data.get("after"), PAGE_SIZE)

    @property
    def asked(self) -> dict[str, str]:
        """What narrows, as the address has it."""
        return {name: text for name in vars(Question()) if (text := self.data.get(name, ""))}


def _midnight(day: dt.date | None, *, days: int = 0) -> dt.datetime | None:
    """In the reader's time zone."""
    if day is None:
        return None
    if not 1 < day.year < dt.MAXYEAR:  # in another time zone there may be no such day
        raise ValidationError(_NO_DAY["invalid"])
    return timezone.make_aware(dt.datetime.combine(day + dt.timedelta(days=days), dt.time()))


@dataclass(frozen=True)
class Row:
    event: AuditEvent
    names: str
    href: str
    """Of the connection, if there is one of this id."""
    to_actor: str
    to_act: str
    to_subject: str
    """Addresses of the page narrowed to these, too."""


@allowed(Deed.SEE_AUDIT)
def index(request: HttpRequest) -> HttpResponse:
    filters = Filters(request.GET)
    is_good = filters.is_valid()
    window, events = filters.window, trail.matching(filters.question, actor=request.user)
    found = window.of(events) if is_good else []
    shown, is_cut = found[:PAGE_SIZE], len(found) > PAGE_SIZE
    if window.after:
        shown.reverse()
    newer = is_cut if window.after else window.before is not None
    older = is_cut or window.after is not None
    context = {
        "filters": filters,
        "rows": _rows(shown, filters),
        "removable": _removable(filters),
        "newer": _href(filters, after=_place(shown[0])) if shown and newer else "",
        "older": _href(filters, before=_place(shown[-1])) if shown and older else "",
        "newest": _href(filters),
        "asked": filters.asked,
        "kinds": [*trail.KINDS],
        "only_visible": not request.user.is_superuser,
    }
    return render(request, "sf_integration/audit.html", context)


@allowed(Deed.EXPORT_AUDIT)
def events(request: HttpRequest, kind: str) -> HttpResponseBase:
    """A file that is written as its rows are read. It leaves a trace, so whoever comes by GET is led to the page."""
    if kind not in trail.KINDS:
        raise Http404("Files are made as csv and as json.")
    filters = Filters(request.POST if request.method == "POST" else request.GET)
    if request.method != "POST" or not filters.is_valid():
        return redirect(f"{reverse('sf_integration:audit')}{_href(filters)}")
    content_type, written = trail.KINDS[kind]
    name = f"audit-{timezone.now():%Y%m%dT%H%M%SZ}.{kind}"
    return streamed(
        request,
        written(trail.export(filters.question, actor=request.user)),
        content_type=content_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _rows(events: list[AuditEvent], filters: Filters) -> list[Row]:
    ids = {event.subject_id for event in events if event.subject_id}
    there: dict[UUID | None, str] = dict(ConnectedApp.objects.filter(pk__in=ids).values_list("pk", "name"))
    return [
        Row(
            event,
            ", ".join(event.fields),
            reverse("sf_integration:detail", args=[there[event.subject_id]])
            if event.subject_id in there
            else "",
            _href(filters, actor=event.actor),
            _href(filters, act=event.act),
            _href(filters, connection=there.get(event.subject_id, event.subject)),
        )
        for event in events
    ]


def _removable(filters: Filters) -> list[Removable]:
    return [
        Removable(f"{_label(filters, name)}: {text}", _href(filters, **{name: ""}))
        for name, text in filters.asked.items()
    ]


def _label(filters: Filters, name: str) -> str | Promise:
    return filters.fields[name].label or name


def _place(event: AuditEvent) -> str:
    return str(Place(event.at, event.pk))


def _href(filters: Filters, **other: str) -> str:
    """The page with these filters, some of them changed; at the newest unless a place is among them."""
    wanted = {name: text for name, text in (filters.asked | other).items() if text}
    return f"?{urlencode(wanted)}"
