"""Callers inside transactions of their own, some of which roll back."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from django.db import connection as database
from django.db import transaction
from pytest_django import DjangoAssertNumQueries

from sf_integration import ActionNeeded, RetryableError, UnknownConnection, get_client, get_token, tokens
from sf_integration.models import AccessToken
from sf_integration.testing.django import ConnectableOrg
from tests import processes


@pytest.mark.django_db(transaction=True)
def test_rollback_loses_no_token(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    with transaction.atomic():
        inside = get_token("acme")
        assert get_token("acme") == inside
        transaction.set_rollback(True)
    assert AccessToken.objects.count() == 0
    for copy in tokens.current().copies.values():
        copy.next_look = 0
    assert get_token("acme") == inside
    assert salesforce_org.token_requests == 1
    assert AccessToken.objects.get().value.open().decode() == inside.value


@pytest.mark.django_db(transaction=True)
def test_commit_stores_the_token_for_all(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    with transaction.atomic():
        inside = get_token("acme")
    tokens.reset()
    assert get_token("acme") == inside
    assert salesforce_org.token_requests == 1


@pytest.mark.django_db(transaction=True)
def test_nothing_is_claimed_inside_a_transaction(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    get_token("acme")
    tokens.revoke("acme")
    before = AccessToken.objects.values().get()
    with transaction.atomic():
        get_token("acme")
        assert AccessToken.objects.values().get() == before


@pytest.mark.django_db(transaction=True)
def test_a_failure_inside_a_transaction_is_not_tried_again_at_each_call(
    salesforce_org: ConnectableOrg,
) -> None:
    salesforce_org.user.approved = False
    salesforce_org.connect("acme")
    with transaction.atomic():
        for _ in range(5):
            with pytest.raises(ActionNeeded):
                get_token("acme")
    assert salesforce_org.token_requests == 1


@pytest.mark.django_db
def test_a_test_case_of_django_is_no_callers_transaction(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    token = get_token("acme")
    assert AccessToken.objects.get().value.open().decode() == token.value


def look_again() -> None:
    for copy in tokens.current().copies.values():
        copy.next_look = 0


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_was_rolled_back_hurts_no_other(salesforce_org: ConnectableOrg) -> None:
    first = salesforce_org.connect("acme")
    get_token("acme")
    with transaction.atomic():
        salesforce_org.connect("fresh", signing_key=first.signing_key)
        get_token("fresh")
        transaction.set_rollback(True)
    look_again()
    assert get_token("acme")
    with pytest.raises(UnknownConnection):
        get_token("fresh")


@pytest.mark.django_db(transaction=True)
def test_what_an_uncommitted_edit_brings_is_served_to_no_other_thread(salesforce_org: ConnectableOrg) -> None:
    first = salesforce_org.connect("acme")
    other = salesforce_org.add_user("other@nordhafen.example")
    committed = get_token("acme")
    with ThreadPoolExecutor(1) as elsewhere, transaction.atomic():
        first.username = other.username
        first.save()
        look_again()
        inside = get_token("acme")
        assert inside != committed
        assert elsewhere.submit(get_token, "acme").result() == committed
        transaction.set_rollback(True)
    assert get_token("acme") == committed


@pytest.mark.django_db(transaction=True)
def test_names_swapped_in_a_transaction_that_is_rolled_back_swap_no_tokens(
    salesforce_org: ConnectableOrg,
) -> None:
    first = salesforce_org.connect("first")
    other = salesforce_org.add_user("other@nordhafen.example")
    second = salesforce_org.connect("second", username=other.username, signing_key=first.signing_key)
    of_first, of_second = get_token("first"), get_token("second")
    with transaction.atomic():
        for connection, name in ((first, "third"), (second, "first"), (first, "second")):
            connection.name = name
            connection.save()
        look_again()
        assert get_token("first") == of_second
        transaction.set_rollback(True)
    assert get_token("first") == of_first


@pytest.mark.django_db(transaction=True)
def test_after_a_commit_no_query_is_needed(
    salesforce_org: ConnectableOrg, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    salesforce_org.connect("acme")
    with transaction.atomic():
        inside = get_token("acme")
    with django_assert_num_queries(0):
        assert get_token("acme") == inside


@pytest.mark.django_db(transaction=True)
def test_a_session_that_ends_inside_a_transaction_is_renewed_and_survives_its_rollback(
    salesforce_org: ConnectableOrg,
) -> None:
    salesforce_org.connect("acme", api_version="66.0")
    before_all = get_token("acme")
    stored = AccessToken.objects.values().get()
    with transaction.atomic(), get_client("acme") as client:
        for _ in range(2):
            salesforce_org.end_sessions()
            client.limits()
        assert AccessToken.objects.values().get() == stored  # nothing is written in here
        transaction.set_rollback(True)
    logins = salesforce_org.token_requests
    look_again()
    with get_client("acme") as client:
        client.limits()
    assert salesforce_org.token_requests == logins == 3
    assert AccessToken.objects.get().value.open().decode() != before_all.value


@pytest.mark.django_db(transaction=True)
def test_the_fuse_holds_inside_transactions(salesforce_org: ConnectableOrg) -> None:
    from django.utils import timezone

    salesforce_org.connect("acme")
    get_token("acme")
    AccessToken.objects.update(logins=598, expected_expiry=timezone.now())
    tokens.reset()
    with transaction.atomic():
        failed = get_token("acme")
        for _ in range(5):
            with suppress(RetryableError):
                failed = tokens.renew("acme", None, failed)
        with pytest.raises(RetryableError, match="we stop at 600"):
            tokens.renew("acme", None, failed)
        transaction.set_rollback(True)
    assert salesforce_org.token_requests == 3


@pytest.mark.django_db(transaction=True)
def test_a_revoked_token_is_not_held_on_to(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    with transaction.atomic():
        held = get_token("acme")
        tokens.revoke("acme")
        assert get_token("acme") != held


# ---- the same between real processes --------------------------------------------------------------------------------

WAIT_IN_A_TRANSACTION = """
from django.db import transaction
from sf_integration.models import AuditEvent
with transaction.atomic():
    AuditEvent.objects.create(actor="a caller's own business")
    inside = get_token("acme")
    transaction.set_rollback(True)
with get_client("acme") as client:
    client.limits()
print(AuditEvent.objects.count(), inside == get_token("acme"))
"""
ASK_WHEN_TOLD = """
print("ready", flush=True)
name = sys.stdin.readline().strip()
started = time.monotonic()
get_token(name)
print(time.monotonic() - started)
"""


@pytest.mark.django_db(transaction=True)
def test_a_caller_who_waits_in_a_transaction_holds_up_no_other_process(
    salesforce_org: ConnectableOrg, process_environment: dict[str, str]
) -> None:
    """The other one asks for the same token; on SQLite, whose write lock the caller holds, for one that is stored."""
    on_postgres = database.vendor == "postgresql"
    first = salesforce_org.connect("acme", api_version="66.0")
    salesforce_org.connect("stored", signing_key=first.signing_key)
    get_token("stored")
    other = processes.start(ASK_WHEN_TOLD, process_environment, salesforce_org.url)
    assert other.stdin is not None
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"
    salesforce_org.fail("slow", times=1, seconds=4)  # shorter than from one look at the row to the next
    waiting = processes.start(WAIT_IN_A_TRANSACTION, process_environment, salesforce_org.url)
    while salesforce_org.token_requests == 1:
        assert waiting.poll() is None
        time.sleep(0.02)
    other.stdin.write("acme\n" if on_postgres else "stored\n")
    other.stdin.flush()
    took = float(processes.finish(other))
    assert waiting.poll() is None
    assert took < 2
    kept, serves_its_own = processes.finish(waiting).split()
    assert kept == "0"
    # Where another process has signed in meanwhile, its newer token is everybody's.
    assert serves_its_own == str(not on_postgres)
    assert salesforce_org.token_requests == (3 if on_postgres else 2)
