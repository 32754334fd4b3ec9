"""A connection pinned to an org takes no token of another one, on whatever way it comes."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import time_machine
from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from sf_integration import aget_token, get_client, get_token, health, tokens
from sf_integration.models import AccessToken, ConnectedApp
from sf_integration.salesforce.errors import RetryableError, SalesforceError, WrongOrg
from sf_integration.testing.django import ConnectableOrg
from sf_integration.testing.sessions import Session
from sf_integration.tokens import rows

pytestmark = pytest.mark.django_db(transaction=True)

OTHER = "00D5g000004FaKeEAK"


def row_of(name: str = "acme") -> AccessToken:
    return AccessToken.objects.select_related("connection__signing_key").get(connection__name=name)


def connection(name: str = "acme") -> ConnectedApp:
    return ConnectedApp.objects.select_related("signing_key").get(name=name)


def live_sessions(org: ConnectableOrg) -> list[Session]:
    return [session for session in org.sessions if session.is_live]


def by_caller(org: ConnectableOrg) -> None:
    get_token("acme")


def by_async_caller(org: ConnectableOrg) -> None:
    asyncio.run(aget_token("acme"))


def by_client(org: ConnectableOrg) -> None:
    with get_client("acme") as client:
        client.query("SELECT Id FROM Account LIMIT 1")


def by_renewal_by_hand(org: ConnectableOrg) -> None:
    tokens.refresh("acme")


def by_sweep(org: ConnectableOrg) -> None:
    assert tokens.refresh_due().failed == 1


def by_check_by_hand(org: ConnectableOrg) -> None:
    health.check_connection(connection(), asked_by="test")


def by_check_by_beat(org: ConnectableOrg) -> None:
    health.check_connection(connection(), asked_by="beat", renew=False, light=True)


def in_a_transaction(org: ConnectableOrg) -> None:
    with transaction.atomic():
        with suppress(SalesforceError):
            get_token("acme")
        assert tokens.current().held
    with suppress(SalesforceError):
        get_token("acme")


def in_a_transaction_rolled_back(org: ConnectableOrg) -> None:
    with suppress(ZeroDivisionError), transaction.atomic():
        with suppress(SalesforceError):
            get_token("acme")
        raise ZeroDivisionError


def by_simple_salesforce(org: ConnectableOrg) -> None:
    from sf_integration.contrib.simple_salesforce import connect

    connect("acme", version="67.0")


WAYS = [
    by_caller,
    by_async_caller,
    by_client,
    by_renewal_by_hand,
    by_sweep,
    by_check_by_hand,
    by_check_by_beat,
    in_a_transaction,
    in_a_transaction_rolled_back,
    by_simple_salesforce,
]


@pytest.mark.parametrize("token_format", ["opaque", "jwt"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_token_of_another_org_is_refused_and_not_stored(
    salesforce_org: ConnectableOrg, way: Callable[[ConnectableOrg], None], token_format: str
) -> None:
    salesforce_org.token_format = token_format  # type: ignore[assignment]
    salesforce_org.connect("acme", expected_org_id=OTHER)
    with suppress(SalesforceError):
        way(salesforce_org)
    assert salesforce_org.token_requests >= 1
    assert not AccessToken.objects.filter(value__isnull=False).exists()
    assert tokens.in_memory("acme") is None
    assert live_sessions(salesforce_org) == []
    if way is not in_a_transaction_rolled_back:
        assert connection().last_error["organization_id"] == salesforce_org.id
    with pytest.raises(WrongOrg) as caught:
        get_token("acme")
    assert caught.value.organization_id == salesforce_org.id
    assert not [request for request in salesforce_org.requests if request.path.startswith("/services/data/v")]


def test_a_token_of_the_pinned_org_is_taken_on_every_way(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", expected_org_id=salesforce_org.id)
    get_token("acme")
    tokens.refresh("acme")
    AccessToken.objects.update(refresh_at=timezone.now() - dt.timedelta(seconds=1))
    assert tokens.refresh_due().renewed == 1


def test_an_org_that_moved_to_another_instance_is_still_the_same(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", expected_org_id=salesforce_org.id)
    with time_machine.travel(timezone.now() - dt.timedelta(minutes=30), tick=True):
        get_token("acme")
    salesforce_org.move()
    tokens.reset()
    with get_client("acme") as client:
        assert client.query("SELECT Id FROM Account LIMIT 1").total_size
    assert get_token("acme").instance_url == salesforce_org.instance_url


def test_an_instance_that_another_org_took_over_gets_no_call(salesforce_org: ConnectableOrg) -> None:
    """The session is over, and the sign-in that follows leads elsewhere."""
    salesforce_org.connect("acme", expected_org_id=salesforce_org.id)
    get_token("acme")
    salesforce_org.end_sessions()
    was = salesforce_org.id
    salesforce_org.id = OTHER
    with get_client("acme") as client, pytest.raises(WrongOrg):
        client.query("SELECT Id FROM Account LIMIT 1")
    assert connection().last_error["organization_id"] == OTHER
    assert row_of().value is None
    salesforce_org.id = was


def test_a_sweep_asks_orgs_in_its_threads_and_stores_the_good_ones(salesforce_org: ConnectableOrg) -> None:
    """Neither answers nor tokens tell the org, so each is asked; one is another org than expected."""
    values = [f"opaque-{number}" for number in range(5)]
    for number, value in enumerate(values):
        expected = OTHER if number == 0 else salesforce_org.id
        salesforce_org.connect(f"acme-{number}", expected_org_id=expected)
        session = salesforce_org.start_session(salesforce_org.user, salesforce_org.app)
        session.token = value
        salesforce_org.sessions.add(session)
        body = {"access_token": value, "instance_url": salesforce_org.url}
        salesforce_org.fail("answer", body=body)
    tally = tokens.refresh_due()
    assert (tally.renewed, tally.failed) == (4, 1)
    asked = [request for request in salesforce_org.requests if request.path.endswith("/userinfo")]
    assert len(asked) == 5
    refused = AccessToken.objects.get(value__isnull=True)
    assert refused.connection.expected_org_id == OTHER
    assert refused.last_error["code"] == "wrong_org"


def test_slow_orgs_that_have_to_be_asked_do_not_hold_up_the_others(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("slow", expected_org_id=salesforce_org.id)
    salesforce_org.fail("answer", body={"access_token": "opaque", "instance_url": salesforce_org.url})
    salesforce_org.fail("slow", where="/services/oauth2/userinfo", seconds=4)
    salesforce_org.connect("quick", expected_org_id=salesforce_org.id)

    def sweep() -> tokens.Tally:
        try:
            return tokens.refresh_due()
        finally:
            database.close()

    with ThreadPoolExecutor(1) as pool:
        sweeping = pool.submit(sweep)
        time.sleep(2.5)
        early = AccessToken.objects.filter(value__isnull=False).count()
        assert sweeping.result().renewed + sweeping.result().failed == 2
    assert early == 1


def test_an_org_that_nothing_tells_is_refused_where_one_is_expected(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", expected_org_id=salesforce_org.id)
    salesforce_org.fail("answer", body={"access_token": "opaque", "instance_url": salesforce_org.url})
    with pytest.raises(WrongOrg) as caught:
        get_token("acme")
    assert caught.value.code == "org_unknown"
    assert row_of().value is None
    assert "organization_id" not in connection().last_error


def test_an_org_that_nothing_tells_is_taken_where_any_will_do(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    salesforce_org.fail("answer", body={"access_token": "opaque", "instance_url": salesforce_org.url})
    assert get_token("acme").value == "opaque"


def test_an_org_that_cant_be_asked_now_is_passing_trouble(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", expected_org_id=salesforce_org.id)
    salesforce_org.fail("answer", body={"access_token": "opaque", "instance_url": salesforce_org.url})
    salesforce_org.fail("maintenance", where="/services/oauth2/userinfo", times=None)
    with pytest.raises(RetryableError):
        get_token("acme")
    assert row_of().last_error["kind"] == "passing"


def test_a_pin_set_later_takes_the_stored_token_away(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    get_token("acme")
    ConnectedApp.objects.update(expected_org_id=OTHER)
    tokens.reset()
    with pytest.raises(WrongOrg):
        get_token("acme")


def test_a_pin_set_later_takes_the_token_held_in_transactions_away(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    with suppress(ZeroDivisionError), transaction.atomic():
        get_token("acme")
        raise ZeroDivisionError
    ConnectedApp.objects.update(expected_org_id=OTHER)
    tokens.current().forget(("acme", None))  # as after five seconds
    with transaction.atomic(), pytest.raises(WrongOrg):
        get_token("acme")
    assert not AccessToken.objects.filter(value__isnull=False).exists()


def test_a_pin_corrected_by_hand_opens_the_gate(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", expected_org_id=OTHER)
    with pytest.raises(WrongOrg):
        get_token("acme")
    ConnectedApp.objects.update(expected_org_id=salesforce_org.id)
    assert get_token("acme").value
    assert connection().last_error is None


def test_a_sign_in_judged_by_the_old_pin_shuts_no_gate_that_was_opened_meanwhile(
    salesforce_org: ConnectableOrg,
) -> None:
    salesforce_org.connect("acme", expected_org_id=OTHER)
    with pytest.raises(WrongOrg) as refused:
        get_token("acme")
    under_way = row_of()
    rows.forgive_org(connection())
    changes = rows.failure_changes(under_way, refused.value, "set-up", timezone.now())
    rows.write([(under_way, changes)])
    assert row_of().last_error is None
    assert row_of().next_try_at is None


def test_a_stored_refusal_still_names_the_org_found(salesforce_org: ConnectableOrg) -> None:
    """A check by beat tells the stored error again; the org can still be accepted afterwards."""
    salesforce_org.connect("acme", expected_org_id=OTHER)
    with pytest.raises(WrongOrg):
        get_token("acme")
    health.check_connection(connection(), asked_by="beat", renew=False)
    assert salesforce_org.token_requests == 1
    assert connection().last_error["organization_id"] == salesforce_org.id


@pytest.mark.salesforce_org(is_sandbox=True)
@pytest.mark.parametrize(
    ("environment", "met_at", "code"),
    [
        ("sandbox", None, "sandbox_refreshed"),
        ("scratch", None, "sandbox_refreshed"),
        ("sandbox", "https://elsewhere.my.salesforce.com", "wrong_org"),
        ("production", None, "wrong_org"),
        ("developer", None, "wrong_org"),
    ],
)
def test_only_a_sandbox_at_its_old_address_counts_as_refreshed(
    salesforce_org: ConnectableOrg, environment: str, met_at: str | None, code: str
) -> None:
    made = salesforce_org.connect("acme", expected_org_id=OTHER)
    facts = {"login_url": met_at or made.login_url}
    ConnectedApp.objects.update(environment=environment, organization=facts)
    with pytest.raises(WrongOrg) as caught:
        get_token("acme")
    assert caught.value.code == code
    assert connection().last_error["code"] == code
    assert connection().last_error["remedy"]
    assert connection().last_error["who"]
