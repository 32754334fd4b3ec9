"""What Salesforce answered, as cells and tables that a template can show without thinking."""

from __future__ import annotations

from .cells import Cell, cell, number
from .fields import FieldGroup, field_groups
from .identities import compared
from .records import Line, ShownRecord, shown_record
from .tables import Table, table

__all__ = [
    "Cell",
    "FieldGroup",
    "Line",
    "ShownRecord",
    "Table",
    "cell",
    "compared",
    "field_groups",
    "number",
    "shown_record",
    "table",
]
