"""Filters of the admin's lists, as inputs in one form above the list: they combine, and need no JavaScript."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..state import CERTIFICATE_STAGES

UNKNOWN = "unknown"
_ENDED = "ended"

Choices = Iterable[tuple[str, str | Promise]]


class Option(NamedTuple):
    value: str
    words: str | Promise
    chosen: bool = False


class Filter(admin.SimpleListFilter):
    """An input that one types into; an empty one doesn't count."""

    input_type = "text"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("", "")]  # else Django leaves the filter out

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return self.narrowed(queryset, self.chosen) if self.chosen else queryset

    def narrowed(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        """Of the rows those that fit `value`; what it can't be fits none."""
        return rows.filter(**{self.parameter_name or "": value})

    @property
    def chosen(self) -> str:
        return (self.value() or "").strip()


class Choice(Filter):
    """A list to choose from."""

    input_type = "select"

    def choices_for(self, request: HttpRequest) -> Choices:
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        self.found = [(value, str(words)) for value, words in self.choices_for(request)]
        return super().lookups(request, model_admin)

    def narrowed(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        return self.fitting(rows, value) if value in dict(self.found) else rows.none()

    def fitting(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        return super().narrowed(rows, value)

    @property
    def options(self) -> list[Option]:
        return [
            Option("", _("all"), not self.chosen),
            *(Option(value, words, value == self.chosen) for value, words in self.found),
        ]


class Day(Filter):
    """One day, in the time zone of the page."""

    title = gettext_lazy("day")
    parameter_name = "day"
    input_type = "date"

    def narrowed(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        try:
            day = dt.date.fromisoformat(value)
            begins, ends = (
                timezone.make_aware(dt.datetime.combine(each, dt.time()))
                for each in (day, day + dt.timedelta(days=1))
            )
        except (ValueError, OverflowError):
            return rows.none()
        # By its ends, not by its date: an index on the moment serves this.
        return rows.filter(at__gte=begins, at__lt=ends)


class YesNo(Choice):
    """Of the boolean field `parameter_name`."""

    words: tuple[str | Promise, str | Promise] = (gettext_lazy("yes"), gettext_lazy("no"))

    def choices_for(self, request: HttpRequest) -> Choices:
        return [("1", self.words[0]), ("0", self.words[1])]

    def fitting(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        return super().fitting(rows, value == "1")  # type: ignore[arg-type]


class ByCertificate(Choice):
    """By the end of a certificate, the date in `field`."""

    title = gettext_lazy("certificate")
    parameter_name = "certificate"
    field = ""

    def choices_for(self, request: HttpRequest) -> Choices:
        within = [(str(days), _("ends within %d days") % days) for days in CERTIFICATE_STAGES if days > 1]
        return [(_ENDED, _("has ended")), *reversed(within), (UNKNOWN, _("end unknown"))]

    def fitting(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        now = timezone.now()
        if value == UNKNOWN:
            return rows.filter(**{self.field: None})
        if value == _ENDED:
            return rows.filter(**{f"{self.field}__lt": now})
        return rows.filter(**{f"{self.field}__range": (now, now + dt.timedelta(days=int(value)))})


def by_id(rows: QuerySet[Any], **condition: str) -> QuerySet[Any]:
    """As `filter`, of an id that somebody may have mistyped."""
    try:
        return rows.filter(**condition)
    except ValidationError:
        return rows.none()
