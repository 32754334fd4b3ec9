"""A base class for Celery tasks that call Salesforce."""

from __future__ import annotations

import datetime as dt
from typing import Any

from celery import Task
from celery.exceptions import Retry

from .. import QueryCursorLost, RetryableError

_LONGEST_WAIT_SECONDS = 1_500.0
"""For an error, at a time. A waiting message counts as not taken: brokers hand it out again, so that it runs twice, RabbitMQ
after half an hour and Redis after an hour unless set. Whoever comes too early is told once more to wait."""


class SalesforceTask(Task):  # type: ignore[type-arg]  # of Celery itself, Task takes none
    """Waits out what passes, for nearly three hours on average; what needs a person fails at once.

    `@shared_task(base=SalesforceTask)`; every number here can be given to that too, as Celery's documents have them. A task
    that may not run twice adds `dont_autoretry_for=(OutcomeUnknown,)`.
    """

    autoretry_for = (RetryableError, QueryCursorLost)
    retry_backoff = 5
    retry_backoff_max = 600
    # Celery draws each wait between nothing and the whole back-off: fewer than 25 tries may not outlast an hour.
    max_retries = 40

    def retry(  # type: ignore[override]  # as the stubs have it, but for what this passes on
        self,
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        exc: Exception | None = None,
        throw: bool = True,
        eta: dt.datetime | None = None,
        countdown: float | None = None,
        **options: Any,
    ) -> Retry:
        """As Celery's, but after the error's `retry_after`, of which its back-off knows nothing; a long one in pieces."""
        if isinstance(exc, RetryableError) and eta is None:
            wait = min(exc.retry_after, _LONGEST_WAIT_SECONDS)
            countdown = max(self.default_retry_delay if countdown is None else countdown, wait)
        return super().retry(args, kwargs, exc, throw, eta, countdown, **options)
