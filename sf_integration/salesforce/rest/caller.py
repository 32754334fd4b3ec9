"""Calls of one org's REST API: each with a token, replayed once when its session has ended, its doubts told."""

from __future__ import annotations

import copy
import datetime as dt
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import requests

from ..answers import json_of, raise_for_error
from ..errors import InvalidInput, OutcomeUnknown, SessionExpired, TransportError, about
from ..http import SMALL_ANSWER_MAX_BYTES, BearerAuth, Http, NoAuth
from ..oauth import Token
from .sources import FixedToken, TokenSource
from .usage import ApiUsage, read_usage
from .versions import ApiVersion, newest_common_version, read_versions

DEFAULT_TIMEOUT_SECONDS = 30.0
_TRUST_INSTANCE_FOR = dt.timedelta(minutes=1)
_NOTHING_DONE = (
    "dns_failure",
    "connection_refused",
    "connection_failed",
    "tls_failure",
    "proxy_failure",
    "redirected",
    "http_503",
)
"""Codes of calls that never came to Salesforce, or that it didn't take up; all of `http_4…` besides."""
T = TypeVar("T")


@dataclass
class _Learned:
    """What a client and its copies have been told by the org."""

    api_version: str
    api_usage: ApiUsage | None = None


class Caller:
    """Makes calls; `Client` knows what to ask for. Both are one to who uses them."""

    def __init__(
        self,
        token: Token | TokenSource,
        *,
        api_version: str = "",
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        http: Http | None = None,
        newest_versions: MutableMapping[str, str] | None = None,
        connection: str = "",
    ) -> None:
        self._source: TokenSource = FixedToken(token) if isinstance(token, Token) else token
        self._learned = _Learned(api_version)
        self._timeout_seconds = _positive(timeout_seconds)
        self._owns_http = http is None
        self._http = http or Http()
        self._connection = connection
        self._newest_versions = {} if newest_versions is None else newest_versions

    def __repr__(self) -> str:
        return f"<Client of {self._connection or 'one token'}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._owns_http:
            self._http.close()

    def with_timeout(self, seconds: float) -> Self:
        """The same client with another time-out: `sf.with_timeout(5).query(…)` for one call, or kept for many.

        It shares all else with this one (token, connections, API version, usage), costs about a microsecond and needs
        no closing. So a deadline is told in one way for every call, and none of them needs an argument for it. It holds for
        each call to the org: each page of a query, each 200 records.
        """
        other = copy.copy(self)
        other._timeout_seconds = _positive(seconds)
        other._owns_http = False
        return other

    @property
    def api_version(self) -> str:
        """As given, else the newest that the org and this package know: asked for once, by the first call that needs it."""
        if not self._learned.api_version:
            instance = self.instance_url
            if instance not in self._newest_versions:
                self._newest_versions[instance] = newest_common_version(self.versions())
            self._learned.api_version = self._newest_versions[instance]
        return self._learned.api_version

    def versions(self) -> tuple[ApiVersion, ...]:
        """What the org serves, oldest first. Needs no token, so none is sent."""
        with about(self._connection):
            response = self._http.request(
                "GET",
                self._source.get().instance_url + "/services/data",
                auth=NoAuth(),
                headers={"Accept": "application/json"},
                timeout_seconds=self._timeout_seconds,
                max_bytes=SMALL_ANSWER_MAX_BYTES,
            )
            raise_for_error(response)
            return read_versions(json_of(response))

    @property
    def api_usage(self) -> ApiUsage | None:
        """What the latest answer to this client told, whichever thread or copy asked; None before the first."""
        return self._learned.api_usage

    @property
    def instance_url(self) -> str:
        """Where the org's API answers at present."""
        return self._source.get().instance_url

    def request(
        self, method: str, path: str, *, timeout_seconds: float | None = None, **arguments: Any
    ) -> requests.Response:
        """Any call of the instance. Raises ApiError or TransportError; returns only 2xx, 300 and 304.

        `path` starting with `/` is taken from the instance URL (`/services/apexrest/stock`), else from
        `/services/data/vXX.X/` (`limits`). `arguments` are those of `requests.request`: params, json, data, headers.

        Only a GET is repeated when its answer is lost. A POST that came to no answer raises OutcomeUnknown. All are
        repeated once, with a new token, when the org says that the session has ended: then it did nothing.
        """
        timeout = self._timeout_seconds if timeout_seconds is None else _positive(timeout_seconds)
        with about(self._connection):
            return self._request(method, _within(path), timeout, arguments)

    def request_json(
        self, method: str, path: str, *, timeout_seconds: float | None = None, **arguments: Any
    ) -> Any:
        """What the answer to `request` holds as JSON, None where it holds nothing.

        Raises TransportError for an answer that is no JSON, such as a page of maintenance; OutcomeUnknown if it is to a POST.
        """
        return self._call(method, path, _as_it_is, timeout_seconds=timeout_seconds, **arguments)

    @property
    def _version_path(self) -> str:
        return f"/services/data/v{self.api_version}"

    def _call(self, method: str, path: str, read: Callable[[Any, int], T], **arguments: Any) -> T:
        """As `request`; what `read` makes of the decoded answer (None: an empty one) and its status."""
        response = self.request(method, path, **arguments)
        with about(self._connection), _doubt_told(method):
            try:
                return read(json_of(response) if response.content else None, response.status_code)
            except RecursionError:
                raise TransportError("The answer is nested too deep.", code="malformed_answer") from None

    def _request(
        self, method: str, path: str, timeout: float, arguments: dict[str, Any]
    ) -> requests.Response:
        token = self._source.get()
        position = False if arguments.get("files") else _position(arguments.get("data"))
        try:
            return self._send(token, method, path, timeout, arguments)
        except (SessionExpired, TransportError) as exc:
            if not _asks_for_new_token(exc, token):
                raise
            renewed = self._source.renew(token)
            has_moved = renewed.instance_url != token.instance_url
            if renewed.value == token.value or (_is_redirect(exc) and not has_moved):
                raise
            if position is False:  # a body that can't be sent twice; the next call has the new token
                raise
        if position is not None:
            arguments["data"].seek(position)
        return self._send(renewed, method, path, timeout, arguments)

    def _send(
        self, token: Token, method: str, path: str, timeout_seconds: float, arguments: dict[str, Any]
    ) -> requests.Response:
        if not path.startswith("/"):
            path = f"{self._version_path}/{path}"
        headers = {"Accept": "application/json", **(arguments.get("headers") or {})}
        with _doubt_told(method):
            response = self._http.request(
                method,
                token.instance_url + path,
                auth=BearerAuth(token.value, token.instance_url),
                timeout_seconds=timeout_seconds,
                **{**arguments, "headers": headers},
            )
            usage = read_usage(response.headers.get("Sforce-Limit-Info", ""))
            if usage:
                self._learned.api_usage = usage
            raise_for_error(response)
        return response


@contextmanager
def _doubt_told(method: str) -> Iterator[None]:
    """A POST without a usable answer may have been carried out: said by a class of its own, since repeating it does it twice.

    What PATCH and DELETE do, they do only once however often they are sent.
    """
    try:
        yield
    except OutcomeUnknown:
        raise
    except TransportError as exc:
        if method.upper() != "POST" or exc.code in _NOTHING_DONE or exc.code.startswith("http_4"):
            raise
        raise OutcomeUnknown.after(exc) from exc


def _as_it_is(data: Any, status: int) -> Any:
    return data


def _positive(seconds: float) -> float:
    if not isinstance(seconds, int | float) or not 0 < seconds < threading.TIMEOUT_MAX:
        raise InvalidInput("A time-out is a number of seconds above 0.")
    return seconds


def _within(path: str) -> str:
    """The path, if it is one: an address would be taken for the name of a resource, and `..` leads elsewhere."""
    without_query = path.partition("?")[0]
    if "://" in without_query or path.startswith("//") or ".." in without_query.split("/"):
        raise InvalidInput(
            f"“{path[:100]}” is no path below the instance URL: give one as in “limits” or “/services/apexrest/stock”."
        )
    return path


def _asks_for_new_token(error: SessionExpired | TransportError, token: Token) -> bool:
    """Whether the session has ended, or the instance may have moved: then only a new sign-in tells where it is.

    A redirect that goes on and on must not cost a sign-in per call, so a young token is believed.
    """
    if isinstance(error, SessionExpired):
        return True
    return _is_redirect(error) and dt.datetime.now(dt.UTC) - token.issued_at > _TRUST_INSTANCE_FOR


def _is_redirect(error: Exception) -> bool:
    return isinstance(error, TransportError) and error.code == "redirected"


def _position(body: Any) -> int | bool | None:
    """Where a file-like body stands; None for bodies that can be sent again as they are; False for those that can't."""
    if body is None or isinstance(body, (bytes, str, dict, list, tuple)):
        return None
    try:
        return int(body.tell())
    except (AttributeError, OSError):
        return False
