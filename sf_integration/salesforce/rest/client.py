"""The client: one org's REST API."""

from __future__ import annotations

import copy
import datetime as dt
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

import requests

from .. import describe, ids, oauth, soql
from ..answers import json_of, raise_for_error
from ..describe import DescribedObject, ObjectName
from ..errors import InvalidInput, OutcomeUnknown, SalesforceError, SessionExpired, TransportError, about
from ..http import Answer, BearerAuth, Http, NoAuth
from ..oauth import Identity, Token
from . import composite, saving
from .composite import Part, PartResults
from .records import QueryResult, Record
from .saving import Fields, SaveResult, UpsertResult
from .usage import ApiUsage, read_usage
from .versions import ApiVersion, newest_common_version, read_versions

DEFAULT_TIMEOUT_SECONDS = 30.0
_TRUST_INSTANCE_FOR = dt.timedelta(minutes=1)
_MOST_EMPTY_PAGES = 10
"""Of one query, in a row."""
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


@dataclass
class _Learned:
    """What a client and its copies have been told by the org."""

    api_version: str
    api_usage: ApiUsage | None = None


class Client:
    """Calls one org's REST API. Safe to share between threads; close it or use it as a context manager.

    `http` and `newest_versions` are for callers with many clients: the pools they share, which else each client makes and
    closes itself, and the newest API version by instance URL, which else each client asks for unless it is given one.
    `connection` is its name, which errors then tell.
    """

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
        self._own_http = http is None
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
        if self._own_http:
            self._http.close()

    def with_timeout(self, seconds: float) -> Self:
        """The same client with another time-out: `sf.with_timeout(5).query(…)` for one call, or kept for many.

        It shares all else with this one (token, connections, API version, usage), costs about a microsecond and needs
        no closing. So a deadline is told in one way for every call, and none of them needs an argument for it. It holds for
        each call to the org: each page of a query, each 200 records.
        """
        other = copy.copy(self)
        other._timeout_seconds = _positive(seconds)
        other._own_http = False
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
        response = self.request(method, path, timeout_seconds=timeout_seconds, **arguments)
        with about(self._connection), _doubt_told(method):
            return json_of(response) if response.content else None

    # About the org

    def identity(self) -> Identity:
        """Whose token this is."""
        with about(self._connection):
            token = self._source.get()
            try:
                return self._identity(token)
            except SessionExpired:
                renewed = self._source.renew(token)
                if renewed.value == token.value:
                    raise
            return self._identity(renewed)

    def versions(self) -> tuple[ApiVersion, ...]:
        """What the org serves, oldest first. Needs no token, so none is sent."""
        with about(self._connection):
            response = self._http.request(
                "GET",
                self._source.get().instance_url + "/services/data",
                auth=NoAuth(),
                headers={"Accept": "application/json"},
                timeout_seconds=self._timeout_seconds,
            )
            raise_for_error(response)
            return read_versions(json_of(response))

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

    # Reading

    def record(self, sobject: str, record_id: str, *, fields: Sequence[str] = ()) -> Record:
        """One record by its id of 15 or 18 characters. Raises NotFound, also for what the user may not see."""
        data = self._get(_record_path(sobject, record_id), params=_only(fields))
        return Record.from_json(data)

    def record_by_external_id(
        self, sobject: str, external_id_field: str, value: str | int, *, fields: Sequence[str] = ()
    ) -> Record:
        """One record by the value of an external id field. Raises NotFound; ApiError when several have the value."""
        path = saving.external_id_path(sobject, external_id_field, value)
        response = self.request("GET", path, params=_only(fields))
        if response.status_code == 300:
            raise composite.several(json_of(response))
        return Record.from_json(_object(json_of(response)))

    def query(self, statement: str, *values: object, include_deleted: bool = False) -> QueryResult:
        """The first page of a query, up to 2,000 rows. Each `{}` in it is filled with a quoted value.

        include_deleted: also rows in the Recycle Bin, and archived ones.
        """
        resource = "queryAll" if include_deleted else "query"
        return QueryResult.from_json(self._get(resource, params={"q": soql.format_soql(statement, *values)}))

    def query_page(self, next_path: str) -> QueryResult:
        """A further page, by the `next_path` of the one before. Raises QueryCursorLost when it can't be had any more."""
        if not re.fullmatch(r"/services/data/v\d+\.\d/query(?:All)?/[\w-]+", next_path):
            raise InvalidInput("This is not the path of a further query page.")
        return QueryResult.from_json(self._get(next_path))

    def pages(self, page: QueryResult) -> Iterator[QueryResult]:
        """This page and all after it, fetched as they are taken; also those of a child query.

        Raises QueryCursorLost, and TransportError for an org whose pages would never end.
        """
        seen: set[str] = set()
        empty = 0
        yield page
        while page.next_path:
            empty = 0 if page.records else empty + 1
            if page.next_path in seen or empty == _MOST_EMPTY_PAGES:
                raise TransportError(
                    "The org answers a query with pages that never end. Start the query again.",
                    code="malformed_answer",
                )
            seen.add(page.next_path)
            page = self.query_page(page.next_path)
            yield page

    def query_all(self, statement: str, *values: object, include_deleted: bool = False) -> Iterator[Record]:
        """Every record of a query, fetched page by page as they are taken.

        Raises QueryCursorLost when the cursor dies on the way: start the query again.
        """
        for page in self.pages(self.query(statement, *values, include_deleted=include_deleted)):
            yield from page

    def search(self, sobject: str, text: str, *, field: str = "Name", limit: int = 25) -> QueryResult:
        """Records whose name contains `text`, in any case; `field` is the object's name field."""
        name = soql.name(field, "field")
        return self.query(
            f"SELECT Id, {name} FROM {soql.name(sobject)} WHERE {name} LIKE '%{{:like}}%' ORDER BY {name} LIMIT {limit:d}",  # noqa: S608 - names are checked, the text is quoted
            text,
        )

    # Changing one record. Names and ids that can't be are refused before any call, with InvalidInput.

    def create(self, sobject: str, fields: Fields) -> str:
        """Make a record; its id of 18 characters.

        Raises ApiError when the org refuses it, OutcomeUnknown when no answer tells whether it was made.
        """
        path = f"sobjects/{soql.name(sobject)}"
        return self._change("POST", path, saving.checked(fields), lambda data, _: saving.read_saved_id(data))

    def update(self, sobject: str, record_id: str, fields: Fields) -> None:
        """Change these fields of a record; None empties one."""
        self._change("PATCH", _record_path(sobject, record_id), saving.checked(fields), _nothing)

    def upsert(self, sobject: str, external_id_field: str, value: str | int, fields: Fields) -> UpsertResult:
        """Change the record with this external id, or make it. May be repeated: the second time finds the record.

        Raises ApiError (`DUPLICATE_EXTERNAL_ID`) when several records have the value.
        """

        def read(data: object, status: int) -> UpsertResult:
            if status == 300:
                raise composite.several(data)
            return saving.read_upserted(data, status)

        path = saving.external_id_path(sobject, external_id_field, value)
        return self._change("PATCH", path, saving.checked(fields), read)

    def delete(self, sobject: str, record_id: str) -> None:
        """Put a record into the Recycle Bin. Raises NotFound when it is there already."""
        self._change("DELETE", _record_path(sobject, record_id), None, _nothing)

    # Changing many: 200 records a call, one result each, in order. One refused record doesn't keep the others
    # from being saved, unless all_or_none, which holds for each 200. Records are taken from an iterator as they are sent.
    # A call that fails as a whole raises; what came before it is in the error's `results`.

    def create_many(
        self, sobject: str, records: Iterable[Fields], *, all_or_none: bool = False
    ) -> list[SaveResult]:
        """Make records."""
        return self._save_many("POST", "composite/sobjects", sobject, records, all_or_none)

    def update_many(
        self, sobject: str, records: Iterable[Fields], *, all_or_none: bool = False
    ) -> list[SaveResult]:
        """Change records; each tells its `Id` beside the fields to change."""
        known = (saving.found_by("Id", record) for record in records)
        return self._save_many("PATCH", "composite/sobjects", sobject, known, all_or_none)

    def upsert_many(
        self, sobject: str, external_id_field: str, records: Iterable[Fields], *, all_or_none: bool = False
    ) -> list[SaveResult]:
        """Change or make records; each tells its external id beside the other fields. May be repeated."""
        path = f"composite/sobjects/{soql.name(sobject)}/{soql.name(external_id_field, 'field')}"
        known = (saving.found_by(external_id_field, record) for record in records)
        return self._save_many("PATCH", path, sobject, known, all_or_none)

    def delete_many(self, record_ids: Iterable[str], *, all_or_none: bool = False) -> list[SaveResult]:
        """Put records, also of several types, into the Recycle Bin."""

        def delete(chunk: Sequence[str]) -> list[SaveResult]:
            params = {
                "ids": ",".join(map(ids.to_18, chunk)),
                "allOrNone": "true" if all_or_none else "false",
            }
            data = json_of(self.request("DELETE", "composite/sobjects", params=params))
            return saving.read_results(data, len(chunk), creates=False)

        return _in_turn(record_ids, delete)

    # Several calls in one

    def composite(self, parts: Iterable[Part], *, all_or_none: bool = False) -> PartResults:
        """Up to 25 parts in one call, one after the other; later ones may refer to earlier ones.

        account = Part.create("Account", {"Name": "Acme"}, reference="account")
        contact = Part.create("Contact", {"LastName": "Doe", "AccountId": account.ref("id")}, reference="contact")
        results = sf.composite([account, contact], all_or_none=True)
        if results.error: raise results.error

        all_or_none: when one fails, nothing is changed. A refused part is told in its result and raises nothing.
        """
        found = composite.named(parts)
        if not found:
            return PartResults()
        body = composite.composite(found, self._version_path, all_or_none=all_or_none)
        return self._change("POST", "composite", body, lambda data, _: composite.read_composite(data, found))

    def batch(self, parts: Iterable[Part], *, halt_on_error: bool = False) -> PartResults:
        """Up to 25 parts that know nothing of each other, in one call. halt_on_error: skip what comes after a failure."""
        found = composite.named(parts)
        if not found:
            return PartResults()
        body = composite.batch(found, self._version_path, halt_on_error=halt_on_error)
        return self._change(
            "POST", "composite/batch", body, lambda data, _: composite.read_batch(data, found)
        )

    # Within

    def _identity(self, token: Token) -> Identity:
        return oauth.identity(token, timeout_seconds=self._timeout_seconds, http=self._http)

    @property
    def _version_path(self) -> str:
        return f"/services/data/v{self.api_version}"

    def _get(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        response = self.request("GET", path, params=params)
        with about(self._connection):
            return _object(json_of(response))

    def _change(self, method: str, path: str, body: object, read: Callable[[Any, int], T]) -> T:
        """Send `body` as JSON; what `read` makes of the decoded answer (None: an empty one) and its status."""
        data = None if body is None else saving.json_body(body)
        response = self.request(method, path, data=data, headers={"Content-Type": "application/json"})
        with about(self._connection), _doubt_told(method):
            return read(json_of(response) if response.content else None, response.status_code)

    def _save_many(
        self, method: str, path: str, sobject: str, records: Iterable[Fields], all_or_none: bool
    ) -> list[SaveResult]:
        def save(chunk: Sequence[Fields]) -> list[SaveResult]:
            body = saving.collection(sobject, chunk, all_or_none=all_or_none)
            return self._change(
                method,
                path,
                body,
                lambda data, _: saving.read_results(data, len(chunk), creates=method == "POST"),
            )

        return _in_turn(records, save)

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


def clock_skew_seconds(response: requests.Response, now: float) -> float | None:
    """As `Answer.clock_skew_seconds`."""
    return Answer(response.status_code, response.headers, b"").clock_skew_seconds(now)


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


def _in_turn(items: Iterable[T], save: Callable[[list[T]], list[SaveResult]]) -> list[SaveResult]:
    """The results of all, 200 by 200. An error on the way takes those it came after along."""
    results: list[SaveResult] = []
    try:
        for chunk in saving.in_chunks(items):
            results += save(chunk)
    except SalesforceError as exc:
        exc.results = tuple(results)
        raise
    return results


def _nothing(data: object, status: int) -> None:
    """An answer that is of no interest beyond its being one."""


def _object(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise TransportError("The answer is not of the known form.", code="malformed_answer")
    return data


def _positive(seconds: float) -> float:
    if not isinstance(seconds, int | float) or not 0 < seconds < threading.TIMEOUT_MAX:
        raise InvalidInput("A time-out is a number of seconds above 0.")
    return seconds


def _within(path: str) -> str:
    """The path, if it is one: an address would be taken for the name of a resource, and `..` leads elsewhere."""
    if "://" in path or path.startswith("//") or ".." in path.partition("?")[0].split("/"):
        raise InvalidInput(
            f"“{path[:100]}” is no path below the instance URL: give one as in “limits” or “/services/apexrest/stock”."
        )
    return path


def _only(fields: Sequence[str]) -> dict[str, str] | None:
    if isinstance(fields, str):
        raise InvalidInput(f"Fields are a list of names: fields=[“{fields[:80]}”].")
    return {"fields": ",".join(soql.name(field, "field") for field in fields)} if fields else None


def _record_path(sobject: str, record_id: str) -> str:
    return f"sobjects/{soql.name(sobject)}/{ids.to_18(record_id)}"


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
