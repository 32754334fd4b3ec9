"""Which part of the line of time a page's address asks for."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

PAGE = 60
AFTER_ASKED = dt.timedelta(minutes=5)
"""How much of what came after a moment that was asked for is shown with it."""


class Kind(models.TextChoices):
    """What the line of time can be narrowed to."""

    CHECKS = "checks", gettext_lazy("Checks")
    SIGN_INS = "sign-ins", gettext_lazy("Sign-ins and sessions")
    STATES = "states", gettext_lazy("Changes of state")
    CHANGES = "changes", gettext_lazy("Edits, rotations, pauses")
    USES = "uses", gettext_lazy("Lookups and tokens taken")


@dataclass(frozen=True, order=True)
class Place:
    """Between two entries. Moments may be equal, so the row's key decides with them."""

    at: dt.datetime
    pk: UUID

    def __str__(self) -> str:
        return f"{self.at.astimezone(dt.UTC):%Y%m%dT%H%M%S.%f}-{self.pk.hex}"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """None for no text. Raises ValidationError for what `str` has not made."""
        if not text:
            return None
        try:
            at, _dash, pk = text.partition("-")
            return cls(dt.datetime.strptime(at, "%Y%m%dT%H%M%S.%f").replace(tzinfo=dt.UTC), UUID(pk))
        except ValueError as exc:
            raise ValidationError(_("The address leads to no place in the timeline.")) from exc


@dataclass(frozen=True)
class Window:
    """Which part of the line is wanted: what comes before a place, or what comes after it."""

    before: Place | None = None
    after: Place | None = None
    size: int = PAGE

    def of(self, rows: QuerySet[Any]) -> list[Any]:
        """Its rows of one source, one more than wanted, so that it shows whether there are others."""
        if self.after:
            rows = rows.filter(at__gte=self.after.at).exclude(at=self.after.at, pk__lte=self.after.pk)
            return list(rows.order_by("at", "pk")[: self.size + 1])
        if self.before:
            rows = rows.filter(at__lte=self.before.at).exclude(at=self.before.at, pk__gte=self.before.pk)
        return list(rows.order_by("-at", "-pk")[: self.size + 1])


class MomentInput(forms.DateTimeInput):
    input_type = "datetime-local"

    def format_value(self, value: Any) -> str:
        """In the one form that browsers take; they complain about what can't be read."""
        try:
            moment = parse_datetime(value) if isinstance(value, str) else value
        except ValueError:
            return ""
        return f"{moment:%Y-%m-%dT%H:%M}" if moment else ""


class Question(forms.Form):
    """What the address of the page asks for; nothing: the newest of all."""

    kind = forms.ChoiceField(choices=Kind.choices, required=False, widget=forms.HiddenInput)
    at = forms.DateTimeField(
        label=gettext_lazy("What happened at"),
        required=False,
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"],
        widget=MomentInput,
        error_messages={"invalid": gettext_lazy("Give a day and a time, as 2026-11-22T03:12.")},
    )
    before = forms.CharField(required=False)
    after = forms.CharField(required=False)

    def clean_at(self) -> dt.datetime | None:
        """The whole minute."""
        at: dt.datetime | None = self.cleaned_data["at"]
        if at and not 1 < at.year < dt.MAXYEAR:  # in another time zone there may be no such day
            raise ValidationError(self.fields["at"].error_messages["invalid"])
        return at and at.replace(second=0, microsecond=0)

    def clean_before(self) -> Place | None:
        return Place.read(self.cleaned_data["before"])

    def clean_after(self) -> Place | None:
        return Place.read(self.cleaned_data["after"])

    @property
    def window(self) -> Window:
        told = getattr(self, "cleaned_data", {})
        at = told.get("at")
        before = told.get("before") or (Place(at + AFTER_ASKED, UUID(int=0)) if at else None)
        return Window(before=before, after=told.get("after"))
