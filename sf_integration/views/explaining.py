"""The catalogue of errors, and what a pasted text holds of it. Nothing that is pasted is kept, logged or sent on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from ..access import Deed
from ..forms import WriteOnlyTextarea
from ..presentation.problems import YOURS
from ..salesforce import diagnosis
from ..salesforce.diagnosis import GROUPS, LARGEST_TEXT, Diagnosis
from ..sensitive import takes_secret_inputs
from .gate import allowed

_LARGEST_FORM = 2 * LARGEST_TEXT
"""Bytes; below what Django reads of a form, so that its refusal, which says nothing, is never met."""
_THROWN_AWAY = 50_000_000
"""Bytes of a larger form that are read and dropped: a browser shows no answer while it is still sending."""
_TOO_LARGE = format_lazy(
    gettext_lazy(
        "The text is longer than {largest} characters: paste the part around the error. On the "
        "command line, “manage.py salesforce explain < file” takes all of it."
    ),
    largest=f"{LARGEST_TEXT:,}",
)


class TextForm(forms.Form):
    text = forms.CharField(
        label=gettext_lazy("An error, a log, a traceback or JSON"),
        max_length=LARGEST_TEXT,
        error_messages={"max_length": _TOO_LARGE, "required": gettext_lazy("Paste a text first.")},
        help_text=gettext_lazy(
            "Up to 1 MB. It is looked through here and forgotten: not stored, not logged, not sent on."
        ),
        widget=WriteOnlyTextarea(
            {
                "rows": 7,
                "class": "sf-mono",
                "spellcheck": "false",
                "autocapitalize": "off",
                "autocomplete": "off",
            }
        ),
    )
    # Else the browser's own check would cut a longer text without a word.
    use_required_attribute = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["text"].widget.attrs.pop("maxlength", None)


@dataclass(frozen=True)
class Shelf:
    """A group of the catalogue with those of its entries that were searched for."""

    anchor: str
    title: str
    entries: tuple[Diagnosis, ...]


# Exempt, so that the length is looked at before anybody reads the form; the inner view is protected.
@csrf_exempt
@takes_secret_inputs("text")
@allowed(Deed.READ_GUIDE)
def explain(request: HttpRequest) -> HttpResponse:
    if request.method == "POST" and _length(request) > _LARGEST_FORM:
        _throw_away(request)
        form = TextForm({"text": ""})
        form.errors["text"] = form.error_class([str(_TOO_LARGE)])
        return _page(request, {"form": form}, status=413)
    response: HttpResponse = _explain(request)
    return response


@csrf_protect
def _explain(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        searched = request.GET.get("q", "").strip()[:100]
        return _page(request, {"form": TextForm()} | _catalogue(searched))
    form = TextForm(request.POST)
    if not form.is_valid():
        return _page(request, {"form": form}, status=YOURS)
    text = form.cleaned_data["text"]
    found = diagnosis.explain_text(text)
    said = "" if found else diagnosis.first_words(text)
    return _page(request, {"form": TextForm(), "answered": True, "found": found, "said": said})


def _page(request: HttpRequest, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    unknown = {"login_history": diagnosis.LOGIN_HISTORY}
    return render(request, "sf_integration/explain.html", unknown | context, status=status)


def _catalogue(searched: str) -> dict[str, Any]:
    words = searched.lower().split()
    shelves = [
        Shelf(group.anchor, group.title, tuple(entry for entry in group.entries if _fits(entry, words)))
        for group in GROUPS
    ]
    shown = [shelf for shelf in shelves if shelf.entries]
    count = sum(len(shelf.entries) for shelf in shown)
    return {"catalogue": True, "searched": searched, "shelves": shown, "count": count}


def _fits(entry: Diagnosis, words: list[str]) -> bool:
    parts = (entry.code, entry.fragment, entry.cause, entry.remedy, entry.where, entry.who, *entry.wordings)
    told = " ".join(parts).lower()
    return all(word in told for word in words)


def _length(request: HttpRequest) -> int:
    """Of the body, as announced."""
    announced = request.headers.get("content-length") or ""
    return int(announced) if announced.isdecimal() else 0


def _throw_away(request: HttpRequest) -> None:
    left = _THROWN_AWAY
    while left > 0 and (piece := request.read(65_536)):
        left -= len(piece)
