"""Answers given by hand, for what the stand-in doesn't know: whole queries and whole paths."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .messages import Answer, Incoming, json_answer

Row = dict[str, Any]
Rows = Sequence[Mapping[str, Any]]
_SOURCE = re.compile(r"\bFROM\s+(\w+)", re.IGNORECASE)
_QUOTED = re.compile(r"('(?:[^'\\]|\\.)*')", re.DOTALL)
_BLANKS = re.compile(r"\s+")
_SPACED_MARK = re.compile(r" ?([,()=<>!]) ?")
_BRACKETED = re.compile(r"\([^()]*\)")
_NOT_TO_BE_GIVEN = re.compile(
    r"/services/oauth2/(?:token|introspect|revoke)|/services/data/?|/stand-in(?:/.*)?"
)


@dataclass(slots=True)
class Answers:
    """What a person told the org to say. The latest counts; nothing is forgotten but by `clear`."""

    _rows: dict[str, Rows | Callable[[str], Rows]] = field(default_factory=dict)
    _paths: dict[tuple[str | None, str], Callable[[Incoming], Answer]] = field(default_factory=dict)

    def add_rows(self, soql: str, rows: Rows | Callable[[str], Rows]) -> None:
        """Raises TypeError for rows that JSON can't hold, now rather than at the request."""
        if not callable(rows):
            json.dumps([dict(row) for row in rows])
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
        """Raises ValueError for a path that is answered without a session, or would never be met.

        And TypeError for a body that JSON can't hold, now rather than at the request.
        """
        if not path.startswith("/") or _NOT_TO_BE_GIVEN.fullmatch(path):
            raise ValueError(
                f"the answer of {path!r} can't be given: it must begin with a slash and be one that asks for a token; "
                'for the others there is org.fail("answer", where=path, …)'
            )
        extra = tuple((headers or {}).items())

        def make(request: Incoming) -> Answer:
            return _answer(body(request) if callable(body) else body, status, extra)

        if not callable(body):
            _answer(body, status, extra)
        self._paths[method, path] = make

    def clear(self) -> None:
        self._rows.clear()
        self._paths.clear()

    def rows_for(self, soql: str, base_path: str) -> list[Row] | None:
        """The rows given for this query, with attributes; None when there are none. `base_path`: `/services/data/vXX.0`."""
        if not self._rows or (given := self._rows.get(_normal(soql))) is None:
            return None
        name = _source_of(soql)
        return [_with_attributes(row, name, base_path) for row in (given(soql) if callable(given) else given)]

    def for_request(self, request: Incoming) -> Answer | None:
        """The answer given for this path, if there is one; one for its method goes first."""
        make = self._paths.get((request.method, request.path)) or self._paths.get((None, request.path))
        return make(request) if make else None


def _normal(soql: str) -> str:
    """The query without what makes no difference: blanks and case outside of quotes."""
    parts = _QUOTED.split(soql)
    parts[::2] = [_SPACED_MARK.sub(r"\1", _BLANKS.sub(" ", part)).casefold() for part in parts[::2]]
    return "".join(parts).strip()


def _source_of(soql: str) -> str:
    """The sObject that is asked for; not one of a sub-query, nor a word in quotes."""
    text, found = _QUOTED.sub("''", soql), 1
    while found:
        text, found = _BRACKETED.subn("", text)
    source = _SOURCE.search(text)
    return source[1] if source else "AggregateResult"


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
