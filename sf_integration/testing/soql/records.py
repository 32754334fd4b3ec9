"""Records found by a query: their fields, parents and children."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from lark import Token

from ..data.schema import Field, SObject
from ..data.store import address, address_columns, as_json
from .conditions import Conditions, Setting
from .errors import invalid_field, malformed, unknown
from .functions import field_group, fields_in, plain
from .syntax import Call, Item, Ordering, Path, Query
from .tables import Column, Tables, find_children

MAX_FIELD_GROUP_ROWS = 200
_MAX_CHILDREN = 2_000
_READ_AT_ONCE = 2_000

Row = tuple[Any, ...]
Record = dict[str, Any]


class Records(Sequence[Record]):
    """Records found, read from the store when they are looked at: a number for each is all that is kept."""

    def __init__(self, numbers: Iterable[int], read: Callable[[Sequence[int]], list[Record]]) -> None:
        """`read` makes the records of some numbers, in their order."""
        self._numbers = array("q", numbers)
        self._read = read

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> list[Record]: ...
    def __getitem__(self, place: int | slice) -> Record | list[Record]:
        if isinstance(place, slice):
            return self._read(self._numbers[place])
        return self._read([self._numbers[place]])[0]


_Render = Callable[[Row], Any]


@dataclass
class _Node:
    """A record to be: the root, or a parent reached through a relationship."""

    sobject: SObject
    id_column: int
    parts: dict[str, _Render | _Node] = field(default_factory=dict)

    def render(self, row: Row, base_path: str) -> Record:
        url = f"{base_path}/sobjects/{self.sobject.name}/{row[self.id_column]}"
        record: Record = {"attributes": {"type": self.sobject.name, "url": url}}
        for name, part in self.parts.items():
            if not isinstance(part, _Node):
                record[name] = part(row)
            elif row[part.id_column] is None:
                record[name] = None
            else:
                record[name] = part.render(row, base_path)
        return record


class Selection:
    """One SELECT: its SQL, and how its rows become records."""

    def __init__(self, setting: Setting, query: Query, sobject: SObject, parent: Field | None = None) -> None:
        """`parent` is the field that leads to the parent, for a child sub-query."""
        self._setting = setting
        self._query = query
        self._columns: list[str] = []
        self._tables = Tables(setting.schema, sobject, query.source)
        self._conditions = Conditions(setting, self._tables)
        self._root = _Node(sobject, self._add_column('t0."Id"'))
        self._nodes: dict[tuple[str, ...], _Node] = {(): self._root}
        for item in query.items:
            self._select(item)
        self._which = self._which_records(parent)

    def find(self, *, parent_id: str | None = None) -> Records:
        parameters = self._conditions.parameters + ([parent_id] if parent_id else [])
        found = self._setting.store.rows(self._which, parameters)
        return Records((number for (number,) in found), self._read)

    def _which_records(self, parent: Field | None) -> str:
        of_parent = [f't0."{parent.name}" = ?'] if parent else []
        where = self._conditions.where(self._query, *of_parent)
        order = order_by(self._query.order, lambda ordering: plain(self._tables, ordering.expression))
        return f"SELECT t0.rowid {self._tables.sql} {where} {order} {limit_of(self._query)}"

    def _read(self, numbers: Sequence[int]) -> list[Record]:
        records: list[Record] = []
        for start in range(0, len(numbers), _READ_AT_ONCE):
            records.extend(self._read_some(numbers[start : start + _READ_AT_ONCE]))
        return records

    def _read_some(self, numbers: Sequence[int]) -> Iterator[Record]:
        marks = ", ".join("?" * len(numbers))
        columns = ", ".join(self._columns)
        sql = f"SELECT t0.rowid, {columns} {self._tables.sql} WHERE t0.rowid IN ({marks})"
        rows = {row[0]: row[1:] for row in self._setting.store.rows(sql, numbers)}
        return (self._root.render(rows[number], self._setting.base_path) for number in numbers)

    def _select(self, item: Item | Query) -> None:
        match item:
            case Query():
                self._select_children(item)
            case Item(Path() as path, None):
                self._select_field(self._tables.column(path))
            case Item(Path(), Token() as alias):
                raise malformed(alias, "only aggregate expressions use field aliasing")
            case Item(Call() as call, alias):
                self._select_fields(call, alias is not None)

    def _select_field(self, column: Column) -> None:
        node = self._node(column.way)
        if column.field.name in node.parts:
            raise malformed(column.token, f"duplicate field selected: {column.field.name}")
        if column.field.type == "address":
            node.parts[column.field.name] = self._address(column)
            return
        place, shown = self._add_column(column.sql), column.field
        node.parts[shown.name] = lambda row: as_json(shown, row[place])

    def _address(self, column: Column) -> _Render:
        alias = self._tables.table(column.way)[0]
        names = address_columns(column.field)
        places = [self._add_column(f'{alias}."{name}"') for name in names]
        return lambda row: address(
            {name: row[place] for name, place in zip(names, places, strict=True)}, column.field
        )

    def _select_fields(self, call: Call, has_alias: bool) -> None:
        """FIELDS(ALL), FIELDS(STANDARD) or FIELDS(CUSTOM)."""
        if call.function != "fields" or has_alias:
            plain(self._tables, call)
            raise unknown(f"{call.token}() outside of grouped queries")
        group = field_group(call)
        limit = self._query.limit
        if group != "standard" and (limit is None or limit > MAX_FIELD_GROUP_ROWS):
            message = f"The SOQL FIELDS function must have a LIMIT of at most {MAX_FIELD_GROUP_ROWS}"
            raise malformed(call.token, message)
        for found in fields_in(group, self._tables.sobject):
            self._select_field(Column(f't0."{found.name}"', found, call.token))

    def _select_children(self, query: Query) -> None:
        sobject, reference = find_children(self._setting.schema, self._tables.sobject, query.source.name)
        if reference.children in self._root.parts:
            raise unknown(f"two sub-queries of {reference.children}")
        if query.group or query.having or query.offset:
            raise unknown("sub-queries with GROUP BY or OFFSET")
        selection = Selection(self._setting, query, sobject, reference)
        id_column = self._root.id_column

        def render(row: Row) -> Record | None:
            children = selection.find(parent_id=row[id_column])
            if len(children) > _MAX_CHILDREN:
                raise unknown(f"more than {_MAX_CHILDREN} children of one record")
            shown = {"totalSize": len(children), "done": True, "records": children[:]}
            return shown if children else None

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


def order_by(orderings: Sequence[Ordering], column_of: Callable[[Ordering], Column]) -> str:
    """Empty values come first unless told otherwise, ascending or not."""
    pieces = []
    for ordering in orderings:
        column = column_of(ordering)
        if not column.field.filterable:
            message = f"field '{column.field.name}' can not be sorted in a query call"
            raise invalid_field(column.token, message)
        pieces.append(f"{column.sortable} {ordering.direction} NULLS {ordering.nulls}")
    return f"ORDER BY {', '.join(pieces)}" if pieces else ""


def limit_of(query: Query) -> str:
    return f"LIMIT {-1 if query.limit is None else query.limit} OFFSET {query.offset}"
