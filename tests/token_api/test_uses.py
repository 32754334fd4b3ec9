from __future__ import annotations

import datetime as dt
import os
import threading
import uuid

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from sf_integration.models import AuditEvent
from sf_integration.services.api_keys import Grant
from sf_integration.token_api.uses import Use, Uses

pytestmark = pytest.mark.django_db(transaction=True)
NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)


@pytest.fixture
def use() -> Use:
    return Use("API client shop", Grant(uuid.uuid4(), "acme", "a@acme.example"), "a@acme.example")


@pytest.fixture
def uses():
    uses = Uses()
    yield uses
    uses.forget()


def counts() -> list[int]:
    return [event.count for event in AuditEvent.objects.order_by("at")]


def test_the_first_of_a_minute_is_written_at_once_and_the_others_once_it_is_over(uses, use):
    for second in range(5):
        uses.note(use, NOON + second * SECOND)
    assert counts() == [1]
    uses.note(use, NOON + 60 * SECOND)
    assert counts() == [5, 1]
    uses.tell()
    assert counts() == [5, 1]
    event = AuditEvent.objects.order_by("at").first()
    assert (event.at, event.actor, event.subject, event.act) == (NOON, use.caller, "acme", "took token")


def test_what_is_only_counted_is_told_at_the_end_of_the_minute_by_itself(uses, use, monkeypatch):
    late = timezone.now() - 60 * SECOND
    monkeypatch.setattr(threading, "Timer", lambda seconds, tell: _Timer(0.05, tell))
    uses.note(use, late)
    uses.note(use, late)
    _Timer.last.join(5)
    assert counts() == [2]


_RealTimer = threading.Timer


class _Timer(_RealTimer):
    last: _Timer

    def start(self) -> None:
        type(self).last = self
        super().start()


def test_processes_tell_of_a_minute_in_one_event(use):
    """Whichever is first, and both at once."""
    together = threading.Barrier(4)

    def process() -> None:
        uses = Uses()
        together.wait()
        uses.note(use, NOON)
        uses.note(use, NOON)
        uses.tell()
        uses.forget()
        connection.close()

    threads = [threading.Thread(target=process) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts() == [8]


def test_counts_wait_for_a_database_that_is_down(uses, use):
    uses.note(use, NOON)
    uses.note(use, NOON)

    def refuse(*_: object) -> None:
        raise OperationalError

    with connection.execute_wrapper(refuse), pytest.raises(OperationalError):
        uses.note(use, NOON + 60 * SECOND)
    uses.note(use, NOON + 61 * SECOND)
    assert counts() == [2, 1]


def test_counts_that_wait_are_added_to_those_that_came_meanwhile(uses, use):
    uses.note(use, NOON)
    uses.note(use, NOON)

    def refuse(*_: object) -> None:
        uses._untold[use, NOON] = 1  # of another thread, whose call took that long
        raise OperationalError

    with connection.execute_wrapper(refuse), pytest.raises(OperationalError):
        uses.tell()
    uses.tell()
    assert counts() == [3]


def test_a_forked_child_does_not_tell_what_its_parent_will(use):
    from sf_integration.token_api import uses as module

    module.note(use)
    module.note(use)
    child = os.fork()
    if child == 0:
        os._exit(len(module._of_this_process._untold))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    module.forget()
