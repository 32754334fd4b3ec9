"""What a message says: plain text, in the language and time zone of the site, complete without a click."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings as django_settings
from django.urls import NoReverseMatch, reverse
from django.utils import timezone, translation
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..conf import settings
from ..models import Alarm
from ..state import ConnectionState
from .matters import Member

Kind = Alarm.Kind
RAISED, LOUDER, ENDED = "raised", "louder", "ended"
AT_LENGTH = 20
"""So many alarms of one message are told with cause and remedy; the others with a line."""
_IN_A_LINE = 200
_NAMED = 20
_LONGEST_SUBJECT = 200
_LONGEST_LINE = 500


@dataclass(frozen=True)
class Item:
    """What one recipient is told of one alarm."""

    change: str
    alarm: Alarm
    members: Sequence[Member]
    """Of its connections, those that this recipient may know of."""
    before: Mapping[UUID, Sequence[str]] = field(default_factory=dict)
    """What happened to each connection just before."""


def compose(items: Sequence[Item], now: dt.datetime) -> tuple[str, str]:
    """Subject and body."""
    with translation.override(django_settings.LANGUAGE_CODE), timezone.override(None):
        ordered = sorted(items, key=_urgency)
        return _cut(f"{_prefix()} {_subject(ordered, now)}", _LONGEST_SUBJECT), "\n".join(_body(ordered, now))


def tone(items: Sequence[Item]) -> str:
    """How bad the worst of it is, in the words of Apprise."""
    present = [item for item in items if item.change != ENDED]
    if not present:
        return "success"
    return "warning" if all(item.alarm.kind in Alarm.MILD for item in present) else "failure"


def headline(alarm: Alarm, *, count: int | None = None) -> str:
    """The alarm in a few words, whatever it came to. `count`: how many of its connections the reader knows of."""
    number = alarm.count if count is None else count
    words = {
        Kind.CONNECTION: _("%(title)s fails"),
        Kind.HOST: ngettext(
            "%(title)s does not answer: %(number)s connection",
            "%(title)s does not answer: %(number)s connections",
            number,
        ),
        Kind.ATTENTION: _("%(title)s needs attention"),
        Kind.CERTIFICATE: _("The certificate of the signing key %(title)s %(ends)s"),
        Kind.ENCRYPTION_KEY: ngettext(
            "%(title)s is missing: %(number)s connection",
            "%(title)s is missing: %(number)s connections",
            number,
        ),
        Kind.SCHEDULER: _("%(title)s is silent"),
    }
    ends = alarm.facts.get("ends", "")
    return plain(
        words[Kind(alarm.kind)] % {"title": plain(alarm.title), "number": f"{number:,}", "ends": ends}
    )


def ending(alarm: Alarm) -> str:
    """As `headline`, of what is over."""
    words = {
        Kind.CONNECTION: _("%(title)s works again"),
        Kind.HOST: _("%(title)s answers again"),
        Kind.ATTENTION: _("%(title)s needs no attention any more"),
        Kind.CERTIFICATE: _("The certificate of the signing key %(title)s is renewed or replaced"),
        Kind.ENCRYPTION_KEY: _("%(title)s is not missing any more"),
        Kind.SCHEDULER: _("%(title)s works again"),
    }
    return plain(words[Kind(alarm.kind)] % {"title": plain(alarm.title)})


def link(alarm: Alarm, members: Sequence[Member]) -> str:
    """Where to click here; empty where the site has no such page, or doesn't tell its address."""
    try:
        there = path(alarm, [member.name for member in members])
    except NoReverseMatch:
        return ""
    return settings.SITE_URL + there if settings.SITE_URL else ""


def path(alarm: Alarm, names: Sequence[str]) -> str:
    """Of the page about it; `names`: of its connections. Raises NoReverseMatch."""
    if alarm.kind in (Kind.CONNECTION, Kind.ATTENTION) and names:
        return reverse("sf_integration:detail", args=[names[0]])
    if alarm.kind == Kind.CERTIFICATE:
        return reverse("sf_integration:rotation", args=[alarm.about])
    query = {}
    if alarm.kind == Kind.HOST:
        query = {"state": slugify(ConnectionState.FAILING.value), "host": alarm.about}
    return reverse("sf_integration:list") + (f"?{urlencode(query)}" if query else "")


def plain(text: str, longest: int = _LONGEST_LINE) -> str:
    """On one line, without what steers a terminal or a mail: texts come from orgs and from people."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return _cut(" ".join(printable.split()), longest)


def _prefix() -> str:
    return _("[Salesforce connections]")


def _urgency(item: Item) -> tuple[int, int, str]:
    """News first, the end last; attention and certificates after what does not work."""
    changes = (RAISED, LOUDER, ENDED)
    return changes.index(item.change), item.alarm.kind in Alarm.MILD, item.alarm.title


def _subject(items: Sequence[Item], now: dt.datetime) -> str:
    if len(items) == 1:
        return _title(items[0], now)
    ended = sum(item.change == ENDED for item in items)
    alarms, names = len(items) - ended, ", ".join(dict.fromkeys(plain(item.alarm.title) for item in items))
    told = [ngettext("%d alarm", "%d alarms", alarms) % alarms] if alarms else []
    told += [_("%d over") % ended] if ended else []
    return f"{', '.join(told)}: {names}"


def _title(item: Item, now: dt.datetime) -> str:
    if item.change == ENDED:
        return _("Over: %s") % ending(item.alarm)
    told = headline(item.alarm, count=len(item.members))
    if item.change == LOUDER and item.alarm.kind != Kind.CERTIFICATE:
        days = (now - item.alarm.since).days
        return told + ngettext(" for %d day now", " for %d days now", days) % days
    return told


def _body(items: Sequence[Item], now: dt.datetime) -> Iterator[str]:
    for number, item in enumerate(items[:AT_LENGTH]):
        if number:
            yield from ("", "-" * 40, "")
        yield _title(item, now)
        yield from (_over(item, now) if item.change == ENDED else _trouble(item))
        yield from _connections(item)
        if href := link(item.alarm, item.members):
            yield href
    if rest := items[AT_LENGTH:]:
        yield from ("", "-" * 40, "", _("Told without details:"))
        yield from (f"- {_title(item, now)}" for item in rest[:_IN_A_LINE])
        if len(rest) > _IN_A_LINE:
            yield _("and %d more") % (len(rest) - _IN_A_LINE)
    yield from ("", "-- ", _footer())


def _trouble(item: Item) -> Iterator[str]:
    facts, alarm = item.alarm.facts, item.alarm
    if alarm.kind != Kind.CERTIFICATE:
        yield _("Since: %s") % _moment(alarm.since)
    yield ""
    for words, name in (
        (_("Cause: %s"), "cause"),
        (_("Who must act: %s"), "who"),
        (_("What to do: %s"), "remedy"),
        (_("Where to click: %s"), "where"),
        (_("Code: %s"), "code"),
    ):
        if told := plain(str(facts.get(name) or "")):
            yield words % told
    yield from _before(item)
    yield ""


def _before(item: Item) -> Iterator[str]:
    changed = [(member, item.before.get(member.pk, ())) for member in item.members]
    if alike := [(member, lines) for member, lines in changed if lines]:
        yield _("Just before:")
        for member, lines in alike:
            name = f"{member.name}: " if len(item.members) > 1 else ""
            yield from (f"- {name}{plain(line)}" for line in lines)


def _over(item: Item, now: dt.datetime) -> Iterator[str]:
    ended = item.alarm.calm_since or now
    yield _("It began %(since)s and ended %(ended)s.") % {
        "since": _moment(item.alarm.since),
        "ended": _moment(ended),
    }
    yield ""


def _connections(item: Item) -> Iterator[str]:
    if item.alarm.kind in (Kind.CONNECTION, Kind.ATTENTION):
        yield from (line for member in item.members for line in _connection(member))
        return
    names = [member.name for member in item.members]
    if names:
        rest = len(names) - _NAMED
        shown = ", ".join(names[:_NAMED]) + (_(" and %d more") % rest if rest > 0 else "")
        yield _("Connections: %s") % shown


def _connection(member: Member) -> Iterator[str]:
    """Which org and which user it is that somebody has to look at."""
    if label := plain(member.label):
        yield _("Connection: %(label)s (%(name)s)") % {"label": label, "name": member.name}
    yield _("Org: %(host)s, %(environment)s") % {
        "host": plain(member.host),
        "environment": member.environment,
    }
    yield _("Salesforce user: %s") % plain(member.username)


def _footer() -> str:
    where = settings.SITE_URL or _("this site")
    return _("Told by %s, to its contacts and those of the connections named.") % where


def _moment(at: dt.datetime) -> str:
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M %Z}"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
