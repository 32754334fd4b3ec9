"""The facade for other Django code: tokens and clients by the name of a connection.

`connections` has the plain calls, `asynchronous` those for async code, `threads` where these wait, `auth` what signs the calls
of other HTTP libraries.

This package is imported by the root, before Django's apps are ready; so whatever needs Django is imported inside the
functions. Nowhere else.
"""

from __future__ import annotations

from ..salesforce.http import require_same_origin, same_origin
from .asynchronous import AsyncClient, aget_client, aget_token, arenew_token
from .auth import SalesforceAuth, at_instance, session_has_ended
from .connections import default_name, get_client, get_token, renew_token

__all__ = [
    "AsyncClient",
    "SalesforceAuth",
    "aget_client",
    "aget_token",
    "arenew_token",
    "at_instance",
    "default_name",
    "get_client",
    "get_token",
    "renew_token",
    "require_same_origin",
    "same_origin",
    "session_has_ended",
]
