"""Trouble of the REST API and the identity URL with a token that is alive: told to the caller, and costs no sign-in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from sf_integration import get_client, get_token, tokens
from sf_integration.models import AccessToken, ConnectedApp, ConnectionEvent
from sf_integration.salesforce.errors import (
    ApiError,
    ApiUnavailable,
    NotFound,
    QueryCursorLost,
    RetryableError,
    SalesforceError,
    TransportError,
)
from sf_integration.testing.django import ConnectableOrg
from tests.salesforce.raw_server import RawServer
from tests.test_command_line import salesforce

from .table import all_faults

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

TOLD = {fault.id: fault.seen for fault in all_faults()}
ROWS = "SELECT Id, Name FROM Account LIMIT 1"


@dataclass(frozen=True)
class Trouble:
    code: str
    kind: type[SalesforceError]
    fault: str = "rest_error"
    options: dict[str, Any] = field(default_factory=dict)


def says(status: int, code: str, message: str, kind: type[SalesforceError] = ApiError) -> Trouble:
    return Trouble(code, kind, options={"status": status, "code": code, "message": message})


TROUBLES: dict[str, Trouble] = {
    "scope missing": says(401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API"),
    "malformed header": says(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE"),
    "api limit": says(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", ApiUnavailable),
    "concurrent limit": says(
        403,
        "REQUEST_LIMIT_EXCEEDED",
        "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
        ApiUnavailable,
    ),
    "api disabled": says(403, "API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization."),
    "api disabled for the user": says(403, "API_CURRENTLY_DISABLED", "API is disabled for this User"),
    "insufficient access": says(
        403, "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id"
    ),
    "malformed query": says(400, "MALFORMED_QUERY", "unexpected token: SELEKT"),
    "invalid field": says(400, "INVALID_FIELD", "No such column 'X__c' on entity 'Account'."),
    "invalid type": says(400, "INVALID_TYPE", "sObject type 'Xyzzy' is not supported."),
    "not found": says(404, "NOT_FOUND", "The requested resource does not exist", NotFound),
    "deleted": says(404, "ENTITY_IS_DELETED", "entity is deleted", NotFound),
    "locked row": says(
        400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record", ApiUnavailable
    ),
    "query timeout": says(
        400, "QUERY_TIMEOUT", "Your query request was running for too long.", ApiUnavailable
    ),
    "cursor lost": says(400, "INVALID_QUERY_LOCATOR", "invalid query locator", QueryCursorLost),
    "server unavailable": says(503, "SERVER_UNAVAILABLE", "Server Unavailable", ApiUnavailable),
    "read-only mode": says(
        400, "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", "read-only mode", ApiUnavailable
    ),
    "unknown exception": says(
        500, "UNKNOWN_EXCEPTION", "An unexpected error occurred. Please include this ErrorId", ApiUnavailable
    ),
    "version retired": Trouble("http_410", ApiError, "answer", {"status": 410, "body": "[]"}),
    "method not allowed": says(405, "METHOD_NOT_ALLOWED", "HTTP Method 'GET' not allowed. Allowed are POST"),
    "maintenance page": Trouble("http_503", TransportError, "maintenance"),
    "login page instead of rows": Trouble("not_json", TransportError, "html"),
    "rows cut off": Trouble("cut_off", TransportError, "cut"),
    "rows of another form": Trouble("malformed_answer", TransportError, "answer", {"body": {"all": "well"}}),
}


@pytest.mark.parametrize("key", TROUBLES)
def test_rest_trouble(salesforce_org: ConnectableOrg, key: str) -> None:
    trouble = TROUBLES[key]
    salesforce_org.connect("acme", api_version="67.0")
    stored = get_token("acme")
    salesforce_org.fail(trouble.fault, where="/services/data/v67.0/query", times=None, **trouble.options)
    with get_client("acme") as client:
        with pytest.raises(trouble.kind) as caught:
            client.query(ROWS)
        assert type(caught.value) is trouble.kind
        assert f"`{trouble.kind.__name__}` with code `{trouble.code}`" in TOLD[key]
        assert caught.value.code == trouble.code
        if isinstance(caught.value, RetryableError):
            assert caught.value.retry_after > 0
        assert stored.value not in str(caught.value)
        assert get_token("acme") == stored

        salesforce_org.heal()
        assert len(client.query(ROWS)) == 1
    tokens.reset()
    assert get_token("acme") == stored
    assert salesforce_org.token_requests == 1
    row = AccessToken.objects.get()
    assert (row.version, row.failures, row.last_error) == (1, 0, None)


def test_an_org_without_a_version_that_we_know(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    stored = get_token("acme")
    old = [{"label": "old", "url": "/services/data/v20.0", "version": "20.0"}]
    salesforce_org.fail("answer", where="/services/data", times=None, body=old)
    with get_client("acme") as client:
        with pytest.raises(TransportError) as caught:
            client.query(ROWS)
        assert caught.value.code == "no_common_api_version"
        salesforce_org.heal()
        assert len(client.query(ROWS)) == 1
    assert get_token("acme") == stored
    assert salesforce_org.token_requests == 1


def test_an_ended_session_costs_one_sign_in(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", api_version="67.0")
    stored = get_token("acme")
    salesforce_org.end_sessions()
    with get_client("acme") as client:
        assert len(client.query(ROWS)) == 1
    assert get_token("acme").value != stored.value
    assert salesforce_org.token_requests == 2
    kinds = ConnectionEvent.objects.order_by("at", "pk").values_list("kind", flat=True)
    assert sorted(kinds) == sorted(
        [ConnectionEvent.Kind.SIGNED_IN, ConnectionEvent.Kind.ENDED, ConnectionEvent.Kind.SIGNED_IN]
    )


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_takes_the_bearer_along(salesforce_org: ConnectableOrg, status: int) -> None:
    elsewhere = RawServer(lambda visit: visit.answer(b"{}"))
    salesforce_org.connect("acme", api_version="67.0")
    salesforce_org.fail(
        "redirect", where="rest", times=None, location=f"{elsewhere.url}/services/data/", status=status
    )
    with get_client("acme") as client:
        for call in (
            lambda: client.query(ROWS),
            lambda: client.create("Account", {"Name": "Brandt"}),
            lambda: client.request("GET", "limits"),
        ):
            with pytest.raises(TransportError) as caught:
                call()
            assert caught.value.code == "redirected"
    assert elsewhere.visits == 0
    elsewhere.close()
    salesforce_org.heal()
    with get_client("acme") as client:
        assert len(client.query(ROWS)) == 1


def test_a_foreign_identity_url_gets_no_bearer(salesforce_org: ConnectableOrg) -> None:
    """The org's answer names a host of somebody else: its path is asked where the token belongs."""
    elsewhere = RawServer(lambda visit: visit.answer(b"{}"))
    connection = salesforce_org.connect("acme")
    get_token("acme")
    path = AccessToken.objects.get().identity_url.split("/id/")[1]
    AccessToken.objects.update(identity_url=f"{elsewhere.url}/id/{path}")
    tokens.reset()
    with get_client("acme") as client:
        assert client.identity().username == connection.username
    assert elsewhere.visits == 0
    elsewhere.close()


@pytest.mark.parametrize(
    ("fault", "options", "code"),
    [
        ("maintenance", {}, "http_503"),
        ("html", {}, "not_json"),
        ("cut", {}, "cut_off"),
        ("answer", {"body": {"user_id": 5}}, "malformed_answer"),
        ("answer", {"status": 403, "body": "No_Access", "content_type": "text/html"}, "http_403"),
    ],
)
def test_a_check_survives_trouble_at_the_identity_url(
    salesforce_org: ConnectableOrg, fault: str, options: dict[str, Any], code: str
) -> None:
    salesforce_org.connect("acme")
    stored = get_token("acme")
    salesforce_org.fail(fault, where="identity", times=None, **options)
    answer = json.loads(salesforce("check", "acme", "--json").out)
    failed = next(step for step in answer["steps"] if step["status"] == "failed")
    assert (answer["state"], failed["step"], failed["code"]) == ("Failing", "identity", code)
    assert failed["remedy"]
    assert get_token("acme").value != stored.value, "a check by hand signs in anew"
    salesforce_org.heal()
    assert salesforce("check", "acme").status == 0
    assert ConnectedApp.objects.get().last_error is None
