"""Statements put together once: they do what the ORM's own would, with each run's own values."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db import connection as database
from django.db.models import F, Model, QuerySet
from django.test.utils import CaptureQueriesContext

from sf_integration.fields import seal
from sf_integration.models import AccessToken, ConnectedApp, SigningKey, Total
from sf_integration.tokens.prepared import Given, Insert, Select, Update

from .test_statements import NOW, SECOND, connection, row

pytestmark = pytest.mark.django_db


def given(name: str, column: str) -> Given:
    return Given(name, AccessToken._meta.get_field(column))


def total(count: int = 0, *, what: str = "sweep", outcome: str = "") -> Total:
    return Total.objects.create(what=what, outcome=outcome, count=count)


def test_a_selection_reads_what_the_orm_reads() -> None:
    made = row(last_error={"kind": "passing"}, issued_at=NOW, scopes="one")
    row("later", issued_at=NOW + SECOND, scopes="one")
    made.value = seal(AccessToken, "value", made.pk, b"token")
    made.save()
    row("other", issued_at=NOW, scopes="two")
    columns = ("value", "id", "last_error", "issued_at", "refresh_at")
    put_together = []

    def found() -> QuerySet[AccessToken, Any]:
        put_together.append(1)
        return AccessToken.objects.filter(
            scopes=given("wanted", "scopes"), issued_at__lte=given("now", "issued_at")
        ).values_list(*columns)

    select = Select(AccessToken, found)
    assert select.run(wanted="one", now=NOW) == [
        list(AccessToken.objects.filter(pk=made.pk).values_list(*columns).get())
    ]
    assert [len(select.run(wanted=scopes, now=NOW)) for scopes in ("two", "three")] == [1, 0]
    assert len(put_together) == 1


def test_an_update_changes_the_rows_of_each_run_and_counts_them() -> None:
    made = [row(f"c{number}", issued_at=NOW) for number in range(4)]
    update = Update(
        AccessToken,
        lambda: AccessToken.objects.filter(pk=given("pk", "id")).order_by("username"),
        lambda: {"issued_at": given("at", "issued_at"), "version": F("version") + 1, "scopes": "new"},
    )
    assert update.run({"pk": made[0].pk, "at": NOW + SECOND}) == 1
    later: dt.datetime | None
    for later in (NOW + 2 * SECOND, None):
        each = [{"pk": pk, "at": later} for pk in (made[1].pk, made[2].pk, SigningKey().pk)]
        assert update.run(*each) == 2
    found = AccessToken.objects.order_by("connection__name").values_list("issued_at", "version", "scopes")
    assert list(found) == [(NOW + SECOND, 1, "new"), (None, 2, "new"), (None, 2, "new"), (NOW, 0, "")]


def test_new_rows_come_in_one_statement_with_the_fields_defaults() -> None:
    owners = [connection(name) for name in ("one", "two")]
    with CaptureQueriesContext(database) as queries:
        Insert(AccessToken).run(
            {"connection": owners[0].pk, "username": "x", "last_error": {"kind": "rate"}, "issued_at": NOW},
            {"connection": owners[1].pk, "username": "y", "version": 7},
        )
    assert len(queries) == 1
    first, second = AccessToken.objects.order_by("username")
    assert (first.connection, first.last_error, first.issued_at) == (owners[0], {"kind": "rate"}, NOW)
    assert (second.connection, second.version, second.logins, second.scopes) == (owners[1], 7, 0, "")
    assert first.pk != second.pk
    assert second.value is None


def test_each_statement_asks_the_router_for_the_database_of_its_model(settings: Any) -> None:
    asked = []

    class Router:
        def db_for_read(self, model: type[Model], **_: Any) -> None:
            asked.append(("read", model))

        def db_for_write(self, model: type[Model], **_: Any) -> None:
            asked.append(("write", model))

    all_of = Total.objects.all()
    settings.DATABASE_ROUTERS = [Router()]
    Select(Total, lambda: all_of.values_list("count")).run()
    Update(Total, lambda: all_of, lambda: {"count": 1}).run({})
    Insert(Total).run({"id": 1, "what": "sweep", "outcome": ""})
    assert asked == [("read", Total), ("write", Total), ("write", Total)]


def test_a_statement_that_fails_marks_the_transaction_for_rollback() -> None:
    """As the ORM's own does: who catches the error can't go on as if nothing had been."""
    one, two = total(outcome="one"), total(outcome="two")
    outcome = Given("outcome", Total._meta.get_field("outcome"))
    clash = Update(Total, lambda: Total.objects.filter(pk=two.pk), lambda: {"outcome": outcome})
    values = {"id": two.pk + 1, "what": one.what, "outcome": one.outcome}
    for run in (lambda: clash.run({"outcome": "one"}), lambda: Insert(Total).run(values)):
        with transaction.atomic():
            with pytest.raises(IntegrityError):
                run()
            assert transaction.get_rollback()


def test_a_value_passes_its_fields_check() -> None:
    """A sealed column takes what is sealed for it, and no clear text."""
    made = row()
    update = Update(
        AccessToken,
        lambda: AccessToken.objects.filter(pk=made.pk),
        lambda: {"value": given("value", "value")},
    )
    with pytest.raises(TypeError):
        update.run({"value": b"token"})
    assert not ConnectedApp.objects.exclude(tokens__value=None).exists()
