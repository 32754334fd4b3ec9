from __future__ import annotations

import pytest

from sf_integration.testing import Org
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
    assert message == "HTTP Method 'PUT' not allowed. Allowed are GET,HEAD"


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


# Describe


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


def test_upsert_makes_or_changes(signed_in: Caller):
    path = "sobjects/Account/ERP_Number__c/NEW-1"

    assert signed_in.call("PATCH", path, json={"Name": "New"}).status_code == 201
    assert signed_in.call("PATCH", path, json={"Name": "Newer"}).status_code == 204
    assert signed_in.get(path).json()["Name"] == "Newer"


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
        (["Name"], "JSON_PARSER_ERROR", "a JSON object is expected"),
    ],
)  # fmt: skip
def test_bad_values_are_refused(signed_in: Caller, body: object, code: str, message: str):
    answer = signed_in.call("POST", "sobjects/Account", json=body)

    assert refusal(answer)[:2] == (400, code)
    assert message in refusal(answer)[2]


def test_wrong_ids_are_refused_when_writing(signed_in: Caller, org: Org):
    def code(path: str) -> tuple[int, str]:
        return refusal(signed_in.call("PATCH", path, json={}))[:2]

    assert code(f"sobjects/Contact/{ACCOUNT_ID}") == (400, "MALFORMED_ID")
    assert code(f"sobjects/Account/{ACCOUNT_ID[:15]}AAA") == (400, "MALFORMED_ID")
    assert code("sobjects/Account/001Dn00000Nobod") == (404, "NOT_FOUND")
    assert code(f"sobjects/User/{org.user.id}") == (400, "INSUFFICIENT_ACCESS_OR_READONLY")
