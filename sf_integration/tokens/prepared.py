"""Statements that Django puts together once per process and runs often.

For a single row, putting the SQL together costs several times what running it does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Expression, Model, QuerySet
from django.db.models.sql import Query, UpdateQuery

Values = Mapping[str, Any]


class Given(Expression):
    """The place of a value that every run gives anew, under this name and as this field has it stored."""

    is_bound_by_its_field = True
    """For sealed columns: what comes here has to pass the field's own check."""

    def __init__(self, name: str, field: Any) -> None:
        super().__init__(output_field=field)
        self.name, self.column = name, field

    @classmethod
    def of(cls, model: type[Model], name: str, column: str = "") -> Given:
        """A value for, or to compare with, the column of that name, or another one."""
        return cls(name, model._meta.get_field(column or name))

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        return "%s", (self,)


@dataclass(frozen=True)
class _Plan:
    """A statement in the words of one database."""

    sql: str
    params: Sequence[Any]
    converters: Mapping[int, tuple[Sequence[Callable[..., Any]], Any]]
    """For some places of a row read: what makes Python values of the database's."""

    def bind(self, values: Values, database: BaseDatabaseWrapper) -> list[Any]:
        return [
            param.column.get_db_prep_save(values[param.name], database) if isinstance(param, Given) else param
            for param in self.params
        ]

    def converted(self, row: Sequence[Any], database: BaseDatabaseWrapper) -> list[Any]:
        values = list(row)
        for place, (converters, expression) in self.converters.items():
            for converter in converters:
                values[place] = converter(values[place], expression, database)
        return values


class _Statement:
    def __init__(self, model: type[Model], query: Callable[[], Query]) -> None:
        self._model = model
        self._query = query
        self._plans: dict[str, _Plan] = {}
        """By the alias of the database."""

    def _plan(self, database: BaseDatabaseWrapper) -> _Plan:
        plan = self._plans.get(database.alias)
        if plan is None:
            compiler = self._query().get_compiler(connection=database)
            sql, params = compiler.as_sql()
            columns = [column for column, *_ in compiler.select or ()]
            plan = self._plans[database.alias] = _Plan(sql, params, compiler.get_converters(columns))
        return plan


class Select(_Statement):
    """`queryset` is one of `values_list`."""

    def __init__(self, model: type[Model], queryset: Callable[[], QuerySet[Any, Any]]) -> None:
        super().__init__(model, lambda: queryset().query)

    def run(self, **values: Any) -> list[list[Any]]:
        database = connections[router.db_for_read(self._model)]
        plan = self._plan(database)
        with database.cursor() as cursor:
            cursor.execute(plan.sql, plan.bind(values, database))
            return [plan.converted(row, database) for row in cursor.fetchall()]


class Update(_Statement):
    """`changes` are what `queryset.update()` would take."""

    def __init__(
        self, model: type[Model], queryset: Callable[[], QuerySet[Any, Any]], changes: Callable[[], Values]
    ) -> None:
        super().__init__(model, lambda: _updating(queryset(), changes()))

    def run(self, *each: Values) -> int:
        """Run once for each of these; the number of rows changed by all."""
        alias = router.db_for_write(self._model)
        database = connections[alias]
        plan = self._plan(database)
        params = [plan.bind(values, database) for values in each]
        with transaction.mark_for_rollback_on_error(using=alias), database.cursor() as cursor:
            if len(params) == 1:
                cursor.execute(plan.sql, params[0])
            else:
                cursor.executemany(plan.sql, params)
            changed: int = cursor.rowcount
        return changed


class Insert:
    """New rows of a model, all in one statement; what a run doesn't give has its field's default."""

    def __init__(self, model: type[Model]) -> None:
        self._model = model
        self._fields = model._meta.local_concrete_fields

    def run(self, *each: Values) -> None:
        alias = router.db_for_write(self._model)
        database = connections[alias]
        params = [
            field.get_db_prep_save(
                values[field.name] if field.name in values else field.get_default(), database
            )
            for values in each
            for field in self._fields
        ]
        with transaction.mark_for_rollback_on_error(using=alias), database.cursor() as cursor:
            cursor.execute(self._sql(database, len(each)), params)

    def _sql(self, database: BaseDatabaseWrapper, rows: int) -> str:
        quote = database.ops.quote_name
        columns = ", ".join(quote(str(field.column)) for field in self._fields)
        row = f"({', '.join(['%s'] * len(self._fields))})"
        into = f"INSERT INTO {quote(self._model._meta.db_table)} ({columns})"
        return f"{into} VALUES {', '.join([row] * rows)}"


def _updating(queryset: QuerySet[Any, Any], changes: Values) -> Query:
    """The query that `queryset.update(**changes)` would run."""
    query: Any = queryset.order_by().query.chain(UpdateQuery)
    query.add_update_values(changes)
    query.clear_select_clause()
    updating: Query = query
    return updating
