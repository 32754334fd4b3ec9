"""The REST API over a source of tokens: call, renew once when the session has ended, replay once.

Source: Salesforce REST API Developer Guide.
"""

from __future__ import annotations

from .caller import DEFAULT_TIMEOUT_SECONDS
from .client import Client
from .composite import Part, PartResult, PartResults
from .records import QueryResult, Record
from .saving import SaveResult, UpsertResult
from .sources import FixedToken, TokenSource
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
    "newest_common_version",
    "read_usage",
]
