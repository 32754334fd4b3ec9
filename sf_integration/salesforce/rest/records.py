"""What queries and single records come as: plain values, without Salesforce's `attributes`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from ..errors import TransportError

_NO_ATTRIBUTES: Mapping[str, Any] = {}


class Record(dict[str, Any]):
    """Field name to value. Related records are Records, child queries are QueryResults."""

    __slots__ = ("_sobject",)
    _sobject: str

    @property
    def sobject(self) -> str:
        """API name of its type."""
        return str(getattr(self, "_sobject", ""))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        [record] = _read_records([data])
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
                records=tuple(_read_records(data["records"])),
                total_size=int(data["totalSize"]),
                next_path=None if next_path is None else str(next_path),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as exc:
            raise TransportError(
                "The answer to a query is not of the known form.", code="malformed_answer"
            ) from exc


def read_value(value: Any) -> Any:
    """A JSON value as a Record or QueryResult where it is one, else as it is."""
    if type(value) is not dict:
        return value
    if "records" in value and "totalSize" in value:
        return QueryResult.from_json(value)
    return Record.from_json(value) if "attributes" in value else value


def _read_records(rows: Sequence[Any]) -> list[Record]:
    """Thousands at a time, so few steps are taken one by one. Raises TypeError for rows that are no objects."""
    if {*map(type, rows)} - {dict}:
        raise TypeError("a record must be an object")
    records = []
    for row in rows:
        record = Record(row)
        try:
            record._sobject = record.pop("attributes", _NO_ATTRIBUTES).get("type", "")
        except AttributeError:  # of another form
            record._sobject = ""
        records.append(record)
    if dict in {*map(type, chain.from_iterable(map(dict.values, records)))}:
        for record in records:
            record.update({name: read_value(value) for name, value in record.items() if type(value) is dict})
    return records
