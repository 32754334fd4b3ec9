"""The small repeated things of the pages: times, state pills, icons."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django import template
from django.template import Context
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..access import Deed, may
from ..presentation.times import distance
from ..salesforce import diagnosis
from ..services.api_keys import ClientState
from ..state import ConnectionState

register = template.Library()

# Drawn on a grid of 16 by 16 with round strokes. In the page and not in a file: a static host of another origin could
# not serve them to <use>.
_ICONS = {
    "brand": '<path d="M5 12.2a3 3 0 0 1-.3-6 3.8 3.8 0 0 1 7.3-.5 3.3 3.3 0 0 1-.7 6.5z"/><path d="m6 8.9 1.5 1.5 2.7-2.9"/>',
    "check": '<circle cx="8" cy="8" r="6.2"/><path d="m5.2 8.2 2 2 3.6-4.1"/>',
    "cross": '<circle cx="8" cy="8" r="6.2"/><path d="m5.8 5.8 4.4 4.4m0-4.4-4.4 4.4"/>',
    "alert": '<path d="M8 2.2 14.4 13.4H1.6z"/><path d="M8 6.4v3.2"/><path d="M8 11.6v.01"/>',
    "lock": '<rect x="3" y="7" width="10" height="6.5" rx="1.2"/><path d="M5.2 7V5.2a2.8 2.8 0 0 1 5.6 0V7"/>',
    "barred": '<circle cx="8" cy="8" r="6.2"/><path d="m3.8 3.8 8.4 8.4"/>',
    "pause": '<circle cx="8" cy="8" r="6.2"/><path d="M6.4 5.8v4.4m3.2-4.4v4.4"/>',
    "question": '<circle cx="8" cy="8" r="6.2"/><path d="M6.2 6.4a1.9 1.9 0 1 1 2.5 1.8c-.5.2-.7.5-.7 1"/><path d="M8 11.3v.01"/>',
    "clock": '<circle cx="8" cy="8" r="6.2"/><path d="M8 4.6V8l2.2 1.5"/>',
    "dash": '<path d="M4.5 8h7"/>',
    "play": '<circle cx="8" cy="8" r="6.2"/><path d="M6.7 5.6v4.8L10.4 8z"/>',
    "search": '<circle cx="7" cy="7" r="4.4"/><path d="m10.3 10.3 3.4 3.4"/>',
    "renew": '<path d="M13 8a5 5 0 1 1-1.5-3.6"/><path d="M13.3 2.6v2.6h-2.6"/>',
    "pen": '<path d="m3 13 .6-2.8 7.3-7.3 2.2 2.2-7.3 7.3z"/>',
    "info": '<circle cx="8" cy="8" r="6.2"/><path d="M8 7.4v3.4"/><path d="M8 5.2v.01"/>',
    "copy": '<rect x="5.6" y="5.6" width="7.8" height="7.8" rx="1.2"/><path d="M10.4 5.4V3.8a1.2 1.2 0 0 0-1.2-1.2H3.8a1.2 1.2 0 0 0-1.2 1.2v5.4a1.2 1.2 0 0 0 1.2 1.2h1.6"/>',
    "elsewhere": '<path d="M9 2.8h4.2V7m0-4.2L7.4 8.6"/><path d="M11.2 9.4v2.8a1 1 0 0 1-1 1H3.8a1 1 0 0 1-1-1V5.8a1 1 0 0 1 1-1h2.8"/>',
    "download": '<path d="M8 2.6v7m-3-2.7 3 3 3-3"/><path d="M3 13.2h10"/>',
}
_STATE_ICONS = {
    ConnectionState.FAILING: "cross",
    ConnectionState.NEEDS_ATTENTION: "alert",
    ConnectionState.ENCRYPTION_KEY_MISSING: "lock",
    ConnectionState.NOT_ALLOWED_HERE: "barred",
    ConnectionState.PAUSED: "pause",
    ConnectionState.NOT_CHECKED_YET: "question",
    ConnectionState.IDLE: "clock",
    ConnectionState.HEALTHY: "check",
}
CLIENT_STATES = {
    ClientState.ACTIVE: ("good", "check", _("active")),
    ClientState.EXPIRES_SOON: ("warn", "alert", _("expires soon")),
    ClientState.EXPIRED: ("bad", "cross", _("expired")),
    ClientState.REVOKED: ("mute", "barred", _("revoked")),
}
"""Colour, icon and word."""
_STEP_ICONS = {"ok": "check", "warning": "alert", "failed": "cross", "not_reached": "dash"}
_STEP_WORDS = {
    "ok": _("passed"),
    "warning": _("warning"),
    "failed": _("failed"),
    "not_reached": _("not reached"),
}


@dataclass(frozen=True)
class SiteLink:
    """One place of the site's navigation."""

    href: str
    words: str
    current: str
    """For aria-current: `page`, or `true` for a page somewhere below; else empty."""


_SITE = (
    ("sf_integration:list", _("Connections")),
    ("sf_integration:alarms", _("Alarms")),
    ("sf_integration:keys", _("Signing keys")),
    ("sf_integration:audit", _("Audit")),
    ("sf_integration:explain", _("Explain an error")),
    ("sf_integration:guide", _("Guide")),
    ("admin:index", _("Admin")),
)


@register.simple_tag(takes_context=True)
def site_links(context: Context) -> list[SiteLink]:
    """Where the reader may go. Error pages have neither reader nor request."""
    user, request = context.get("user"), context.get("request")
    if user is None or not may(user, Deed.LIST):
        return []
    hrefs = {name: href for name, _words in _SITE if (href := _address(name)) and _is_for(user, name)}
    path = request.path if request else ""
    here = max((href for href in hrefs.values() if path.startswith(href)), key=len, default="")
    return [
        SiteLink(hrefs[name], str(words), "" if hrefs[name] != here else "page" if here == path else "true")
        for name, words in _SITE
        if name in hrefs
    ]


def _is_for(user: Any, name: str) -> bool:
    if name == "sf_integration:audit":
        return may(user, Deed.SEE_AUDIT)
    return user.is_staff or not name.startswith("admin:")


def _address(name: str) -> str:
    """Empty in a site that lacks the page."""
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""


@register.simple_tag
def icon(name: str) -> SafeString:
    """One icon, hidden from screen readers: a word always stands beside it."""
    return mark_safe(  # noqa: S308 - constants of this module
        '<svg class="sf-icon" viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor" '
        'stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">'
        f"{_ICONS[name]}</svg>"
    )


@register.filter
def breakable(username: str) -> SafeString:
    """In a narrow column it breaks after its @, rather than anywhere."""
    return format_html_join(mark_safe("@<wbr>"), "{}", ([part] for part in username.split("@")))


@register.simple_tag
def state_pill(state: ConnectionState | str) -> SafeString:
    """A connection's state as colour, icon and word; of a word that this release doesn't know, the word."""
    known = state if isinstance(state, ConnectionState) else ConnectionState.named(state)
    if known is None:
        return format_html('<span class="sf-pill sf-mute">{}{}</span>', icon("question"), state)
    return format_html(
        '<span class="sf-pill sf-{}" title="{}">{}{}</span>',
        known.colour,
        gettext(known.meaning),
        icon(_STATE_ICONS[known]),
        gettext(known.value),
    )


@register.simple_tag
def client_pill(state: ClientState | str) -> SafeString:
    """An API client's state as colour, icon and word."""
    colour, mark, word = CLIENT_STATES[ClientState(state)]
    return format_html('<span class="sf-pill sf-{}">{}{}</span>', colour, icon(mark), word)


@register.simple_tag
def step_mark(status: str) -> SafeString:
    """The outcome of one step of a check, as icon and word."""
    return format_html(
        '<span class="sf-mark sf-mark-{}">{}<span>{}</span></span>',
        status,
        icon(_STEP_ICONS.get(status, "question")),
        _STEP_WORDS.get(status, status),
    )


@register.simple_tag
def code_link(code: str, said: str = "") -> SafeString:
    """An error's code, leading to its entry in the catalogue's page. `said`: what stood beside it."""
    found = diagnosis.explain(code, said)
    page = _address("sf_integration:explain") if found.code else ""
    if not page:
        return format_html("<code>{}</code>", code)
    return format_html('<a href="{}#{}"><code>{}</code></a>', page, found.anchor, code)


@register.simple_tag
def when(moment: dt.datetime | None, exact: bool = False, never: str = "") -> SafeString | str:
    """How long ago, or in how long; the exact time with its zone in the title, with `exact` before it."""
    if moment is None:
        return never or gettext("never")
    local = timezone.localtime(moment)
    age, full = distance(moment, timezone.now()), date_format(local, "j M Y, H:i:s T")
    if exact:
        return format_html(
            '<time datetime="{}">{} <span class="sf-quiet">· {}</span></time>', local.isoformat(), full, age
        )
    return format_html('<time datetime="{}" title="{}">{}</time>', local.isoformat(), full, age)
