"""A test message, to see that alarms arrive."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from django.conf import settings as django_settings
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from .. import access, audit
from ..access import Deed
from ..conf import settings
from ..models import AuditEvent
from ..salesforce.errors import InvalidInput
from . import contacts, texts
from .contacts import CHANNEL, MAIL
from .delivery import Deliverer, Letter, NotSent

_AT_ONCE = 8
_ACT = "tested alarms"
_MOST_TESTS, _WITHIN = 5, dt.timedelta(minutes=10)
"""Of all people together: whoever may send tests fills nobody's mailbox with them."""


@dataclass(frozen=True)
class Tried:
    target: str
    """As it is called: an address, or the name of a channel."""
    problem: str
    """Empty: it was taken."""


def send_test(*, actor: Any, to: Sequence[str] = ()) -> list[Tried]:
    """To these addresses and channels; to none in particular: all that the settings name. Each is tried at once, none again.

    Raises AccessDenied, and InvalidInput when there is nobody to send to, or too many tests were sent of late.
    """
    access.require(actor, Deed.MANAGE_ALARMS)
    targets = [_target(each) for each in to] or contacts.site_targets()
    if not targets:
        raise InvalidInput(
            _("Nobody is to be told of alarms. Set SF_ALARM_MAIL or SF_ALARM_CHANNELS, or name somebody.")
        )
    _require_rest()
    audit.record(_ACT, actor=actor, count=len(targets))
    subject, body = _words(actor)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda target: _try(target, subject, body), targets))


def _require_rest() -> None:
    if AuditEvent.objects.filter(act=_ACT, at__gt=timezone.now() - _WITHIN).count() >= _MOST_TESTS:
        minutes = _WITHIN // dt.timedelta(minutes=1)
        told = _("%(most)d tests were sent within %(minutes)d minutes: wait a few minutes.")
        raise InvalidInput(told % {"most": _MOST_TESTS, "minutes": minutes})


def _target(given: str) -> str:
    if given in settings.ALARM_CHANNELS:
        return CHANNEL + given
    if contacts.is_address(given):
        return MAIL + given.lower()
    raise InvalidInput(
        f"“{given}” is neither an e-mail address nor the name of a channel that is configured."
    )


def _try(target: str, subject: str, body: str) -> Tried:
    deliverer, problem = Deliverer(), ""
    try:
        deliverer.deliver(target, Letter(uuid4(), subject, body))
    except NotSent as exc:
        problem = str(exc)
    finally:
        deliverer.close()
    return Tried(target.partition(":")[2], problem)


def _words(actor: Any) -> tuple[str, str]:
    with translation.override(django_settings.LANGUAGE_CODE):
        who = texts.plain(actor.get_username())
        return _("[Salesforce connections] Test"), _(
            "This is a test, sent by %(who)s from %(where)s. Nothing is wrong: alarms arrive here."
        ) % {"who": who, "where": settings.SITE_URL or _("this site")}
