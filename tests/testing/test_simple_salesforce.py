"""The stand-in as the most used Python client sees it: simple-salesforce, over TLS."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceError,
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
)

from sf_integration.testing import Org, StandIn

from .conftest import Caller

LOGIN_HOST = "login.salesforce.com"


@pytest.fixture(scope="module")
def server(key_pair: tuple[str, str]) -> Iterator[StandIn]:
    """One for all of them; who changes more than a record of its own mends it."""
    private_key, certificate = key_pair
    with StandIn(tls=True, certificate_pem=certificate, private_key_pem=private_key) as server:
        yield server


@pytest.fixture
def session(server: StandIn) -> Iterator[requests.Session]:
    """Trusts the stand-in's authority and nothing of the environment."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(server.ca_file)
        yield session


def connect(org: Org, session: requests.Session) -> Salesforce:
    """The library with a token got by others."""
    caller = Caller(org)
    caller.http = session
    assert caller.sign_in().status_code == 200
    return Salesforce(
        instance=org.url.removeprefix("https://"), session_id=caller.token, session=session, version="67.0"
    )


@pytest.fixture
def salesforce(org: Org, session: requests.Session) -> Salesforce:
    return connect(org, session)


def refused_with(refusal: pytest.ExceptionInfo[SalesforceError]) -> str:
    """The code in what the library keeps of the body: the array of the REST API, read."""
    content: Any = refusal.value.content
    [error] = content
    assert set(error) <= {"message", "errorCode", "fields"}
    return str(error["errorCode"])


# Queries


def test_query_answers_records_with_their_attributes(salesforce: Salesforce):
    result = salesforce.query("SELECT Id, Name, Owner.Name FROM Account ORDER BY Name LIMIT 3")

    assert (result["totalSize"], result["done"]) == (3, True)
    for record in result["records"]:
        assert record["attributes"]["type"] == "Account"
        assert record["attributes"]["url"].endswith(f"/sobjects/Account/{record['Id']}")
        assert record["Owner"]["attributes"]["type"] == "User"
    names = [record["Name"] for record in result["records"]]
    assert names == sorted(names, key=str.casefold)


def test_query_more_takes_a_whole_path_or_the_locator_alone(salesforce: Salesforce):
    first = salesforce.query("SELECT Id FROM Contact")
    locator = first["nextRecordsUrl"].rpartition("/")[2]

    by_path = salesforce.query_more(first["nextRecordsUrl"], identifier_is_url=True)
    by_locator = salesforce.query_more(locator)

    assert (first["done"], len(first["records"])) == (False, 2000)
    assert by_path == by_locator
    assert (by_path["done"], len(by_path["records"])) == (True, first["totalSize"] - 2000)


def test_query_all_walks_all_pages(salesforce: Salesforce, org: Org):
    calls = org.api_used
    header = {"Sforce-Query-Options": "batchSize=500"}
    result = salesforce.query_all("SELECT Id FROM Contact", headers=header)

    ids = {record["Id"] for record in result["records"]}
    assert len(ids) == len(result["records"]) == result["totalSize"]
    assert result["totalSize"] == salesforce.query("SELECT COUNT() FROM Contact")["totalSize"]
    assert org.api_used - calls == -(-len(ids) // 500) + 1


def test_query_all_iter_fetches_pages_as_they_are_needed(salesforce: Salesforce, org: Org):
    rows = salesforce.query_all_iter("SELECT Id FROM Contact")
    calls = org.api_used

    for _ in range(2000):
        next(rows)
    assert org.api_used - calls == 1
    assert len(list(rows)) == salesforce.query("SELECT COUNT() FROM Contact")["totalSize"] - 2000


def test_deleted_records_are_found_by_who_asks_for_them(salesforce: Salesforce):
    made = salesforce.Contact.create({"LastName": "Soon gone"})
    salesforce.Contact.delete(made["id"])
    soql = "SELECT Id, IsDeleted FROM Contact WHERE LastName = 'Soon gone'"

    assert salesforce.query(soql)["totalSize"] == 0
    [record] = salesforce.query_all(soql, include_deleted=True)["records"]
    assert (record["Id"], record["IsDeleted"]) == (made["id"], True)


def test_library_knows_a_sandbox(salesforce: Salesforce):
    assert salesforce.is_sandbox() is False


# Describe, limits, identity


def test_describe_lists_the_objects(salesforce: Salesforce):
    described = salesforce.describe()

    assert described is not None
    assert {"Account", "Contact", "User"} <= {entry["name"] for entry in described["sobjects"]}


def test_describe_of_an_object_names_what_its_records_hold(salesforce: Salesforce):
    described = salesforce.Account.describe()
    record = salesforce.Account.get(salesforce.query("SELECT Id FROM Account LIMIT 1")["records"][0]["Id"])

    assert described["name"] == "Account"
    assert {field["name"] for field in described["fields"]} == set(record) - {"attributes"}
    assert salesforce.Account.metadata()["objectDescribe"]["keyPrefix"] == "001"


def test_limits_and_the_usage_of_each_answer(salesforce: Salesforce, org: Org):
    by_path = salesforce.restful("limits")
    limits = salesforce.limits()

    assert by_path is not None
    assert set(by_path) == set(limits)
    assert limits["DailyApiRequests"]["Max"] == org.api_limit
    assert salesforce.api_usage["api-usage"] == (org.api_used, org.api_limit)


def test_userinfo_is_reached_through_the_library(salesforce: Salesforce, org: Org):
    userinfo = salesforce.oauth2("userinfo")

    assert userinfo is not None
    assert (userinfo["preferred_username"], userinfo["organization_id"]) == (org.user.username, org.id)


# Records


def test_record_lives_from_create_to_delete(salesforce: Salesforce):
    made = salesforce.Account.create({"Name": "By the library", "NumberOfEmployees": 7})
    record_id = made["id"]

    assert (made["success"], made["errors"]) == (True, [])
    assert salesforce.Account.get(record_id)["NumberOfEmployees"] == 7
    assert salesforce.Account.update(record_id, {"NumberOfEmployees": 8}) == 204
    assert salesforce.Account.get(record_id)["NumberOfEmployees"] == 8
    assert salesforce.Account.delete(record_id) == 204
    with pytest.raises(SalesforceResourceNotFound) as refusal:
        salesforce.Account.get(record_id)
    assert refused_with(refusal) == "ENTITY_IS_DELETED"


def test_external_id_makes_changes_and_finds_one_record(salesforce: Salesforce):
    key = "ERP_Number__c/LIB-1"

    assert salesforce.Account.upsert(key, {"Name": "First"}) == 201
    assert salesforce.Account.upsert(key, {"Name": "Second"}) in (200, 204)
    assert salesforce.Account.get_by_custom_id("ERP_Number__c", "LIB-1")["Name"] == "Second"


# Refusals


def test_bad_request_is_malformed(salesforce: Salesforce):
    with pytest.raises(SalesforceMalformedRequest) as refusal:
        salesforce.query("SELECT Nonsense FROM Account")

    assert refusal.value.status == 400
    assert refused_with(refusal) == "INVALID_FIELD"


def test_missing_field_is_malformed(salesforce: Salesforce):
    with pytest.raises(SalesforceMalformedRequest) as refusal:
        salesforce.Contact.create({"FirstName": "Only"})

    assert refused_with(refusal) == "REQUIRED_FIELD_MISSING"


def test_ended_session_is_expired(salesforce: Salesforce, org: Org):
    org.end_sessions()

    with pytest.raises(SalesforceExpiredSession) as refusal:
        salesforce.query("SELECT Id FROM Account")
    assert refused_with(refusal) == "INVALID_SESSION_ID"


def test_locator_of_an_ended_session_is_lost(salesforce: Salesforce, org: Org, session: requests.Session):
    following = salesforce.query("SELECT Id FROM Contact")["nextRecordsUrl"]
    org.end_sessions()

    with pytest.raises(SalesforceMalformedRequest) as refusal:
        connect(org, session).query_more(following, identifier_is_url=True)
    assert refused_with(refusal) == "INVALID_QUERY_LOCATOR"


def test_spent_quota_is_refused(salesforce: Salesforce, org: Org, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(org, "api_limit", org.api_used)

    with pytest.raises(SalesforceRefusedRequest) as refusal:
        salesforce.restful("limits")
    assert refused_with(refusal) == "REQUEST_LIMIT_EXCEEDED"


def test_refused_limits_are_refused(salesforce: Salesforce, org: Org, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(org, "limits_refused", True)

    with pytest.raises(SalesforceRefusedRequest) as refusal:
        salesforce.limits()
    assert refused_with(refusal) == "API_DISABLED_FOR_ORG"


def test_unknown_object_is_not_found(salesforce: Salesforce):
    with pytest.raises(SalesforceResourceNotFound) as refusal:
        salesforce.Nonsense__c.describe()
    assert refused_with(refusal) == "NOT_FOUND"


def test_unknown_record_is_not_found(salesforce: Salesforce):
    with pytest.raises(SalesforceResourceNotFound) as refusal:
        salesforce.Account.get("001000000000000AAA")
    assert refused_with(refusal) == "NOT_FOUND"


def test_external_id_of_two_records_is_more_than_one(salesforce: Salesforce, org: Org):
    for name in ("One", "Other"):
        salesforce.Account.create({"Name": name, "ERP_Number__c": "TWICE"})

    with pytest.raises(SalesforceMoreThanOneRecord) as refusal:
        salesforce.Account.get_by_custom_id("ERP_Number__c", "TWICE")

    paths: Any = refusal.value.content
    assert len(paths) == 2
    assert all(path.startswith("/services/data/v67.0/sobjects/Account/001") for path in paths)


# Its own sign-in. The library pastes its hosts together, so the names have to lead here.


class _ToStandIn(requests.adapters.HTTPAdapter):
    """Takes what is meant for the login host to the stand-in, whose certificate names another host."""

    def __init__(self, org: Org) -> None:
        self._netloc = org.url.removeprefix("https://")
        super().__init__()

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        assert request.url is not None
        request.url = request.url.replace(LOGIN_HOST, self._netloc, 1)
        return super().send(request, **options)


@pytest.fixture
def rerouted(org: Org, session: requests.Session, monkeypatch: pytest.MonkeyPatch) -> requests.Session:
    """No request leaves: the adapter takes the login host to loopback, and no other name is looked up."""
    session.mount(f"https://{LOGIN_HOST}/", _ToStandIn(org))
    true_lookup = socket.getaddrinfo

    def look_up(host: Any, *rest: Any, **options: Any) -> Any:
        assert host in ("127.0.0.1", "localhost"), host
        return true_lookup(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return session


def sign_in(org: Org, session: requests.Session, **changed: Any) -> Salesforce:
    settings = {
        "username": org.user.username,
        "consumer_key": org.app.consumer_key,
        "privatekey": org.app.private_key_pem,
    } | changed
    return Salesforce(session=session, version="67.0", **settings)


def test_its_own_sign_in_is_accepted(rerouted: requests.Session, org: Org):
    logins = org.logins

    salesforce = sign_in(org, rerouted)

    assert f"https://{salesforce.sf_instance}" == org.url
    assert salesforce.query("SELECT COUNT() FROM Account")["totalSize"] > 0
    assert org.logins == logins + 1


def test_it_signs_in_again_when_the_session_has_ended(rerouted: requests.Session, org: Org):
    salesforce = sign_in(org, rerouted)
    logins = org.logins
    org.end_sessions()

    assert salesforce.query("SELECT Id FROM Account LIMIT 1")["totalSize"] == 1
    assert org.logins == logins + 1


def test_refused_sign_in_keeps_both_words_of_the_refusal(
    rerouted: requests.Session, org: Org, other_key_pair: tuple[str, str]
):
    with pytest.raises(SalesforceAuthenticationFailed) as refusal:
        sign_in(org, rerouted, privatekey=other_key_pair[0])

    assert (refusal.value.code, refusal.value.auth_message) == ("invalid_grant", "invalid assertion")


def test_missing_approval_makes_it_point_to_the_browser(rerouted: requests.Session, org: Org):
    with (
        pytest.warns(UserWarning, match="self-authorize"),
        pytest.raises(SalesforceAuthenticationFailed) as refusal,
    ):
        sign_in(org, rerouted, username="nobody@nordhafen.example")

    assert refusal.value.auth_message == "user hasn't approved this consumer"


def test_maintenance_page_ends_its_sign_in_with_the_status(rerouted: requests.Session, org: Org):
    org.fail("maintenance")

    with pytest.raises(SalesforceAuthenticationFailed) as refusal:
        sign_in(org, rerouted)
    assert refusal.value.code == 503
