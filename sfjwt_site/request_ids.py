"""The id of the request that a log line belongs to, also in the tasks that the request gave rise to.

One that came with the request, from a proxy, is kept if it looks like one: it goes into logs and back to the caller.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any

from celery.signals import before_task_publish, task_postrun, task_prerun
from django.core.signals import request_finished
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

from sfjwt_site.logs import request_id

HEADER = "X-Request-ID"
_TASK_HEADER = "request_id"
_WELL_FORMED = re.compile(r"[A-Za-z0-9_-]{8,64}")


def taken(given: object) -> str:
    """What was given if it is an id, else a new one."""
    return given if isinstance(given, str) and _WELL_FORMED.fullmatch(given) else uuid.uuid4().hex


@sync_and_async_middleware
def middleware(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Outermost, so that every line of a request has it. It is there until the last of the answer was sent."""

    def begin(request: HttpRequest) -> str:
        given = taken(request.headers.get(HEADER))
        request_id.set(given)
        return given

    async def answer_later(request: HttpRequest) -> HttpResponse:
        given = begin(request)
        awaited: Awaitable[HttpResponse] = get_response(request)
        response = await awaited
        response[HEADER] = given
        return response

    def answer(request: HttpRequest) -> HttpResponse:
        given = begin(request)
        response: HttpResponse = get_response(request)
        response[HEADER] = given
        return response

    return answer_later if iscoroutinefunction(get_response) else answer


@before_task_publish.connect
def hand_on(headers: dict[str, Any], **_: object) -> None:
    if known := request_id.get():
        headers[_TASK_HEADER] = known


@task_prerun.connect
def take_over(task: Any, **_: object) -> None:
    """What no request gave rise to, as all that beat asks for, gets an id of its own."""
    request_id.set(taken(task.request.get(_TASK_HEADER)))


@receiver(request_finished)
@task_postrun.connect
def forget(**_: object) -> None:
    request_id.set("")
