"""Several requests in one call: composite, whose parts may refer to earlier ones, and batch, whose parts stand alone.

Source: REST API Developer Guide, "Composite Resources".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from .. import ids, soql
from ..answers import refusal
from ..errors import ApiError, InvalidInput, TransportError
from .records import read_value
from .saving import Fields, checked, external_id_path

MOST_PARTS = 25
_REFERENCE = re.compile(r"[A-Za-z0-9]\w{0,79}\Z", re.ASCII)
_REFERS = re.compile(r"@\{\w+[.\[][\w.\[\]]+\}\Z")
_FOLLOW_ON = ("PROCESSING_HALTED", "BATCH_PROCESSING_HALTED", "ALL_OR_NONE_OPERATION_ROLLED_BACK")
"""Codes of parts that failed only because another one did."""


@dataclass(frozen=True)
class Part:
    """One request of several."""

    method: str
    path: str
    """As `Client.request` takes it, with the query in it."""
    body: Mapping[str, object] | None = None
    reference: str = ""
    """What later parts and the results call it: letters, digits and underscores. Left out: `part1`, `part2`, …"""

    @classmethod
    def create(cls, sobject: str, fields: Fields, *, reference: str = "") -> Part:
        return cls("POST", f"sobjects/{soql.name(sobject)}", checked(fields), reference)

    @classmethod
    def update(cls, sobject: str, record_id: str, fields: Fields, *, reference: str = "") -> Part:
        """`record_id` may be an earlier part's `ref("id")`; so may values of `fields`."""
        return cls("PATCH", _record_path(sobject, record_id), checked(fields), reference)

    @classmethod
    def upsert(
        cls, sobject: str, external_id_field: str, value: str | int, fields: Fields, *, reference: str = ""
    ) -> Part:
        return cls("PATCH", external_id_path(sobject, external_id_field, value), checked(fields), reference)

    @classmethod
    def delete(cls, sobject: str, record_id: str, *, reference: str = "") -> Part:
        return cls("DELETE", _record_path(sobject, record_id), None, reference)

    @classmethod
    def record(cls, sobject: str, record_id: str, *, reference: str = "") -> Part:
        return cls("GET", _record_path(sobject, record_id), None, reference)

    @classmethod
    def query(cls, statement: str, *values: object, reference: str = "") -> Part:
        question = urlencode({"q": soql.format_soql(statement, *values)})
        return cls("GET", f"query?{question}", None, reference)

    def ref(self, what: str) -> str:
        """What a later part says for a value of this one's answer: `id` of a new record, `records[0].Id` of a query."""
        if not self.reference:
            raise InvalidInput("Only a part with a reference can be referred to: give it one.")
        return f"@{{{self.reference}.{what}}}"


@dataclass(frozen=True)
class PartResult:
    """What became of one part."""

    status_code: int
    body: Any
    """The decoded answer: a Record or QueryResult where it is one, None where there is none."""
    error: ApiError | None = None
    """Why it was refused: an exception that was not raised."""

    @property
    def success(self) -> bool:
        return self.error is None

    @property
    def id(self) -> str:
        """Of the record that was made, changed by external id or read; empty where the answer names none."""
        found = self.body if isinstance(self.body, dict) else {}
        return str(found.get("id") or found.get("Id") or "")


class PartResults(dict[str, PartResult]):
    """Reference to result, in the order of the parts."""

    @property
    def error(self) -> ApiError | None:
        """Why the first refused part was refused; one that failed only because another did comes last. None: all went well."""
        errors = [result.error for result in self.values() if result.error]
        return min(errors, key=lambda error: error.code in _FOLLOW_ON, default=None)


def composite(parts: Sequence[Part], version_path: str, *, all_or_none: bool) -> dict[str, Any]:
    """The body of a composite call. `version_path`: `/services/data/vXX.0`."""
    return {
        "allOrNone": all_or_none,
        "compositeRequest": [
            {
                "method": part.method,
                "url": _url(part, version_path),
                "referenceId": part.reference,
                **({} if part.body is None else {"body": part.body}),
            }
            for part in parts
        ],
    }


def batch(parts: Sequence[Part], version_path: str, *, halt_on_error: bool) -> dict[str, Any]:
    """The body of a batch call, whose addresses begin with the version."""
    return {
        "haltOnError": halt_on_error,
        "batchRequests": [
            {
                "method": part.method,
                "url": _url(part, version_path).removeprefix("/services/data/"),
                **({} if part.body is None else {"richInput": part.body}),
            }
            for part in parts
        ],
    }


def named(parts: Iterable[Part]) -> list[Part]:
    """The parts, each with a reference. Raises InvalidInput for too many, and for references that can't be."""
    found = [
        part if part.reference else replace(part, reference=f"part{number}")
        for number, part in enumerate(parts, 1)
    ]
    if len(found) > MOST_PARTS:
        raise InvalidInput(
            f"One call holds at most {MOST_PARTS} parts, these are {len(found)}. "
            "Make several calls; for many records of one type there are create_many, update_many, upsert_many and delete_many."
        )
    if bad := [part.reference for part in found if not _REFERENCE.match(part.reference)]:
        raise InvalidInput(
            f"“{bad[0][:80]}” can't be the reference of a part: letters, digits and underscores only."
        )
    if len({part.reference for part in found}) < len(found):
        raise InvalidInput("Two parts have the same reference: give each its own.")
    return found


def read_composite(data: object, parts: Sequence[Part]) -> PartResults:
    return _read(data, parts, "compositeResponse", "httpStatusCode", "body")


def read_batch(data: object, parts: Sequence[Part]) -> PartResults:
    return _read(data, parts, "results", "statusCode", "result")


def _read(data: object, parts: Sequence[Part], results: str, status: str, body: str) -> PartResults:
    try:
        answers = data[results]  # type: ignore[index]
        found = PartResults(
            (part.reference, _read_part(int(answer[status]), answer.get(body)))
            for part, answer in zip(parts, answers, strict=True)
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as exc:
        raise TransportError(
            "The answer to a composite call is not of the known form.", code="malformed_answer"
        ) from exc
    return found


def _read_part(status: int, body: Any) -> PartResult:
    if status >= 400:
        return PartResult(status, body, refusal(status, body))
    if status == 300:
        return PartResult(status, body, several(body))
    return PartResult(status, read_value(body))


def several(found: object) -> ApiError:
    """The refusal that an answer of 300 stands for: more than one record has the external id."""
    paths = found if isinstance(found, list) else []
    names = ", ".join(str(path).rpartition("/")[2] for path in paths[:5]) or "they are not named"
    message = f"More than one record has this external id: {names}"
    return refusal(300, {"errorCode": "DUPLICATE_EXTERNAL_ID", "message": message})


def _url(part: Part, version_path: str) -> str:
    return part.path if part.path.startswith("/") else f"{version_path}/{part.path}"


def _record_path(sobject: str, record_id: str) -> str:
    """`record_id` may be a reference to an earlier part."""
    found = record_id if _REFERS.match(record_id) else ids.to_18(record_id)
    return f"sobjects/{soql.name(sobject)}/{found}"
