"""How long a task waits before its next try; tests/shop has one that outlives an outage."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Task

from sf_integration import QueryCursorLost, RetryableError
from sf_integration.contrib.celery import SalesforceTask

pytestmark = pytest.mark.once


def passing(retry_after: float) -> RetryableError:
    return RetryableError("later", retry_after=retry_after)


@pytest.mark.parametrize(
    ("error", "back_off", "waits"),
    [
        (passing(400), 10, 400),
        (passing(5), 10, 10),
        (passing(5), None, SalesforceTask.default_retry_delay),
        (passing(86_400), 10, 1_500),  # in pieces, as brokers hand a message out again that is held for long
        (passing(86_400), 2_000, 2_000),  # which the task's own numbers settle
        (QueryCursorLost("gone", status_code=400), 10, 10),
    ],
)
def test_the_later_of_what_the_error_says_and_the_back_off(
    error: Exception, back_off: float | None, waits: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(Task, "retry", lambda *arguments, **options: asked.append(arguments))
    SalesforceTask().retry(exc=error, countdown=back_off)
    *_, countdown = asked[0]
    assert countdown == waits
