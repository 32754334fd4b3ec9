"""Records on their way into the org, and what it says of each.

Source: REST API Developer Guide, "Working with Records", "sObject Collections".
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import quote

from .. import ids, soql
from ..answers import refusal
from ..errors import ApiError, InvalidInput, TransportError

MOST_RECORDS = 200
"""Of one call for many."""

Fields = Mapping[str, object]
"""Field name to value: text, numbers, truth values, None, dates, aware datetimes. A related record may be told by its
external id: `{"Account": {"ERP_Number__c": "7"}}`."""
T = TypeVar("T")


@dataclass(frozen=True)
class UpsertResult:
    """The record that an external id has led to."""

    id: str
    """Empty for a changed record with API versions below 46.0, which don't tell it."""
    created: bool
    """Whether it is new."""


@dataclass(frozen=True)
class SaveResult:
    """What became of one record of many."""

    id: str
    """Empty for what was not made."""
    success: bool
    created: bool
    """Whether it is new."""
    errors: tuple[ApiError, ...] = ()
    """Why it was refused: exceptions that were not raised, each with `code`, `message`, `fields` and `remedy`."""


def json_body(value: object) -> bytes:
    """Fields as JSON. Raises InvalidInput for what JSON can't say."""
    try:
        return json.dumps(value, default=_json_value, allow_nan=False).encode()
    except (ValueError, TypeError) as exc:
        if isinstance(exc, InvalidInput):
            raise
        raise InvalidInput(f"These fields can't be sent to Salesforce: {exc}.") from None


def _json_value(value: object) -> object:
    match value:
        case dt.date():  # datetimes too, which need a time zone
            return soql.quote(value)
        case Decimal() if value.is_finite():
            return int(value) if value == value.to_integral_value() else float(value)
        case Mapping():
            return dict(value)
    raise InvalidInput(
        f"This {type(value).__name__} can't be sent to Salesforce; give text, a number, a date or None."
    )


def checked(fields: Fields) -> dict[str, object]:
    """The fields of a record without `attributes`. Raises InvalidInput for a name that no field can have."""
    if not isinstance(fields, Mapping):
        raise InvalidInput(
            f"The fields of a record are a dict of names and values, not a {type(fields).__name__}."
        )
    return {soql.name(name, "field"): value for name, value in fields.items() if name != "attributes"}


def found_by(field: str, record: Fields) -> Fields:
    """The record, when it says by which value of `field` it is found; else InvalidInput."""
    known = checked(record)
    value = next((value for name, value in known.items() if name.lower() == field.lower()), None)
    if value in (None, ""):
        raise InvalidInput(
            f"Each record has to tell its {field}; this one has {', '.join(known) or 'nothing'}."
        )
    if field == "Id":
        ids.to_18(str(value))
    return known


def external_id_path(sobject: str, field: str, value: str | int) -> str:
    """The address of the record with this external id. Raises InvalidInput for a value that no address can hold."""
    text = str(value).strip() if isinstance(value, str | int) else ""
    # `.` and `..` are taken out of an address on its way, whether quoted or not: it would lead elsewhere.
    if text in ("", ".", ".."):
        raise InvalidInput(
            f"“{value}” can't be the external id of a record: it must be a text or number and can't be empty, “.” or “..”."
        )
    return f"sobjects/{soql.name(sobject)}/{soql.name(field, 'field')}/{quote(text, safe='')}"


def collection(sobject: str, records: Sequence[Fields], *, all_or_none: bool) -> dict[str, Any]:
    """The body of a call for many records of one type."""
    kind = {"type": soql.name(sobject)}
    return {
        "allOrNone": all_or_none,
        "records": [{"attributes": kind, **checked(record)} for record in records],
    }


def in_chunks(items: Iterable[T], size: int = MOST_RECORDS) -> Iterator[list[T]]:
    """The items in lists of at most `size`, no more of them taken than are needed."""
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk


def read_saved_id(data: object) -> str:
    """The id in the answer to a record that was made."""
    if isinstance(data, dict) and isinstance(data.get("id"), str):
        return str(data["id"])
    raise _malformed()


def read_upserted(data: object, status: int) -> UpsertResult:
    """`data` is the decoded answer; None where there was none, which older API versions do for a changed record."""
    if data is None:
        return UpsertResult("", created=False)
    made = data.get("created") if isinstance(data, dict) else None
    return UpsertResult(read_saved_id(data), created=status == 201 if made is None else bool(made))


def read_results(data: object, expected: int, *, creates: bool) -> list[SaveResult]:
    """The answer to a call for many records, in their order."""
    if not isinstance(data, list) or len(data) != expected:
        raise _malformed()
    return [_read_result(each, creates) for each in data]


def _read_result(data: object, creates: bool) -> SaveResult:
    if not isinstance(data, dict) or not isinstance(errors := data.get("errors") or [], list):
        raise _malformed()
    success = data.get("success") is True
    return SaveResult(
        id=str(data.get("id") or ""),
        success=success,
        created=success and (creates or data.get("created") is True),
        errors=tuple(refusal(400, [error]) for error in errors),
    )


def _malformed() -> TransportError:
    return TransportError("The answer to a change is not of the known form.", code="malformed_answer")
