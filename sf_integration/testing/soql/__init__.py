"""SOQL: the language of queries."""

from __future__ import annotations

try:
    import lark  # noqa: F401 - its absence is told in words
except ModuleNotFoundError as exc:
    raise ModuleNotFoundError(
        "The stand-in org needs lark, which comes with the extra “testing” of sf-integration."
    ) from exc

from .errors import UNKNOWN_HERE, SoqlError, no_such_column
from .metadata import columns_of_rows
from .query import TIME_ZONE, Result, columns, run

__all__ = [
    "TIME_ZONE",
    "UNKNOWN_HERE",
    "Result",
    "SoqlError",
    "columns",
    "columns_of_rows",
    "no_such_column",
    "run",
]
