"""Answers given by hand, for what the stand-in doesn't know: whole queries and whole paths."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .messages import Answer, Incoming, json_answer

Row = dict[str, Any]
Rows = Sequence[Mapping[str, Any]]
_SOURCE = re.compile(r"\bFROM\s+(\w+)", re.IGNORECASE)


@dataclass(slots=True)
class Answers:
    """What a person told the org to say. The latest counts; nothing is forgotten but by `clear`."""

    _rows: dict[str, Rows | Callable[[str], Rows]] = field(default_factory=dict)
    _paths: dict[tuple[str | None, str], Callable[[Incoming], Answer]] = field(default_factory=dict)

    def add_rows(self, soql: str, rows: Rows | Callable[[str], Rows]) -> None:
        self._rows[_normal(soql)] = rows

    def add_path(
        self,
        path: str,
        body: Any = None,
        *,
        method: str | None = None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        extra = tuple((headers or {}).items())

        def make(request: Incoming) -> Answer:
            return _answer(body(request) if callable(body) else body, status, extra)

        self._paths[method, path] = make

    def clear(self) -> None:
        self._rows.clear()
        self._paths.clear()

    def rows_for(self, soql: str, base_path: str) -> list[Row] | None:
        """The rows given for this query, with attributes; None when there are none. `base_path`: `/services/data/vXX.0`."""
        if not self._rows or (given := self._rows.get(_normal(soql))) is None:
            return None
        source = _SOURCE.search(soql)
        name = source[1] if source else "AggregateResult"
        return [_with_attributes(row, name, base_path) for row in (given(soql) if callable(given) else given)]

    def for_request(self, request: Incoming) -> Answer | None:
        """The answer given for this path, if there is one; one for its method goes first."""
        make = self._paths.get((request.method, request.path)) or self._paths.get((None, request.path))
        return make(request) if make else None


def _normal(soql: str) -> str:
    """Blanks and case make no difference, as in SOQL's own comparisons."""
    return " ".join(soql.split()).casefold()


def _with_attributes(row: Mapping[str, Any], name: str, base_path: str) -> Row:
    attributes = {"type": name}
    if "Id" in row:
        attributes["url"] = f"{base_path}/sobjects/{name}/{row['Id']}"
    return {"attributes": attributes, **row}


def _answer(body: Any, status: int, headers: tuple[tuple[str, str], ...]) -> Answer:
    if isinstance(body, Answer):
        return body
    if body is None:
        return Answer(status, headers=headers)
    if isinstance(body, str | bytes):
        return Answer(status, body.encode() if isinstance(body, str) else body, headers=headers)
    return json_answer(body, status, headers=headers)
