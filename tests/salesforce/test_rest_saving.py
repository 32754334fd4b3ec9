from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import pytest

from sf_integration.salesforce.errors import (
    ApiError,
    ApiUnavailable,
    InvalidInput,
    NotFound,
    OutcomeUnknown,
    RetryableError,
    TransportError,
)
from sf_integration.salesforce.rest import Client, UpsertResult, saving

from .conftest import token_for
from .raw_server import Visit

ACCOUNT = "001Dn00000Gi7HJIAZ"
ERP = "ERP_Number__c"


@pytest.fixture
def client(token, http):
    with Client(token, api_version="67.0", http=http, timeout_seconds=5.0) as opened:
        yield opened


def calls(org, method: str) -> int:
    return sum(request.method == method and "/sobjects" in request.path for request in org.requests)


def names(client, like: str = "T-%") -> list[str]:
    return [
        row["Name"] for row in client.query("SELECT Name FROM Account WHERE Name LIKE {} ORDER BY Name", like)
    ]


# One record


def test_a_record_is_made_changed_and_deleted(client):
    made = client.create("Account", {"Name": "T-1", "NumberOfEmployees": 7})
    assert len(made) == 18
    assert client.update("Account", made[:15], {"Name": "T-2", "NumberOfEmployees": None}) is None
    record = client.record("Account", made, fields=["Name", "NumberOfEmployees"])
    assert (record["Name"], record["NumberOfEmployees"]) == ("T-2", None)
    client.delete("Account", made)
    with pytest.raises(NotFound):
        client.delete("Account", made)


def test_python_values_become_what_salesforce_reads(client):
    made = client.create(
        "Opportunity",
        {
            "Name": "Dürüm \N{ROCKET}",
            "StageName": "Prospecting",
            "CloseDate": dt.date(2026, 3, 17),
            "Amount": Decimal("12.50"),
        },
    )
    record = client.record("Opportunity", made)
    assert (record["Name"], record["CloseDate"], record["Amount"]) == ("Dürüm \N{ROCKET}", "2026-03-17", 12.5)


def test_times_are_told_in_utc_and_numbers_as_numbers():
    noon = dt.datetime(2026, 3, 17, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    body = saving.json_body({"At": noon, "Whole": Decimal("2.0"), "Part": Decimal("0.1"), "None": None})
    assert json.loads(body) == {"At": "2026-03-17T10:00:00.000Z", "Whole": 2, "Part": 0.1, "None": None}


def test_a_record_that_was_read_can_be_written(client):
    record = client.record("Account", ACCOUNT, fields=["Name"])
    del record["Id"]
    record["Name"] = "T-read"
    client.update("Account", ACCOUNT, record)
    assert names(client) == ["T-read"]


def test_a_refusal_names_code_fields_and_remedy(client):
    with pytest.raises(ApiError) as caught:
        client.create("Account", {"Phone": "1"})
    error = caught.value
    assert (error.status_code, error.error_code, error.fields) == (400, "REQUIRED_FIELD_MISSING", ("Name",))
    assert error.remedy


REFUSED = {
    "name of an object": lambda sf: sf.create("Account/x", {"Name": "x"}),
    "name of a field": lambda sf: sf.create("Account", {"Last Name": "x"}),
    "no fields": lambda sf: sf.create("Account", ["Name"]),
    "naive datetime": lambda sf: sf.create("Event", {"ActivityDateTime": dt.datetime(2026, 1, 1)}),  # noqa: DTZ001
    "not a number": lambda sf: sf.create("Account", {"AnnualRevenue": float("nan")}),
    "not a decimal": lambda sf: sf.create("Account", {"AnnualRevenue": Decimal("NaN")}),
    "other types": lambda sf: sf.create("Account", {"Name": object()}),
    "keys": lambda sf: sf.create("Account", {"Owner": {(1, 2): 3}}),
    "id to change": lambda sf: sf.update("Account", "../limits", {}),
    "id to delete": lambda sf: sf.delete("Account", "x"),
    "name to delete": lambda sf: sf.delete("../x", ACCOUNT),
    "external id field": lambda sf: sf.upsert("Account", "A/B", "7", {}),
    "empty external id": lambda sf: sf.upsert("Account", ERP, " ", {}),
    "external id that leads elsewhere": lambda sf: sf.upsert("Account", ERP, "..", {}),
    "dot": lambda sf: sf.record_by_external_id("Account", ERP, "."),
    "no external id": lambda sf: sf.upsert("Account", ERP, None, {}),
    "field to read": lambda sf: sf.record_by_external_id("Account", ERP, "7", fields=["a b"]),
    "one of many": lambda sf: sf.create_many("Account", [{"Name": "x"}, {"Na me": "x"}]),
    "object of many": lambda sf: sf.create_many("Acc ount", [{"Name": "x"}]),
    "many without id": lambda sf: sf.update_many("Account", [{"Name": "x"}]),
    "many with a bad id": lambda sf: sf.update_many("Account", [{"id": "x"}]),
    "many without external id": lambda sf: sf.upsert_many("Account", ERP, [{"Name": "x", ERP: None}]),
    "many that are none": lambda sf: sf.update_many("Account", ["x"]),
    "field that is no text": lambda sf: sf.upsert_many("Account", ERP, [{1: "x"}]),
    "infinity": lambda sf: sf.create("Account", {"AnnualRevenue": Decimal("Infinity")}),
    "no number": lambda sf: sf.create("Account", {"AnnualRevenue": Decimal("sNaN")}),
    "many bad ids": lambda sf: sf.delete_many([ACCOUNT, "x"]),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_what_can_not_be_right_is_refused_before_any_call(http, call):
    with pytest.raises(InvalidInput) as caught:
        call(Client(token_for("http://127.0.0.1:1"), api_version="67.0", http=http))
    assert str(caught.value).endswith((".", "only."))


# By external id


@pytest.mark.parametrize("value", ["7", "A/7 ü?#%", "a.b/../c", "%2F", "..."])
def test_an_upsert_makes_then_changes(client, value):
    made = client.upsert("Account", ERP, value, {"Name": "T-1"})
    assert made.created
    assert client.upsert("Account", ERP, value, {"Name": "T-2"}) == UpsertResult(made.id, created=False)
    record = client.record_by_external_id("Account", ERP, value, fields=["Name", ERP])
    assert (record["Name"], record[ERP], record["Id"]) == ("T-2", value, made.id)


def test_a_number_is_an_external_id_too(client):
    assert client.upsert("Account", ERP, 4711, {"Name": "T-1"}).created
    assert client.record_by_external_id("Account", ERP, 4711)["Name"] == "T-1"


def test_an_absent_external_id_is_not_found(client):
    with pytest.raises(NotFound):
        client.record_by_external_id("Account", ERP, "absent")


def test_several_records_with_one_external_id_are_a_clear_error(client):
    ids = [client.create("Account", {"Name": "T-1", ERP: "7"}) for _ in range(2)]
    for call in (
        lambda: client.upsert("Account", ERP, "7", {"Name": "T-2"}),
        lambda: client.record_by_external_id("Account", ERP, "7"),
    ):
        with pytest.raises(ApiError) as caught:
            call()
        assert caught.value.error_code == "DUPLICATE_EXTERNAL_ID"
        assert all(each in str(caught.value) for each in ids)
        assert caught.value.remedy
    assert names(client) == ["T-1", "T-1"]


def test_old_versions_do_not_tell_which_record_was_changed(token, http):
    with Client(token, api_version="45.0", http=http) as client:
        made = client.upsert("Account", ERP, "7", {"Name": "T-1"})
        assert (len(made.id), made.created) == (18, True)
        assert client.upsert("Account", ERP, "7", {"Name": "T-2"}) == UpsertResult("", created=False)


# Answers that are lost


@pytest.mark.parametrize("fault", ["cut", "close", "bad_gateway", "html", "garbage"])
def test_a_create_without_an_answer_is_not_repeated(client, org, fault):
    org.fail(fault, where="rest", times=None)
    with pytest.raises(OutcomeUnknown, match=r"may have been written.*upsert") as caught:
        client.create("Account", {"Name": "T-1"})
    assert isinstance(caught.value, TransportError)
    assert calls(org, "POST") == 1


def test_a_create_that_is_not_answered_in_time_is_not_repeated(raw_server):
    server = raw_server(lambda visit: (visit.read_request(), visit.connection.recv(1)))
    client = Client(token_for(server.url), api_version="67.0").with_timeout(0.3)
    with pytest.raises(OutcomeUnknown) as caught:
        client.create("Account", {"Name": "T-1"})
    client._http.close()
    assert caught.value.code == "timeout"
    assert len(server.requests) == 1


def test_a_record_may_be_there_though_the_answer_was_lost(client, org):
    """What the sentence warns of."""
    org.fail("cut", where="rest")
    with pytest.raises(OutcomeUnknown):
        client.create("Account", {"Name": "T-1"})
    assert names(client) == ["T-1"]


def test_an_upsert_may_be_repeated_when_its_answer_was_lost(client, org):
    org.fail("cut", where="rest")
    with pytest.raises(TransportError) as caught:
        client.upsert("Account", ERP, "7", {"Name": "T-1"})
    assert not isinstance(caught.value, OutcomeUnknown)
    assert calls(org, "PATCH") == 1
    assert not client.upsert("Account", ERP, "7", {"Name": "T-1"}).created
    assert names(client) == ["T-1"]


@pytest.mark.parametrize("fault", ["maintenance", "redirect"])
def test_what_never_came_to_salesforce_leaves_no_doubt(client, org, fault):
    org.fail(fault, where="rest", times=None)
    with pytest.raises(TransportError) as caught:
        client.create("Account", {"Name": "T-1"})
    assert not isinstance(caught.value, OutcomeUnknown)


def test_nor_does_a_host_that_is_not_there(http):
    with pytest.raises(TransportError) as caught:
        Client(token_for("http://127.0.0.1:1"), api_version="67.0", http=http).create("Account", {})
    assert (type(caught.value), caught.value.code) == (TransportError, "connection_refused")


def test_a_fault_inside_salesforce_is_not_repeated_either(client, org):
    org.fail("unknown_error", where="rest", times=2)
    with pytest.raises(ApiError) as caught:
        client.create("Account", {"Name": "T-1"})
    assert not isinstance(caught.value, RetryableError)
    with pytest.raises(ApiUnavailable):
        client.limits()


def test_a_locked_row_can_be_tried_again(client, org):
    org.fail("rest_error", where="rest", status=400, code="UNABLE_TO_LOCK_ROW", message="unable to obtain")
    with pytest.raises(RetryableError) as caught:
        client.create("Account", {"Name": "T-1"})
    assert (caught.value.status_code, caught.value.error_code) == (400, "UNABLE_TO_LOCK_ROW")


@pytest.mark.parametrize("body", [b"[]", b"5", b'{"success": true}', b'{"id": 7}', b""])
def test_an_answer_of_another_form_leaves_the_doubt(raw_server, body):
    def answer(visit: Visit) -> None:
        visit.read_request()
        visit.answer(body, status="201 Created")

    with (
        Client(token_for(raw_server(answer).url), api_version="67.0") as client,
        pytest.raises(OutcomeUnknown),
    ):
        client.create("Account", {"Name": "x"})


# Many


def test_one_refused_record_does_not_hide_the_others(client):
    results = client.create_many("Account", [{"Name": "T-1"}, {"Phone": "1"}, {"Name": "T-3"}])
    assert [(len(each.id), each.success, each.created) for each in results] == [
        (18, True, True),
        (0, False, False),
        (18, True, True),
    ]
    [error] = results[1].errors
    assert (error.code, error.fields) == ("REQUIRED_FIELD_MISSING", ("Name",))
    assert "Name" in error.message
    assert error.remedy
    assert names(client) == ["T-1", "T-3"]


def test_all_or_none_is_none_when_one_is_refused(client):
    results = client.create_many("Account", [{"Name": "T-1"}, {"Phone": "1"}], all_or_none=True)
    assert [each.success for each in results] == [False, False]
    assert results[0].errors[0].code == "ALL_OR_NONE_OPERATION_ROLLED_BACK"
    assert names(client) == []


def test_many_are_changed_upserted_and_deleted(client):
    first = client.create("Account", {"Name": "T-1", ERP: "1"})
    [upserted, new] = client.upsert_many(
        "Account", ERP, [{ERP: "1", "Phone": "1"}, {ERP: "2", "Name": "T-2"}]
    )
    assert (upserted.id, upserted.created, new.created) == (first, False, True)
    changed = client.update_many("Account", [{"Id": first, "Name": "T-9"}, {"Id": new.id, "Name": None}])
    assert [(each.success, each.created) for each in changed] == [(True, False), (False, False)]
    assert names(client) == ["T-2", "T-9"]
    gone = client.delete_many([first, new.id[:15], first])
    assert [each.success for each in gone] == [True, True, False]
    assert [error.code for error in gone[2].errors] == ["ENTITY_IS_DELETED"]
    assert names(client) == []


def test_no_records_cost_no_call(http):
    client = Client(token_for("http://127.0.0.1:1"), api_version="67.0", http=http)
    assert client.create_many("Account", []) == client.delete_many(iter(())) == []


def test_more_are_sent_200_at_a_time_as_they_are_taken(client, org):
    sent = []

    def records():
        for number in range(401):
            sent.append(calls(org, "POST"))
            yield {"Phone": str(number)}  # refused, which is quicker than being saved

    results = client.create_many("Account", records())
    assert len(results) == 401
    assert not any(each.success for each in results)
    assert (sent[199], sent[200], sent[400]) == (0, 1, 2)
    assert calls(org, "POST") == 3


def test_a_call_that_fails_on_the_way_takes_the_results_before_it_along(client, org):
    def records():
        for number in range(201):
            if number == 200:
                org.fail("close", where="rest", times=None)
            yield {"Phone": str(number)}

    with pytest.raises(OutcomeUnknown) as caught:
        client.create_many("Account", records())
    assert len(caught.value.results) == 200


@pytest.mark.parametrize("body", [{}, [], [{"id": ACCOUNT, "success": True}] * 2, [5], [{"errors": 5}]])
def test_results_of_another_form_are_told(client, org, body):
    org.answer_path("/services/data/v67.0/composite/sobjects", body)
    with pytest.raises(OutcomeUnknown):
        client.create_many("Account", [{"Name": "x"}])
    with pytest.raises(TransportError):
        client.delete_many([ACCOUNT])


def test_an_ended_session_writes_once(org, http):
    from .test_rest import RenewingSource

    source = RenewingSource(org, http)
    with Client(source, api_version="67.0", http=http) as client:
        client.limits()
        org.end_sessions()
        client.create("Account", {"Name": "T-1"})
        assert names(client) == ["T-1"]
        org.end_sessions()
        assert client.create_many("Account", [{"Name": "T-2"}])[0].success
        assert names(client) == ["T-1", "T-2"]
    assert len(source.renewals) == 2
