"""What an answer of the REST and identity endpoints stands for.

Three forms of refusal: a JSON array `[{"message", "errorCode", "fields"?}]`, bare words, and HTML of whatever stands between.
"""

from __future__ import annotations

from typing import Any

import requests

from . import diagnosis
from .errors import ApiError, NotFound, QueryCursorLost, SessionExpired, TransportError
from .http import Answer, excerpt, mask

_LONGEST_MESSAGE = 4000
"""Several lines of a query may be in it; yet it is stored with every check, and shown."""


def raise_for_error(response: requests.Response) -> None:
    """Raise what an answer of 400 or more stands for; nothing for the others."""
    status = response.status_code
    if status < 400:
        return
    text = response.content.strip()
    if status == 403 and text.startswith(b"Bad_OAuth_Token"):
        raise SessionExpired("Session expired or invalid", status_code=status, error_code="Bad_OAuth_Token")
    if not text or text[:1] not in b"[{":
        raise _unstructured(status, response)
    data = json_of(response)
    first = data[0] if isinstance(data, list) and data else data
    if not isinstance(first, dict):
        first = {}
    code = mask(str(first.get("errorCode") or first.get("error") or ""))[:80]
    message = mask(str(first.get("message") or first.get("error_description") or "no message"))[
        :_LONGEST_MESSAGE
    ]
    named = first.get("fields")
    fields = tuple(str(field) for field in named) if isinstance(named, list) else ()
    raise _error_class(status, code, message)(message, status_code=status, error_code=code, fields=fields)


def _error_class(status: int, code: str, message: str) -> type[ApiError]:
    if diagnosis.session_has_ended(status, code, message):
        return SessionExpired
    if code == "INVALID_QUERY_LOCATOR":
        return QueryCursorLost
    return NotFound if status == 404 else ApiError


def _unstructured(status: int, response: requests.Response) -> ApiError | TransportError:
    text = excerpt(response.content)
    if status >= 500 or status == 420 or "html" in response.headers.get("Content-Type", ""):
        return TransportError(
            f"The org answered {status} and no JSON: “{text}”", code=f"http_{status}", status_code=status
        )
    return (NotFound if status == 404 else ApiError)(text, status_code=status, error_code=f"http_{status}")


def json_of(response: requests.Response) -> Any:
    """The decoded body. Raises TransportError when it is not JSON."""
    return Answer(response.status_code, response.headers, response.content).json()
