"""What callers are told: JSON that nobody stores, and errors in one shape."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from typing import Any

from django.db import InterfaceError, InternalError, OperationalError
from django.http import HttpResponse, JsonResponse

from ..salesforce.errors import (
    ApiKeyRefused,
    InvalidInput,
    PermissionMissing,
    RetryableError,
    SalesforceError,
)
from ..salesforce.http import mask
from ..salesforce.problem import problem_of
from ..services.api_keys import API_KEY_PATTERN

log = logging.getLogger("sf_integration.token_api")

_CALLER = "whoever wrote the calling program"
_SITE = "whoever runs this site"
_DATABASE_SECONDS = 5
_API_KEY = re.compile(API_KEY_PATTERN)


class Unacceptable(InvalidInput):
    """A request that can't be read."""

    def __init__(
        self, message: str, *, status: int = 400, code: str, headers: Mapping[str, str] = {}
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers


class TooManyCalls(RetryableError):
    """Of one caller within a minute."""

    code = "too_many_calls"


def answer(body: object, *, status: int = 200, headers: Mapping[str, str] = {}) -> HttpResponse:
    return JsonResponse(body, status=status, safe=False, headers={"Cache-Control": "no-store", **headers})


def of_error(error: Exception) -> HttpResponse:
    match error:
        case SalesforceError():
            return _told(error)
        case OperationalError() | InterfaceError() | InternalError():  # the last: PostgreSQL can only be read
            log.warning("the database did not answer: %s", type(error).__name__)
            return _shaped(
                503,
                "database_unavailable",
                "The database of this site does not answer.",
                who=_SITE,
                retry_after=_DATABASE_SECONDS,
            )
    log.error("a fault of ours", exc_info=error)
    return _shaped(500, "internal_error", "A fault of this site; its log tells more.", who=_SITE)


def _told(error: SalesforceError) -> HttpResponse:
    wait = math.ceil(error.retry_after) if isinstance(error, RetryableError) else None
    status, headers = _status(error)
    if isinstance(error, (InvalidInput, TooManyCalls)):  # of which Salesforce's catalogue knows nothing
        return _shaped(status, error.code, str(error), who=_CALLER, retry_after=wait, headers=headers)
    problem = problem_of(error)
    return _shaped(
        status,
        error.code,
        problem.sentence,
        cause=problem.cause,
        remedy=problem.remedy,
        who=problem.who,
        retry_after=wait,
        headers=headers,
    )


def _status(error: SalesforceError) -> tuple[int, dict[str, str]]:
    """With the headers that belong to it."""
    match error:
        case Unacceptable():
            return error.status, {**error.headers}
        case InvalidInput():
            return 400, {}
        case ApiKeyRefused():
            # Source: RFC 6750 section 3. It asks for at least one parameter, and for no error where no key was shown.
            shown = "" if error.code == "api_key_missing" else ', error="invalid_token"'
            return 401, {"WWW-Authenticate": f'Bearer realm="Salesforce tokens"{shown}'}
        case PermissionMissing():
            return 403, {}
        case TooManyCalls():
            return 429, {}
        case RetryableError():
            return 503, {}
    return 409, {}


def _shaped(
    status: int,
    code: str,
    message: str,
    *,
    cause: str = "",
    remedy: str = "",
    who: str = "",
    retry_after: int | None = None,
    headers: Mapping[str, str] = {},
) -> HttpResponse:
    body: dict[str, Any] = {
        "error": code,
        "message": _harmless(message),
        "cause": _harmless(cause),
        "remedy": remedy,
        "who": who,
        "retry_after": retry_after,
    }
    wait = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return answer(body, status=status, headers={**headers, **wait})


def _harmless(text: str) -> str:
    """Names that the caller sent are repeated: who mixes up the fields should not find a secret in a log."""
    return _API_KEY.sub("[API key hidden]", mask(text))
