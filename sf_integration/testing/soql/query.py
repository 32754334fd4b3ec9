# ruff: noqa: S608  names in the SQL come from the schema, never from a request; values are parameters
"""SOQL: read by a grammar, checked against the schema, turned into parametrised SQL.

Source: SOQL and SOSL Reference; the wordings of the errors as recorded from orgs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from importlib import resources
from typing import Any, NoReturn

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken, v_args
from lark.exceptions import VisitError

from .. import ids
from ..data import schema
from ..data.schema import Field, SObject
from ..data.store import Store, address, address_columns, as_json, salesforce_datetime
from . import dates

MAX_OFFSET = 2_000
MAX_FIELD_GROUP_ROWS = 200

_AGGREGATES = {
    "count": "COUNT({})",
    "count_distinct": "COUNT(DISTINCT {})",
    "sum": "SUM({})",
    "avg": "AVG({})",
    "min": "MIN({})",
    "max": "MAX({})",
}
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
_REFERENCE = "Please reference your WSDL or the describe call for the appropriate names."


class SoqlError(Exception):
    """A query the org refuses."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Result:
    """What a query found."""

    total_size: int
    records: list[dict[str, Any]]


def run(store: Store, text: str, *, base_path: str, with_deleted: bool = False) -> Result:
    """Run a query. `base_path` (`/services/data/vXX.0`) goes into the records' attributes.

    Raises SoqlError.
    """
    query = _parse(text)
    context = _Context(store, text, base_path, with_deleted)
    if any(isinstance(item, _CountAll) for item in query.items):
        return _count_all(context, query)
    plan = _Plan(context, query, context.entity(query.source))
    records = plan.records()
    return Result(len(records), records)


# What the grammar yields


@dataclass(frozen=True)
class _Path:
    names: tuple[Token, ...]


@dataclass(frozen=True)
class _CountAll:
    pass


@dataclass(frozen=True)
class _Aggregate:
    function: str
    path: _Path
    alias: str | None


@dataclass(frozen=True)
class _FieldGroup:
    name: Token


@dataclass(frozen=True)
class _Value:
    kind: str
    """string, number, boolean, null, date, datetime or range."""
    value: Any
    token: Token


@dataclass(frozen=True)
class _Compare:
    path: _Path
    operator: str
    value: _Value


@dataclass(frozen=True)
class _Like:
    path: _Path
    pattern: str


@dataclass(frozen=True)
class _OneOf:
    path: _Path
    choices: tuple[_Value, ...] | _Query


@dataclass(frozen=True)
class _Combined:
    word: str
    parts: tuple[Any, ...]


@dataclass(frozen=True)
class _Negated:
    part: Any


@dataclass(frozen=True)
class _Ordering:
    path: _Path
    direction: str
    nulls: str


@dataclass(frozen=True)
class _Source:
    name: Token
    alias: Token | None


@dataclass(frozen=True)
class _Query:
    items: tuple[Any, ...]
    source: _Source
    where: Any | None
    group: tuple[_Path, ...]
    order: tuple[_Ordering, ...]
    limit: int | None
    offset: int


@v_args(inline=True)
class _Builder(Transformer[Token, _Query]):
    def start(self, query: _Query) -> _Query:
        return query

    def query(
        self, items: Any, source: Any, where: Any, group: Any, order: Any, limit: Any, offset: Any
    ) -> _Query:
        return _Query(items, source, where, group or (), order or (), limit, offset or 0)

    def items(self, *items: Any) -> tuple[Any, ...]:
        return items

    def path(self, *names: Token) -> _Path:
        return _Path(names)

    def count_all(self, name: Token) -> _CountAll:
        if name.lower() != "count":
            raise _Unexpected(name)
        return _CountAll()

    def aggregate(self, name: Token, path: _Path, alias: Token | None) -> _Aggregate:
        if name.lower() not in _AGGREGATES:
            raise _Unexpected(name)
        return _Aggregate(name.lower(), path, alias and str(alias))

    def field_group(self, name: Token) -> _FieldGroup:
        if name.lower() not in ("all", "standard", "custom"):
            raise _Unexpected(name)
        return _FieldGroup(name)

    def subquery(self, query: _Query) -> _Query:
        return query

    def source(self, name: Token, alias: Token | None) -> _Source:
        return _Source(name, alias)

    def where(self, condition: Any) -> Any:
        return condition

    def all_of(self, *parts: Any) -> _Combined:
        return _Combined(" AND ", parts)

    def any_of(self, *parts: Any) -> _Combined:
        return _Combined(" OR ", parts)

    def negate(self, part: Any) -> _Negated:
        return _Negated(part)

    def compare(self, path: _Path, operator: Token, value: _Value) -> _Compare:
        return _Compare(path, "!=" if operator == "<>" else str(operator), value)

    def like(self, path: _Path, pattern: Token) -> _Like:
        return _Like(path, _unquote(pattern, keep=r"%_"))

    def one_of(self, path: _Path, choices: Any) -> _OneOf:
        return _OneOf(path, choices)

    def none_of(self, path: _Path, choices: Any) -> _Negated:
        return _Negated(_OneOf(path, choices))

    def choices(self, *choices: Any) -> Any:
        return choices[0] if isinstance(choices[0], _Query) else choices

    def value(self, token: Token) -> _Value:
        return _read_value(token)

    def group(self, *paths: _Path) -> tuple[_Path, ...]:
        return paths

    def order(self, *orderings: _Ordering) -> tuple[_Ordering, ...]:
        return orderings

    def ordering(self, path: _Path, direction: Token | None, place: Token | None) -> _Ordering:
        return _Ordering(path, (direction or "ASC").upper(), (place or "FIRST").upper())

    def limit(self, number: Token) -> int:
        return _whole_number(number)

    def offset(self, number: Token) -> int:
        offset = _whole_number(number)
        if offset > MAX_OFFSET:
            raise SoqlError("NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {MAX_OFFSET}")
        return offset


class _Unexpected(Exception):
    def __init__(self, token: Token) -> None:
        super().__init__(str(token))
        self.token = token


@lru_cache(maxsize=1)
def _parser() -> Lark:
    grammar = (resources.files("sf_integration.testing.soql") / "grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", maybe_placeholders=True)


def _parse(text: str) -> _Query:
    if not text.strip():
        raise SoqlError("MALFORMED_QUERY", "A query string has to be specified")
    try:
        query: _Query = _Builder().transform(_parser().parse(text))
    except UnexpectedCharacters as exc:
        message = f"line {exc.line}:{exc.column - 1} no viable alternative at character '{exc.char}'"
        raise SoqlError("MALFORMED_QUERY", message) from None
    except UnexpectedToken as exc:
        raise _unexpected_token(text, exc.token) from None
    except UnexpectedInput:
        raise SoqlError("MALFORMED_QUERY", "unexpected end of query") from None
    except VisitError as exc:
        if isinstance(exc.orig_exc, _Unexpected):
            raise _unexpected_token(text, exc.orig_exc.token) from None
        raise exc.orig_exc from None
    return query


def _unexpected_token(text: str, token: Token) -> SoqlError:
    if token.type == "$END":
        lines = text.splitlines()
        end = Token("$END", "<EOF>", line=len(lines), column=len(lines[-1]) + 1)
        return _error_at("MALFORMED_QUERY", text, end, "unexpected token: '<EOF>'")
    return _error_at("MALFORMED_QUERY", text, token, f"unexpected token: '{token}'")


def _error_at(code: str, text: str, token: Token, message: str) -> SoqlError:
    """The line of the query, a caret under the place, its row and column, then the message."""
    line, column = token.line or 1, token.column or 1
    lines = text.splitlines()
    shown = f"\n{lines[line - 1]}\n{' ' * (column - 1)}^\nERROR at Row:{line}:Column:{column}\n"
    return SoqlError(code, shown + message)


def _read_value(token: Token) -> _Value:
    if token.type == "STRING":
        return _Value("string", _unquote(token), token)
    if token.type == "NUMBER":
        return _Value("number", float(token) if "." in token else int(token), token)
    if token.type in ("DATE", "DATETIME"):
        return _read_date(token)
    word = token.lower()
    if word == "null":
        return _Value("null", None, token)
    if word in ("true", "false"):
        return _Value("boolean", int(word == "true"), token)
    days = dates.literal_range(str(token), datetime.now(UTC).date())
    if days is None:
        raise _Unexpected(token)
    return _Value("range", days, token)


def _read_date(token: Token) -> _Value:
    try:
        moment = datetime.fromisoformat(token.upper())
    except ValueError:
        raise SoqlError("MALFORMED_QUERY", f"Invalid date: {token}") from None
    if token.type == "DATE":
        return _Value("date", str(token), token)
    return _Value("datetime", salesforce_datetime(moment), token)


def _unquote(token: Token, keep: str = "") -> str:
    r"""The text a quoted string stands for; `keep` are characters whose backslash stays, for LIKE."""

    def replace(match: re.Match[str]) -> str:
        escaped = match[1]
        if escaped in keep or (keep and escaped == "\\"):
            return match[0]
        if escaped in ("%", "_"):
            return str(escaped)
        if len(escaped) == 5:
            return chr(int(escaped[1:], 16))
        if escaped.lower() in _ESCAPES:
            return _ESCAPES[escaped.lower()]
        message = (
            f"Invalid string literal {token}. Illegal character sequence '{match[0]}' in string literal."
        )
        raise SoqlError("MALFORMED_QUERY", message)

    return re.sub(r"\\(u[0-9A-Fa-f]{4}|.)", replace, token[1:-1], flags=re.DOTALL)


def _whole_number(token: Token) -> int:
    if not token.isdecimal():
        raise _Unexpected(token)
    return int(token)


# From the query to SQL


@dataclass(frozen=True)
class _Context:
    """What every part of one run shares."""

    store: Store
    text: str
    base_path: str
    with_deleted: bool

    def fail(self, code: str, token: Token, message: str) -> NoReturn:
        raise _error_at(code, self.text, token, message)

    def entity(self, source: _Source) -> SObject:
        found = schema.find(source.name)
        if found is None:
            self.fail(
                "INVALID_TYPE",
                source.name,
                f"sObject type '{source.name}' is not supported. If you are attempting to use a custom object, be sure "
                f"to append the '__c' after the entity name. {_REFERENCE}",
            )
        return found

    def child(self, parent: SObject, source: _Source) -> tuple[SObject, Field]:
        wanted = source.name.lower()
        children = (pair for pair in schema.children_of(parent) if pair[1].children.lower() == wanted)
        found = next(children, None)
        if found is None:
            self.fail(
                "INVALID_TYPE",
                source.name,
                f"Didn't understand relationship '{source.name}' in FROM part of query call. If you are attempting to "
                f"use a custom relationship, be sure to append the '__r' after the custom relationship name. {_REFERENCE}",
            )
        return found


class _Tables:
    """The FROM part: the sObject and the parents joined to it."""

    def __init__(self, context: _Context, sobject: SObject, source: _Source) -> None:
        self._context = context
        self.sobject = sobject
        self._own_names = {sobject.name.lower(), str(source.alias or "").lower()}
        self._joins: dict[tuple[str, ...], tuple[str, SObject]] = {(): ("t0", sobject)}
        self._sql = [f'FROM "{sobject.name}" t0']

    @property
    def sql(self) -> str:
        return " ".join(self._sql)

    def resolve(self, path: _Path) -> tuple[tuple[str, ...], Field, str]:
        """The relationships on the way, the field at the end, and its column in SQL."""
        names = path.names
        if len(names) > 1 and names[0].lower() in self._own_names:
            names = names[1:]
        way: tuple[str, ...] = ()
        for name in names[:-1]:
            way = self._join(way, name)
        alias, sobject = self._joins[way]
        found = sobject.by_name.get(names[-1].lower())
        if found is None:
            self._context.fail("INVALID_FIELD", path.names[0], no_such_column(names[-1], sobject))
        return way, found, f'{alias}."{found.name}"'

    def table(self, way: tuple[str, ...]) -> tuple[str, SObject]:
        return self._joins[way]

    def _join(self, way: tuple[str, ...], name: Token) -> tuple[str, ...]:
        alias, sobject = self._joins[way]
        reference = sobject.by_relationship.get(name.lower())
        parent = schema.find(reference.target) if reference else None
        if reference is None or parent is None:
            self._context.fail(
                "INVALID_FIELD",
                name,
                f"Didn't understand relationship '{name}' in field path. If you are attempting to use a custom "
                f"relationship, be sure to append the '__r' after the custom relationship name. {_REFERENCE}",
            )
        longer = (*way, reference.relationship)
        if longer not in self._joins:
            joined = f"t{len(self._joins)}"
            self._joins[longer] = (joined, parent)
            self._sql.append(
                f'LEFT JOIN "{parent.name}" {joined} ON {joined}."Id" = {alias}."{reference.name}"'
            )
        return longer


def no_such_column(name: str, sobject: SObject) -> str:
    return (
        f"No such column '{name}' on entity '{sobject.name}'. If you are attempting to use a custom field, be sure to "
        f"append the '__c' after the custom field name. {_REFERENCE}"
    )


class _Conditions:
    """The WHERE part as SQL. Every piece is 0 or 1, never NULL, so that NOT turns it round."""

    def __init__(self, context: _Context, tables: _Tables) -> None:
        self._context = context
        self._tables = tables
        self.parameters: list[Any] = []

    def sql(self, condition: Any) -> str:
        match condition:
            case _Combined(word, parts):
                return f"({word.join(self.sql(part) for part in parts)})"
            case _Negated(part):
                return f"(NOT {self.sql(part)})"
            case _Compare(path, operator, value):
                return self._compare(path, operator, value)
            case _Like(path, pattern):
                return self._like(path, pattern)
            case _OneOf(path, choices):
                return self._one_of(path, choices)
        raise TypeError(f"not a condition: {condition!r}")

    def _compare(self, path: _Path, operator: str, value: _Value) -> str:
        column, comparable = self._column(path), self._convert(path, value)
        if value.kind == "range":
            return self._compare_range(column, operator, comparable)
        if operator in ("=", "!="):
            return f"({column} {'IS' if operator == '=' else 'IS NOT'} {self._mark(comparable)})"
        return f"COALESCE({column} {operator} {self._mark(comparable)}, 0)"

    def _compare_range(self, column: str, operator: str, bounds: tuple[str, str]) -> str:
        start, end = bounds
        match operator:
            case "=" | "!=":
                inside = f"COALESCE({column} >= {self._mark(start)} AND {column} < {self._mark(end)}, 0)"
                return inside if operator == "=" else f"(NOT {inside})"
            case "<" | ">=":
                return f"COALESCE({column} {operator} {self._mark(start)}, 0)"
            case _:  # ">" means after its end, "<=" before it
                return f"COALESCE({column} {'>=' if operator == '>' else '<'} {self._mark(end)}, 0)"

    def _like(self, path: _Path, pattern: str) -> str:
        column, found = self._column(path), self._tables.resolve(path)[1]
        if not found.is_text:
            self._context.fail("INVALID_FIELD", path.names[0], f"invalid operator on {found.type} field")
        return f"soql_like({self._mark(pattern)}, {column})"

    def _one_of(self, path: _Path, choices: tuple[_Value, ...] | _Query) -> str:
        column = self._column(path)
        if isinstance(choices, _Query):
            return self._semi_join(column, choices)
        ranges = [self._compare(path, "=", choice) for choice in choices if choice.kind == "range"]
        plain = [self._convert(path, choice) for choice in choices if choice.kind != "range"]
        marks = ", ".join(self._mark(value) for value in plain if value is not None)
        pieces = [*ranges, f"COALESCE({column} IN ({marks}), 0)"]
        if None in plain:
            pieces.append(f"({column} IS NULL)")
        return f"({' OR '.join(pieces)})"

    def _semi_join(self, column: str, query: _Query) -> str:
        tables = _Tables(self._context, self._context.entity(query.source), query.source)
        [*others, last] = query.items
        if others or not isinstance(last, _Path):
            message = "The inner select must select exactly one field"
            self._context.fail("MALFORMED_QUERY", query.source.name, message)
        selected = tables.resolve(last)[2]
        inner = _Conditions(self._context, tables)
        where = _where(self._context, tables, inner, query.where)
        self.parameters.extend(inner.parameters)
        return f"COALESCE({column} IN (SELECT {selected} {tables.sql} {where}), 0)"

    def _column(self, path: _Path) -> str:
        _, found, column = self._tables.resolve(path)
        if not found.filterable:
            message = f"field '{found.name}' can not be filtered in a query call"
            self._context.fail("INVALID_FIELD", path.names[0], message)
        return column

    def _mark(self, value: Any) -> str:
        self.parameters.append(value)
        return "?"

    def _convert(self, path: _Path, value: _Value) -> Any:
        """The value as it is stored; refuses one of another type than the field's."""
        found = self._tables.resolve(path)[1]
        if value.kind == "null" or (value.kind == "string" and value.value == "" and found.is_text):
            return None
        if value.kind == "range" and found.type in ("date", "datetime"):
            start, end = (day.isoformat() for day in value.value)
            midnight = "T00:00:00.000+0000" if found.type == "datetime" else ""
            return start + midnight, end + midnight
        if value.kind != _KIND_OF_TYPE.get(found.type, "string"):
            self._wrong_type(path, found)
        if found.is_id:
            if not ids.is_well_formed(value.value):
                message = f"invalid ID field: {value.value}"
                self._context.fail("INVALID_QUERY_FILTER_OPERATOR", path.names[0], message)
            return ids.to_18(value.value)
        return value.value

    def _wrong_type(self, path: _Path, found: Field) -> NoReturn:
        quoted = found.is_text or found.is_id
        type_name = {"datetime": "dateTime", "reference": "reference"}.get(found.type, found.type)
        message = (
            f"value of filter criterion for field '{found.name}' must be of type "
            f"{'string' if found.is_text else type_name} and should {'' if quoted else 'not '}be enclosed in quotes"
        )
        self._context.fail("INVALID_FIELD", path.names[0], message)


_KIND_OF_TYPE = {
    "boolean": "boolean",
    "int": "number",
    "double": "number",
    "currency": "number",
    "date": "date",
    "datetime": "datetime",
}


def _where(context: _Context, tables: _Tables, conditions: _Conditions, condition: Any | None) -> str:
    pieces = [conditions.sql(condition)] if condition is not None else []
    if tables.sobject.can_be_deleted and not context.with_deleted:
        pieces.append('t0."IsDeleted" = 0')
    return f"WHERE {' AND '.join(pieces)}" if pieces else ""


def _limits(query: _Query) -> str:
    limit = -1 if query.limit is None else query.limit
    return f"LIMIT {limit} OFFSET {query.offset}"


def _count_all(context: _Context, query: _Query) -> Result:
    if len(query.items) > 1:
        context.fail("MALFORMED_QUERY", query.source.name, "COUNT() must be the only item of the select list")
    tables = _Tables(context, context.entity(query.source), query.source)
    conditions = _Conditions(context, tables)
    where = _where(context, tables, conditions, query.where)
    sql = f"SELECT COUNT(*) FROM (SELECT 1 {tables.sql} {where} {_limits(query)})"
    [(count,)] = context.store.rows(sql, conditions.parameters)
    return Result(count, [])


# From rows to records

_Render = Callable[[tuple[Any, ...]], Any]


@dataclass
class _Node:
    """A record to be: the root, or a parent reached through a relationship."""

    sobject: SObject
    id_column: int
    parts: dict[str, _Render | _Node] = field(default_factory=dict)

    def render(self, row: tuple[Any, ...], base_path: str) -> dict[str, Any]:
        url = f"{base_path}/sobjects/{self.sobject.name}/{row[self.id_column]}"
        record: dict[str, Any] = {"attributes": {"type": self.sobject.name, "url": url}}
        for name, part in self.parts.items():
            if not isinstance(part, _Node):
                record[name] = part(row)
            elif row[part.id_column] is None:
                record[name] = None
            else:
                record[name] = part.render(row, base_path)
        return record


class _Plan:
    """One SELECT: its SQL, and how its rows become records."""

    def __init__(
        self, context: _Context, query: _Query, sobject: SObject, parent: Field | None = None
    ) -> None:
        self._context = context
        self._query = query
        self._columns: list[str] = []
        self._tables = _Tables(context, sobject, query.source)
        self._conditions = _Conditions(context, self._tables)
        self._aggregates = [item for item in query.items if isinstance(item, _Aggregate)]
        self._labels: list[tuple[str, Field | None]] = []
        if self._is_grouped:
            self._select_groups()
        else:
            self._root = _Node(sobject, self._add_column('t0."Id"'))
            self._nodes: dict[tuple[str, ...], _Node] = {(): self._root}
            for item in query.items:
                self._select(item)
        self._sql = self._build_sql(parent)

    @property
    def _is_grouped(self) -> bool:
        return bool(self._aggregates or self._query.group)

    def records(self, *, parent_id: str | None = None) -> list[dict[str, Any]]:
        """The records found; `parent_id` is for a child sub-query."""
        parameters = self._conditions.parameters + ([parent_id] if parent_id else [])
        rows = self._context.store.rows(self._sql, parameters)
        render = self._render_group if self._is_grouped else self._render_record
        return [render(row) for row in rows]

    def _build_sql(self, parent: Field | None) -> str:
        where = _where(self._context, self._tables, self._conditions, self._query.where)
        if parent is not None:
            where += f' {"AND" if where else "WHERE"} t0."{parent.name}" = ?'
        group = ", ".join(self._tables.resolve(path)[2] for path in self._query.group)
        order = ", ".join(self._order_sql(ordering) for ordering in self._query.order)
        pieces = [f"SELECT {', '.join(self._columns)}", self._tables.sql, where]
        pieces.append(f"GROUP BY {group}" if group else "")
        pieces.append(f"ORDER BY {order}" if order else "")
        return " ".join([*pieces, _limits(self._query)])

    def _order_sql(self, ordering: _Ordering) -> str:
        column = self._tables.resolve(ordering.path)[2]
        return f"{column} {ordering.direction} NULLS {ordering.nulls}"

    def _render_record(self, row: tuple[Any, ...]) -> dict[str, Any]:
        return self._root.render(row, self._context.base_path)

    # Fields, parents, children

    def _select(self, item: Any) -> None:
        match item:
            case _Path():
                self._select_path(item)
            case _FieldGroup():
                self._select_group_of_fields(item)
            case _Query():
                self._select_children(item)

    def _select_path(self, path: _Path) -> None:
        way, found, column = self._tables.resolve(path)
        node = self._node(way)
        if found.name in node.parts:
            self._context.fail("MALFORMED_QUERY", path.names[0], f"duplicate field selected: {found.name}")
        self._select_field(node, way, found, column)

    def _select_field(self, node: _Node, way: tuple[str, ...], found: Field, column: str) -> None:
        if found.type == "address":
            alias = self._tables.table(way)[0]
            names = address_columns(found)
            places = [self._add_column(f'{alias}."{name}"') for name in names]
            node.parts[found.name] = lambda row: address(
                {name: row[place] for name, place in zip(names, places, strict=True)}, found
            )
        else:
            place = self._add_column(column)
            node.parts[found.name] = lambda row: as_json(found, row[place])

    def _select_group_of_fields(self, group: _FieldGroup) -> None:
        wanted = group.name.lower()
        limit = self._query.limit
        if wanted != "standard" and (limit is None or limit > MAX_FIELD_GROUP_ROWS):
            message = f"The SOQL FIELDS function must have a LIMIT of at most {MAX_FIELD_GROUP_ROWS}"
            self._context.fail("MALFORMED_QUERY", group.name, message)
        for found in self._tables.sobject.fields:
            if wanted == "all" or found.custom == (wanted == "custom"):
                self._select_field(self._root, (), found, f't0."{found.name}"')

    def _select_children(self, query: _Query) -> None:
        sobject, reference = self._context.child(self._tables.sobject, query.source)
        plan = _Plan(self._context, query, sobject, reference)
        id_column = self._root.id_column

        def render(row: tuple[Any, ...]) -> dict[str, Any] | None:
            records = plan.records(parent_id=row[id_column])
            return {"totalSize": len(records), "done": True, "records": records} if records else None

        self._root.parts[reference.children] = render

    def _node(self, way: tuple[str, ...]) -> _Node:
        if way not in self._nodes:
            alias, sobject = self._tables.table(way)
            node = _Node(sobject, self._add_column(f'{alias}."Id"'))
            self._node(way[:-1]).parts[way[-1]] = node
            self._nodes[way] = node
        return self._nodes[way]

    def _add_column(self, sql: str) -> int:
        self._columns.append(sql)
        return len(self._columns) - 1

    # Aggregates

    def _select_groups(self) -> None:
        grouped = {self._tables.resolve(path)[2] for path in self._query.group}
        for item in self._query.items:
            if isinstance(item, _Aggregate):
                column = self._tables.resolve(item.path)[2]
                unnamed = sum(label.startswith("expr") for label, _ in self._labels)
                self._labels.append((item.alias or f"expr{unnamed}", None))
                self._add_column(_AGGREGATES[item.function].format(column))
            elif isinstance(item, _Path):
                _, found, column = self._tables.resolve(item)
                if column not in grouped:
                    message = f"Field must be grouped or aggregated: {found.name}"
                    self._context.fail("MALFORMED_QUERY", item.names[0], message)
                self._labels.append((found.name, found))
                self._add_column(column)
            else:
                message = "Only fields and aggregate functions may be selected in a grouped query"
                self._context.fail("MALFORMED_QUERY", self._query.source.name, message)

    def _render_group(self, row: tuple[Any, ...]) -> dict[str, Any]:
        record: dict[str, Any] = {"attributes": {"type": "AggregateResult"}}
        for (label, found), value in zip(self._labels, row, strict=True):
            record[label] = as_json(found, value) if found else value
        return record
