"""The stand-in's answers against the shapes recorded of Salesforce, field by field and in both directions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from sf_integration.testing import Org, StandIn, ids
from sf_integration.testing.data.company import WELL_KNOWN_ACCOUNT_ID as ACCOUNT_ID

from . import shapes
from .conftest import Caller
from .shapes import Mark, Recorded, differences

Ask = Callable[[Caller], requests.Response]


@pytest.fixture(scope="module")
def reader(key_pair: tuple[str, str]) -> Iterator[Caller]:
    """One org for all tests that only read, signed in."""
    private_key, certificate = key_pair
    with StandIn(certificate_pem=certificate, private_key_pem=private_key) as server:
        caller = Caller(server.org)
        assert caller.sign_in().status_code == 200
        with caller.http:
            yield caller


def must_be(recorded: Recorded, answer: requests.Response, status: int = 200) -> None:
    assert answer.status_code == status, answer.text
    assert list(differences(recorded.body, answer.json())) == [], (
        f"section {recorded.section}, {recorded.mark}"
    )


def get(path: str, **query: str) -> Ask:
    return lambda caller: caller.get(path, **query)


def query(soql: str) -> Ask:
    return get("query", q=soql)


def introspection(caller: Caller) -> requests.Response:
    app = caller.org.app
    form = {"token": caller.token, "client_id": app.consumer_key, "client_secret": app.consumer_secret}
    return caller.http.post(f"{caller.org.url}/services/oauth2/introspect", data=form, timeout=10)


def last_page(caller: Caller) -> requests.Response:
    return caller.get(caller.query("SELECT LastName FROM Contact").json()["nextRecordsUrl"])


OWN_IDENTITY: Ask = lambda caller: caller.get(f"/id/{caller.org.id}/{caller.org.user.id}")  # noqa: E731


# Bodies of answers that went well


@pytest.mark.parametrize(
    ("recorded", "ask"),
    [
        pytest.param(shapes.IDENTITY, OWN_IDENTITY, id="identity"),
        pytest.param(shapes.USERINFO, get("/services/oauth2/userinfo"), id="userinfo"),
        pytest.param(shapes.INTROSPECTION, introspection, id="introspection"),
        pytest.param(shapes.VERSIONS, get("/services/data"), id="versions"),
        pytest.param(shapes.VERSIONS, get("/services/data/"), id="versions with a slash"),
        pytest.param(shapes.RESOURCES, get("/services/data/v67.0/"), id="resources"),
        pytest.param(shapes.LIMITS, get("limits"), id="limits"),
        pytest.param(shapes.GLOBAL_DESCRIBE, get("sobjects"), id="global describe"),
        *(
            pytest.param(shapes.DESCRIBE, get(f"sobjects/{name}/describe"), id=f"describe {name}")
            for name in shapes.PREFIXES
        ),
        pytest.param(shapes.BASICS, get("sobjects/Account"), id="basics"),
        pytest.param(shapes.RECORD, get(f"sobjects/Account/{ACCOUNT_ID}", fields="Name,AccountNumber"), id="record"),
        pytest.param(shapes.FIRST_PAGE, query("SELECT LastName FROM Contact"), id="first page"),
        pytest.param(shapes.LAST_PAGE, last_page, id="last page"),
        pytest.param(
            shapes.ONE_PAGE,
            query("SELECT Id, Name, Owner.Name, (SELECT LastName FROM Contacts) FROM Account LIMIT 60"),
            id="parents and children",
        ),
        pytest.param(shapes.COUNT, query("SELECT COUNT() FROM Contact"), id="count"),
        pytest.param(shapes.AGGREGATE, query("SELECT COUNT(Id) FROM Contact"), id="aggregate"),
    ],
)  # fmt: skip
def test_body_has_the_recorded_shape(reader: Caller, recorded: Recorded, ask: Ask):
    must_be(recorded, ask(reader))


def test_id_field_is_described_as_recorded(reader: Caller):
    described = reader.get("sobjects/Contact/describe").json()["fields"]

    [id_field] = [field for field in described if field["name"] == "Id"]
    assert list(differences(shapes.ID_FIELD.body, id_field)) == []


def test_whole_record_has_every_described_field_and_its_kind_of_value(reader: Caller):
    kinds: dict[str, Any] = {
        "id": shapes.ID18,
        "reference": (shapes.ID18, None),
        "boolean": bool,
        "int": (int, None),
        "double": (float, int, None),
        "currency": (float, int, None),
        "date": (shapes.DATE, None),
        "datetime": (shapes.DATETIME, None),
        "address": (dict, None),
    }
    for name in ("Account", "Contact", "Opportunity", "Case", "User", "Organization"):
        fields = reader.get(f"sobjects/{name}/describe").json()["fields"]
        record_id = reader.rows(f"SELECT Id FROM {name} LIMIT 1")[0]["Id"]
        expected = {field["name"]: kinds.get(field["type"], shapes.TEXT_OR_NULL) for field in fields}

        record = reader.get(f"sobjects/{name}/{record_id}").json()

        assert list(differences({"attributes": dict, **expected}, record)) == []


def test_newest_version_is_the_last(reader: Caller):
    versions = [float(each["version"]) for each in reader.get("/services/data").json()]

    assert versions == sorted(versions)


def test_pages_follow_each_other_by_2000(reader: Caller):
    first = reader.query("SELECT LastName FROM Contact").json()
    last = reader.get(first["nextRecordsUrl"]).json()

    assert (first["totalSize"], len(first["records"]), len(last["records"])) == (2_500, 2_000, 500)
    assert last["totalSize"] == 2_500


def test_identity_urls_take_the_version(reader: Caller):
    urls = reader.get(f"/id/{reader.org.id}/{reader.org.user.id}", version="latest").json()["urls"]

    assert urls["rest"] == f"{reader.org.url}/services/data/v67.0/"
    assert urls["partner"] == f"{reader.org.url}/services/Soap/u/67.0/{reader.org.id[:15]}"


def test_written_records_are_answered_as_recorded(signed_in: Caller):
    made = signed_in.call("POST", "sobjects/Account", json={"Name": "New"})
    path = f"sobjects/Account/{made.json()['id']}"
    upserted = signed_in.call("PATCH", "sobjects/Account/ERP_Number__c/NEW-1", json={"Name": "New"})
    changed = signed_in.call("PATCH", path, json={"Name": "Newer"})
    deleted = signed_in.call("DELETE", path)

    must_be(shapes.CREATED, made, 201)
    must_be(shapes.UPSERTED, upserted, 201)
    assert made.headers["Location"] == f"/services/data/v67.0/{path}"
    assert [(answer.status_code, answer.content) for answer in (changed, deleted)] == [(204, b"")] * 2


def test_composite_answers_are_as_recorded(signed_in: Caller):
    def part(reference: str, method: str, path: str, **body: Any) -> dict[str, Any]:
        return {"referenceId": reference, "method": method, "url": f"/services/data/v67.0/{path}", **body}

    def record(**values: Any) -> dict[str, Any]:
        return {"attributes": {"type": "Account"}, **values}

    def post(path: str, body: Any) -> requests.Response:
        return signed_in.call("POST", path, json=body)

    parts = [
        part("made", "POST", "sobjects/Account", body={"Name": "A"}),
        part("lost", "GET", "sobjects/Nothing"),
    ]
    tree = [{"attributes": {"type": "Account", "referenceId": "a"}, "Name": "A"}]
    bad_tree = [{"attributes": {"type": "Contact", "referenceId": "c"}, "LastName": "C", "Email": "123"}]

    must_be(shapes.COMPOSITE, post("composite", {"compositeRequest": parts}))
    must_be(
        shapes.BATCH, post("composite/batch", {"batchRequests": [{"method": "GET", "url": "v67.0/limits"}]})
    )
    must_be(shapes.COLLECTION, post("composite/sobjects", {"records": [record(Name="A"), record()]}))
    must_be(shapes.TREE, post("composite/tree/Account", {"records": tree}), 201)
    refused = post("composite/tree/Contact", {"records": bad_tree})
    must_be(shapes.TREE_REFUSED, refused, 400)
    assert refused.json()["results"][0]["errors"] == [
        {
            "statusCode": "INVALID_EMAIL_ADDRESS",
            "message": "Email: invalid email address: 123",
            "fields": ["Email"],
        }
    ]


# 5.1 Headers


@pytest.mark.parametrize(
    ("status", "ask", "also"),
    [
        pytest.param(200, get("limits"), [shapes.WITH_BODY, shapes.AUTHENTICATED], id="200"),
        pytest.param(400, get("query"), [shapes.WITH_BODY, shapes.AUTHENTICATED], id="400"),
        pytest.param(404, get("nonsense"), [shapes.WITH_BODY, shapes.AUTHENTICATED], id="404"),
        pytest.param(
            204,
            lambda caller: caller.call("PATCH", f"sobjects/Account/{ACCOUNT_ID}", json={}),
            [shapes.AUTHENTICATED],
            id="204",
        ),
        pytest.param(200, get("/services/data"), [shapes.WITH_BODY], id="without a token"),
        pytest.param(
            401,
            lambda caller: caller.call("GET", "limits", headers={"Authorization": "Bearer 00D!dead"}),
            [shapes.WITH_BODY],
            id="401",
        ),
    ],
)
def test_headers_are_the_recorded_ones_and_no_others(
    reader: Caller, status: int, ask: Ask, also: list[dict[str, Any]]
):
    answer = ask(reader)

    expected = dict(shapes.ALWAYS)
    for more in also:
        expected |= more
    found = {name: value for name, value in answer.headers.items() if name not in shapes.OF_HTTP}
    assert answer.status_code == status
    # In particular: no WWW-Authenticate on 401 (recorded), no Retry-After, no RateLimit-* (weak).
    assert list(differences(expected, found, "headers")) == []


def test_created_record_has_its_place_in_the_headers(signed_in: Caller):
    answer = signed_in.call("POST", "sobjects/Account", json={"Name": "New"})

    expected = {
        **shapes.ALWAYS,
        **shapes.WITH_BODY,
        **shapes.AUTHENTICATED,
        "Location": re.compile("/services/.*"),
    }
    found = {name: value for name, value in answer.headers.items() if name not in shapes.OF_HTTP}
    assert list(differences(expected, found, "headers")) == []


@pytest.mark.parametrize("scheme", ["Bearer", "OAuth"])
def test_token_is_accepted_under_both_schemes(reader: Caller, scheme: str):
    assert (
        reader.call("GET", "limits", headers={"Authorization": f"{scheme} {reader.token}"}).status_code == 200
    )


# 5.8 Errors


@dataclass(frozen=True)
class Refusal:
    """A row of the table: the exact answer, and what brings it about."""

    mark: Mark
    status: int
    code: str
    message: str
    ask: Ask
    fields: list[str] | None = None
    code_first: bool = False

    @property
    def text(self) -> str:
        entry: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        if self.code_first:
            entry = dict(reversed(entry.items()))
        if self.fields is not None:
            entry["fields"] = self.fields
        return json.dumps([entry], ensure_ascii=False, separators=(",", ":"))


def after(change: Callable[[Org], object], ask: Ask) -> Ask:
    def changed(caller: Caller) -> requests.Response:
        change(caller.org)
        return ask(caller)

    return changed


def told(status: int, code: str, message: str) -> Ask:
    """What no natural request brings about is told by a fault."""
    fault = {"status": status, "code": code, "message": message}
    return after(lambda org: org.fail("rest_error", **fault), get("limits"))


def with_scopes(*scopes: str) -> Ask:
    def ask(caller: Caller) -> requests.Response:
        caller.org.app.scopes = scopes
        caller.sign_in()
        return caller.get("limits")

    return ask


def post(path: str, **values: Any) -> Ask:
    return lambda caller: caller.call("POST", path, json=values)


def deleted_twice(caller: Caller) -> requests.Response:
    path = f"sobjects/Account/{caller.call('POST', 'sobjects/Account', json={'Name': 'Gone'}).json()['id']}"
    caller.call("DELETE", path)
    return caller.call("DELETE", path)


def foreign_locator(caller: Caller) -> requests.Response:
    locator = caller.query("SELECT Id FROM Contact").json()["nextRecordsUrl"]
    caller.sign_in()
    return caller.get(locator)


_REFERENCE = " Please reference your WSDL or the describe call for the appropriate names."
_SCOPE = "This session is not valid for use with the specified REST API endpoint. One of the following scopes is required: "
REFUSALS = {
    "session over": Refusal("seen", 401, "INVALID_SESSION_ID", "Session expired or invalid", after(lambda org: org.end_sessions(), get("limits"))),
    "no api scope": Refusal("seen", 401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API", with_scopes("id", "refresh_token")),
    "scope of one endpoint": Refusal("seen", 401, "INVALID_SESSION_ID", f"{_SCOPE}cdp_api", told(401, "INVALID_SESSION_ID", f"{_SCOPE}cdp_api")),
    "wrong scheme": Refusal("seen", 401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE", lambda caller: caller.call("GET", "limits", headers={"Authorization": "Basic eA=="})),
    "no header": Refusal("unverified", 401, "INVALID_SESSION_ID", "Session expired or invalid", lambda caller: caller.http.get(f"{caller.org.url}/services/data/v67.0/limits", timeout=10)),
    "quota": Refusal("seen", 403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", after(lambda org: setattr(org, "api_limit", 0), get("limits"))),
    "concurrent": Refusal("seen", 403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded.", told(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded.")),
    "long concurrent": Refusal("seen", 403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded.", told(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded.")),
    "edition without API": Refusal("seen", 403, "API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization.", told(403, "API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization.")),
    "limits kept from the user": Refusal("seen", 403, "API_DISABLED_FOR_ORG", "limits resource is not enabled", after(lambda org: setattr(org, "limits_refused", True), get("limits"))),
    "user without API": Refusal("seen", 403, "API_CURRENTLY_DISABLED", "API is disabled for this User", after(lambda org: setattr(org.user, "api_enabled", False), get("limits"))),
    "insufficient access": Refusal("seen", 403, "INSUFFICIENT_ACCESS", "insufficient access rights on object id", told(403, "INSUFFICIENT_ACCESS", "insufficient access rights on object id")),
    "read only": Refusal("unverified", 403, "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", lambda caller: caller.call("PATCH", f"sobjects/User/{caller.org.user.id}", json={}), fields=[]),
    "no query": Refusal("seen", 400, "MALFORMED_QUERY", "A query string has to be specified", get("query")),
    "unknown field in a query": Refusal("seen", 400, "INVALID_FIELD", "\nSELECT Bacon__c FROM Account LIMIT 2\n       ^\nERROR at Row:1:Column:8\nNo such column 'Bacon__c' on entity 'Account'. If you are attempting to use a custom field, be sure to append the '__c' after the custom field name." + _REFERENCE, query("SELECT Bacon__c FROM Account LIMIT 2")),
    "unknown field in a record": Refusal("seen", 400, "INVALID_FIELD", "No such column 'FavoritePet__c' on sobject of type Account", post("sobjects/Account", Name="X", FavoritePet__c="cat")),
    "unknown object in a query": Refusal("seen", 400, "INVALID_TYPE", "\nSELECT Id FROM Xyzzy\n               ^\nERROR at Row:1:Column:16\nsObject type 'Xyzzy' is not supported. If you are attempting to use a custom object, be sure to append the '__c' after the entity name." + _REFERENCE, query("SELECT Id FROM Xyzzy")),
    "unknown path": Refusal("seen", 404, "NOT_FOUND", "The requested resource does not exist", get("nonsense"), code_first=True),
    "unknown object": Refusal("seen", 404, "NOT_FOUND", "The requested resource does not exist", get("sobjects/Xyzzy"), code_first=True),
    "unknown version": Refusal("seen", 404, "NOT_FOUND", "The requested resource does not exist", get("/services/data/v99.0/limits"), code_first=True),
    "absent record": Refusal("seen", 404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: 001Dn00000Nobod", get("sobjects/Account/001Dn00000Nobod"), code_first=True),
    "malformed id": Refusal("seen", 404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: x", get("sobjects/Account/x"), code_first=True),
    "deleted": Refusal("seen", 404, "ENTITY_IS_DELETED", "entity is deleted", deleted_twice, fields=[]),
    "wrong prefix": Refusal("seen", 400, "MALFORMED_ID", f"Record ID: id value of incorrect type: {ACCOUNT_ID}", lambda caller: caller.call("DELETE", f"sobjects/Contact/{ACCOUNT_ID}"), fields=["Id"]),
    "wrong checksum": Refusal("seen", 400, "MALFORMED_ID", f"Record ID: id value of incorrect type: {ACCOUNT_ID[:15]}AAA", lambda caller: caller.call("PATCH", f"sobjects/Account/{ACCOUNT_ID[:15]}AAA", json={}), fields=["Id"]),
    "required field": Refusal("seen", 400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]", post("sobjects/Account"), fields=["Name"]),
    "picklist": Refusal("seen", 400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "Rating: bad value for restricted picklist field: Terrible", post("sobjects/Account", Name="X", Rating="Terrible"), fields=["Rating"]),
    "locked row": Refusal("seen", 400, "UNABLE_TO_LOCK_ROW", f"unable to obtain exclusive access to this record or 1 records: {ACCOUNT_ID}", told(400, "UNABLE_TO_LOCK_ROW", f"unable to obtain exclusive access to this record or 1 records: {ACCOUNT_ID}")),
    "another session's locator": Refusal("unverified", 400, "INVALID_QUERY_LOCATOR", "invalid query locator", foreign_locator),
    "query timeout": Refusal("unverified", 400, "QUERY_TIMEOUT", "Your query request was running for too long.", told(400, "QUERY_TIMEOUT", "Your query request was running for too long.")),
    "too long": Refusal("unverified", 400, "STRING_TOO_LONG", f"Name: data value too large: {'X' * 80} (max length=255)", post("sobjects/Account", Name="X" * 256), fields=["Name"]),
    "wrong method": Refusal("seen", 405, "METHOD_NOT_ALLOWED", "HTTP Method 'PATCH' not allowed. Allowed are HEAD,GET,POST", lambda caller: caller.call("PATCH", "sobjects/Account", json={}), code_first=True),
    "unavailable": Refusal("seen", 503, "SERVER_UNAVAILABLE", "Server Unavailable", told(503, "SERVER_UNAVAILABLE", "Server Unavailable")),
    "unknown": Refusal("unverified", 500, "UNKNOWN_EXCEPTION", "An unexpected error occurred. Please include this ErrorId if you contact support: 1234567890-12345", after(lambda org: org.fail("unknown_error", where="rest"), get("limits"))),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_is_the_recorded_one_to_the_letter(signed_in: Caller, name: str):
    refusal = REFUSALS[name]

    answer = refusal.ask(signed_in)

    assert (answer.status_code, answer.text) == (refusal.status, refusal.text), refusal.mark


@pytest.mark.parametrize(
    "message",
    [
        r"(\n.*\n\s*\^\nERROR at Row:1:Column:1\n)?unexpected token: '?SELEKT'?",  # quotes and prefix: newer wordings
    ],
)
def test_malformed_query_has_one_of_the_recorded_wordings(reader: Caller, message: str):
    answer = reader.query("SELEKT Id FROM Account")

    expected = [{"message": re.compile(message), "errorCode": "MALFORMED_QUERY"}]
    assert answer.status_code == 400
    assert list(differences(expected, answer.json())) == []


# 5.9 Ids


@pytest.mark.parametrize(("id15", "suffix"), shapes.ID_PAIRS.items())
def test_checksum_is_that_of_the_recorded_pairs(id15: str, suffix: str):
    assert ids.to_18(id15) == id15 + suffix
    assert ids.is_well_formed(id15 + suffix)


@given(st.text("ABCXYZabcxyz059", min_size=15, max_size=15))
def test_checksum_gives_back_the_case_that_was_lost(id15: str):
    told = ids.to_18(id15).lower()

    bits = ["ABCDEFGHIJKLMNOPQRSTUVWXYZ012345".index(letter.upper()) for letter in told[15:]]
    restored = "".join(
        char.upper() if bits[place // 5] >> place % 5 & 1 else char for place, char in enumerate(told[:15])
    )
    assert restored == id15


@given(
    st.text("ABCXYZabcxyz059", min_size=15, max_size=15),
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ012345", min_size=3, max_size=3),
)
def test_only_the_right_checksum_is_well_formed(id15: str, suffix: str):
    assert ids.is_well_formed(id15 + suffix) == (ids.to_18(id15) == id15 + suffix)


@pytest.mark.parametrize(("name", "prefix"), shapes.PREFIXES.items())
def test_ids_begin_with_the_prefix_of_their_object(reader: Caller, name: str, prefix: str):
    described = reader.get(f"sobjects/{name}/describe").json()

    [record] = reader.rows(f"SELECT Id FROM {name} LIMIT 1")
    assert described["keyPrefix"] == record["Id"][:3] == prefix


# The comparison itself


@pytest.mark.parametrize(
    ("shape", "value", "expected"),
    [
        ({"a": int}, {"a": 1}, []),
        ({"a": int}, {}, ["body.a is missing"]),
        ({"a": int}, {"a": 1, "b": 2}, ["body.b is too much"]),
        ({"a": int}, {"a": True}, ["body.a is not int: True"]),
        (shapes.InOrder(a=1, b=2), {"b": 2, "a": 1}, ["body has another order: ['b', 'a']"]),
        ([str], ["x", 1], ["body[1] is not str: 1"]),
        ((str, None), 1, ["body is not (<class 'str'>, None): 1"]),
        ({"a": None}, {"a": ""}, ["body.a is not None: ''"]),
    ],
)
def test_differences_are_found(shape: Any, value: Any, expected: list[str]):
    assert list(differences(shape, value)) == expected
