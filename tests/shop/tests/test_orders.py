from __future__ import annotations

import time

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from orders import salesforce
from orders.models import Brand, Order

from sf_integration import UnknownConnection, get_client, get_token


def test_each_brand_has_an_org_of_its_own(order, salesforce_org):
    other_org = salesforce_org.add_org(name="Südhafen Tea", app=salesforce_org.app)
    other_org.connect("suedhafen")
    tea = Brand.objects.create(slug="suedhafen", connection="suedhafen")
    second = Order.objects.create(number="T-1", brand=tea, total=7, paid_on=order.paid_on)
    for paid in (order, second):
        salesforce.push(paid)
    statement = "SELECT Order_Number__c FROM Opportunity WHERE Order_Number__c != null"
    assert salesforce_org.query(statement) == [{"Order_Number__c": "W-00001"}]
    assert other_org.query(statement) == [{"Order_Number__c": "T-1"}]


def test_misspelt_connection_is_told_with_the_right_one(order):
    order.brand.connection = "nordhaven"
    with pytest.raises(UnknownConnection, match="nordhafen"):
        salesforce.push(order)


def test_changed_order_changes_its_opportunity(order, salesforce_org):
    salesforce.push(order)
    order.total = 50
    salesforce.push(order)
    statement = "SELECT Amount FROM Opportunity WHERE Order_Number__c = 'W-00001'"
    assert salesforce_org.query(statement) == [{"Amount": 50}]


def test_pages_go_on_where_they_broke_off(brand, salesforce_org):
    with get_client("nordhafen") as sf:
        first = next(salesforce.contact_pages(sf))
        salesforce_org.end_sessions()
        rest = [row["Id"] for page in salesforce.contact_pages(sf, first[-1]["Id"]) for row in page]
    assert len({row["Id"] for row in first} | set(rest)) == len(first) + len(rest) == 2_500
    assert salesforce_org.token_requests == 2


def test_calls_to_spare_are_those_of_the_last_answer(brand, salesforce_org):
    with get_client("nordhafen") as sf:
        assert salesforce.has_calls_to_spare(sf)
        for used, spare in ((11_000, True), (13_000, False)):
            salesforce_org.api_used = used
            sf.query("SELECT Id FROM Organization")
            assert salesforce.has_calls_to_spare(sf) is spare


def test_invoice_comes_though_the_session_has_ended(order, salesforce_org):
    salesforce_org.answer_path("/services/apexrest/invoices/W-00001", b"%PDF-1.7")
    assert salesforce.invoice(order) == b"%PDF-1.7"
    salesforce_org.end_sessions()
    assert salesforce.invoice(order) == b"%PDF-1.7"
    assert salesforce_org.token_requests == 2


@pytest.mark.salesforce_org(tls=True)  # simple-salesforce insists on it
def test_hundreds_are_taken_off_the_newsletter_at_once(brand, salesforce_org):
    ids = [row["Id"] for row in salesforce_org.query("SELECT Id FROM Contact LIMIT 300")]
    assert salesforce.opt_out(brand, [*ids, "003000000000000AAA"]) == 1
    opted_out = salesforce_org.query("SELECT Id FROM Contact WHERE HasOptedOutOfEmail = true")
    assert set(ids) <= {row["Id"] for row in opted_out}


def test_first_customer_after_warming_waits_for_nothing(brand, salesforce_org, django_assert_num_queries):
    Brand.objects.create(slug="gone", connection="gone")
    salesforce.warm()
    assert salesforce_org.token_requests == 1
    with django_assert_num_queries(0):
        get_token("nordhafen")
    assert salesforce_org.token_requests == 1


def test_report_lists_the_largest_deal_first(brand, salesforce_org, capsys):
    salesforce_org.add_record(
        "Opportunity", Name="Harbor", StageName="Proposal", CloseDate="2027-01-01", Amount=9e9, NextStep="x"
    )
    call_command("open_deals")
    call_command("open_deals", "nordhafen", stage="Proposal")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["9,000,000,000.00", "Proposal", "Harbor"]
    assert lines.count(lines[0]) == 2
    salesforce_org.user.active = False
    salesforce_org.end_sessions()
    with pytest.raises(CommandError, match="inactive user"):
        call_command("open_deals")


def test_orders_that_waited_go_out_once_the_connection_is_well(order, salesforce_org, work, clock):
    salesforce_org.user.active = False
    with pytest.raises(SystemExit):
        call_command("salesforce", "check", "nordhafen")
    assert [message.subject for message in mail.outbox] == ["nordhafen: Failing"]
    assert "deactivated" in mail.outbox[0].body

    salesforce_org.user.active = True
    clock.turn(15)  # one check by hand in ten seconds
    call_command("salesforce", "check", "nordhafen")

    assert mail.outbox[-1].subject == "nordhafen: Healthy"
    # push_waiting runs in the worker, and hands each order to it in turn.
    deadline = time.monotonic() + 10
    while Order.waiting().exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    order.refresh_from_db()
    assert order.salesforce_id
