"""The messages that rounds have written: claimed, sent outside any transaction, tried again, given up after a day.

What stood still for longer is not sent at all: it is no news, and a copied database would tell the same people once more.

Who is killed between sending and writing has its message sent twice, under the same id; none is lost.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_noop

from ..models import AlarmMessage
from .contacts import MAIL
from .delivery import Deliverer, Letter, NotSent

log = logging.getLogger("sf_integration.alarms")

CLAIM = dt.timedelta(minutes=3)
"""Longer than one delivery takes at worst."""
RETRY_MINUTES = (1, 5, 15, 60)
"""Then hourly."""
GIVE_UP_AFTER = dt.timedelta(hours=24)
OLD_AFTER = GIVE_UP_AFTER + dt.timedelta(hours=1)
"""The last try of a message that was tried all along is no later."""
TOO_OLD = gettext_noop("it was more than a day old when its turn came")
_LOOK_FOR = 100


@dataclass(frozen=True)
class Sent:
    sent: int = 0
    failed: int = 0

    def __add__(self, other: Sent) -> Sent:
        return Sent(self.sent + other.sent, self.failed + other.failed)


def send_due(now: dt.datetime | None = None, *, seconds: float = 40) -> Sent:
    """What is due, the oldest first, for about so long. `now` is for tests: else each is judged by the time of its turn."""
    _let_go_of_old(now or timezone.now())
    ends, deliverer, total = time.monotonic() + seconds, Deliverer(), Sent()
    try:
        for message in _due(deliverer, now):
            if time.monotonic() > ends:
                break
            if not deliverer.is_down(message.target) and _claim(message, now or timezone.now()):
                total += _send(message, deliverer, now)
    finally:
        deliverer.close()
    return total


def _let_go_of_old(now: dt.datetime) -> None:
    old = _waiting(now).filter(created_at__lt=now - OLD_AFTER)
    if count := old.update(next_try_at=None, problem=TOO_OLD):
        log.error("alarm messages not sent, given up: %d, each more than a day old", count)


def _due(deliverer: Deliverer, now: dt.datetime | None) -> Iterator[AlarmMessage]:
    """A look at some after the other; those of a way that is down stay where they are."""
    while found := [*_reachable(deliverer, now or timezone.now()).order_by("next_try_at")[:_LOOK_FOR]]:
        yield from found


def _reachable(deliverer: Deliverer, now: dt.datetime) -> QuerySet[AlarmMessage]:
    waiting = _waiting(now).exclude(target__in=deliverer.down)
    return waiting.exclude(target__startswith=MAIL) if MAIL in deliverer.down else waiting


def _waiting(now: dt.datetime) -> QuerySet[AlarmMessage]:
    free = Q(claimed_until=None) | Q(claimed_until__lte=now)
    return AlarmMessage.objects.filter(free, next_try_at__lte=now)


def _claim(message: AlarmMessage, now: dt.datetime) -> bool:
    """Only one of several processes wins; the others go on."""
    message.claimed_until = now + CLAIM
    return bool(_waiting(now).filter(pk=message.pk).update(claimed_until=message.claimed_until))


def _send(message: AlarmMessage, deliverer: Deliverer, now: dt.datetime | None) -> Sent:
    letter = Letter(message.pk, message.subject, message.body, message.in_reply_to, message.tone)
    try:
        deliverer.deliver(message.target, letter)
    except NotSent as problem:
        _write(message, **_later(message, str(problem), now or timezone.now()))
        return Sent(failed=1)
    _write(
        message, sent_at=now or timezone.now(), next_try_at=None, attempts=message.attempts + 1, problem=""
    )
    return Sent(sent=1)


def _later(message: AlarmMessage, problem: str, now: dt.datetime) -> dict[str, object]:
    wait = dt.timedelta(minutes=RETRY_MINUTES[min(message.attempts, len(RETRY_MINUTES) - 1)])
    given_up = now + wait > message.created_at + GIVE_UP_AFTER
    log.log(
        logging.ERROR if given_up else logging.WARNING,
        "alarm message %s to %s not sent%s: %s",
        message.pk,
        message.target,
        ", given up" if given_up else "",
        problem,
    )
    return {
        "attempts": message.attempts + 1,
        "next_try_at": None if given_up else now + wait,
        "problem": problem[:200],
    }


def _write(message: AlarmMessage, **changes: object) -> None:
    """Unless its claim lapsed and somebody else has it now."""
    mine = AlarmMessage.objects.filter(pk=message.pk, claimed_until=message.claimed_until)
    mine.update(claimed_until=None, **changes)
