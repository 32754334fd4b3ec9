from __future__ import annotations

import datetime as dt

import pytest

from sf_integration.salesforce.errors import ApiUnavailable, InvalidInput, OutcomeUnknown
from sf_integration.salesforce.rest import Client, Part, PartResults, QueryResult, Record

from .conftest import token_for

ACCOUNT = "001Dn00000Gi7HJIAZ"
ERP = "ERP_Number__c"


@pytest.fixture
def client(token, http):
    with Client(token, api_version="67.0", http=http, timeout_seconds=5.0) as opened:
        yield opened


def count(client, name: str = "T-1") -> int:
    return client.query("SELECT Id FROM Account WHERE Name = {}", name).total_size


def test_later_parts_refer_to_earlier_ones(client, org):
    account = Part.create("Account", {"Name": "T-1"}, reference="account")
    contact = Part.create(
        "Contact",
        {"LastName": "Doe", "AccountId": account.ref("id"), "Birthdate": dt.date(1990, 1, 2)},
        reference="contact",
    )
    results = client.composite([account, contact, Part.update("Account", account.ref("id"), {"Phone": "7"})])
    assert list(results) == ["account", "contact", "part3"]
    assert results.error is None
    assert results["part3"].body is None
    assert all(result.success for result in results.values())
    assert client.record("Contact", results["contact"].id)["AccountId"] == results["account"].id
    assert client.record("Account", results["account"].id)["Phone"] == "7"
    assert sum(request.path.endswith("/composite") for request in org.requests) == 1


def test_a_refused_part_is_told_in_its_result(client):
    account = Part.create("Account", {}, reference="account")
    contact = Part.create("Contact", {"LastName": "Doe", "AccountId": account.ref("id")}, reference="contact")
    results = client.composite([contact, account][::-1])
    assert [result.success for result in results.values()] == [False, False]
    assert results["contact"].error.code == "PROCESSING_HALTED"
    assert results.error is results["account"].error
    assert (results.error.code, results.error.fields) == ("REQUIRED_FIELD_MISSING", ("Name",))
    assert results.error.remedy


def test_all_or_none_tells_the_true_reason(client):
    parts = [Part.create("Account", {"Name": "T-1"}), Part.create("Account", {})]
    results = client.composite(parts, all_or_none=True)
    assert results.error.code == "REQUIRED_FIELD_MISSING"
    assert count(client) == 0
    assert client.composite(parts).error.code == "REQUIRED_FIELD_MISSING"
    assert count(client) == 1


def test_all_kinds_of_parts(client):
    made = client.composite(
        [
            Part.upsert("Account", ERP, "A/7", {"Name": "T-1"}, reference="made"),
            Part.query("SELECT Id, Name FROM Account WHERE Name = {}", "T-1", reference="found"),
            Part.record("Account", ACCOUNT, reference="read"),
            Part("GET", "limits", reference="limits"),
        ]
    )
    assert made.error is None
    assert isinstance(made["found"].body, QueryResult)
    assert isinstance(made["read"].body, Record)
    assert made["read"].id == ACCOUNT
    assert made["made"].id == made["found"].body.records[0]["Id"]
    assert "DailyApiRequests" in made["limits"].body
    client.composite([Part.delete("Account", made["made"].id)])
    assert count(client) == 0


def test_several_records_with_one_external_id_are_an_error_of_their_part(client):
    for _ in range(2):
        client.create("Account", {"Name": "T-1", ERP: "7"})
    results = client.composite([Part.upsert("Account", ERP, "7", {"Phone": "1"})])
    assert results.error.code == "DUPLICATE_EXTERNAL_ID"


def test_a_batch_knows_no_references(client):
    parts = [
        Part.create("Account", {"Name": "T-1"}),
        Part.create("Account", {}),
        Part.query("SELECT Id FROM Account WHERE Name = 'T-1'", reference="found"),
    ]
    results = client.batch(parts)
    assert [result.status_code for result in results.values()] == [201, 400, 200]
    assert results["found"].body.total_size == 1
    halted = client.batch(parts[1:], halt_on_error=True)
    assert halted["found"].status_code == 412
    assert halted.error.code == "REQUIRED_FIELD_MISSING"


@pytest.mark.parametrize(
    "parts",
    [
        lambda: [Part("GET", "limits")] * 26,
        lambda: [Part("GET", "limits", reference="a b")],
        lambda: [Part("GET", "limits", reference="x"), Part("GET", "limits", reference="x")],
        lambda: [Part.create("Account", {"Name": "x"}).ref("id")],
        lambda: [Part.update("Account", "@{account}", {})],
        lambda: [Part.delete("Account", "@{account.id}/../x")],
    ],
)
def test_parts_that_can_not_be_right_are_refused_before_any_call(http, parts):
    client = Client(token_for("http://127.0.0.1:1"), api_version="67.0", http=http)
    for call in (client.composite, client.batch):
        with pytest.raises(InvalidInput):
            call(parts())


def test_no_parts_cost_no_call(http):
    client = Client(token_for("http://127.0.0.1:1"), api_version="67.0", http=http)
    assert client.composite([]) == client.batch([]) == PartResults()


def test_a_composite_call_without_an_answer_is_not_repeated(client, org):
    org.fail("cut", where="rest", times=None)
    with pytest.raises(OutcomeUnknown):
        client.composite([Part.create("Account", {"Name": "T-1"})])
    assert [request.method for request in org.requests].count("POST") == 2  # the other was the sign-in
    org.heal()
    assert count(client) == 1


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"compositeResponse": []},
        {"compositeResponse": [5]},
        {"compositeResponse": [{"httpStatusCode": "x"}]},
    ],
)
def test_an_answer_of_another_form_is_told(client, org, body):
    org.answer_path("/services/data/v67.0/composite", body)
    with pytest.raises(OutcomeUnknown):
        client.composite([Part("GET", "limits")])


def test_a_part_that_can_be_tried_again_says_so(client, org):
    refusal = [{"errorCode": "UNABLE_TO_LOCK_ROW", "message": "unable to obtain exclusive access"}]
    body = {"compositeResponse": [{"httpStatusCode": 400, "body": refusal, "referenceId": "part1"}]}
    org.answer_path("/services/data/v67.0/composite", body)
    assert isinstance(client.composite([Part("GET", "limits")]).error, ApiUnavailable)
