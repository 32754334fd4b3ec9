"""Access tokens for callers with an HTTP library of their own, and what its answers mean for them."""

from __future__ import annotations

from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.auth import AuthBase
from requests.cookies import RequestsCookieJar

from ..salesforce.answers import raise_for_error
from ..salesforce.errors import SalesforceError, SessionExpired
from ..salesforce.http import BearerAuth, same_origin
from ..salesforce.oauth import Token
from .connections import get_token, renew_token

_NO_COOKIES = DefaultCookiePolicy(allowed_domains=())


class SalesforceAuth(AuthBase):
    """Signs the requests of your own `requests` session, and replays one once when the org has ended the session.

    `session.get(f"{token.instance_url}/services/apexrest/stock", auth=SalesforceAuth("reporting"))`. The token goes to the
    connection's own instance host only: a request elsewhere raises InvalidInput, and a redirect elsewhere goes without it.
    A body that can't be sent twice, such as a generator, is not replayed: the 401 is the answer, and the next call has a
    new token. Cookies are left out, since a session would hand one org's to another.
    """

    def __init__(self, name: str | None = None, *, username: str | None = None) -> None:
        self._name = name
        self._username = username

    def __repr__(self) -> str:
        return f"<SalesforceAuth of {self._name or 'the default connection'}>"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        token = get_token(self._name, username=self._username)
        self.sign(request, token)
        request.headers.pop("Cookie", None)
        request._cookies = RequestsCookieJar(_NO_COOKIES)  # type: ignore[attr-defined]  # a redirect would bring them back
        request.hooks["response"].append(partial(self._answered, token, _position(request.body)))
        return request

    def sign(self, request: requests.PreparedRequest, token: Token) -> None:
        """Put the token where the API looks for it; for subclasses that know of further places."""
        BearerAuth(token.value, token.instance_url)(request)

    def session_has_ended(self, response: requests.Response) -> bool:
        """Whether an answer says that the token's session is over; for subclasses that know of further forms."""
        return session_has_ended(response)

    def _answered(
        self, token: Token, position: int | bool | None, response: requests.Response, **arguments: Any
    ) -> requests.Response:
        request = response.request
        if not _carries(request, token):
            return response  # a redirect took it off: what is said of sessions is not about ours
        if self.session_has_ended(response):
            renewed = renew_token(self._name, self._username, token)
            if renewed.value != token.value and position is not False:
                response = self._replayed(response, renewed, position, **arguments)
        if response.is_redirect and not same_origin(_target(response), response.url):
            _take_off(request, token)
        return response

    def _replayed(
        self, refused: requests.Response, token: Token, position: int | None, **arguments: Any
    ) -> requests.Response:
        refused.close()
        request = refused.request.copy()
        if position is not None:
            request.body.seek(position)  # type: ignore[union-attr]
        request.url = at_instance(request.url or "", token.instance_url)
        self.sign(request, token)
        response: requests.Response = refused.connection.send(request, **arguments)
        response.history.append(refused)
        response.request = request
        return response


def session_has_ended(response: Any) -> bool:
    """Whether an answer, of requests or httpx and read to its end, says that the token's session is over."""
    if response.status_code not in (401, 403):
        return False
    try:
        raise_for_error(response)
    except SessionExpired:
        return True
    except SalesforceError:
        return False
    return False


def at_instance(url: str, instance_url: str) -> str:
    """The same address at an instance, to which the org may have moved."""
    instance = urlsplit(instance_url)
    return urlsplit(url)._replace(scheme=instance.scheme, netloc=instance.netloc).geturl()


def _target(response: requests.Response) -> str:
    return urljoin(response.url, response.headers["Location"])


def _carries(request: requests.PreparedRequest, token: Token) -> bool:
    return any(token.value in str(value) for value in request.headers.values())


def _take_off(request: requests.PreparedRequest, token: Token) -> None:
    """requests does so with one header only, and not for each change of host that we tell apart."""
    for name, value in list(request.headers.items()):
        if token.value in str(value):
            del request.headers[name]


def _position(body: Any) -> int | bool | None:
    """Where a file-like body stands; None for bodies that can be sent again as they are; False for those that can't."""
    if body is None or isinstance(body, (bytes, str)):
        return None
    try:
        position = int(body.tell())
        body.seek(position)
    except (AttributeError, OSError):
        return False
    return position
