"""The FROM part: an sObject with the parents joined to it, and the columns their fields are."""

from __future__ import annotations

from dataclasses import dataclass

from lark import Token

from ..data import standard
from ..data.schema import Field, Schema, SObject
from .errors import REFERENCE, Misfit, invalid_field, no_such_column, unknown
from .syntax import Path, Source

MAX_PARENT_LEVELS = 5
_MAX_JOINS = 50


@dataclass(frozen=True)
class Column:
    """What an expression of the query is in SQL."""

    sql: str
    field: Field
    """The field it shows, or a nameless one of the type a function yields."""
    token: Token
    way: tuple[str, ...] = ()
    """The relationships that lead to it."""

    @property
    def comparable(self) -> str:
        """SQL to compare and sort by: text without regard to case, no ticked checkbox where there is no record."""
        if self.field.is_text:
            return f"fold({self.sql})"
        return f"COALESCE({self.sql}, 0)" if self.field.type == "boolean" else self.sql

    @property
    def sortable(self) -> str:
        """Picklists are sorted by the order of their values, all else as it compares."""
        if not self.field.options:
            return self.comparable
        places = (
            f"WHEN '{option.replace(chr(39), chr(39) * 2)}' THEN {place}"
            for place, option in enumerate(self.field.options)
        )
        return f"CASE {self.sql} {' '.join(places)} END"


def find_sobject(schema: Schema, name: Token) -> SObject:
    found = schema.find(name)
    if found is None:
        if (known := standard.sobject(name)) and not schema.hides(name):
            raise unknown(known)
        raise Misfit(
            "INVALID_TYPE",
            name,
            f"sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to append "
            f"the '__c' after the entity name. {REFERENCE}",
        )
    return found


def find_children(schema: Schema, parent: SObject, name: Token) -> tuple[SObject, Field]:
    """The child sObject of a relationship, and its field that refers to the parent."""
    wanted = name.lower()
    for child, reference in schema.children_of(parent):
        if reference.children.lower() == wanted:
            return child, reference
    if known := standard.children(parent.name, name):
        raise unknown(known)
    raise Misfit(
        "INVALID_TYPE",
        name,
        f"Didn't understand relationship '{name}' in FROM part of query call. If you are attempting to use a custom "
        f"relationship, be sure to append the '__r' after the custom relationship name. {REFERENCE}",
    )


class Tables:
    """Grows by a join with each parent that a path leads through."""

    def __init__(self, schema: Schema, sobject: SObject, source: Source) -> None:
        self._schema = schema
        self.sobject = sobject
        self._own_names = {sobject.name.lower(), str(source.alias or "").lower()}
        self._joins: dict[tuple[str, ...], tuple[str, SObject]] = {(): ("t0", sobject)}
        self._sql = [f'FROM "{sobject.name}" t0']

    @property
    def sql(self) -> str:
        return " ".join(self._sql)

    def column(self, path: Path) -> Column:
        names = path.names
        if len(names) > 1 and names[0].lower() in self._own_names:
            names = names[1:]
        if len(names) - 1 > MAX_PARENT_LEVELS:
            raise unknown(f"paths over more than {MAX_PARENT_LEVELS} parents")
        way: tuple[str, ...] = ()
        for name in names[:-1]:
            way = self._join(way, name)
        alias, sobject = self._joins[way]
        found = sobject.by_name.get(names[-1].lower())
        if found is None:
            if (known := standard.field(sobject.name, names[-1])) and not self._schema.hides(known):
                raise unknown(known)
            raise invalid_field(path.token, no_such_column(names[-1], sobject))
        return Column(f'{alias}."{found.name}"', found, path.token, way)

    def table(self, way: tuple[str, ...]) -> tuple[str, SObject]:
        """The alias in SQL of what a way leads to, and what it is."""
        return self._joins[way]

    def reference(self, way: tuple[str, ...]) -> Field:
        """The field that leads the last step of a way."""
        return self._joins[way[:-1]][1].by_relationship[way[-1].lower()]

    def _join(self, way: tuple[str, ...], name: Token) -> tuple[str, ...]:
        alias, sobject = self._joins[way]
        reference = sobject.by_relationship.get(name.lower())
        parent = self._schema.find(reference.target) if reference else None
        if reference is None or parent is None:
            if known := standard.parent(sobject.name, name):
                raise unknown(known)
            raise invalid_field(
                name,
                f"Didn't understand relationship '{name}' in field path. If you are attempting to use a custom "
                f"relationship, be sure to append the '__r' after the custom relationship name. {REFERENCE}",
            )
        longer = (*way, reference.relationship)
        if longer not in self._joins:
            if len(self._joins) > _MAX_JOINS:
                raise unknown(f"queries that reach more than {_MAX_JOINS} parents")
            joined = f"t{len(self._joins)}"
            self._joins[longer] = (joined, parent)
            self._sql.append(
                f'LEFT JOIN "{parent.name}" {joined} ON {joined}."Id" = {alias}."{reference.name}"'
            )
        return longer
