"""What breaks off in the middle: in a batch, while a result is written, inside a caller's transaction."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from unittest import mock

import pytest
from django.db import DatabaseError, transaction
from django.db import connection as database
from django.utils import timezone

from sf_integration import get_token, tokens
from sf_integration.models import AccessToken, ConnectedApp
from sf_integration.salesforce import signin
from sf_integration.salesforce.errors import LoginUnavailable, SalesforceError
from sf_integration.salesforce.http import Answer
from sf_integration.salesforce.secret import Secret
from sf_integration.salesforce.signin import Outcome, SignIn
from sf_integration.testing.django import ConnectableOrg
from sf_integration.tokens import claims, lifecycle, renewal, rows, sweep

from .test_sweep import connect_many

pytestmark = pytest.mark.django_db(transaction=True)


def test_absurd_dates_tell_no_time() -> None:
    for date in (
        "Mon, 01 Jan 2024 00:00:00 +99999999999999999999",
        "1 Jan 9999999999999999999999 00:00:00 GMT",
    ):
        assert Answer(200, {"Date": date}, b"").clock_skew_seconds(0.0) is None


def test_login_host_that_no_name_can_be_fails_alone(salesforce_org: ConnectableOrg) -> None:
    connect_many(salesforce_org, 3)
    ConnectedApp.objects.filter(name="c1").update(login_url=f"https://{'a' * 64}.my.salesforce.com")
    assert tokens.refresh_due() == tokens.Tally(renewed=2, failed=1)


def test_key_that_can_not_sign_costs_nobody_else_the_token(
    salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect_many(salesforce_org, 3)
    real = signin.sign

    def sign(request: SignIn) -> Secret:
        if request.username.startswith("user1"):
            raise ValueError("bad key")
        return real(request)

    monkeypatch.setattr(signin, "sign", sign)
    tokens.refresh_due()
    assert AccessToken.objects.filter(value__isnull=False).count() == 2
    assert AccessToken.objects.filter(claimed_until__isnull=False).count() == 0


def test_fault_of_ours_costs_nobody_else_the_token(
    salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect_many(salesforce_org, 3)
    real = signin.run

    def run(request: SignIn, *rest: Any) -> Outcome:
        if request.username.startswith("user1"):
            raise ValueError("a bug")
        return real(request, *rest)

    monkeypatch.setattr(signin, "run", run)
    tokens.refresh_due()
    assert AccessToken.objects.filter(value__isnull=False).count() == 2
    assert AccessToken.objects.filter(claimed_until__isnull=False).count() == 0


def test_nothing_more_is_sent_when_results_can_not_be_written(
    salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect_many(salesforce_org, 6)
    salesforce_org.fail("slow", times=6, seconds=0.2)
    monkeypatch.setattr(sweep, "THREADS", 1)
    monkeypatch.setattr(sweep, "FLUSH_SECONDS", 0.3)

    def record(_: object) -> None:
        raise DatabaseError("gone")

    monkeypatch.setattr(renewal, "record", record)
    with pytest.raises(DatabaseError):
        tokens.refresh_due()
    assert salesforce_org.token_requests <= 3


def test_fuse_counts_sign_ins_in_transactions_after_they_are_stored(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    token = None
    for _ in range(3):
        with transaction.atomic():
            token = get_token("acme") if token is None else tokens.renew("acme", None, token)
    row = AccessToken.objects.get()
    assert salesforce_org.token_requests == 3
    assert claims.logins_this_hour([row.username], timezone.now()) == {row.username: 3}


def test_sign_ins_in_transactions_begin_a_new_hour(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    token = get_token("acme")
    AccessToken.objects.update(logins=50, logins_since=timezone.now() - dt.timedelta(hours=2))
    with transaction.atomic():
        tokens.renew("acme", None, token)
    row = AccessToken.objects.get()
    assert claims.logins_this_hour([row.username], timezone.now()) == {row.username: 1}


def test_what_may_have_been_sent_counts_though_it_broke_off(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")

    def observe(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tokens.refresh("acme", observe=observe)
    row = AccessToken.objects.get()
    assert (row.logins, row.claimed_until) == (1, None)


def test_content_type_with_a_null_byte_can_be_stored(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    salesforce_org.fail("answer", status=200, content_type="text/\x00html", body="<p>hello")
    with pytest.raises(SalesforceError):
        get_token("acme")
    assert "\x00" not in str(AccessToken.objects.get().last_error)


def test_two_batches_refused_for_one_user_do_not_wait_for_each_other(
    salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = salesforce_org.connect("a")
    salesforce_org.connect("b", signing_key=first.signing_key)
    rows.ensure(rows.connections_without_row())
    found = [row for name in ("a", "b") if (row := rows.find(name, None))]
    error = LoginUnavailable("login rate exceeded", code="login_rate", retry_after=900)
    outcome = signin.Outcome(None, error, 0.1)
    both, write = threading.Barrier(2, timeout=2), rows.write

    def write_together(results: Collection[tuple[AccessToken, rows.Changes]]) -> None:
        with suppress(threading.BrokenBarrierError):
            both.wait()
        write(results)

    def batch(row: AccessToken) -> None:
        try:
            with transaction.atomic():
                renewal.record([(row, outcome, error)])
        finally:
            database.close()

    monkeypatch.setattr(rows, "write", write_together)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(batch, found))
    assert AccessToken.objects.filter(next_try_at__gt=timezone.now()).count() == 2


def fail_in_a_rolled_back_transaction(name: str) -> None:
    with transaction.atomic():
        with pytest.raises(SalesforceError):
            get_token(name)
        transaction.set_rollback(True)


def test_waits_grow_though_every_failure_is_rolled_back(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.user.approved = False
    salesforce_org.connect("acme")
    held = tokens.current().held
    for seconds in (30, 60, 120):
        fail_in_a_rolled_back_transaction("acme")
        found = held["acme", None]
        assert seconds - 5 < (found.next_try_at - timezone.now()).total_seconds() <= seconds
        held["acme", None] = dataclasses.replace(found, next_try_at=timezone.now())


def test_a_failure_that_the_caller_catches_is_stored_at_the_commit(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.user.approved = False
    salesforce_org.connect("acme")
    with transaction.atomic(), pytest.raises(SalesforceError):
        get_token("acme")
    row = AccessToken.objects.get()
    assert (row.failures, row.logins) == (1, 1)


def test_fuse_forgets_rolled_back_sign_ins_after_an_hour(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    with mock.patch.object(lifecycle, "FUSE_LOGINS", 1):
        with transaction.atomic():
            token = get_token("acme")
            transaction.set_rollback(True)
        later = timezone.now() + dt.timedelta(minutes=61)
        with mock.patch.object(timezone, "now", return_value=later), transaction.atomic():
            assert tokens.renew("acme", None, token)
