"""What beat does, called directly; tests/site shows it with a real worker."""

from __future__ import annotations

import datetime as dt
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection as database
from django.utils import timezone

from sf_integration import tokens
from sf_integration.models import AccessToken, ConnectedApp
from sf_integration.testing.django import ConnectableOrg
from sf_integration.tokens import rows

pytestmark = pytest.mark.django_db(transaction=True)


def connect_many(org: ConnectableOrg, count: int) -> None:
    first = org.connect("c0")
    for number in range(1, count):
        org.add_user(f"user{number}@nordhafen.example")
        org.connect(f"c{number}", signing_key=first.signing_key, username=f"user{number}@nordhafen.example")


def make_due() -> None:
    AccessToken.objects.update(refresh_at=timezone.now() - dt.timedelta(minutes=1))


def test_connections_without_a_row_get_their_first_token(salesforce_org: ConnectableOrg) -> None:
    connect_many(salesforce_org, 5)
    assert tokens.refresh_due().renewed == 5
    assert AccessToken.objects.filter(value__isnull=False).count() == 5
    assert tokens.refresh_due().renewed == 0
    assert salesforce_org.token_requests == 5


def test_due_tokens_are_renewed_and_the_others_left(salesforce_org: ConnectableOrg) -> None:
    connect_many(salesforce_org, 3)
    tokens.refresh_due()
    AccessToken.objects.filter(connection__name="c1").update(refresh_at=timezone.now())
    before = {row.connection_id: row.version for row in AccessToken.objects.all()}
    assert tokens.refresh_due().renewed == 1
    changed = [row for row in AccessToken.objects.all() if row.version != before[row.connection_id]]
    assert [row.connection.name for row in changed] == ["c1"]


def test_waits_overlap(salesforce_org: ConnectableOrg) -> None:
    connect_many(salesforce_org, 20)
    salesforce_org.fail("slow", times=20, seconds=0.3)
    started = time.monotonic()
    assert tokens.refresh_due().renewed == 20
    assert time.monotonic() - started < 20 * 0.3 / 2


def test_one_dead_org_does_not_delay_the_rest(salesforce_org: ConnectableOrg) -> None:
    connect_many(salesforce_org, 6)
    ConnectedApp.objects.filter(name="c3").update(consumer_key="3MVG9Unknown")
    tally = tokens.refresh_due()
    assert (tally.renewed, tally.failed) == (5, 1)
    assert ConnectedApp.objects.get(name="c3").failing_since
    assert AccessToken.objects.get(connection__name="c3").next_try_at > timezone.now()
    assert tokens.refresh_due() == tokens.Tally()  # the gate holds


def test_doubled_messages_do_nothing(salesforce_org: ConnectableOrg) -> None:
    connect_many(salesforce_org, 4)
    tokens.refresh_due()
    make_due()
    (batch,) = tokens.due_batches()
    salesforce_org.fail("slow", times=4, seconds=0.2)

    def work(_: int) -> tokens.Tally:
        try:
            return tokens.refresh_batch(batch)
        finally:
            database.close()

    with ThreadPoolExecutor(3) as pool:
        tallies = list(pool.map(work, range(3)))
    assert sum(tally.renewed for tally in tallies) == 4
    assert salesforce_org.token_requests == 8


def test_rows_whose_turn_comes_too_late_are_left_for_the_next_beat(
    salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sf_integration.tokens import sweep

    connect_many(salesforce_org, 4)
    rows.ensure(rows.connections_without_row())
    salesforce_org.fail("slow", times=1, seconds=2.3)
    monkeypatch.setattr(sweep, "THREADS", 1)
    (batch,) = tokens.due_batches()
    tally = tokens.refresh_batch(batch)
    assert (tally.renewed, tally.put_off) == (1, 3)
    assert AccessToken.objects.filter(claimed_until__isnull=False).count() == 0
    assert AccessToken.objects.filter(logins=0).count() == 3
    assert tokens.refresh_due().renewed == 3


def test_paused_and_forbidden_connections_are_never_called(
    salesforce_org: ConnectableOrg, settings: object
) -> None:
    connect_many(salesforce_org, 2)
    ConnectedApp.objects.filter(name="c0").update(enabled=False)
    assert tokens.refresh_due().renewed == 1
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "ALLOWED_ENVIRONMENTS": ["sandbox"]}  # type: ignore[attr-defined]
    make_due()
    assert tokens.refresh_due().renewed == 0
    assert salesforce_org.token_requests == 1


def test_old_token_is_kept_when_an_early_renewal_fails(salesforce_org: ConnectableOrg) -> None:
    connect_many(salesforce_org, 1)
    tokens.refresh_due()
    token = tokens.get("c0")
    make_due()
    salesforce_org.fail("maintenance", times=None)
    assert tokens.refresh_due().failed == 1
    tokens.reset()
    assert tokens.get("c0") == token
    row = AccessToken.objects.get()
    assert dt.timedelta(minutes=4) < row.next_try_at - timezone.now() < dt.timedelta(minutes=11)
    assert ConnectedApp.objects.get().failing_since is None  # nobody has been hurt yet


def test_extra_username_that_nobody_asks_for_idles_out(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.add_user("ops@nordhafen.example")
    salesforce_org.connect("acme", extra_usernames=["ops@nordhafen.example"])
    tokens.get("acme", "ops@nordhafen.example")
    make_due()
    assert tokens.refresh_due().renewed == 2  # its own user's first token, too
    AccessToken.objects.update(last_used_at=timezone.now() - dt.timedelta(hours=25))
    make_due()
    assert tokens.refresh_due().renewed == 1


def test_an_absurd_answer_costs_nobody_else_the_token(salesforce_org: ConnectableOrg) -> None:
    connect_many(salesforce_org, 3)
    long = "x" * 300
    body = f'{{"access_token": "00Dx!abc", "instance_url": "{salesforce_org.url}", "id": "{salesforce_org.url}/id/a/{long}"}}'
    salesforce_org.fail("answer", status=200, content_type="application/json", body=body)
    assert tokens.refresh_due() == tokens.Tally(renewed=2, failed=1)
    assert AccessToken.objects.filter(value__isnull=False).count() == 2


def test_listeners_can_not_undo_a_batch(salesforce_org: ConnectableOrg) -> None:
    from django.contrib.auth import get_user_model

    from sf_integration.signals import connection_health_changed

    connect_many(salesforce_org, 2)
    ConnectedApp.objects.update(last_checked_at=timezone.now())
    in_transaction: list[bool] = []

    def listen(**_: object) -> None:
        in_transaction.append(database.in_atomic_block)
        get_user_model().objects.create_user("the same twice")

    connection_health_changed.connect(listen, weak=False, dispatch_uid="test")
    try:
        assert tokens.refresh_due().renewed == 2
    finally:
        connection_health_changed.disconnect(dispatch_uid="test")
    assert in_transaction == [False, False]
    assert AccessToken.objects.filter(value__isnull=False).count() == 2


def test_one_slow_org_does_not_hold_back_the_others_tokens(salesforce_org: ConnectableOrg) -> None:
    connect_many(salesforce_org, 2)
    salesforce_org.fail("slow", times=1, seconds=4)

    def work() -> tokens.Tally:
        try:
            return tokens.refresh_due()
        finally:
            database.close()

    with ThreadPoolExecutor(1) as pool:
        sweep = pool.submit(work)
        time.sleep(2.5)
        early = AccessToken.objects.filter(value__isnull=False).count()
        assert sweep.result().renewed == 2
    assert early == 1


def test_what_must_not_be_called_costs_a_beat_next_to_nothing(
    salesforce_org: ConnectableOrg, settings: object
) -> None:
    from django.test.utils import CaptureQueriesContext

    connect_many(salesforce_org, 30)
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "ALLOWED_ENVIRONMENTS": ["sandbox"]}  # type: ignore[attr-defined]
    tokens.refresh_due()
    with CaptureQueriesContext(database) as queries:
        tokens.refresh_due()
    assert len(queries) < 5
