"""A record, field by field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...salesforce.describe import DescribedObject, Field
from ...services.lookups import Found
from .cells import Cell, cell


@dataclass(frozen=True)
class Line:
    name: str
    """API name."""
    label: str
    cell: Cell


@dataclass(frozen=True)
class ShownRecord:
    title: str
    """What people call the record; empty when its name is not known."""
    filled: Sequence[Line]
    empty: Sequence[Line]
    """Those that would only be in the way, because all fields are shown."""


def shown_record(found: Found) -> ShownRecord:
    described, record = found.described, found.record
    currency = str(record.get("CurrencyIsoCode") or "")
    lines = []
    for name, value in record.items():
        field = described.fields.get(name)
        if _is_shown(name, field, found, record):
            shown = cell(value, field, currency=currency, target=found.names.get(name, ""))
            if value == found.record_id:  # its own, which leads nowhere
                shown = Cell("text", value)
            lines.append(Line(name, field.label if field else name, shown))
    if found.fields:
        return ShownRecord(_title(described, record), lines, ())
    filled = [line for line in lines if line.cell.kind != "empty" or line.cell.note]
    return ShownRecord(_title(described, record), filled, [line for line in lines if line not in filled])


def _is_shown(name: str, field: Field | None, found: Found, record: Any) -> bool:
    if found.fields:
        return name in found.fields
    # The parts of an address are seen in the whole of it.
    return field is None or not (found.described.is_part(field) and record.get(field.compound))


def _title(described: DescribedObject, record: Any) -> str:
    named = described.name_field
    return str(record.get(named.name) or "") if named else ""
