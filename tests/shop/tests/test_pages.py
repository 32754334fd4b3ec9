"""What customers and the back office see while Salesforce is well, and while it is not."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import AsyncClient


@pytest.fixture
def stocked(transactional_db, brand, salesforce_org) -> None:
    salesforce_org.answer_path("/services/apexrest/stock/A-1", {"left": 3})


def get(path: str) -> HttpResponse:
    return async_to_sync(AsyncClient().get)(path)


def stock_of(sku: str) -> tuple[int, dict]:
    answer = get(f"/nordhafen/stock/{sku}/")
    return answer.status_code, answer.json() if answer["Content-Type"] == "application/json" else {}


def test_stock_is_what_the_org_says(stocked):
    assert stock_of("A-1") == (200, {"left": 3, "fresh": True})


@pytest.mark.parametrize(("kind", "where"), [("maintenance", "any"), ("html", "/services/apexrest/")])
def test_stock_is_the_last_known_while_salesforce_is_down(stocked, salesforce_org, kind, where):
    stock_of("A-1")
    salesforce_org.end_sessions()
    salesforce_org.fail(kind, where=where, times=None)
    assert stock_of("A-1") == (200, {"left": 3, "fresh": False})


def test_unknown_stock_is_worth_another_try_while_salesforce_is_down(stocked, salesforce_org):
    salesforce_org.fail("maintenance", where="any", times=None)
    answer = get("/nordhafen/stock/A-1/")
    assert answer.status_code == 503
    assert 0 < int(answer["Retry-After"]) <= 600


def test_what_a_person_must_mend_is_no_dead_page_either(stocked, salesforce_org):
    stock_of("A-1")
    salesforce_org.end_sessions()
    salesforce_org.user.active = False
    assert stock_of("A-1") == (200, {"left": 3, "fresh": False})


def test_goods_that_are_unknown_there_are_unknown_here(stocked, salesforce_org):
    salesforce_org.answer_path(
        "/services/apexrest/stock/B-2", [{"errorCode": "NOT_FOUND", "message": "no"}], status=404
    )
    assert (stock_of("B-2"))[0] == 404


def test_back_office_sees_its_connections(brand, client):
    assert client.get("/connections/").status_code == 302
    client.force_login(User.objects.create_superuser("ada"))
    assert "nordhafen" in client.get("/connections/").content.decode()
    assert client.get("/admin/sf_integration/connectedapp/").status_code == 200


def test_probes_answer(db, client):
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code in (200, 503)
