"""What each answer tells of the calls that the org has left.

Source: REST API Developer Guide, "Limit Info Header".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_USAGE = re.compile(r"(?<![\w-])api-usage=(\d{1,18})/(\d{1,18})(?!\d)")
_OF_APP = re.compile(r"per-app-api-usage=(\d{1,18})/(\d{1,18})\(appName=([^)]{1,200})\)")


@dataclass(frozen=True)
class AppUsage:
    """API calls of one app in the last 24 hours, where the org limits it."""

    app: str
    used: int
    limit: int


@dataclass(frozen=True)
class ApiUsage:
    """API calls of the org in the last 24 hours; the counter lags a little."""

    used: int
    limit: int
    of_app: AppUsage | None = None
    """Of the app that the token belongs to; None where it has no limit of its own."""


def read_usage(header: str) -> ApiUsage | None:
    """`Sforce-Limit-Info: api-usage=25/5000; per-app-api-usage=17/250(appName=sample)` to numbers."""
    found = _USAGE.search(header)
    if not found:
        return None
    app = _OF_APP.search(header)
    of_app = AppUsage(app[3], int(app[1]), int(app[2])) if app else None
    return ApiUsage(int(found[1]), int(found[2]), of_app)
