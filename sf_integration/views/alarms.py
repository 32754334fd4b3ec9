"""What people are told of: alarms open and over, and whether the messages about them went out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch
from django.utils import timezone
from django.utils.translation import gettext as _

from .. import access
from ..access import Deed
from ..alarms import contacts, seeing, texts, trial
from ..alarms.seeing import Seen
from ..conf import settings
from ..models import Alarm, AlarmMessage
from ..presentation import facts
from ..presentation.problems import Shown
from ..salesforce.errors import SalesforceError
from .gate import allowed

PAGE_SIZE = 25
OF_LATE = dt.timedelta(days=14)
_MOST_ENDED = 25
_MOST_MESSAGES = 25
_MOST_UNUSABLE = 10
_NAMED = 5
seeing_alarms = allowed(Deed.SEE_ALARMS)
managing = allowed(Deed.MANAGE_ALARMS)


@dataclass(frozen=True)
class Row:
    """An alarm on the page."""

    alarm: Alarm
    title: str
    href: str
    names: str
    """Of its connections."""
    since: dt.datetime | None
    """None: a certificate ends on a day that is told anyway."""
    colour: str
    icon: str
    problem: Shown

    @classmethod
    def of(cls, seen: Seen) -> Row:
        alarm = seen.alarm
        over, mild = alarm.ended_at is not None, alarm.kind in Alarm.MILD
        return cls(
            alarm=alarm,
            title=texts.ending(alarm) if over else texts.headline(alarm, count=len(seen.names)),
            href=_href(seen),
            names=_named(seen),
            since=None if alarm.kind == Alarm.Kind.CERTIFICATE else alarm.since,
            colour="good" if over else "warn" if mild else "bad",
            icon="check" if over else "alert" if mild else "cross",
            problem=Shown.of_facts(alarm.facts),
        )


@dataclass(frozen=True)
class Recipient:
    name: str
    kind: str
    tags: str


@seeing_alarms
def index(request: HttpRequest) -> HttpResponse:
    """Open ones first, then those over of late; messages for those who may manage alarms and see every connection."""
    now, alarms = timezone.now(), seeing.told_alarms().defer("told")
    still = seeing.visible(request.user, alarms.filter(ended_at=None).order_by("-raised_at"))
    over = alarms.filter(ended_at__gt=now - OF_LATE).order_by("-ended_at")[: 10 * _MOST_ENDED]
    still.sort(key=lambda seen: seen.alarm.kind in Alarm.MILD)  # what does not work comes first
    page = Paginator(still, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": [Row.of(each) for each in page],
        "ended": [Row.of(each) for each in seeing.visible(request.user, over)[:_MOST_ENDED]],
        "scheduler": facts.scheduler_note(now),
        "may_manage": access.may(request.user, Deed.MANAGE_ALARMS),
    }
    return render(request, "sf_integration/alarms.html", context | _for_managers(request.user))


@managing
def test(request: HttpRequest) -> HttpResponse:
    """Send a test to all that the settings name."""
    if request.method == "POST":
        try:
            tried = trial.send_test(actor=request.user)
        except SalesforceError as error:
            messages.error(request, str(error))
        else:
            for each in tried:
                _tell(request, each)
    return redirect("sf_integration:alarms")


def _tell(request: HttpRequest, tried: trial.Tried) -> None:
    if tried.problem:
        told = {"target": tried.target, "problem": _(tried.problem)}
        messages.error(request, _("%(target)s: not sent, %(problem)s.") % told)
    else:
        messages.success(request, _("%(target)s: sent. Look whether it has arrived.") % vars(tried))


def _for_managers(user: Any) -> dict[str, object]:
    """Messages name connections, so they are for those from whom none is hidden."""
    if not access.may(user, Deed.MANAGE_ALARMS):
        return {}
    shown: dict[str, object] = {
        "recipients": list(_recipients()),
        "mail_is_set_up": contacts.mail_is_set_up(),
        "unusable": list(contacts.unusable(access.visible_to(user), most=_MOST_UNUSABLE)),
    }
    if access.sees_all(user):
        unsent = Q(sent_at=None)
        shown["messages_of_late"] = [
            *AlarmMessage.objects.filter(unsent).order_by("-created_at")[:_MOST_MESSAGES],
            *AlarmMessage.objects.exclude(unsent).order_by("-sent_at")[:_MOST_MESSAGES],
        ][:_MOST_MESSAGES]
    return shown


def _recipients() -> Iterator[Recipient]:
    for address in contacts.site_addresses():
        yield Recipient(address, _("mail"), "")
    for name, channel in settings.ALARM_CHANNELS.items():
        yield Recipient(name, _("channel"), ", ".join(channel.tags))


def _named(seen: Seen) -> str:
    shown = ", ".join(seen.names[:_NAMED])
    rest = len(seen.names) - _NAMED
    return _("%(names)s and %(rest)d more") % {"names": shown, "rest": rest} if rest > 0 else shown


def _href(seen: Seen) -> str:
    try:
        return texts.path(seen.alarm, seen.names)
    except NoReverseMatch:
        return ""
