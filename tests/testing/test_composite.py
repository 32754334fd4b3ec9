from __future__ import annotations

from typing import Any

import pytest
import requests

from sf_integration.testing import Org
from sf_integration.testing.data.company import WELL_KNOWN_ACCOUNT_ID as ACCOUNT_ID

from .conftest import Caller, refusal

Json = dict[str, Any]

ROLLED_BACK = "The transaction was rolled back since another operation in the same transaction failed."
RECORD_ROLLED_BACK = {
    "statusCode": "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "message": "Record rolled back because not all records were valid and the request was using AllOrNone header",
    "fields": [],
}


def part(reference: str, method: str, path: str, body: Any = None, **more: Any) -> Json:
    told = {} if body is None else {"body": body}
    return {"referenceId": reference, "method": method, "url": f"/services/data/v67.0/{path}", **told, **more}


def run(caller: Caller, *parts: Json, **options: Any) -> list[Json]:
    answer = caller.call("POST", "composite", json={"compositeRequest": parts, **options})
    assert answer.status_code == 200, answer.text
    results: list[Json] = answer.json()["compositeResponse"]
    assert [result["referenceId"] for result in results] == [each["referenceId"] for each in parts]
    return results


def names(caller: Caller, name: str) -> int:
    """How many accounts have this name."""
    total: int = caller.query(f"SELECT COUNT() FROM Account WHERE Name = '{name}'").json()["totalSize"]
    return total


@pytest.fixture
def new_account(signed_in: Caller) -> str:
    """The id of an account that stands alone."""
    return signed_in.call("POST", "sobjects/Account", json={"Name": "Alone"}).json()["id"]


# Parts that refer to earlier ones


def test_later_parts_use_what_earlier_ones_answered(signed_in: Caller):
    results = run(
        signed_in,
        part("account", "POST", "sobjects/Account", {"Name": "Quay"}),
        part("contact", "POST", "sobjects/Contact", {"LastName": "Grün", "AccountId": "@{account.id}"}),
        part("found", "GET", "query?q=SELECT+Id,Name+FROM+Account+WHERE+Id='@{account.id}'"),
        part("read", "GET", "sobjects/Account/@{found.records[0].Id}?fields=Name"),
        part(
            "changed",
            "PATCH",
            "sobjects/Account/@{account.id}",
            {"Description": "like @{read.Name}, @{account.id}"},
        ),
        part("gone", "DELETE", "sobjects/Contact/@{contact.id}"),
    )

    account_id = results[0]["body"]["id"]
    assert [result["httpStatusCode"] for result in results] == [201, 201, 200, 200, 204, 204]
    assert results[0]["httpHeaders"] == {"Location": f"/services/data/v67.0/sobjects/Account/{account_id}"}
    assert results[3]["body"]["Name"] == "Quay"
    assert (results[4]["body"], results[4]["httpHeaders"]) == (None, {})
    record = signed_in.get(f"sobjects/Account/{account_id}", fields="Description").json()
    assert record["Description"] == f"like Quay, {account_id}"


def test_all_parts_cost_one_call(signed_in: Caller, org: Org):
    run(signed_in, *(part(f"r{number}", "GET", "limits") for number in range(20)))

    assert org.api_used == 1


def test_each_part_is_answered_as_if_it_came_alone(signed_in: Caller):
    paths = [
        "sobjects/Account/x",
        "sobjects/Xyzzy",
        "nonsense",
        "query?q=SELECT+Bacon__c+FROM+Account",
        "tooling",
    ]

    results = run(signed_in, *(part(f"r{place}", "GET", path) for place, path in enumerate(paths)))

    for path, result in zip(paths, results, strict=True):
        alone = signed_in.get(path)
        assert (result["httpStatusCode"], result["body"]) == (alone.status_code, alone.json())


@pytest.mark.parametrize(
    "reference", ["lost.id", "nobody.id", "nobody", "found.records[7].Id", "read.ParentId"]
)
def test_reference_to_nothing_halts_only_who_makes_it(signed_in: Caller, reference: str):
    results = run(
        signed_in,
        part("lost", "POST", "sobjects/Account", {}),
        part("found", "GET", "query?q=SELECT+Id+FROM+Account+LIMIT+1"),
        part("read", "GET", f"sobjects/Account/{ACCOUNT_ID}?fields=ParentId"),
        part("halted", "POST", "sobjects/Account", {"Name": f"@{{{reference}}}"}),
        part("other", "GET", "limits"),
    )

    name = reference.partition(".")[0]
    message = (
        f"Invalid reference specified. No value for {reference} found in {name}. Provided referenceId ('{reference}') "
        "must start with a letter or a number, and it can contain only letters, numbers and underscores ('_')."
    )
    assert [result["httpStatusCode"] for result in results] == [400, 200, 200, 400, 200]
    assert results[3]["body"] == [{"errorCode": "PROCESSING_HALTED", "message": message}]
    assert list(results[3]["body"][0]) == ["errorCode", "message"]


def test_all_or_none_undoes_what_went_well(signed_in: Caller):
    results = run(
        signed_in,
        part("good", "POST", "sobjects/Account", {"Name": "Undone"}),
        part("changed", "PATCH", f"sobjects/Account/{ACCOUNT_ID}", {"Name": "Undone"}),
        part("bad", "POST", "sobjects/Contact", {"FirstName": "Nobody"}),
        part("never", "POST", "sobjects/Account", {"Name": "Undone"}),
        allOrNone=True,
    )

    halted = [{"errorCode": "PROCESSING_HALTED", "message": ROLLED_BACK}]
    assert [result["httpStatusCode"] for result in results] == [400] * 4
    assert [results[place]["body"] for place in (0, 1, 3)] == [halted] * 3
    assert results[2]["body"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert names(signed_in, "Undone") == 0


def test_without_all_or_none_what_went_well_stays(signed_in: Caller):
    results = run(
        signed_in,
        part("good", "POST", "sobjects/Account", {"Name": "Kept"}),
        part("bad", "POST", "sobjects/Account", {}),
    )

    assert [result["httpStatusCode"] for result in results] == [201, 400]
    assert names(signed_in, "Kept") == 1


def test_all_or_none_without_trouble_stays(signed_in: Caller):
    [result] = run(signed_in, part("good", "POST", "sobjects/Account", {"Name": "Kept"}), allOrNone=True)

    assert result["httpStatusCode"] == 201
    assert names(signed_in, "Kept") == 1


def test_collection_within_a_composite_is_undone_with_it(signed_in: Caller):
    records = {"records": [{"attributes": {"type": "Account"}, "Name": "Undone"}]}

    results = run(
        signed_in,
        part("many", "POST", "composite/sobjects", {**records, "allOrNone": True}),
        part("bad", "POST", "sobjects/Account", {}),
        allOrNone=True,
    )

    assert results[0]["httpStatusCode"] == 400
    assert names(signed_in, "Undone") == 0


def test_parts_have_headers_of_their_own(signed_in: Caller):
    [result] = run(
        signed_in,
        part(
            "page",
            "GET",
            "query?q=SELECT+Id+FROM+Contact",
            httpHeaders={"Sforce-Query-Options": "batchSize=200"},
        ),
    )

    assert len(result["body"]["records"]) == 200


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({}, "JSON_PARSER_ERROR", "'compositeRequest' is a required field."),
        ({"compositeRequest": {}}, "JSON_PARSER_ERROR", "'compositeRequest' must be a list."),
        ({"compositeRequest": [{"method": "GET", "url": "/"}]}, "JSON_PARSER_ERROR", "'referenceId' is a required field."),
        ({"compositeRequest": [part("a", "GET", "limits"), part("a", "GET", "limits")]}, "INVALID_INPUT", "every 'referenceId' must be unique."),
        ({"compositeRequest": [part(f"r{n}", "GET", "limits") for n in range(26)]}, "LIMIT_EXCEEDED", "'compositeRequest' must not have more than 25 subrequests."),
        ({"compositeRequest": [part(f"r{n}", "GET", "query?q=x") for n in range(6)]}, "LIMIT_EXCEEDED", "no more than 5 subrequests may be queries or sObject collections."),
    ],
)  # fmt: skip
def test_composite_that_makes_no_sense_is_refused_as_a_whole(
    signed_in: Caller, body: Json, code: str, message: str
):
    assert refusal(signed_in.call("POST", "composite", json=body)) == (400, code, message)


@pytest.mark.parametrize("path", ["composite", "composite/batch", "composite/tree/Account", "/composite//"])
def test_composites_are_not_nested(signed_in: Caller, path: str):
    [result] = run(signed_in, part("inner", "POST", path, {"compositeRequest": []}))

    assert (result["httpStatusCode"], result["body"][0]["errorCode"]) == (400, "INVALID_INPUT")


def test_composite_is_posted(signed_in: Caller):
    assert refusal(signed_in.get("composite")) == (
        405,
        "METHOD_NOT_ALLOWED",
        "HTTP Method 'GET' not allowed. Allowed are POST",
    )


# Batches


def batch(caller: Caller, *parts: Json, **options: Any) -> Json:
    answer = caller.call("POST", "composite/batch", json={"batchRequests": parts, **options})
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body


def test_batch_answers_every_part(signed_in: Caller):
    body = batch(
        signed_in,
        {"method": "GET", "url": f"v67.0/sobjects/Account/{ACCOUNT_ID}?fields=Name"},
        {"method": "PATCH", "url": f"v67.0/sobjects/Account/{ACCOUNT_ID}", "richInput": {"Name": "New"}},
        {"method": "GET", "url": "/services/data/v67.0/nonsense"},
        {"method": "GET", "url": f"/v67.0/sobjects/Account/{ACCOUNT_ID}?fields=Name"},
    )

    assert body["hasErrors"] is True
    assert [result["statusCode"] for result in body["results"]] == [200, 204, 404, 200]
    assert [body["results"][place]["result"]["Name"] for place in (0, 3)] == [
        "Kaffeerösterei Brandt & Söhne",
        "New",
    ]
    assert body["results"][1]["result"] is None


def test_batch_halts_on_error_when_asked(signed_in: Caller):
    parts = [{"method": "GET", "url": f"v67.0/{path}"} for path in ("limits", "nonsense", "limits")]

    halted, all_run = batch(signed_in, *parts, haltOnError=True), batch(signed_in, *parts)

    assert [result["statusCode"] for result in halted["results"]] == [200, 404, 412]
    assert halted["results"][2]["result"][0]["errorCode"] == "BATCH_PROCESSING_HALTED"
    assert [result["statusCode"] for result in all_run["results"]] == [200, 404, 200]


# Collections


def account(**values: Any) -> Json:
    return {"attributes": {"type": "Account"}, **values}


def save(caller: Caller, method: str, *records: Json, path: str = "", **options: Any) -> list[Json]:
    answer = caller.call(method, f"composite/sobjects{path}", json={"records": records, **options})
    assert answer.status_code == 200, answer.text
    results: list[Json] = answer.json()
    return results


def test_collection_makes_records_of_several_kinds(signed_in: Caller):
    contact = {"attributes": {"type": "Contact"}, "LastName": "Grün"}

    results = save(signed_in, "POST", account(Name="Many"), contact, account())

    assert [result["success"] for result in results] == [True, True, False]
    assert [result["id"][:3] for result in results[:2]] == ["001", "003"]
    assert results[2] == {
        "success": False,
        "errors": [
            {
                "statusCode": "REQUIRED_FIELD_MISSING",
                "message": "Required fields are missing: [Name]",
                "fields": ["Name"],
            }
        ],
    }
    assert names(signed_in, "Many") == 1


def test_collection_undoes_all_when_asked(signed_in: Caller, new_account: str):
    made = save(signed_in, "POST", account(Name="Undone"), account(), allOrNone=True)
    changed = save(
        signed_in,
        "PATCH",
        account(id=new_account, Name="Undone"),
        account(id="001Dn00000Nobod", Name="Undone"),
        allOrNone=True,
    )

    assert made[0] == {"success": False, "errors": [RECORD_ROLLED_BACK]}
    assert made[1]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert changed[0] == {"id": new_account, "success": False, "errors": [RECORD_ROLLED_BACK]}
    assert changed[1]["errors"] == [
        {"statusCode": "INVALID_CROSS_REFERENCE_KEY", "message": "invalid cross reference id", "fields": []}
    ]
    assert names(signed_in, "Undone") == 0


def test_collection_changes_records(signed_in: Caller, new_account: str):
    others = account(Name="X"), account(Id="describe"), account(Id="")
    results = save(signed_in, "PATCH", account(Id=new_account, Name="Changed"), *others)

    assert results[0] == {"id": new_account, "success": True, "errors": []}
    codes = [result["errors"][0]["statusCode"] for result in results[1:]]
    assert codes == ["MISSING_ARGUMENT", "MALFORMED_ID", "MALFORMED_ID"]
    assert names(signed_in, "Changed") == 1


def test_collection_upserts_by_external_id(signed_in: Caller):
    results = save(
        signed_in,
        "PATCH",
        account(Name="Made", ERP_Number__c="NEW-1"),
        account(Name="Changed", ERP_Number__c="C00000"),
        account(Name="Several", ERP_Number__c="C00058"),
        account(Name="None"),
        path="/Account/ERP_Number__c",
    )

    assert [result.get("created") for result in results] == [True, False, None, None]
    assert results[1]["id"] == ACCOUNT_ID
    assert [result["errors"][0]["statusCode"] for result in results[2:]] == [
        "DUPLICATE_EXTERNAL_ID",
        "MISSING_ARGUMENT",
    ]


def test_collection_upserts_by_id(signed_in: Caller, new_account: str):
    changed = account(Id=new_account[:15], Name="Changed")
    results = save(signed_in, "PATCH", changed, account(Id=None, Name="Made"), path="/Account/Id")

    assert (results[0]["id"], results[0]["created"]) == (new_account, False)
    assert (results[1]["success"], results[1]["created"]) == (True, True)
    assert (names(signed_in, "Changed"), names(signed_in, "Made")) == (1, 1)


def test_collection_deletes_records(signed_in: Caller, new_account: str):
    path = f"composite/sobjects?ids={new_account},001Dn00000Nobod,zzz"

    undone = signed_in.call("DELETE", f"{path}&allOrNone=true").json()
    results = signed_in.call("DELETE", path).json()

    assert undone[0] == {"id": new_account, "success": False, "errors": [RECORD_ROLLED_BACK]}
    assert results[0] == {"id": new_account, "success": True, "errors": []}
    assert [result["errors"][0]["statusCode"] for result in results[1:]] == [
        "INVALID_CROSS_REFERENCE_KEY",
        "MALFORMED_ID",
    ]
    assert refusal(signed_in.get(f"sobjects/Account/{new_account}"))[1] == "ENTITY_IS_DELETED"


def listed(caller: Caller, ids: list[str], fields: list[str]) -> requests.Response:
    return caller.get("composite/sobjects/Account", ids=",".join(ids), fields=",".join(fields))


def asked(caller: Caller, ids: list[str], fields: list[str]) -> requests.Response:
    return caller.call("POST", "composite/sobjects/Account", json={"ids": ids, "fields": fields})


@pytest.mark.parametrize("read", [listed, asked])
def test_collection_reads_records_with_null_for_what_is_not_there(signed_in: Caller, read: Any):
    found = read(signed_in, [ACCOUNT_ID[:15], "001Dn00000Nobod", "describe", ""], ["Id", "Name"]).json()
    wrong_field = read(signed_in, [ACCOUNT_ID], ["Bacon__c"])

    assert (found[0]["Id"], found[0]["Name"]) == (ACCOUNT_ID, "Kaffeerösterei Brandt & Söhne")
    assert found[1:] == [None, None, None]
    assert refusal(wrong_field)[:2] == (400, "INVALID_FIELD")


def test_collections_have_a_limit(signed_in: Caller):
    answer = signed_in.call("POST", "composite/sobjects", json={"records": [account(Name="X")] * 201})

    message = "record limit reached. cannot submit more than 200 records into this call"
    assert refusal(answer) == (400, "EXCEEDED_ID_LIMIT", message)


@pytest.mark.parametrize(
    ("name", "message"),
    [("Xyzzy", "The requested resource does not exist"), ("Lead", "This stand-in does not know /services/")],
)
def test_unknown_objects_have_no_collections_and_no_trees(signed_in: Caller, name: str, message: str):
    for path in (f"composite/sobjects/{name}", f"composite/tree/{name}"):
        status, code, told = refusal(signed_in.call("POST", path, json={}))
        assert (status, code) == (404, "NOT_FOUND")
        assert told.startswith(message)

    [result] = save(signed_in, "POST", {"attributes": {"type": name}})

    [error] = result["errors"]
    assert error["statusCode"] == ("INVALID_TYPE" if name == "Xyzzy" else "NOT_FOUND")
    assert error["message"].startswith(
        "sObject type 'Xyzzy' is not supported." if name == "Xyzzy" else message
    )


# Trees


def tree(reference: str, kind: str, **values: Any) -> Json:
    return {"attributes": {"type": kind, "referenceId": reference}, **values}


def family(**last: Any) -> Json:
    return {
        "records": [
            tree(
                "a",
                "Account",
                Name="Parent",
                Contacts={"records": [tree("c", "Contact", LastName="Child", **last)]},
            ),
            tree("b", "Account", Name="Parent"),
        ]
    }


def test_tree_ties_children_to_their_parents(signed_in: Caller):
    answer = signed_in.call("POST", "composite/tree/Account", json=family())

    body = answer.json()
    ids = {result["referenceId"]: result["id"] for result in body["results"]}
    assert (answer.status_code, body["hasErrors"]) == (201, False)
    assert list(ids) == ["a", "b", "c"]
    assert signed_in.get(f"sobjects/Contact/{ids['c']}").json()["AccountId"] == ids["a"]


def test_tree_grows_whole_or_not_at_all(signed_in: Caller):
    answer = signed_in.call("POST", "composite/tree/Account", json=family(Email="123"))

    body = answer.json()
    assert (answer.status_code, body["hasErrors"]) == (400, True)
    assert [result["referenceId"] for result in body["results"]] == ["c"]
    assert names(signed_in, "Parent") == 0


@pytest.mark.parametrize("references", [("a", "a"), (None, None)])
def test_records_of_a_tree_have_references_of_their_own(
    signed_in: Caller, references: tuple[str | None, str | None]
):
    records = [account(Name="Parent") for _ in references]
    for record, reference in zip(records, references, strict=True):
        record["attributes"]["referenceId"] = reference

    answer = signed_in.call(
        "POST", "composite/tree/Account", json={"records": [tree("b", "Account", Name="Parent"), *records]}
    )

    assert answer.status_code == 400
    assert [result["referenceId"] for result in answer.json()["results"]] == list(references)
    assert names(signed_in, "Parent") == 0


def test_roots_of_a_tree_are_what_its_path_says(signed_in: Caller):
    body = {"records": [tree("c", "Contact", LastName="Child")]}

    assert refusal(signed_in.call("POST", "composite/tree/Account", json=body))[:2] == (400, "INVALID_INPUT")


def test_tree_has_five_levels_at_most(signed_in: Caller):
    def plant(levels: int) -> requests.Response:
        record = tree("0", "Account", Name="Deep")
        for level in range(1, levels):
            record = tree(str(level), "Account", Name="Deep", ChildAccounts={"records": [record]})
        return signed_in.call("POST", "composite/tree/Account", json={"records": [record]})

    assert refusal(plant(6))[:2] == (400, "INVALID_INPUT")
    assert names(signed_in, "Deep") == 0
    assert plant(5).status_code == 201
    assert names(signed_in, "Deep") == 5
