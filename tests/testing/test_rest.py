from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sf_integration.testing import Org, StandIn
from sf_integration.testing.data.company import WELL_KNOWN_ACCOUNT_ID as ACCOUNT_ID
from sf_integration.testing.rest.resources import release_label

from .conftest import Caller, refusal

NOT_FOUND = (404, "NOT_FOUND", "The requested resource does not exist")


# Versions, resources, limits


@pytest.mark.parametrize("path", ["/services/data", "/services/data/"])
def test_versions_need_no_token(caller: Caller, org: Org, path: str):
    versions = caller.http.get(org.url + path, timeout=10).json()

    assert versions[0]["version"] == "42.0"
    assert versions[-1] == {"label": "Summer '26", "url": "/services/data/v67.0", "version": "67.0"}
    assert len(versions) == 26
    assert org.api_used == 0


@pytest.mark.parametrize(
    ("version", "label"),
    [(42, "Spring '18"), (58, "Summer '23"), (62, "Winter '25"), (64, "Summer '25"), (65, "Winter '26"), (66, "Spring '26"), (68, "Winter '27")],
)  # fmt: skip
def test_releases_have_their_names(version: int, label: str):
    assert release_label(version) == label


@pytest.mark.parametrize("version", ["42.0", "58.0", "66.0", "67.0"])
def test_resources_of_a_version_name_the_identity_url(signed_in: Caller, org: Org, version: str):
    resources = signed_in.get(f"/services/data/v{version}/").json()

    assert resources["query"] == f"/services/data/v{version}/query"
    assert resources["identity"] == f"{org.url}/id/{org.id}/{org.user.id}"


@pytest.mark.parametrize(
    "path",
    ["v41.0/limits", "v68.0/limits", "v67.5/limits", "latest/limits", "v67.0/nonsense", "v67.0/sobjects/Nonsense",
     "v67.0/sobjects/Account/describe/more/and/more"],
)  # fmt: skip
def test_what_is_not_there_is_not_found(signed_in: Caller, path: str):
    assert refusal(signed_in.get(f"/services/data/{path}")) == NOT_FOUND


def test_paths_outside_the_api_are_not_found(caller: Caller, org: Org):
    assert refusal(caller.http.get(f"{org.url}/anything", timeout=10)) == NOT_FOUND


def test_wrong_method_is_told(signed_in: Caller):
    status, code, message = refusal(signed_in.call("PUT", "limits"))

    assert (status, code) == (405, "METHOD_NOT_ALLOWED")
    assert message == "HTTP Method 'PUT' not allowed. Allowed are HEAD,GET"


def test_limits_are_partly_nested_and_count_the_calls(signed_in: Caller, org: Org):
    answer = signed_in.get("limits")

    daily = answer.json()["DailyApiRequests"]
    assert daily["Max"] == 15_000
    assert daily["Remaining"] == 15_000 - org.api_used
    assert daily[org.app.name] == {"Max": 0, "Remaining": 0}
    assert answer.headers["Sforce-Limit-Info"] == "api-usage=1/15000"


def test_limits_may_be_refused_to_the_user(signed_in: Caller, org: Org):
    org.limits_refused = True

    answer = signed_in.get("limits")

    assert refusal(answer) == (403, "API_DISABLED_FOR_ORG", "limits resource is not enabled")
    assert "Sforce-Limit-Info" in signed_in.get("sobjects").headers


def test_used_up_quota_is_told(signed_in: Caller, org: Org):
    org.api_limit = 2
    assert [signed_in.get("limits").status_code for _ in range(2)] == [200, 200]

    assert refusal(signed_in.get("limits")) == (
        403,
        "REQUEST_LIMIT_EXCEEDED",
        "TotalRequests Limit exceeded.",
    )


def test_user_without_api_permission_is_told(signed_in: Caller, org: Org):
    org.user.api_enabled = False

    assert refusal(signed_in.get("limits")) == (
        403,
        "API_CURRENTLY_DISABLED",
        "API is disabled for this User",
    )


def test_pretty_print_is_for_people(signed_in: Caller):
    compact = signed_in.get("limits")
    pretty = signed_in.call("GET", "limits", headers={"X-PrettyPrint": "1"})

    assert "\n" not in compact.text
    assert pretty.text.startswith('{\n  "')
    assert set(pretty.json()) == set(compact.json())


def test_errors_are_laid_out_too(signed_in: Caller):
    headers = {"X-PrettyPrint": "1"}

    answer = signed_in.call("GET", "nonsense", headers=headers)

    assert (
        answer.text
        == '[\n  {\n    "errorCode" : "NOT_FOUND",\n    "message" : "The requested resource does not exist"\n  }\n]'
    )
    assert (
        len(answer.content) == int(answer.headers["Content-Length"]) or "Content-Encoding" in answer.headers
    )


# What Salesforce has and the stand-in has not


@pytest.mark.parametrize(
    "path",
    ["tooling/query?q=SELECT+Id+FROM+ApexClass", "search/?q=FIND+%7Bx%7D", "chatter/users/me", "recent",
     "ui-api/records/001", "composite/graph", "query?explain=SELECT+Id+FROM+Account", "sobjects/Account/deleted",
     "sobjects/Account/describe/layouts", f"sobjects/Account/{ACCOUNT_ID}/Contacts"],
)  # fmt: skip
def test_what_only_salesforce_has_is_told_with_the_way_out(signed_in: Caller, path: str):
    status, code, message = refusal(signed_in.get(path))

    assert (status, code) == (404, "NOT_FOUND")
    assert message.startswith("This stand-in does not know /services/data/v67.0/")
    assert "org.answer_path(" in message


@pytest.mark.parametrize("path", ["/services/apexrest/stock", "/services/Soap/u/67.0", "/services/proxy"])
def test_what_lies_outside_the_rest_api_is_told_likewise(signed_in: Caller, path: str):
    assert refusal(signed_in.get(path))[2].startswith(f"This stand-in does not know {path};")


def test_answers_given_by_hand_need_a_good_token_and_count(signed_in: Caller, org: Org):
    org.answer_path("/services/apexrest/stock", {"beans": 7})
    org.answer_path("/services/data/v67.0/recent", [])
    org.answer_path("/services/data/v67.0/theme", "no JSON")
    org.answer("SELECT Id FROM Lead", [{"Id": "00QDn000000000AMAQ"}])

    beans = signed_in.get("/services/apexrest/stock")
    unknown = signed_in.http.get(f"{org.url}/services/apexrest/stock", timeout=10)

    assert (beans.json(), beans.headers["Sforce-Limit-Info"]) == ({"beans": 7}, "api-usage=1/15000")
    assert refusal(unknown)[:2] == (401, "INVALID_SESSION_ID")
    assert signed_in.get("recent").json() == []
    assert signed_in.call("GET", "theme", headers={"X-PrettyPrint": "1"}).text == "no JSON"
    assert signed_in.rows("select Id from Lead") == [{"Id": "00QDn000000000AMAQ"}]


def test_usage_may_be_told_per_app(signed_in: Caller, org: Org):
    org.app.api_limit = 250

    signed_in.get("limits")

    assert signed_in.get("limits").headers["Sforce-Limit-Info"] == (
        "api-usage=2/15000; per-app-api-usage=2/250(appName=Harbor Sync)"
    )


# Describe


@pytest.mark.parametrize("path", ["sobjects", "sobjects/Account/describe"])
def test_description_known_to_the_caller_is_not_sent_again(signed_in: Caller, path: str):
    first = signed_in.get(path)
    changed = first.headers["Last-Modified"]

    def since(moment: str) -> int:
        return signed_in.call("GET", path, headers={"If-Modified-Since": moment}).status_code

    assert first.status_code == 200
    assert since(changed) == 304
    assert since("Mon, 02 Jan 2006 15:04:05 GMT") == 200
    assert since("yesterday") == 200


def test_unchanged_description_has_no_body(signed_in: Caller):
    changed = signed_in.get("sobjects").headers["Last-Modified"]

    answer = signed_in.call("GET", "sobjects", headers={"If-Modified-Since": changed})

    assert (answer.status_code, answer.content) == (304, b"")
    assert "Content-Type" not in answer.headers


def test_global_describe_lists_the_objects(signed_in: Caller):
    described = signed_in.get("sobjects").json()

    entries = {entry["name"]: entry for entry in described["sobjects"]}
    assert set(entries) == {"Account", "Case", "Contact", "Opportunity", "Organization", "User"}
    assert entries["Account"]["keyPrefix"] == "001"
    assert entries["Account"]["urls"]["describe"] == "/services/data/v67.0/sobjects/Account/describe"
    assert described["maxBatchSize"] == 200


def test_describe_tells_fields_and_children(signed_in: Caller):
    described = signed_in.get("sobjects/Account/describe").json()

    fields = {field["name"]: field for field in described["fields"]}
    children = {child["relationshipName"] for child in described["childRelationships"]}
    assert (fields["Id"]["type"], fields["Id"]["length"], fields["Id"]["soapType"]) == ("id", 18, "tns:ID")
    assert fields["OwnerId"]["referenceTo"] == ["User"]
    assert fields["ERP_Number__c"]["externalId"] is True
    assert fields["BillingCity"]["compoundFieldName"] == "BillingAddress"
    assert children == {"ChildAccounts", "Contacts", "Opportunities", "Cases"}


def test_object_basics_are_answered_in_any_case(signed_in: Caller):
    assert signed_in.get("sobjects/account").json()["objectDescribe"]["name"] == "Account"


# Reading records


@pytest.mark.parametrize("record_id", [ACCOUNT_ID, ACCOUNT_ID[:15]])
def test_record_is_found_by_either_form_of_its_id(signed_in: Caller, record_id: str):
    record = signed_in.get(f"sobjects/Account/{record_id}", fields="Name, accountnumber").json()

    assert signed_in.get(f"sobjects/Account/Id/{record_id}", fields="Name, accountnumber").json() == record
    assert record == {
        "attributes": {"type": "Account", "url": f"/services/data/v67.0/sobjects/Account/{ACCOUNT_ID}"},
        "Name": "Kaffeerösterei Brandt & Söhne",
        "AccountNumber": "NH-10000",
        "Id": ACCOUNT_ID,
    }


def test_whole_record_has_every_kind_of_value(signed_in: Caller):
    record = signed_in.get(f"sobjects/Account/{ACCOUNT_ID}").json()

    assert record["ParentId"] is None
    assert record["Key_Account__c"] is False
    assert record["AnnualRevenue"] == 4_200_000
    assert len(record["Description"]) > 1_000
    assert record["BillingAddress"]["city"] == "Hamburg"
    assert record["CreatedDate"].endswith("+0000")
    assert len(record["Customer_Since__c"]) == 10


def test_organization_and_user_records_match_the_org(signed_in: Caller, org: Org):
    assert signed_in.get(f"sobjects/Organization/{org.id}").json()["IsSandbox"] is False
    assert signed_in.get(f"sobjects/User/{org.user.id}").json()["Username"] == org.user.username


@pytest.mark.parametrize("record_id", ["001Dn00000Nobody", "001Dn00000Nobod", "001Dn00000Gi7HJAAA", "x"])
def test_absent_or_malformed_id_is_not_found(signed_in: Caller, record_id: str):
    expected = f"Provided external ID field does not exist or is not accessible: {record_id}"

    assert refusal(signed_in.get(f"sobjects/Account/{record_id}")) == (404, "NOT_FOUND", expected)


def test_unknown_field_of_a_record_is_told(signed_in: Caller):
    status, code, message = refusal(signed_in.get(f"sobjects/Account/{ACCOUNT_ID}", fields="Name,Bacon__c"))

    assert (status, code) == (400, "INVALID_FIELD")
    assert message.startswith("No such column 'Bacon__c' on entity 'Account'. If you are attempting")


def test_external_id_finds_one_record_or_says_that_there_are_several(signed_in: Caller):
    one = signed_in.get("sobjects/Account/ERP_Number__c/C00000")
    several = signed_in.get("sobjects/Account/ERP_Number__c/C00058")
    none = signed_in.get("sobjects/Account/ERP_Number__c/C99999")
    wrong = signed_in.get("sobjects/Account/Phone/123")

    assert one.json()["Id"] == ACCOUNT_ID
    assert (several.status_code, len(several.json())) == (300, 2)
    assert refusal(none) == NOT_FOUND
    assert refusal(wrong)[2] == "Provided external ID field does not exist or is not accessible: Phone"


# Writing records


def test_record_can_be_made_changed_and_deleted(signed_in: Caller):
    made = signed_in.call("POST", "sobjects/Contact", json={"LastName": "Grün", "FirstName": "Eva"})
    record_id = made.json()["id"]
    path = f"sobjects/Contact/{record_id}"

    assert made.status_code == 201
    assert made.json() == {"id": record_id, "success": True, "errors": []}
    assert made.headers["Location"] == f"/services/data/v67.0/{path}"
    changed = signed_in.call("PATCH", path, json={"LastName": "Blau"})
    assert (changed.status_code, changed.content) == (204, b"")
    assert "Content-Type" not in changed.headers
    assert signed_in.get(path).json()["Name"] == "Eva Blau"
    assert signed_in.call("DELETE", path).status_code == 204
    assert refusal(signed_in.get(path)) == (404, "ENTITY_IS_DELETED", "entity is deleted")
    assert refusal(signed_in.call("DELETE", path))[1] == "ENTITY_IS_DELETED"
    assert signed_in.rows(f"SELECT Id FROM Contact WHERE Id = '{record_id}'") == []
    still_there = signed_in.get("queryAll", q=f"SELECT IsDeleted FROM Contact WHERE Id = '{record_id}'")
    assert still_there.json()["records"][0]["IsDeleted"] is True


@pytest.mark.parametrize(("version", "again"), [("67.0", 200), ("46.0", 200), ("45.0", 204)])
def test_upsert_makes_or_changes_and_says_which_from_v46_on(signed_in: Caller, version: str, again: int):
    path = f"/services/data/v{version}/sobjects/Account/ERP_Number__c/NEW-1"

    made = signed_in.call("PATCH", path, json={"Name": "New"})
    changed = signed_in.call("PATCH", path, json={"Name": "Newer"})

    record = signed_in.get(path).json()
    told = {} if again == 204 else {"created": True}
    assert made.status_code == 201
    assert made.json() == {"id": record["Id"], "success": True, "errors": [], **told}
    assert changed.status_code == again
    assert changed.text == "" if again == 204 else changed.json() == {**made.json(), "created": False}
    assert record["Name"] == "Newer"


def test_upsert_refuses_what_the_path_says_already_and_may_only_change(signed_in: Caller):
    path = "sobjects/Account/ERP_Number__c/NEW-2"

    twice = signed_in.call("PATCH", path, json={"Name": "New", "ERP_Number__c": "NEW-2"})
    only_changed = signed_in.call("PATCH", f"{path}?updateOnly=true", json={"Name": "New"})

    message = "The ERP_Number__c field should not be specified in the sobject data."
    assert refusal(twice) == (400, "INVALID_FIELD", message)
    assert refusal(only_changed) == NOT_FOUND
    assert refusal(signed_in.get(path)) == NOT_FOUND


def test_several_records_with_one_external_id_are_neither_changed_nor_deleted(signed_in: Caller):
    path = "sobjects/Account/ERP_Number__c/C00058"

    for method in ("PATCH", "DELETE"):
        answer = signed_in.call(method, path, json={"Name": "X"})
        assert (answer.status_code, len(answer.json())) == (300, 2)


def test_record_is_deleted_by_its_external_id(signed_in: Caller):
    path = "sobjects/Account/ERP_Number__c/GONE"
    signed_in.call("POST", "sobjects/Account", json={"Name": "Gone", "ERP_Number__c": "GONE"})

    assert signed_in.call("DELETE", path).status_code == 204
    assert refusal(signed_in.get(path)) == NOT_FOUND


def test_record_that_others_refer_to_is_not_deleted_by_guesswork(signed_in: Caller, org: Org):
    parent = org.add_record("Account", Name="Parent")
    child = org.add_record("Contact", LastName="Child", AccountId=parent)
    path = f"sobjects/Account/{parent}"

    status, code, message = refusal(signed_in.call("DELETE", path))
    assert (status, code) == (400, "STAND_IN_DOES_NOT_KNOW")
    assert "what becomes of a Contact" in message

    assert signed_in.call("DELETE", f"sobjects/Contact/{child}").status_code == 204
    assert signed_in.call("DELETE", path).status_code == 204
    refused = signed_in.call("POST", "sobjects/Contact", json={"LastName": "Late", "AccountId": parent})
    assert refusal(refused) == (400, "ENTITY_IS_DELETED", "entity is deleted")


def test_many_upserts_at_once_make_one_record(signed_in: Caller, org: Org):
    def upsert(number: int) -> int:
        caller = Caller(org)
        caller.token = signed_in.token
        with caller.http:
            path = f"sobjects/Account/ERP_Number__c/R-{number % 8}"
            return caller.call("PATCH", path, json={"Name": f"Racer {number}"}).status_code

    with ThreadPoolExecutor(16) as pool:
        statuses = Counter(pool.map(upsert, range(128)))

    assert statuses == {201: 8, 200: 120}
    assert len(org.query("SELECT Id FROM Account WHERE Name LIKE 'Racer %'")) == 8


def test_cases_made_at_once_have_numbers_of_their_own(org: Org):
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: org.add_record("Case", Subject=str(number)), range(200)))

    assert org.query("SELECT CaseNumber FROM Case GROUP BY CaseNumber HAVING COUNT(Id) > 1") == []


def test_fields_follow_from_others(signed_in: Caller, org: Org):
    case = org.add_record("Case", Subject="x", Status="New")
    deal = org.add_record("Opportunity", Name="x", StageName="Proposal", CloseDate="2026-12-01")
    sure = org.add_record(
        "Opportunity", Name="y", StageName="Proposal", CloseDate="2026-12-01", Probability=99
    )

    def fields(sobject: str, record_id: str, *names: str) -> list[Any]:
        record = signed_in.get(f"sobjects/{sobject}/{record_id}", fields=",".join(names)).json()
        return [record[name] for name in names]

    assert fields("Case", case, "IsClosed", "ClosedDate") == [False, None]
    assert fields("Opportunity", deal, "Probability") == [50]
    assert fields("Opportunity", sure, "Probability") == [99]

    signed_in.call("PATCH", f"sobjects/Case/{case}", json={"Status": "Closed"})
    signed_in.call("PATCH", f"sobjects/Opportunity/{deal}", json={"StageName": "Closed Won"})
    signed_in.call("PATCH", f"sobjects/Opportunity/{sure}", json={"NextStep": "Call"})
    is_closed, closed, modified = fields("Case", case, "IsClosed", "ClosedDate", "LastModifiedDate")
    assert is_closed
    assert closed == modified
    assert fields("Opportunity", deal, "Probability", "IsWon") == [100, True]
    assert fields("Opportunity", sure, "Probability") == [99]

    signed_in.call("PATCH", f"sobjects/Case/{case}", json={"Status": "Working"})
    assert fields("Case", case, "IsClosed", "ClosedDate") == [False, None]


def test_external_id_in_the_path_has_to_fit_its_field(signed_in: Caller):
    answer = signed_in.call("PATCH", f"sobjects/Account/ERP_Number__c/{'x' * 21}", json={"Name": "X"})

    assert refusal(answer)[:2] == (400, "STRING_TOO_LONG")


@pytest.mark.parametrize(
    ("field", "given", "kept"),
    [
        ("Customer_Since__c", "2026-03-29", "2026-03-29"),
        ("Customer_Since__c", "2026-03-29T23:30:00+02:00", "2026-03-29"),
        ("Customer_Since__c", "2026-03-29x", None),
        ("Customer_Since__c", "20260329", None),
        ("Customer_Since__c", "2026-W13-7", None),
        ("Customer_Since__c", "2026-02-30", None),
    ],
)
def test_days_are_taken_as_they_are_written(signed_in: Caller, field: str, given: str, kept: str | None):
    made = signed_in.call("POST", "sobjects/Account", json={"Name": "X", field: given})

    if kept is None:
        assert refusal(made)[1] == "JSON_PARSER_ERROR"
    else:
        assert signed_in.get(f"sobjects/Account/{made.json()['id']}").json()[field] == kept


def test_post_may_mean_another_method(signed_in: Caller):
    path = f"sobjects/Account/{ACCOUNT_ID}"

    assert signed_in.call("POST", f"{path}?_HttpMethod=PATCH", json={"Name": "Patched"}).status_code == 204
    assert signed_in.get(path).json()["Name"] == "Patched"


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({}, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]"),
        ({"Name": "X", "FavoritePet__c": "cat"}, "INVALID_FIELD", "No such column 'FavoritePet__c' on sobject of type Account"),
        ({"Name": "X", "Rating": "Terrible"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "Rating: bad value for restricted picklist field: Terrible"),
        ({"Name": "X" * 256}, "STRING_TOO_LONG", "data value too large"),
        ({"Name": "X", "CreatedDate": "2026-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE", "CreatedDate"),
        ({"Name": "X", "AnnualRevenue": "much"}, "JSON_PARSER_ERROR", "Cannot deserialize instance of currency"),
        ({"Name": "X", "Customer_Since__c": "yesterday"}, "JSON_PARSER_ERROR", "Cannot deserialize instance of date"),
        ({"Name": "X", "ParentId": "001"}, "MALFORMED_ID", "id value of incorrect type: 001"),
        ({"Name": "X", "ParentId": "003Dn00000Nobod"}, "MALFORMED_ID", "id value of incorrect type: 003Dn00000Nobod"),
        ({"Name": "X", "ParentId": "001Dn00000Nobod"}, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"),
        ({"Name": "X", "Id": "001Dn00000Nobod"}, "INVALID_FIELD", "The Id field should not be specified in the sobject data."),
        ({"Name": "X", "NumberOfEmployees": 1e400}, "JSON_PARSER_ERROR", "a JSON object is expected"),
        ({"Name": "X", "NumberOfEmployees": 2**31}, "JSON_PARSER_ERROR", "Cannot deserialize instance of int"),
        ({"Name": "X", "AnnualRevenue": 10**400}, "JSON_PARSER_ERROR", "Cannot deserialize instance of currency"),
        ({"Name": "\ud800"}, "JSON_PARSER_ERROR", "a JSON object is expected"),
        (["Name"], "JSON_PARSER_ERROR", "a JSON object is expected"),
    ],
)  # fmt: skip
def test_bad_values_are_refused(signed_in: Caller, body: object, code: str, message: str):
    answer = signed_in.call("POST", "sobjects/Account", data=json.dumps(body))

    assert refusal(answer)[:2] == (400, code)
    assert message in refusal(answer)[2]


def test_parent_told_by_an_external_id_is_not_known_here(signed_in: Caller):
    body = {"LastName": "Doe", "Account": {"ERP_Number__c": "C00000"}}

    status, code, message = refusal(signed_in.call("POST", "sobjects/Contact", json=body))

    assert (status, code) == (400, "STAND_IN_DOES_NOT_KNOW")
    assert "Contact.Account" in message


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "text/plain"])
def test_only_json_is_read(signed_in: Caller, media_type: str):
    headers = {"Content-Type": media_type}
    answer = signed_in.call("POST", "sobjects/Account", data='{"Name":"X"}', headers=headers)

    message = f"MediaType of '{media_type}' is not supported by this resource"
    assert refusal(answer) == (415, "UNSUPPORTED_MEDIA_TYPE", message)
    as_xml = signed_in.call("POST", "sobjects/Account", data="<a/>", headers={"Content-Type": "text/xml"})
    assert "This stand-in does not know XML" in refusal(as_xml)[2]


def test_body_may_be_compressed(signed_in: Caller):
    headers = {"Content-Encoding": "gzip"}
    packed = gzip.compress(b'{"Name":"X"}')

    statuses = [
        signed_in.call("POST", "sobjects/Account", data=body, headers=headers).status_code
        for body in (packed, packed[:-9], b'{"Name":"X"}')
    ]

    assert statuses == [201, 400, 400]


def test_wrong_ids_are_refused_when_writing(signed_in: Caller, org: Org):
    def code(path: str) -> tuple[int, str]:
        return refusal(signed_in.call("PATCH", path, json={}))[:2]

    assert code(f"sobjects/Contact/{ACCOUNT_ID}") == (400, "MALFORMED_ID")
    assert code(f"sobjects/Account/{ACCOUNT_ID[:15]}AAA") == (400, "MALFORMED_ID")
    assert code("sobjects/Account/001Dn00000Nobod") == (404, "NOT_FOUND")
    assert code(f"sobjects/User/{org.user.id}") == (403, "INSUFFICIENT_ACCESS_OR_READONLY")


# Whatever comes in


SEGMENTS = st.sampled_from(
    ["sobjects", "Account", "Contact", "User", "describe", "query", "queryAll", "limits", "composite", "batch", "tree", "graph",
     "ERP_Number__c", "C00058", "Id", ACCOUNT_ID, ACCOUNT_ID[:15], "01gDn000000000AAAA-2000", "search", "v67.0", "", ".."]
)  # fmt: skip
QUERIES = (
    st.sampled_from(["SELECT Id FROM Account", "SELECT COUNT() FROM Case", "SELECT", "@{a.id}"]) | st.text()
)
NUMBERS = st.integers() | st.floats()
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text() | st.sampled_from([ACCOUNT_ID, "@{a.id}", "2026-02-30", "0001-01-01T00:00:00+23:59"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
RECORDS = st.dictionaries(
    st.sampled_from(
        ["attributes", "Name", "LastName", "ParentId", "AnnualRevenue", "NumberOfEmployees", "Key_Account__c", "Email", "Id",
         "Customer_Since__c", "Rating", "ERP_Number__c", "ids", "fields", "records", "allOrNone", "Contacts", "CloseDate"]
    )
    | st.text(),
    VALUES | st.fixed_dictionaries({"type": st.sampled_from(["Account", "Contact", "Xyzzy"])}),
    max_size=5,
)  # fmt: skip
METHODS = st.sampled_from(["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"])


@st.composite
def urls(draw: st.DrawFn) -> str:
    version = draw(st.sampled_from(["v67.0", "v67.0", "v67.0", "v42.0", "v99.0", "latest", "v67"]))
    path = "/".join(
        quote(segment, safe="") for segment in draw(st.lists(SEGMENTS | st.text(max_size=5), max_size=5))
    )
    names = st.sampled_from(
        ["q", "fields", "ids", "allOrNone", "explain", "columns", "updateOnly", "_HttpMethod"]
    )
    query = draw(st.dictionaries(names, QUERIES | METHODS, max_size=2))
    return f"/services/data/{version}/{path}?{urlencode(query, errors='replace')}"


PARTS = st.fixed_dictionaries(
    {
        "method": METHODS | st.text(),
        "url": urls() | st.text(),
        "referenceId": st.sampled_from("abc") | st.text(),
    },
    optional={"body": RECORDS | VALUES, "richInput": RECORDS, "httpHeaders": VALUES},
)
BODIES = st.one_of(
    st.binary(),
    RECORDS.map(json.dumps),
    VALUES.map(json.dumps),
    st.lists(RECORDS, max_size=3).map(lambda records: json.dumps({"records": records, "allOrNone": True})),
    st.builds(
        lambda name, parts, flag: json.dumps({name: parts, "allOrNone": flag, "haltOnError": flag}),
        st.sampled_from(["compositeRequest", "batchRequests"]),
        st.lists(PARTS, max_size=4),
        st.booleans(),
    ),
)


@pytest.fixture(scope="module")
def any_caller(key_pair: tuple[str, str]) -> Iterator[Caller]:
    private_key, certificate = key_pair
    with StandIn(certificate_pem=certificate, private_key_pem=private_key, api_limit=10**9) as server:
        caller = Caller(server.org)
        assert caller.sign_in().status_code == 200
        with caller.http:
            yield caller


@given(method=METHODS, url=urls(), body=BODIES, pretty=st.sampled_from("01"))
@example(method="POST", url="/services/data/v67.0/sobjects/Account", body="[" * 5_000, pretty="0")
@example(
    method="POST",
    url="/services/data/v67.0/composite",
    body='{"compositeRequest":[{"method":"GET","url":"//[","referenceId":"a"}]}',
    pretty="1",
)
@example(
    method="POST",
    url="/services/data/v67.0/composite",
    body=json.dumps(
        {"compositeRequest": [{"method": "POST", "url": "/", "referenceId": "a", "body": [[]]}]}
    ).replace("[]", "[" * 600 + "]" * 600),
    pretty="0",
)
@settings(max_examples=300, deadline=None)
def test_whatever_is_asked_has_an_answer_in_json(any_caller: Caller, method: str, url: str, body: str | bytes, pretty: str):  # fmt: skip
    answer = any_caller.call(
        method, url, data=body.encode("utf-8", "replace") if isinstance(body, str) else body, headers={"X-PrettyPrint": pretty}
    )  # fmt: skip

    assert answer.status_code < 500, answer.text
    if answer.content:
        assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"
        json.loads(answer.content)
    else:
        assert method == "HEAD" or answer.status_code in (204, 304), (method, answer.status_code)
