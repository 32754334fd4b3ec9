from __future__ import annotations

import pytest
from django.core import mail
from orders import tasks
from orders.models import Customer

from sf_integration import ActionNeeded, RetryableError

OPPORTUNITIES = "/services/data/v67.0/sobjects/Opportunity/"
PUSHED = "SELECT COUNT(Id) found FROM Opportunity WHERE Order_Number__c LIKE 'W-%'"


def found(org) -> int:
    [row] = org.query(PUSHED)
    return row["found"]


@pytest.mark.parametrize("where", ["any", "token", "rest"])
def test_order_arrives_after_an_hour_of_maintenance(order, salesforce_org, worker, clock, where):
    salesforce_org.fail("maintenance", where=where, times=None)
    clock.at(3600, salesforce_org.heal)

    tasks.push_order.delay(order.pk).get(timeout=20)

    order.refresh_from_db()
    assert salesforce_org.query("SELECT Id, Amount FROM Opportunity WHERE Order_Number__c = 'W-00001'") == [
        {"Id": order.salesforce_id, "Amount": 48.5}
    ]
    assert 3600 <= clock.passed < 3600 + 2 * 600
    assert 6 < len(clock.waits) < 60
    assert mail.outbox == []


def test_next_try_is_not_before_the_org_says(order, salesforce_org, worker, clock):
    salesforce_org.fail("answer", status=503, headers={"Retry-After": "300"}, where="rest")
    tasks.push_order.delay(order.pk).get(timeout=20)
    assert [round(wait) for wait in clock.waits] == [300]


def test_what_needs_a_person_is_told_once_and_not_tried_again(new_order, salesforce_org, worker, clock):
    salesforce_org.user.active = False
    for order in (new_order(), new_order()):
        with pytest.raises(ActionNeeded, match="inactive user"):
            tasks.push_order.delay(order.pk).get(timeout=20)
    assert clock.waits == []
    [told] = mail.outbox
    assert "inactive user" in told.body
    assert told.to == ["back-office@nordhafen.example"]


def test_outage_without_end_is_told_in_the_end(order, salesforce_org, worker, clock):
    salesforce_org.fail("maintenance", where="any", times=None)
    with pytest.raises(RetryableError):
        tasks.push_order.delay(order.pk).get(timeout=20)
    assert len(clock.waits) == 60
    assert clock.passed > 2 * 3600
    assert len(mail.outbox) == 1


def test_lost_answer_writes_nothing_twice(order, salesforce_org, worker, clock):
    salesforce_org.fail("cut", where=OPPORTUNITIES)
    tasks.push_order.delay(order.pk).get(timeout=20)
    assert len(clock.waits) == 1
    assert found(salesforce_org) == 1
    order.refresh_from_db()
    assert order.salesforce_id


def test_message_that_comes_twice_writes_nothing_twice(order, salesforce_org, worker):
    for _ in range(2):
        tasks.push_order.delay(order.pk).get(timeout=20)
    assert found(salesforce_org) == 1


def test_report_is_begun_anew_when_its_cursor_is_lost(brand, salesforce_org, worker, clock):
    salesforce_org.add_records("Opportunity", 4_000)
    salesforce_org.fail(
        "rest_error",
        where="/services/data/v67.0/query/",
        status=400,
        code="INVALID_QUERY_LOCATOR",
        message="invalid query locator",
    )
    tasks.report_pipeline.delay("nordhafen").get(timeout=20)

    deals = salesforce_org.query("SELECT Amount, Probability FROM Opportunity WHERE IsClosed = false")
    total = sum((deal["Amount"] or 0) * (deal["Probability"] or 0) / 100 for deal in deals)
    assert len(clock.waits) == 1
    assert [message.body for message in mail.outbox] == [f"Open deals: {total:,.2f}"]


def test_customers_come_though_all_sessions_end(brand, salesforce_org, worker):
    salesforce_org.add_records("Contact", 2_500)
    salesforce_org.fail(
        "rest_error", status=401, code="INVALID_SESSION_ID", message="Session expired or invalid"
    )
    tasks.import_customers.delay("nordhafen").get(timeout=20)
    assert Customer.objects.count() == 5_000


def test_last_calls_of_the_day_are_left_to_others(brand, salesforce_org, worker, clock):
    salesforce_org.api_used = salesforce_org.api_limit - 1_000
    clock.at(3600, lambda: setattr(salesforce_org, "api_used", 0))
    tasks.import_customers.delay("nordhafen").get(timeout=20)
    assert [round(wait) for wait in clock.waits] == [3600]
    assert Customer.objects.count() == 2_500
