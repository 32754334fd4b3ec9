"""The REST API over a source of tokens: call, renew once when the session has ended, replay once.

Source: Salesforce REST API Developer Guide.
"""

from __future__ import annotations

from .client import DEFAULT_TIMEOUT_SECONDS, Client, FixedToken, TokenSource, clock_skew_seconds
from .composite import Part, PartResult, PartResults
from .records import QueryResult, Record
from .saving import SaveResult, UpsertResult
from .usage import ApiUsage, AppUsage, read_usage
from .versions import NEWEST_API_VERSION, OLDEST_API_VERSION, ApiVersion, newest_common_version

__all__ = [
    "DEFAULT_TIMEOUT_SECONDS",
    "NEWEST_API_VERSION",
    "OLDEST_API_VERSION",
    "ApiUsage",
    "ApiVersion",
    "AppUsage",
    "Client",
    "FixedToken",
    "Part",
    "PartResult",
    "PartResults",
    "QueryResult",
    "Record",
    "SaveResult",
    "TokenSource",
    "UpsertResult",
    "clock_skew_seconds",
    "newest_common_version",
    "read_usage",
]
