"""What the org says because a person told it to."""

from __future__ import annotations

from datetime import date

import pytest

from sf_integration.testing import Org

from .conftest import Caller, refusal


def test_rows_are_given_for_a_query_in_any_layout(signed_in: Caller, org: Org):
    org.answer(
        "SELECT Id, Sku__c FROM Stock__c", [{"Id": "a01Dn00000Gi7HJIAZ", "Sku__c": "A-1"}, {"Id": None}]
    )
    answer = signed_in.query("select id, sku__c\n  FROM Stock__c ").json()
    assert answer["totalSize"] == 2
    assert answer["done"] is True
    assert answer["records"][0] == {
        "attributes": {
            "type": "Stock__c",
            "url": "/services/data/v67.0/sobjects/Stock__c/a01Dn00000Gi7HJIAZ",
        },
        "Id": "a01Dn00000Gi7HJIAZ",
        "Sku__c": "A-1",
    }


@pytest.mark.parametrize(
    ("told", "asked", "is_same"),
    [
        ("SELECT Id,Name FROM Stock__c WHERE A='x'", "select id , name\nfrom stock__c where a = 'x'", True),
        (
            "SELECT Id FROM Stock__c WHERE A IN ('x','y')",
            "SELECT Id FROM Stock__c WHERE A IN ( 'x', 'y' )",
            True,
        ),
        ("SELECT Id FROM Stock__c WHERE A='x'", "SELECT Id FROM Stock__c WHERE A='X'", False),
        ("SELECT Id FROM Stock__c WHERE A='x y'", "SELECT Id FROM Stock__c WHERE A='x  y'", False),
        (r"SELECT Id FROM Stock__c WHERE A='x\' = Y'", r"SELECT Id FROM Stock__c WHERE A='x\' = y'", False),
        ("SELECT Id FROM Stock__c", "SELECT Id FROM Stock __c", False),
    ],
)
def test_layout_makes_no_difference_but_what_is_in_quotes_does(
    signed_in: Caller, org: Org, told: str, asked: str, is_same: bool
):
    org.answer(told, [{"A": "yes"}])
    assert (signed_in.query(told).status_code, signed_in.query(asked).status_code == 200) == (200, is_same)


def test_given_rows_are_of_the_sobject_that_is_asked_for(signed_in: Caller, org: Org):
    soql = (
        "SELECT Id, (SELECT Id FROM Parts__r WHERE A IN ('from x)', 'y')) FROM Stock__c WHERE B = ' FROM Z'"
    )
    org.answer(soql, [{"Id": "a01Dn00000Gi7HJIAZ"}])
    assert signed_in.query(soql).json()["records"][0]["attributes"]["type"] == "Stock__c"


def test_identity_can_be_given(signed_in: Caller, org: Org):
    for path in (f"/id/{org.id}/{org.user.id}", "/services/oauth2/userinfo"):
        org.answer_path(path, {"user_id": "another"})
        assert signed_in.get(path).json() == {"user_id": "another"}
    signed_in.token = "bad"
    assert signed_in.get("/services/oauth2/userinfo").status_code == 403


@pytest.mark.parametrize(
    "path", ["/services/oauth2/token", "/services/oauth2/revoke", "/services/data", "/stand-in", "services/x"]
)
def test_path_that_would_never_be_met_is_told_at_once(org: Org, path: str):
    with pytest.raises(ValueError, match="can't be given"):
        org.answer_path(path, {})


def test_what_json_cannot_hold_is_told_at_once(org: Org):
    body = {"Since__c": date(2026, 1, 1)}
    with pytest.raises(TypeError, match="date is not JSON"):
        org.answer("SELECT Since__c FROM Stock__c", [body])
    with pytest.raises(TypeError, match="date is not JSON"):
        org.answer_path("/services/apexrest/stock", body)


def test_given_rows_come_in_pages(signed_in: Caller, org: Org):
    org.answer("SELECT Name FROM Stock__c", [{"Name": str(number)} for number in range(2_500)])
    first = signed_in.query("SELECT Name FROM Stock__c").json()
    second = signed_in.get(first["nextRecordsUrl"]).json()
    assert [len(first["records"]), len(second["records"])] == [2_000, 500]
    assert second["records"][-1]["Name"] == "2499"


def test_function_is_asked_each_time(signed_in: Caller, org: Org):
    left = [2, 1]
    org.answer("SELECT Left__c FROM Stock__c", lambda soql: [{"Left__c": left.pop()}])
    assert signed_in.rows("SELECT Left__c FROM Stock__c") == [{"Left__c": 1}]
    assert signed_in.rows("SELECT Left__c FROM Stock__c") == [{"Left__c": 2}]


def test_given_answer_goes_before_what_the_org_knows(signed_in: Caller, org: Org):
    org.answer("SELECT COUNT() FROM Account", [])
    assert signed_in.query("SELECT COUNT() FROM Account").json()["totalSize"] == 0
    org.answers.clear()
    assert signed_in.query("SELECT COUNT() FROM Account").json()["totalSize"] > 0


def test_path_is_answered_to_who_has_a_token(signed_in: Caller, org: Org):
    org.answer_path("/services/apexrest/stock", {"left": 3})
    answer = signed_in.call("GET", "/services/apexrest/stock", params={"sku": "A-1"})
    assert answer.json() == {"left": 3}
    assert answer.headers["Sforce-Limit-Info"].startswith("api-usage=1/")
    org.end_sessions()
    assert refusal(signed_in.get("/services/apexrest/stock"))[1] == "INVALID_SESSION_ID"


def test_method_status_and_headers_are_given(signed_in: Caller, org: Org):
    org.answer_path("/services/apexrest/stock", b"<a/>", headers={"X-Kind": "xml"})
    org.answer_path("/services/apexrest/stock", method="DELETE", status=204)
    org.answer_path(
        "/services/apexrest/stock", [{"errorCode": "APEX_ERROR", "message": "no"}], method="PUT", status=400
    )
    assert signed_in.call("DELETE", "/services/apexrest/stock").status_code == 204
    assert refusal(signed_in.call("PUT", "/services/apexrest/stock")) == (400, "APEX_ERROR", "no")
    answer = signed_in.call("POST", "/services/apexrest/stock")
    assert (answer.content, answer.headers["X-Kind"]) == (b"<a/>", "xml")


def test_function_gets_the_request(signed_in: Caller, org: Org):
    org.answer_path(
        "/services/apexrest/echo", lambda request: {"said": request.body.decode(), "by": request.method}
    )
    answer = signed_in.call("POST", "/services/apexrest/echo", data="hello")
    assert answer.json() == {"said": "hello", "by": "POST"}


def test_resource_of_the_api_is_answered_too(signed_in: Caller, org: Org):
    path = "/services/data/v67.0/sobjects/Stock__c/describe"
    assert signed_in.get(path).status_code == 404
    org.answer_path(path, {"name": "Stock__c"})
    assert signed_in.get(path).json() == {"name": "Stock__c"}


def test_what_is_not_known_names_the_way_out(signed_in: Caller):
    status, code, message = refusal(signed_in.get("/services/apexrest/stock"))
    assert (status, code) == (404, "NOT_FOUND")
    assert "org.answer_path('/services/apexrest/stock', …)" in message
