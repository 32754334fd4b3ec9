"""What an org says its objects and fields are: names, labels, types; nothing of any record.

Source: REST API Developer Guide, "Describe Global" and "sObject Describe".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import TransportError

_MULTIPLE = ("address", "location")
_MOST_DIGITS = 18
"""That a number of Salesforce has: no answer may ask for a million zeros."""


@dataclass(frozen=True, slots=True)
class ObjectName:
    name: str
    label: str
    key_prefix: str
    """The first three characters of its records' ids; empty for objects without records of their own."""


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    label: str
    type: str
    """Salesforce's word: `string`, `reference`, `multipicklist`, …"""
    scale: int = 0
    """Digits after the decimal point."""
    is_html: bool = False
    is_custom: bool = False
    is_name: bool = False
    """Whether people call the record so."""
    compound: str = ""
    """The compound field that this is a part of: `BillingAddress` of `BillingCity`."""
    refers_to: tuple[str, ...] = ()
    relationship: str = ""
    """What leads to the related record in SOQL: `Owner` of `OwnerId`."""
    value_labels: tuple[tuple[str, str], ...] = ()
    """Labels of picklist values that are called otherwise."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Field:
        return cls(
            name=str(data["name"]),
            label=str(data.get("label") or data["name"]),
            type=str(data["type"]),
            scale=min(max(int(data.get("scale") or 0), 0), _MOST_DIGITS),
            is_html=bool(data.get("htmlFormatted")),
            is_custom=bool(data.get("custom")),
            is_name=bool(data.get("nameField")),
            compound=str(data.get("compoundFieldName") or ""),
            refers_to=tuple(map(str, data.get("referenceTo") or ())),
            relationship=str(data.get("relationshipName") or ""),
            value_labels=tuple(
                (str(value["value"]), str(value["label"]))
                for value in data.get("picklistValues") or ()
                if value.get("label") and value["label"] != value["value"]
            ),
        )


@dataclass(frozen=True, slots=True)
class DescribedObject:
    name: str
    label: str
    key_prefix: str
    fields: Mapping[str, Field]
    """By their API name, in the org's order."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DescribedObject:
        try:
            fields = [Field.from_json(field) for field in data["fields"]]
            named = _object_name(data)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as exc:
            raise _malformed() from exc
        return cls(named.name, named.label, named.key_prefix, {field.name: field for field in fields})

    @property
    def name_field(self) -> Field | None:
        """What people call the records by: `Name`, `CaseNumber`, `Subject`; None where there is no such field."""
        return next((field for field in self.fields.values() if field.is_name), None)

    def field(self, name: str) -> Field | None:
        """By its API name in any case."""
        folded = name.lower()
        return self.fields.get(name) or next(
            (field for known, field in self.fields.items() if known.lower() == folded), None
        )

    def is_part(self, field: Field) -> bool:
        """Whether the field only repeats a part of an address or place that is a field, too."""
        whole = self.fields.get(field.compound)
        return whole is not None and whole.type in _MULTIPLE and whole is not field


def read_objects(data: Mapping[str, Any]) -> tuple[ObjectName, ...]:
    """What can be looked up, of the answer that lists all objects."""
    try:
        found = (
            _object_name(entry)
            for entry in data["sobjects"]
            if entry.get("queryable", True) and entry.get("retrieveable", True) and entry.get("keyPrefix")
        )
        return tuple(found)
    except (KeyError, TypeError, AttributeError) as exc:
        raise _malformed() from exc


def _object_name(data: Mapping[str, Any]) -> ObjectName:
    name = str(data["name"])
    return ObjectName(name, str(data.get("label") or name), str(data.get("keyPrefix") or ""))


def _malformed() -> TransportError:
    return TransportError("The description of an object is not of the known form.", code="malformed_answer")
