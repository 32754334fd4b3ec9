"""The REST API over a source of tokens: call, renew once when the session has ended, replay once.

Source: Salesforce REST API Developer Guide.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import requests

from . import describe, ids, oauth, soql
from .answers import json_of, raise_for_error
from .describe import DescribedObject, ObjectName
from .errors import InvalidInput, SessionExpired, TransportError
from .http import Answer, BearerAuth, Http, NoAuth
from .oauth import Identity, Token

OLDEST_API_VERSION = "42.0"
NEWEST_API_VERSION = "67.0"
DEFAULT_TIMEOUT_SECONDS = 30.0
_TRUST_INSTANCE_FOR = dt.timedelta(minutes=1)
_USAGE = re.compile(r"api-usage=(\d{1,18})/(\d{1,18})(?!\d)")


class TokenSource(Protocol):
    """Where a Client gets its tokens from."""

    def get(self) -> Token:
        """A token that should be good now."""

    def renew(self, failed: Token) -> Token:
        """A token other than `failed`, which the org has just refused; or the same when there is no other."""


@dataclass(frozen=True)
class FixedToken:
    """A source that knows one token and can't renew it."""

    token: Token

    def get(self) -> Token:
        return self.token

    def renew(self, failed: Token) -> Token:
        return self.token


class Record(dict[str, Any]):
    """Field name to value. Related records are Records, child queries are QueryResults."""

    __slots__ = ("_sobject",)
    _sobject: str

    @property
    def sobject(self) -> str:
        """API name of its type."""
        return getattr(self, "_sobject", "")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        if not isinstance(data, dict):
            raise TypeError("a record must be an object")
        record = cls(data)
        attributes = record.pop("attributes", None)
        if isinstance(attributes, dict):
            record._sobject = str(attributes.get("type", ""))
        # Of thousands of values few are objects: only these are looked into.
        for name, value in record.items():
            if type(value) is dict:
                record[name] = _plain(value)
        return record


@dataclass(frozen=True)
class QueryResult:
    """One page of a query; iterates over its records."""

    records: Sequence[Record]
    total_size: int
    """Rows of the whole query, not of this page."""
    next_path: str | None = None
    """Path of the next page, None on the last."""

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> QueryResult:
        try:
            next_path = data.get("nextRecordsUrl")
            return cls(
                records=tuple(Record.from_json(row) for row in data["records"]),
                total_size=int(data["totalSize"]),
                next_path=None if next_path is None else str(next_path),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as exc:
            raise TransportError(
                "The answer to a query is not of the known form.", code="malformed_answer"
            ) from exc


@dataclass(frozen=True)
class ApiUsage:
    """API calls of the org in the last 24 hours; the counter lags a little."""

    used: int
    limit: int


@dataclass(frozen=True)
class ApiVersion:
    version: str
    label: str

    @property
    def number(self) -> float:
        return float(self.version)


class Client:
    """Calls one org's REST API. Safe to share between threads; close it or use it as a context manager.

    `http` is for callers that keep pools of their own; else the client makes and closes its own.
    """

    def __init__(
        self,
        token: Token | TokenSource,
        *,
        api_version: str = "",
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        http: Http | None = None,
    ) -> None:
        self._source: TokenSource = FixedToken(token) if isinstance(token, Token) else token
        self._api_version = api_version
        self._timeout_seconds = timeout_seconds
        self._own_http = http is None
        self._http = http or Http()
        self.api_usage: ApiUsage | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._own_http:
            self._http.close()

    @property
    def api_version(self) -> str:
        """As given, else the newest that the org and this package know: asked for once, by the first call that needs it."""
        if not self._api_version:
            self._api_version = newest_common_version(self.versions())
        return self._api_version

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
        """
        timeout = timeout_seconds or self._timeout_seconds
        token = self._source.get()
        position = False if arguments.get("files") else _position(arguments.get("data"))
        try:
            return self._send(token, method, path, timeout, arguments)
        except (SessionExpired, TransportError) as exc:
            if not _asks_for_new_token(exc, token) or position is False:  # a body that can't be sent twice
                raise
            renewed = self._source.renew(token)
            has_moved = renewed.instance_url != token.instance_url
            if renewed.value == token.value or (_is_redirect(exc) and not has_moved):
                raise
        if position is not None:
            arguments["data"].seek(position)
        return self._send(renewed, method, path, timeout, arguments)

    def identity(self) -> Identity:
        """Whose token this is."""
        token = self._source.get()
        try:
            return oauth.identity(token, timeout_seconds=self._timeout_seconds, http=self._http)
        except SessionExpired:
            renewed = self._source.renew(token)
            if renewed.value == token.value:
                raise
        return oauth.identity(renewed, timeout_seconds=self._timeout_seconds, http=self._http)

    def versions(self) -> tuple[ApiVersion, ...]:
        """What the org serves, oldest first. Needs no token, so none is sent."""
        response = self._http.request(
            "GET",
            self._source.get().instance_url + "/services/data",
            auth=NoAuth(),
            headers={"Accept": "application/json"},
            timeout_seconds=self._timeout_seconds,
        )
        raise_for_error(response)
        return _read_versions(json_of(response))

    def limits(self) -> dict[str, Any]:
        """Limit name to `{"Max", "Remaining"}`; some hold further objects. Needs “View Setup and Configuration”."""
        return self._get("limits")

    def describe(self, sobject: str | None = None) -> dict[str, Any]:
        """Describe one sObject, or list all of them."""
        return self._get(f"sobjects/{soql.name(sobject)}/describe" if sobject else "sobjects")

    def described_objects(self) -> tuple[ObjectName, ...]:
        """All objects that the user may see."""
        return describe.read_objects(self.describe())

    def described_object(self, sobject: str) -> DescribedObject:
        """One object with the fields that the user may see. Raises NotFound when there is none of this name."""
        return DescribedObject.from_json(self.describe(sobject))

    def record(self, sobject: str, record_id: str, *, fields: Sequence[str] = ()) -> Record:
        """One record by its id of 15 or 18 characters. Raises NotFound, also for what the user may not see."""
        params = {"fields": ",".join(soql.name(field, "field") for field in fields)} if fields else None
        data = self._get(f"sobjects/{soql.name(sobject)}/{ids.to_18(record_id)}", params=params)
        return Record.from_json(data)

    def query(self, statement: str, *values: object) -> QueryResult:
        """The first page of a query, up to 2,000 rows. Each `{}` in it is filled with a quoted value."""
        return QueryResult.from_json(self._get("query", params={"q": soql.format_soql(statement, *values)}))

    def query_page(self, next_path: str) -> QueryResult:
        """A further page, by the `next_path` of the one before. Raises QueryCursorLost when it can't be had any more."""
        if not re.fullmatch(r"/services/data/v\d+\.\d/query(?:All)?/[\w-]+", next_path):
            raise InvalidInput("This is not the path of a further query page.")
        return QueryResult.from_json(self._get(next_path))

    def query_all(self, statement: str, *values: object) -> Iterator[Record]:
        """Every record of a query, fetched page by page as they are taken.

        Raises QueryCursorLost when the cursor dies on the way: start the query again.
        """
        page = self.query(statement, *values)
        yield from page
        while page.next_path:
            page = self.query_page(page.next_path)
            yield from page

    def search(self, sobject: str, text: str, *, field: str = "Name", limit: int = 25) -> QueryResult:
        """Records whose name contains `text`, in any case; `field` is the object's name field."""
        name = soql.name(field, "field")
        return self.query(
            f"SELECT Id, {name} FROM {soql.name(sobject)} WHERE {name} LIKE '%{{:like}}%' ORDER BY {name} LIMIT {limit:d}",  # noqa: S608 - names are checked, the text is quoted
            text,
        )

    def _get(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        data = json_of(self.request("GET", path, params=params))
        if not isinstance(data, dict):
            raise TransportError("The answer is not of the known form.", code="malformed_answer")
        return data

    def _send(
        self, token: Token, method: str, path: str, timeout_seconds: float, arguments: dict[str, Any]
    ) -> requests.Response:
        if not path.startswith("/"):
            path = f"/services/data/v{self.api_version}/{path}"
        headers = {"Accept": "application/json", **(arguments.get("headers") or {})}
        response = self._http.request(
            method,
            token.instance_url + path,
            auth=BearerAuth(token.value, token.instance_url),
            timeout_seconds=timeout_seconds,
            **{**arguments, "headers": headers},
        )
        self.api_usage = read_usage(response.headers.get("Sforce-Limit-Info", "")) or self.api_usage
        raise_for_error(response)
        return response


def newest_common_version(versions: Sequence[ApiVersion]) -> str:
    """The newest version that the org serves and this package was written for."""
    known = [version for version in versions if version.number <= float(NEWEST_API_VERSION)]
    if not known or known[-1].number < float(OLDEST_API_VERSION):
        raise TransportError(
            f"The org serves no API version between {OLDEST_API_VERSION} and {NEWEST_API_VERSION}.",
            code="no_common_api_version",
        )
    return known[-1].version


def read_usage(header: str) -> ApiUsage | None:
    """`Sforce-Limit-Info: api-usage=61/100000; per-app-api-usage=…` to numbers."""
    found = _USAGE.search(header)
    return ApiUsage(int(found[1]), int(found[2])) if found else None


def clock_skew_seconds(response: requests.Response, now: float) -> float | None:
    """As `Answer.clock_skew_seconds`."""
    return Answer(response.status_code, response.headers, b"").clock_skew_seconds(now)


def _read_versions(data: object) -> tuple[ApiVersion, ...]:
    try:
        found = [ApiVersion(str(item["version"]), str(item.get("label", ""))) for item in data]  # type: ignore[attr-defined]
        return tuple(sorted(found, key=lambda version: version.number))
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise TransportError(
            "The list of API versions is not of the known form.", code="malformed_answer"
        ) from exc


def _plain(value: dict[str, Any]) -> Any:
    """A JSON object with Salesforce's `attributes` taken out at every depth."""
    if "records" in value and "totalSize" in value:
        return QueryResult.from_json(value)
    return Record.from_json(value) if "attributes" in value else value


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
