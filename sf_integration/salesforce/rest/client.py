"""The client: one org's REST API."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from .. import describe, ids, oauth, soql
from ..describe import DescribedObject, ObjectName
from ..errors import InvalidInput, SalesforceError, SessionExpired, TransportError, about
from ..oauth import Identity, Token
from . import composite, saving
from .caller import Caller
from .composite import Part, PartResults
from .records import QueryResult, Record
from .saving import Fields, SaveResult, UpsertResult

_MOST_EMPTY_PAGES = 10
"""Of one query, in a row."""
T = TypeVar("T")


class Client(Caller):
    """Calls one org's REST API. Safe to share between threads; close it or use it as a context manager.

    `http` and `newest_versions` are for callers with many clients: the pools they share, which else each client makes and
    closes itself, and the newest API version by instance URL, which else each client asks for unless it is given one.
    `connection` is its name, which errors then tell.
    """

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

    def limits(self) -> dict[str, Any]:
        """Limit name to `{"Max", "Remaining"}`; some hold further objects. Needs “View Setup and Configuration”."""
        return self._get("limits", _as_it_is)

    def describe(self, sobject: str | None = None) -> dict[str, Any]:
        """Describe one sObject, or list all of them."""
        return self._get(f"sobjects/{soql.name(sobject)}/describe" if sobject else "sobjects", _as_it_is)

    def described_objects(self) -> tuple[ObjectName, ...]:
        """All objects that the user may see."""
        return describe.read_objects(self.describe())

    def described_object(self, sobject: str) -> DescribedObject:
        """One object with the fields that the user may see. Raises NotFound when there is none of this name."""
        return DescribedObject.from_json(self.describe(sobject))

    # Reading

    def record(self, sobject: str, record_id: str, *, fields: Sequence[str] = ()) -> Record:
        """One record by its id of 15 or 18 characters. Raises NotFound, also for what the user may not see."""
        return self._get(_record_path(sobject, record_id), Record.from_json, params=_only(fields))

    def record_by_external_id(
        self, sobject: str, external_id_field: str, value: str | int, *, fields: Sequence[str] = ()
    ) -> Record:
        """One record by the value of an external id field. Raises NotFound; ApiError when several have the value."""

        def read(data: object, status: int) -> Record:
            if status == 300:
                raise composite.several(data)
            return Record.from_json(_object(data))

        path = saving.external_id_path(sobject, external_id_field, value)
        return self._call("GET", path, read, params=_only(fields))

    def query(self, statement: str, *values: object, include_deleted: bool = False) -> QueryResult:
        """The first page of a query, up to 2,000 rows. Each `{}` in it is filled with a quoted value.

        include_deleted: also rows in the Recycle Bin, and archived ones.
        """
        resource = "queryAll" if include_deleted else "query"
        question = {"q": soql.format_soql(statement, *values)}
        return self._get(resource, QueryResult.from_json, params=question)

    def query_page(self, next_path: str) -> QueryResult:
        """A further page, by the `next_path` of the one before. Raises QueryCursorLost when it can't be had any more."""
        if not re.fullmatch(r"/services/data/v\d+\.\d/query(?:All)?/[\w-]+", next_path):
            raise InvalidInput("This is not the path of a further query page.")
        return self._get(next_path, QueryResult.from_json)

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
            return self._call("DELETE", "composite/sobjects", _results(chunk), params=params)

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

    def _get(
        self, path: str, read: Callable[[dict[str, Any]], T], params: Mapping[str, str] | None = None
    ) -> T:
        """What `read` makes of an answer, which must be an object."""
        return self._call("GET", path, lambda data, _: read(_object(data)), params=params)

    def _change(self, method: str, path: str, body: object, read: Callable[[Any, int], T]) -> T:
        """Send `body` as JSON; None: nothing."""
        data = None if body is None else saving.json_body(body)
        return self._call(method, path, read, data=data, headers={"Content-Type": "application/json"})

    def _save_many(
        self, method: str, path: str, sobject: str, records: Iterable[Fields], all_or_none: bool
    ) -> list[SaveResult]:
        def save(chunk: Sequence[Fields]) -> list[SaveResult]:
            body = saving.collection(sobject, chunk, all_or_none=all_or_none)
            return self._change(method, path, body, _results(chunk, creates=method == "POST"))

        return _in_turn(records, save)


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


def _results(chunk: Sequence[object], *, creates: bool = False) -> Callable[[Any, int], list[SaveResult]]:
    """Reads the answer to a call for these records."""
    return lambda data, _: saving.read_results(data, len(chunk), creates=creates)


def _as_it_is(data: dict[str, Any]) -> dict[str, Any]:
    return data


def _nothing(data: object, status: int) -> None:
    """An answer that is of no interest beyond its being one."""


def _object(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise TransportError("The answer is not of the known form.", code="malformed_answer")
    return data


def _only(fields: Sequence[str]) -> dict[str, str] | None:
    if isinstance(fields, str):
        raise InvalidInput(f"Fields are a list of names: fields=[“{fields[:80]}”].")
    return {"fields": ",".join(soql.name(field, "field") for field in fields)} if fields else None


def _record_path(sobject: str, record_id: str) -> str:
    return f"sobjects/{soql.name(sobject)}/{ids.to_18(record_id)}"
