"""Rows of a job on their way into the org: each by itself, as a call of the REST API would save it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .. import ids
from ..data.schema import Field, SObject
from ..messages import Answer, Refused, rest_error
from ..orgs import Org
from ..rest import records
from ..users import User

OPERATIONS = ("insert", "update", "upsert", "delete", "hardDelete")
NO_HARD_DELETE = (
    "hardDelete operation requires special user profile permission, please contact your system administrator"
)
_NULL = "#N/A"
_NO_SUCH_RECORD = {
    "errorCode": "INVALID_CROSS_REFERENCE_KEY",
    "message": "invalid cross reference id",
}

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one row."""

    record_id: str
    """Empty when there is none."""
    created: bool = False
    error: Values | None = None
    """With `statusCode`, `message` and `fields`."""

    @property
    def error_text(self) -> str:
        """The error in one line, as CSV files tell it. Source: Bulk API Developer Guide, "Get Batch Results"."""
        if self.error is None:
            return ""
        return f"{self.error['statusCode']}:{self.error['message']}:{' '.join(self.error['fields'])} --"


@dataclass(frozen=True, slots=True)
class Loading:
    """One job's way of saving a row."""

    org: Org
    user: User
    sobject: SObject
    """As far as the user may see it."""
    operation: str
    external_id_field: str
    base_path: str

    def load(self, row: Mapping[str, Any]) -> Outcome:
        record_id, values = _taken(row, "Id")
        try:
            if self.operation == "insert":
                return self._insert(row)
            if self.operation == "upsert" and self.external_id_field.lower() != "id":
                return self._upsert(row)
            if self.operation == "upsert" and not record_id:
                return self._insert(values)
            return self._change(str(record_id or ""), values)
        except Refused as refusal:
            known = str(record_id or "")
            return Outcome(known if ids.is_well_formed(known) else "", error=_error(refusal.answer))

    def _insert(self, values: Mapping[str, Any]) -> Outcome:
        answer = records.create(self.org, self.sobject, _body(values), self.user, self.base_path)
        return Outcome(json.loads(answer.body)["id"], created=True)

    def _change(self, record_id: str, values: Values) -> Outcome:
        if not record_id:
            raise Refused(
                rest_error(400, "MISSING_ARGUMENT", f"Id not specified in an {self.operation} call", [])
            )
        if self.operation == "delete":
            records.delete(self.org, self.sobject, record_id)
        else:
            records.update(self.org, self.sobject, record_id, _body(values), self.user)
        return Outcome(ids.to_18(record_id))

    def _upsert(self, row: Mapping[str, Any]) -> Outcome:
        name = self.external_id_field
        value, values = _taken(row, name)
        if value in (None, ""):
            raise Refused(rest_error(400, "MISSING_ARGUMENT", f"{name} not specified", [name]))
        answer = records.upsert(
            self.org,
            self.sobject,
            name,
            str(value),
            _body(values),
            self.user,
            self.base_path,
            says_created=True,
            update_only=False,
        )
        found = json.loads(answer.body)
        if answer.status == 300:
            several = ", ".join(path.rpartition("/")[2] for path in found)
            message = f"More than one record found for external id field: [{several}]"
            raise Refused(rest_error(400, "DUPLICATE_EXTERNAL_ID", message, [name]))
        return Outcome(found["id"], created=found["created"])


def from_cells(sobject: SObject, header: list[str], cells: list[str]) -> Values:
    """A row of a CSV file as values: empty cells say nothing, `#N/A` says null.

    Source: Bulk API 2.0 Developer Guide, "Prepare CSV Files".
    """
    return {
        name: _value(sobject.by_name.get(name.lower()), cell)
        for name, cell in zip(header, cells, strict=False)
        if cell
    }


def _value(field: Field | None, cell: str) -> str | None:
    if cell == _NULL:
        return None
    return cell.lower() if field is not None and field.type == "boolean" else cell


def _taken(row: Mapping[str, Any], name: str) -> tuple[Any, Values]:
    """The value of a field, whatever the case of its name, and the others."""
    value = next((row[key] for key in row if key.lower() == name.lower()), None)
    return value, {key: other for key, other in row.items() if key.lower() != name.lower()}


def _body(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values).encode()


def _error(answer: Answer) -> Values:
    [error] = json.loads(answer.body)
    if error["message"] == "The requested resource does not exist":
        error = _NO_SUCH_RECORD
    return {
        "statusCode": error["errorCode"],
        "message": error["message"],
        "fields": error.get("fields", []),
    }
