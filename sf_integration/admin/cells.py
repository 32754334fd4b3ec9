"""What several lists and pages of the admin show in the same way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ..templatetags.sf_integration_tags import when

EMPTY = "—"


def labelled(label: str | Promise, shown: str) -> SafeString:
    """A cell with its label, which phones show in place of the head of the column."""
    return format_html('<span class="sf-cell" data-label="{}"><span>{}</span></span>', label, shown)


def exactly(field: str, words: str | Promise) -> Callable[[Any, Any], str]:
    """The moment in `field`, to the second and with its age, called `words`."""

    @admin.display(description=words, ordering=field)  # type: ignore[arg-type]
    def shown(model_admin: Any, row: Any) -> str:
        return when(getattr(row, field), exact=True, never=EMPTY)

    return shown
