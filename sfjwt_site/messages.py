"""How a worker takes its messages: what isn't one of ours is refused, where Celery itself would end the worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import Task
from celery.exceptions import InvalidTaskError
from celery.worker import strategy
from kombu.exceptions import DecodeError

MALFORMED = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


class CarefulTask(Task):  # type: ignore[type-arg]
    Strategy = "sfjwt_site.messages:careful"


def careful(task: Any, app: Any, consumer: Any, **options: Any) -> Callable[..., Any]:
    """Celery's way with a message, but any malformed one counts as invalid: it is told in the log, and gone.

    Else the worker would end, and meet the same message again at its next start.
    """
    handle = strategy.default(task, app, consumer, **options)

    def take(message: Any, *arguments: Any, **more: Any) -> Any:
        try:
            return handle(message, *arguments, **more)
        except (InvalidTaskError, DecodeError, *consumer.connection_errors):
            raise
        except MALFORMED as exc:
            raise InvalidTaskError(f"malformed: {type(exc).__name__}") from exc

    return take
