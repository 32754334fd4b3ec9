"""What the history says of tokens: sign-ins, refusals, sessions that the org ended, changes of state."""

from __future__ import annotations

import logging

import pytest
from django.db import connection as database
from django.db import transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sf_integration import ActionNeeded, get_client, get_token, tokens
from sf_integration.models import AccessToken, ConnectedApp, ConnectionEvent
from sf_integration.salesforce.errors import LoginUnavailable
from sf_integration.salesforce.signin import Outcome
from sf_integration.testing.django import ConnectableOrg
from sf_integration.tokens import events

pytestmark = pytest.mark.django_db(transaction=True)

Kind = ConnectionEvent.Kind


def told(*kinds: str) -> list[tuple[str, str, str]]:
    """Connection, kind and code of what was told, oldest first; without `kinds` all but changes of state."""
    found = ConnectionEvent.objects.filter(kind__in=kinds or set(Kind) - {Kind.STATE}).order_by("at")
    return list(found.values_list("connection__name", "kind", "code"))


def test_a_sign_in_is_told_with_its_user_and_time(salesforce_org: ConnectableOrg) -> None:
    connection = salesforce_org.connect("acme")
    get_token("acme")
    event = ConnectionEvent.objects.get(kind=Kind.SIGNED_IN)
    assert (event.connection, event.username, event.code) == (connection, connection.username.lower(), "")
    assert event.milliseconds is not None
    assert event.at >= AccessToken.objects.get().created_at


def test_each_refusal_is_told_by_its_code(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    salesforce_org.user.approved = False
    with pytest.raises(ActionNeeded):
        get_token("acme")
    with pytest.raises(ActionNeeded):
        get_token("acme")  # behind the gate: nothing was asked, nothing is told
    assert told() == [("acme", "sign-in failed", "invalid_app_access")]
    assert told(Kind.STATE) == [("acme", "state changed", "Failing")]


def test_a_session_that_the_org_ended_is_told_before_the_next_sign_in(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    with get_client("acme") as client:
        client.query("SELECT Id FROM Account")
        salesforce_org.end_sessions()
        client.query("SELECT Id FROM Account")
    assert [kind for _, kind, _ in told()] == ["signed in", "session ended", "signed in"]


def test_a_sweep_tells_sign_ins_of_a_moment_in_one_statement(salesforce_org: ConnectableOrg) -> None:
    for number in range(5):
        salesforce_org.connect(f"acme-{number}")
    with CaptureQueriesContext(database) as queries:
        tokens.refresh_due()
    told_in = [
        each["sql"] for each in queries if "connectionevent" in each["sql"] and "signed in" in each["sql"]
    ]
    assert len(told(Kind.SIGNED_IN)) == 5
    assert max(sql.count("signed in") for sql in told_in) > 1


def test_a_rollback_of_the_callers_tells_nothing_twice(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    with transaction.atomic():
        get_token("acme")
        transaction.set_rollback(True)
    assert told() == []
    for copy in tokens.current().copies.values():
        copy.next_look = 0
    get_token("acme")
    assert told() == [("acme", "signed in", "")]


def test_a_connection_deleted_meanwhile_costs_the_others_no_event(salesforce_org: ConnectableOrg) -> None:
    acme, gone = salesforce_org.connect("acme"), ConnectedApp(name="gone")
    outcome = Outcome(token=None, error=LoginUnavailable("no", code="timeout"), seconds=0.1)
    events.sign_ins(
        [(AccessToken(connection=each), outcome, outcome.error) for each in (acme, gone, acme)],
        timezone.now(),
    )
    assert told() == [("acme", "sign-in failed", "timeout")] * 2


def test_a_history_that_cannot_be_written_costs_no_token(
    salesforce_org: ConnectableOrg, caplog: pytest.LogCaptureFixture
) -> None:
    salesforce_org.connect("acme")
    table = ConnectionEvent._meta.db_table
    with database.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO {table}_away")
    try:
        with caplog.at_level(logging.WARNING, "sf_integration.tokens"):
            token = get_token("acme")
            assert tokens.refresh("acme").value != token.value
            assert tokens.refresh_due().failed == 0
    finally:
        with database.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table}_away RENAME TO {table}")
    assert "events were not stored" in caplog.text
    assert AccessToken.objects.get().value is not None


@pytest.mark.parametrize("code", ["eyJhbGciOiJSUzI1NiJ9.e30.x", "00D5g!AQEAQ", "a b", "x" * 101, "", "<b>"])
def test_only_words_are_codes(salesforce_org: ConnectableOrg, code: str) -> None:
    """An org could answer anything in its place."""
    assert events.code_of(ActionNeeded("no", code=code)) in ("ActionNeeded", "action_needed")
