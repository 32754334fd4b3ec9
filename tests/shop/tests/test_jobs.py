from __future__ import annotations

import pytest
from django.core import mail
from orders import tasks
from orders.models import Customer

OPPORTUNITIES = "/services/data/v67.0/sobjects/Opportunity/"
PUSHED = "SELECT COUNT(Id) found FROM Opportunity WHERE Order_Number__c LIKE 'W-%'"


def told() -> list[mail.EmailMessage]:
    """What a failed task said; mails about the connection's health come besides."""
    return [message for message in mail.outbox if message.subject.startswith("Salesforce")]


def found(org) -> int:
    [row] = org.query(PUSHED)
    return row["found"]


@pytest.mark.parametrize("where", ["any", "rest"])
def test_order_arrives_after_an_hour_of_maintenance(order, salesforce_org, work, clock, where):
    salesforce_org.fail("maintenance", where=where, times=None)
    clock.at(3600, salesforce_org.heal)

    assert work(tasks.push_order, order.pk) == "SUCCESS"

    order.refresh_from_db()
    assert salesforce_org.query("SELECT Id, Amount FROM Opportunity WHERE Order_Number__c = 'W-00001'") == [
        {"Id": order.salesforce_id, "Amount": 48.5}
    ]
    assert 3600 <= clock.passed < 3600 + 2 * 600
    assert 6 < len(clock.waits) <= 40
    assert told() == []


def test_next_try_is_not_before_the_org_says(order, salesforce_org, work, clock):
    salesforce_org.fail("answer", status=503, headers={"Retry-After": "300"}, where="rest")
    assert work(tasks.push_order, order.pk) == "SUCCESS"
    [wait] = clock.waits
    assert 290 < wait <= 300


def test_what_needs_a_person_is_told_once_and_not_tried_again(new_order, salesforce_org, work, clock):
    salesforce_org.user.active = False
    for order in (new_order(), new_order()):
        assert work(tasks.push_order, order.pk) == "FAILURE"
    assert clock.waits == []
    [message] = told()
    assert "inactive user" in message.body
    assert message.to == ["back-office@nordhafen.example"]


def test_outage_without_end_is_told_in_the_end(order, salesforce_org, work, clock):
    salesforce_org.fail("maintenance", where="any", times=None)
    assert work(tasks.push_order, order.pk) == "FAILURE"
    assert len(clock.waits) == 40
    assert clock.passed > 3600
    assert len(told()) == 1


def test_lost_answer_writes_nothing_twice(order, salesforce_org, work, clock):
    salesforce_org.fail("cut", where=OPPORTUNITIES)
    assert work(tasks.push_order, order.pk) == "SUCCESS"
    assert len(clock.waits) == 1
    assert found(salesforce_org) == 1
    order.refresh_from_db()
    assert order.salesforce_id


def test_message_that_comes_twice_writes_nothing_twice(order, salesforce_org, work):
    for _ in range(2):
        assert work(tasks.push_order, order.pk) == "SUCCESS"
    assert found(salesforce_org) == 1


def test_report_is_begun_anew_when_its_cursor_is_lost(brand, salesforce_org, work, clock):
    salesforce_org.add_records("Opportunity", 8_000)
    salesforce_org.fail(
        "rest_error",
        where="/services/data/v67.0/query/",
        status=400,
        code="INVALID_QUERY_LOCATOR",
        message="invalid query locator",
    )
    assert work(tasks.report_pipeline, "nordhafen") == "SUCCESS"

    deals = salesforce_org.query("SELECT Amount, Probability FROM Opportunity WHERE IsClosed = false")
    total = sum((deal["Amount"] or 0) * (deal["Probability"] or 0) / 100 for deal in deals)
    begun = [request for request in salesforce_org.requests if request.path.endswith("/query")]
    assert len(begun) == 2
    assert [message.body for message in mail.outbox] == [f"Open deals: {total:,.2f}"]


def test_customers_come_though_all_sessions_end(brand, salesforce_org, work):
    salesforce_org.add_records("Contact", 2_500)
    salesforce_org.fail(
        "rest_error", status=401, code="INVALID_SESSION_ID", message="Session expired or invalid"
    )
    assert work(tasks.import_customers, "nordhafen") == "SUCCESS"
    assert Customer.objects.count() == 5_000


def test_last_calls_of_the_day_are_left_to_others(brand, salesforce_org, work, clock):
    salesforce_org.api_used = salesforce_org.api_limit - 1_000
    clock.at(3500, lambda: setattr(salesforce_org, "api_used", 0))
    assert work(tasks.import_customers, "nordhafen") == "SUCCESS"
    [wait] = clock.waits
    assert 3590 < wait <= 3600
    assert Customer.objects.count() == 2_500
