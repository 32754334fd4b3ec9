"""The twin of SalesforceAuth for httpx. Needs the extra `httpx`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator

import httpx

from .. import Token, aget_token, get_token
from ..api import arenew_token, at_instance, renew_token, require_same_origin, session_has_ended


class SalesforceAuth(httpx.Auth):
    """Signs the requests of your own `httpx.Client` or `httpx.AsyncClient`, and replays one once when the org has ended the
    session.

    `client.get(f"{token.instance_url}/services/apexrest/stock", auth=SalesforceAuth("reporting"))`. The token goes to the
    connection's own instance host only: a request elsewhere raises InvalidInput, and a redirect elsewhere goes without it.
    A body that is streamed is not replayed: the 401 is the answer, and the next call has a new token. Cookies are left out,
    since a client would hand one org's to another; what follows a redirect has them, so give each org a client of its own
    where you let it follow any.
    """

    def __init__(self, name: str | None = None, *, username: str | None = None) -> None:
        self._name = name
        self._username = username

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        token = get_token(self._name, username=self._username)
        response = yield _signed(request, token)
        if not _is_about(token, response):
            return
        response.read()
        if session_has_ended(response):
            renewed = renew_token(self._name, self._username, token)
            if renewed.value != token.value and _can_be_sent_again(request):
                yield _signed(_moved(request, renewed), renewed)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        token = await aget_token(self._name, username=self._username)
        response = yield _signed(request, token)
        if not _is_about(token, response):
            return
        await response.aread()
        if session_has_ended(response):
            renewed = await arenew_token(self._name, self._username, token)
            if renewed.value != token.value and _can_be_sent_again(request):
                yield _signed(_moved(request, renewed), renewed)


def _signed(request: httpx.Request, token: Token) -> httpx.Request:
    require_same_origin(str(request.url), token.instance_url)
    request.headers["Authorization"] = f"Bearer {token.value}"
    request.headers.pop("Cookie", None)
    return request


def _is_about(token: Token, response: httpx.Response) -> bool:
    """Whether it may be a refusal of this token, and not of a request that a redirect took it from."""
    return response.status_code in (401, 403) and token.value in response.request.headers.get(
        "Authorization", ""
    )


def _can_be_sent_again(request: httpx.Request) -> bool:
    """What is in memory; a stream has been read."""
    try:
        request.content  # noqa: B018 - raises
    except httpx.RequestNotRead:
        return False
    return True


def _moved(request: httpx.Request, token: Token) -> httpx.Request:
    request.url = httpx.URL(at_instance(str(request.url), token.instance_url))
    request.headers["Host"] = request.url.netloc.decode("ascii")
    return request
