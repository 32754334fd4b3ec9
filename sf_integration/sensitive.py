"""Views that are given secrets: no debug page and no mail to admins shows what was typed."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.debug import SafeExceptionReporterFilter, get_exception_reporter_filter
from django.views.decorators.debug import sensitive_post_parameters

_View = Callable[..., HttpResponseBase]


class AlwaysSafe(SafeExceptionReporterFilter):
    """Django's own hides nothing while DEBUG is on, which is when its page is seen, and shows addresses with a password in them."""

    hidden_settings = re.compile(
        rf"{SafeExceptionReporterFilter.hidden_settings.pattern}"
        "|(BROKER|DATABASE|CACHE|REDIS|PROXY)_URL|CHANNELS|SIGNERS|LOCATION|COOKIE",
        re.IGNORECASE,
    )

    def is_active(self, request: HttpRequest | None) -> bool:
        return True


def takes_secret_inputs(*names: str) -> Callable[[_View], _View]:
    """For a view whose request brings secrets under these names."""

    def decorate(view: _View) -> _View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not isinstance(get_exception_reporter_filter(request), AlwaysSafe):
                request.exception_reporter_filter = AlwaysSafe()
            return view(request, *args, **kwargs)

        return sensitive_post_parameters(*names)(guarded)

    return decorate
