"""simple-salesforce over a shared token that renews itself. Needs the extra `simple-salesforce`."""

from __future__ import annotations

import datetime as dt
from collections.abc import MutableMapping
from typing import Any

import requests
from simple_salesforce import Salesforce  # type: ignore[attr-defined]
from simple_salesforce.exceptions import SalesforceError as LibraryError
from simple_salesforce.exceptions import SalesforceExpiredSession, SalesforceMalformedRequest
from simple_salesforce.metadata import SfdcMetadataApi

from .. import (
    InvalidInput,
    QueryCursorLost,
    SalesforceAuth,
    SessionExpired,
    Token,
    TransportError,
    get_client,
    get_token,
)
from ..api import at_instance, same_origin

DEFAULT_TIMEOUT_SECONDS = 60.0
"""Of silence. The library has none, so that a call to a dead host would wait for ever."""

_CURSOR_LOST = "INVALID_QUERY_LOCATOR"
_BULK_SESSION_HEADER = "X-SFDC-Session"
_BULK_STATUSES = (400, 401)
"""400 is what clients see; 401 is what it ought to be."""
_TRUST_INSTANCE_FOR = dt.timedelta(minutes=1)
_SIGN_IN_OPTIONS = {
    "password", "security_token", "session_id", "instance", "instance_url", "organizationId", "domain", "consumer_key",
    "consumer_secret", "privatekey_file", "privatekey",
}  # fmt: skip


class _AlsoTheLibrarys(LibraryError):
    """Lets an error of ours be one of the library's, too, with our text and the attributes that its handlers look at."""

    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)

    def __str__(self) -> str:
        return Exception.__str__(self)

    def take_over(self, url: str, status: int, content: Any) -> None:
        self.url, self.status, self.resource_name, self.content = url.partition("?")[0], status, "", content


class SessionRefused(SessionExpired, _AlsoTheLibrarys, SalesforceExpiredSession):
    """The org refused the session, and the renewed one too. The library's own handlers of an ended session catch it."""

    def __init__(self, response: requests.Response) -> None:
        super().__init__(
            "the session has ended, and the one that was made anew was refused, too. Something ends the sessions of this "
            "user as they begin: an admin, a login flow or a session policy of the org.",
            status_code=response.status_code,
            error_code="INVALID_SESSION_ID",
        )
        self.take_over(response.url, response.status_code, response.text)


class CursorLost(QueryCursorLost, _AlsoTheLibrarys, SalesforceMalformedRequest):
    """The rest of a query can no longer be fetched; start it again. The library's own handlers catch it."""

    def __init__(self, error: SalesforceMalformedRequest) -> None:
        super().__init__(
            "the next page of the query is gone; start the query again.",
            status_code=error.status,
            error_code=_CURSOR_LOST,
        )
        self.take_over(error.url, error.status, error.content)


class _Auth(SalesforceAuth):
    """For the whole of the library: also for Bulk API, and for an object that goes on when the org has moved."""

    def __init__(self, name: str | None, *, username: str | None) -> None:
        super().__init__(name, username=username)
        self._instances: set[str] = set()
        """Where the API answered so far. The library knows only the first."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        super().__call__(request)
        request.hooks["response"].append(self._judge)
        return request

    def token(self) -> Token:
        return get_token(self._name, username=self._username)

    def sign(self, request: requests.PreparedRequest, token: Token) -> None:
        self._instances.add(token.instance_url)
        if any(same_origin(request.url or "", known) for known in self._instances):
            request.url = at_instance(request.url or "", token.instance_url)
        super().sign(request, token)
        if _BULK_SESSION_HEADER in request.headers:
            request.headers[_BULK_SESSION_HEADER] = token.value

    def session_has_ended(self, response: requests.Response) -> bool:
        return (
            super().session_has_ended(response)
            or _bulk_session_has_ended(response)
            or (response.is_redirect and self._may_have_moved())
        )

    def _may_have_moved(self) -> bool:
        """Only a new sign-in tells where to; a redirect that goes on and on must not cost one per call."""
        return dt.datetime.now(dt.UTC) - self.token().issued_at > _TRUST_INSTANCE_FOR

    def _judge(self, response: requests.Response, **_: Any) -> requests.Response:
        """The answer, after the one replay if there was any. Raises SessionRefused or TransportError."""
        if response.is_redirect:
            # Followed, it would be a GET, whatever it was.
            raise TransportError(
                "The org's address redirects the call elsewhere, which is not followed. Use the My Domain URL as login URL.",
                code="redirected",
                status_code=response.status_code,
            )
        if response.history and self.session_has_ended(response):
            raise SessionRefused(response)
        return response


def _bulk_session_has_ended(response: requests.Response) -> bool:
    """Bulk API has a shape of its own for errors, in JSON or XML."""
    return (
        response.status_code in _BULK_STATUSES
        and "/services/async/" in response.url
        and b"InvalidSessionId" in response.content
    )


class _Session(requests.Session):
    def __init__(self, timeout_seconds: float) -> None:
        super().__init__()
        self._timeout_seconds = timeout_seconds

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs.setdefault("timeout", self._timeout_seconds)
        return super().request(*args, **kwargs)


class _Salesforce(Salesforce):
    def __init__(self, auth: _Auth, **options: Any) -> None:
        super().__init__(session_id="managed", **options)
        self._auth = auth

    def query_more(self, *args: Any, **kwargs: Any) -> Any:
        """As the library's; when the cursor is lost, as it may be with the session that opened it, raises CursorLost."""
        try:
            return super().query_more(*args, **kwargs)
        except SalesforceMalformedRequest as exc:
            if _CURSOR_LOST not in str(exc.content):
                raise
            raise CursorLost(exc) from exc

    def query_all(self, *args: Any, **kwargs: Any) -> Any:
        """As the library's; started again, once, when the cursor is lost: nobody has seen a row yet."""
        try:
            return super().query_all(*args, **kwargs)
        except CursorLost:
            return super().query_all(*args, **kwargs)

    @property
    def mdapi(self) -> SfdcMetadataApi:
        """The metadata API, anew each time: it copies the token into its SOAP bodies, where nobody could renew it."""
        self.restful("")  # finds out whether the session has ended
        token = self._auth.token()
        return SfdcMetadataApi(
            session=self.session,
            session_id=token.value,
            instance=self.sf_instance,
            metadata_url=at_instance(self.metadata_url, token.instance_url),
            api_version=self.sf_version,
            headers=self.headers,
        )


def connect(
    name: str | None = None,
    *,
    username: str | None = None,
    session: requests.Session | None = None,
    proxies: MutableMapping[str, str] | None = None,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    **options: Any,
) -> Salesforce:
    """A `simple_salesforce.Salesforce` of the connection; `options` are its own arguments, such as `version`.

    No sign-in of its own: each request takes the shared token, and one that finds its session ended is replayed once with a
    new one. Refused again, it raises SessionRefused. Raises as `get_token` does, here and in mid-life. May be shared by
    threads; `session.close()` lets go of its sockets.

    session: one of your own, for this object only; then proxies and time-outs are yours, too.
    timeout_seconds: of silence, for calls without a `timeout`.
    """
    if refused := sorted(_SIGN_IN_OPTIONS & options.keys()):
        raise InvalidInput(
            f"connect() takes no {', '.join(refused)}: the connection signs in, and knows its instance."
        )
    if session is None:
        session = _Session(timeout_seconds)
        session.proxies.update(proxies or {})
    elif proxies is not None:
        raise InvalidInput("Give the proxies to your session, as session.proxies.")
    elif session.auth is not None:
        raise InvalidInput("The session signs its calls already: give each connection a session of its own.")
    auth = _Auth(name, username=username)
    token = auth.token()
    if not token.instance_url.startswith("https://"):
        raise InvalidInput(
            f"simple-salesforce speaks https only, and the API answers at {token.instance_url}. Start the stand-in with TLS."
        )
    version = options.pop("version", None) or get_client(name, username=username).api_version
    session.auth = auth
    return _Salesforce(auth, instance_url=token.instance_url, session=session, version=version, **options)
