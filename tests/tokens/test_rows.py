"""The statements: how many a renewal takes, and that each does what the ORM's own would."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sf_integration import RetryableError, get_token, tokens
from sf_integration.models import AccessToken
from sf_integration.testing.django import ConnectableOrg
from sf_integration.tokens import claims, rows

from .test_statements import just_before

pytestmark = pytest.mark.django_db(transaction=True)


def connect_many(org: ConnectableOrg, count: int) -> None:
    first = org.connect("c0", extra_usernames=[])
    for number in range(1, count):
        org.add_user(f"user{number}@nordhafen.example")
        org.connect(f"c{number}", signing_key=first.signing_key, username=f"user{number}@nordhafen.example")


def found(name: str, username: str | None = None) -> AccessToken:
    row = rows.find(name, username)
    assert row is not None
    return row


# How many


def test_one_renewal_takes_six_statements(salesforce_org: ConnectableOrg) -> None:
    """The row, the claim, the token, the connection's outcome; what the history is told and its count, in a transaction."""
    salesforce_org.connect("acme")
    get_token("acme")
    with CaptureQueriesContext(database) as queries:
        tokens.refresh("acme")
    assert len(queries) == 6 + len(("BEGIN", "COMMIT"))
    AccessToken.objects.update(expected_expiry=timezone.now())
    tokens.reset()
    with CaptureQueriesContext(database) as queries:
        tokens.get("acme", counts_as_use=False)
    assert len(queries) == 6 + len(("BEGIN", "COMMIT"))


def test_a_batch_takes_as_many_statements_whatever_its_size(salesforce_org: ConnectableOrg) -> None:
    connect_many(salesforce_org, 40)
    tokens.refresh_due()
    counts = []
    for due in (2, 40):
        names = [f"c{number}" for number in range(due)]
        AccessToken.objects.filter(connection__name__in=names).update(refresh_at=timezone.now())
        (batch,) = tokens.due_batches()
        with CaptureQueriesContext(database) as queries:
            assert tokens.refresh_batch(batch).renewed == due
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 15


def test_failures_of_a_batch_are_written_together_too(salesforce_org: ConnectableOrg) -> None:
    connect_many(salesforce_org, 20)
    tokens.refresh_due()
    AccessToken.objects.update(refresh_at=timezone.now())
    salesforce_org.fail("maintenance", times=None)
    (batch,) = tokens.due_batches()
    with CaptureQueriesContext(database) as queries:
        assert tokens.refresh_batch(batch).failed == 20
    assert len(queries) <= 16
    assert AccessToken.objects.filter(failures=1, claimed_until=None, value__isnull=False).count() == 20


# What they do


def test_the_row_comes_whole_with_connection_and_signing_key(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", extra_usernames=["ops@acme.example"], tags=["one"], notes="ä % s")
    salesforce_org.fail("unknown_error", times=2)
    with pytest.raises(RetryableError):
        get_token("acme")
    with CaptureQueriesContext(database) as queries:
        row = found("acme")
        theirs = [row, row.connection, row.connection.signing_key]
        seen = [
            {field.attname: getattr(each, field.attname) for field in each._meta.concrete_fields}
            for each in theirs
        ]
    assert len(queries) == 1
    same = AccessToken.objects.select_related("connection__signing_key").get()
    ours = [same, same.connection, same.connection.signing_key]
    assert seen == [
        {field.attname: getattr(each, field.attname) for field in each._meta.concrete_fields} for each in ours
    ]
    assert [each._state.db for each in theirs] == [each._state.db for each in ours]
    assert not any(each._state.adding for each in theirs)
    assert row.connection.signing_key.private_key.open() == same.connection.signing_key.private_key.open()


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, "own"),
        ("OPS@acme.example", "own"),
        ("B@acme.example", "extra"),
        ("c@x", None),
        ("' or 1=1", None),
    ],
)
def test_the_row_of_a_username_is_found_without_regard_to_case(
    salesforce_org: ConnectableOrg, asked: str | None, expected: str | None
) -> None:
    connection = salesforce_org.connect("acme", username="Ops@acme.example")
    AccessToken.objects.create(connection=connection, username="ops@acme.example", scopes="own")
    AccessToken.objects.create(connection=connection, username="b@acme.example", scopes="extra")
    row = rows.find("acme", asked)
    assert (row.scopes if row else None) == expected


def test_nobody_wins_a_claim_when_the_user_has_no_logins_left(salesforce_org: ConnectableOrg) -> None:
    """Counted over all connections of the user, within the hour."""
    first = salesforce_org.connect("acme")
    salesforce_org.connect("two", signing_key=first.signing_key)
    now = timezone.now()
    rows.ensure([first, rows.connection_named("two")])
    AccessToken.objects.filter(connection__name="two").update(logins=600, logins_since=now)
    assert not claims.claim(found("acme"), now)
    AccessToken.objects.filter(connection__name="two").update(logins=599)
    assert claims.claim(found("acme"), now)
    row = found("acme")
    assert (row.logins, row.logins_since, row.last_try_at) == (1, now, now)
    assert row.claimed_until == now + dt.timedelta(seconds=12)


def test_a_claim_counts_on_within_the_hour_and_anew_after_it(salesforce_org: ConnectableOrg) -> None:
    rows.ensure([salesforce_org.connect("acme")])
    start = timezone.now()
    minutes = dt.timedelta(minutes=1)
    counted = []
    for at in (start, start + 59 * minutes, start + 61 * minutes):
        assert claims.claim(found("acme"), at)
        row = found("acme")
        counted.append((row.logins, row.logins_since))
    assert counted == [(1, start), (2, start), (1, start + 61 * minutes)]


def test_a_row_that_moved_on_is_left_alone_and_its_neighbours_are_written(
    salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sf_integration.tokens import renewal

    connect_many(salesforce_org, 3)
    tokens.refresh_due()
    stolen, lapsed = found("c0"), found("c1")
    AccessToken.objects.update(refresh_at=timezone.now())
    record = renewal.record

    def late(results: list[renewal.Result]) -> None:
        """While the answers were on their way, another process took one row, and an edit moved another on."""
        AccessToken.objects.filter(pk=stolen.pk).update(version=77, claimed_by="another", scopes="theirs")
        AccessToken.objects.filter(pk=lapsed.pk).update(version=78)
        record(results)

    monkeypatch.setattr(renewal, "record", late)
    tokens.refresh_due()
    first, second, third = found("c0"), found("c1"), found("c2")
    assert (first.version, first.claimed_by, first.scopes) == (77, "another", "theirs")
    assert (second.version, second.claimed_by, second.value) == (78, "", lapsed.value)
    assert (third.version, third.claimed_by) == (2, "")


def test_a_statement_that_fails_marks_the_callers_transaction(salesforce_org: ConnectableOrg) -> None:
    """As the ORM's own does, so that nobody goes on in a transaction that the database has given up."""
    salesforce_org.connect("acme")
    get_token("acme")
    row = found("acme")
    changes = {"instance_url": None}
    with transaction.atomic():
        with pytest.raises(IntegrityError):
            rows.write([(row, changes)])
        assert transaction.get_rollback()


@pytest.mark.parametrize("kind", [OperationalError, InterfaceError])
def test_a_database_connection_that_was_dropped_is_opened_anew_once(
    salesforce_org: ConnectableOrg, kind: type[Exception]
) -> None:
    """Never inside a transaction, of which the rest would be lost."""
    other = "ops@nordhafen.example"
    connection = salesforce_org.connect("acme", extra_usernames=[other])
    rows.ensure([connection])
    rows.ensure([connection], other)

    def refuse() -> None:
        raise kind("dropped")

    found("acme")
    opened = database.connection
    with just_before("SELECT", refuse):
        assert found("acme", other).username == other
    assert database.connection is not opened
    with transaction.atomic(), just_before("SELECT", refuse), pytest.raises(kind):
        rows.find("acme", None)
    with just_before("SELECT", refuse), just_before("SELECT", refuse), pytest.raises(kind):
        rows.find("acme", None)


def test_only_a_transaction_that_can_be_rolled_back_is_a_callers(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert rows.in_callers_transaction() is False
    with transaction.atomic():
        assert rows.in_callers_transaction() is True
        assert not transaction.get_rollback()
