"""What an answer of the REST and identity endpoints stands for.

Three forms of refusal: a JSON array `[{"message", "errorCode", "fields"?}]`, bare words, and HTML of whatever stands between.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from . import diagnosis
from .errors import ApiError, ApiUnavailable, NotFound, QueryCursorLost, SessionExpired, TransportError
from .http import Answer, excerpt, mask

_LONGEST_MESSAGE = 4000
"""Several lines of a query may be in it; yet it is stored with every check, and shown."""
_DAILY_LIMIT_SECONDS = 3600.0
"""It frees up hour by hour."""
_WAIT_SECONDS = {
    "REQUEST_LIMIT_EXCEEDED": 30.0,  # of calls that run at once: those that count take 20 s and more
    "QUERY_TIMEOUT": 60.0,
    "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE": 600.0,
}
"""Of what passes, where more than a few seconds make sense."""


def raise_for_error(response: requests.Response) -> None:
    """Raise what an answer of 400 or more stands for; nothing for the others."""
    status = response.status_code
    if status < 400:
        return
    text = response.content.strip()
    if status == 403 and text.startswith(b"Bad_OAuth_Token"):
        raise _refusal(status, "Session expired or invalid", code="Bad_OAuth_Token")
    wait = _told_wait(response.headers)
    is_post = response.request is not None and response.request.method == "POST"
    if not text or text[:1] not in b"[{":
        raise _unstructured(response, wait, is_post)
    raise refusal(status, json_of(response), wait=wait, is_post=is_post)


def refusal(status: int, data: object, *, wait: float | None = None, is_post: bool = False) -> ApiError:
    """The exception for a refusal of the REST API, also for one of many records or parts, as if it came alone.

    `wait`: seconds that the host asked for. Which refusals pass by themselves is the catalogue's knowledge.
    """
    first = data[0] if isinstance(data, list) and data else data
    if not isinstance(first, dict):
        first = {}
    # In the result of one record of many, the code is called a status code.
    code = mask(str(first.get("errorCode") or first.get("statusCode") or first.get("error") or ""))[:80]
    message = mask(str(first.get("message") or first.get("error_description") or "no message"))[
        :_LONGEST_MESSAGE
    ]
    named = first.get("fields")
    fields = tuple(str(field) for field in named) if isinstance(named, list) else ()
    return _refusal(status, message, code=code, fields=fields, wait=wait, is_post=is_post)


def _refusal(
    status: int,
    message: str,
    *,
    code: str,
    fields: tuple[str, ...] = (),
    wait: float | None = None,
    is_post: bool = False,
) -> ApiError:
    found = diagnosis.explain(code or f"http_{status}", message)
    facts: dict[str, Any] = {"status_code": status, "error_code": code, "fields": fields}
    if found is not diagnosis.UNKNOWN:
        facts |= {"cause": found.cause, "remedy": found.remedy, "who": found.who}
    if diagnosis.session_has_ended(status, code, message):
        return SessionExpired(message, **facts)
    if code == "INVALID_QUERY_LOCATOR":
        return QueryCursorLost(message, **facts)
    if _passes(status, code, found, is_post):
        return ApiUnavailable(message, retry_after=wait or _usual_wait(code, found), **facts)
    return (NotFound if status == 404 else ApiError)(message, **facts)


def _passes(status: int, code: str, found: diagnosis.Diagnosis, is_post: bool) -> bool:
    """Whether the same call can succeed later, and may be made again."""
    if is_post and (status in (500, 502, 504) or code == "UNKNOWN_EXCEPTION"):
        return False  # it may have been carried out before the fault
    return found.retryable or status == 429 or status >= 500


def _usual_wait(code: str, found: diagnosis.Diagnosis) -> float:
    return _DAILY_LIMIT_SECONDS if found.kind == "rate" else _WAIT_SECONDS.get(code, 5.0)


def _told_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds of `Retry-After`, between one and a day; None where there is none. Source: RFC 9110 section 10.2.3."""
    told = headers.get("Retry-After", "").strip()
    try:
        if re.fullmatch(r"\d{1,9}", told, re.ASCII):
            seconds = float(told)
        else:
            seconds = parsedate_to_datetime(told).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 1.0), 86_400.0)


def _unstructured(
    response: requests.Response, wait: float | None, is_post: bool
) -> ApiError | TransportError:
    status, text = response.status_code, excerpt(response.content)
    if status >= 500 or status == 420 or "html" in response.headers.get("Content-Type", ""):
        return TransportError(
            f"The org answered {status} and no JSON: “{text}”",
            code=f"http_{status}",
            status_code=status,
            retry_after=wait or 5.0,
        )
    return _refusal(status, text, code=f"http_{status}", wait=wait, is_post=is_post)


def json_of(response: requests.Response) -> Any:
    """The decoded body. Raises TransportError when it is not JSON."""
    return _answer(response).json()


def clock_skew_seconds(response: requests.Response, now: float) -> float | None:
    """As `Answer.clock_skew_seconds`."""
    return _answer(response).clock_skew_seconds(now)


def _answer(response: requests.Response) -> Answer:
    return Answer(response.status_code, response.headers, response.content)
