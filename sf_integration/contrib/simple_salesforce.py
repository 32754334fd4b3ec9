"""simple-salesforce over a shared token that renews itself. Needs `pip install sf-integration[simple-salesforce]`."""

from __future__ import annotations

from typing import Any

import requests
from simple_salesforce import Salesforce  # type: ignore[attr-defined]

from .. import SalesforceAuth, Token, get_client, get_token

_BULK_SESSION_HEADER = "X-SFDC-Session"


class _Auth(SalesforceAuth):
    """Also fills the header that Bulk API 1 wants the token in."""

    def sign(self, request: requests.PreparedRequest, token: Token) -> None:
        super().sign(request, token)
        if _BULK_SESSION_HEADER in request.headers:
            request.headers[_BULK_SESSION_HEADER] = token.value


def connect(name: str | None = None, *, username: str | None = None, **options: Any) -> Salesforce:
    """A `simple_salesforce.Salesforce` of the connection; `options` are its own arguments.

    No sign-in of its own: each request takes the shared token, and one that finds its session ended is replayed once with a
    new one. Raises as `get_token` does. Its metadata API (`.mdapi`) puts the token into a SOAP body when it is first used, so
    make the object anew for that.
    """
    session = options.pop("session", None) or requests.Session()
    session.auth = _Auth(name, username=username)
    version = options.pop("version", None) or get_client(name, username=username).api_version
    return Salesforce(
        session_id="managed",
        instance_url=get_token(name, username=username).instance_url,
        session=session,
        version=version,
        **options,
    )
