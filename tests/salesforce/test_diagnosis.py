from __future__ import annotations

import pytest

from sf_integration.salesforce import diagnosis
from sf_integration.salesforce.diagnosis import (
    CATALOGUE,
    explain,
    explain_text,
    explain_transport,
    session_has_ended,
)

# Error, description, kind, and a word that the entry must hold: what docs/protocol.md tells of the token endpoint.
TOKEN_ENDPOINT = [
    ("invalid_grant", "user hasn't approved this consumer", "set-up", "pre-authorized"),
    ("invalid_app_access", "user is not admin approved to access this app", "set-up", "permission set"),
    (
        "invalid_request",
        "refresh_token scope is required and the connected app should be installed and preauthorized.",
        "set-up",
        "scope",
    ),
    ("invalid_grant", "invalid assertion", "set-up", "fingerprint"),
    ("invalid_grant", "audience is invalid", "set-up", "My Domain"),
    ("invalid_grant", "invalid audience", "set-up", "My Domain"),
    ("invalid_grant", "Audience validation failed", "set-up", "My Domain"),
    ("invalid_grant", "expired authorization code", "set-up", "clock"),
    ("invalid_client_id", "client identifier invalid", "set-up", "consumer key"),
    ("invalid_client", "invalid client credentials", "set-up", "login URL"),
    ("app_not_found", "External client app is not installed in this org", "set-up", "My Domain"),
    ("invalid_grant", "inactive user", "set-up", "Activate"),
    ("invalid_grant", "inactive organization", "set-up", "Support"),
    ("invalid_grant", "ip restricted", "set-up", "IP"),
    ("invalid_grant", "ip restricted or invalid login hours", "set-up", "IP"),
    ("invalid_grant", "login rate exceeded", "rate", "share one token"),
    ("rate_limit_exceeded", "number of logins exceeded", "rate", "share one token"),
    ("invalid_grant", "authentication failure", "set-up", "Login History"),
    ("invalid_grant", "activation secret invalid", "set-up", "Login History"),
    ("unsupported_grant_type", "grant type not supported", "set-up", "login URL"),
    ("invalid_request", "must provide assertion", "set-up", "login URL"),
    ("unknown_error", "retry your request", "passing", "tried again"),
    ("server_error", "", "passing", "tried again"),
    ("temporarily_unavailable", "", "passing", "tried again"),
    ("inactive_user", "user is inactive", "set-up", "Activate"),
    ("inactive_org", "org is locked, closed, or suspended", "set-up", "Support"),
    ("invalid_scope", "", "set-up", "scope"),
]
REST = [
    ("INVALID_SESSION_ID", "Session expired or invalid", "passing", "signs in anew"),
    ("INVALID_SESSION_ID", "This session is not valid for use with the REST API", "set-up", "scope"),
    (
        "INVALID_SESSION_ID",
        "This session is not valid for use with the specified REST API endpoint. One of the following scopes is required: api",
        "set-up",
        "scope",
    ),
    ("Bad_OAuth_Token", "", "passing", "signs in anew"),
    ("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", "rate", "calls"),
    (
        "REQUEST_LIMIT_EXCEEDED",
        "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
        "passing",
        "at a time",
    ),
    ("REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded.", "passing", "at a time"),
    ("API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization.", "set-up", "API Enabled"),
    ("API_CURRENTLY_DISABLED", "API is disabled for this User", "set-up", "API Enabled"),
    ("INSUFFICIENT_ACCESS", "insufficient access rights on object id", "set-up", "permission set"),
    (
        "INSUFFICIENT_ACCESS_OR_READONLY",
        "insufficient access rights on object id",
        "set-up",
        "permission set",
    ),
    ("MALFORMED_QUERY", "unexpected token: SELEKT", "set-up", "row and column"),
    ("INVALID_FIELD", "No such column 'Bacon__c' on entity 'Account'.", "set-up", "__c"),
    ("INVALID_TYPE", "sObject type 'Xyzzy' is not supported.", "set-up", "__c"),
    ("NOT_FOUND", "The requested resource does not exist", "set-up", "API version"),
    ("INVALID_QUERY_LOCATOR", "invalid query locator", "set-up", "again"),
    ("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record", "passing", "again"),
    ("SERVER_UNAVAILABLE", "Server Unavailable", "passing", "later"),
]


@pytest.mark.parametrize(("code", "description", "kind", "word"), [*TOKEN_ENDPOINT, *REST])
def test_every_documented_refusal_has_its_entry(code, description, kind, word):
    found = explain(code, description)
    assert code.startswith(found.code)
    assert found.code
    assert found.kind == kind
    assert word in found.remedy


@pytest.mark.parametrize(("code", "description", "kind", "word"), [*TOKEN_ENDPOINT, *REST])
@pytest.mark.parametrize(
    "pasted",
    [
        '{{"error":"{0}","error_description":"{1}"}}',
        "simple_salesforce.exceptions.SalesforceAuthenticationFailed: {0}: {1}",
        "ERROR  sf org login jwt: {1} ({0})",
        "{0}",
    ],
)
def test_a_pasted_error_finds_the_same_entry(pasted, code, description, kind, word):
    text = pasted.format(code, description)
    found = explain_text(text)
    if code == "invalid_grant" and description not in text:
        assert found is explain(code)
    elif pasted == "{0}":
        assert found is not None
    else:
        assert found is explain(code, description)


@pytest.mark.parametrize(
    "wording",
    [
        "user hasn't approved this consumer",
        "USER HASN'T APPROVED THIS CONSUMER",
        "invalid assertion",
        "audience is invalid",
        "expired authorization code",
        "inactive user",
        "inactive organization",
        "ip restricted",
        "login rate exceeded",
        "authentication failure",
        "activation secret invalid",
        "refresh_token scope is required",
        "This session is not valid for use with the REST API",
        "Session expired or invalid",
    ],
)
def test_the_wording_alone_is_enough(wording):
    found = explain_text(f"Error: {wording}")
    assert found is not None
    assert found.fragment in wording.lower()


@pytest.mark.parametrize("text", ["", " ", "hello", "42", "Traceback (most recent call last):"])
def test_text_that_says_nothing_gets_no_explanation(text):
    assert explain_text(text) is None


def test_no_entry_is_hidden_behind_another():
    for entry in CATALOGUE:
        code = f"{entry.code}99" if entry.code in ("http_4", "http_5") else entry.code
        assert explain(code, entry.fragment) is entry


def test_no_two_entries_are_for_the_same_error():
    assert len({(entry.code, entry.fragment) for entry in CATALOGUE}) == len(CATALOGUE)


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: f"{entry.code} {entry.fragment}")
def test_every_entry_is_complete(entry):
    assert entry.fragment == entry.fragment.lower()
    assert entry.cause.endswith(".")
    assert entry.remedy.endswith((".", "?"))
    assert entry.who in (diagnosis.ORG_ADMIN, diagnosis.US, diagnosis.SALESFORCE)
    assert entry.retryable == (entry.kind != "set-up")


@pytest.mark.parametrize(
    "code",
    [
        "dns_failure",
        "connection_refused",
        "tls_failure",
        "proxy_failure",
        "timeout",
        "redirected",
        "not_json",
        "http_503",
        "http_502",
        "http_404",
    ],
)
def test_missing_answers_have_entries_too(code):
    found = explain_transport(code)
    assert code.startswith(found.code)
    assert found.code


@pytest.mark.parametrize("code", ["cut_off", "too_large", "connection_stale", "never_heard_of"])
def test_other_missing_answers_are_taken_as_passing(code):
    assert explain_transport(code).kind == "passing"


def test_an_unknown_refusal_is_not_tried_for_ever():
    found = explain("never_heard_of", "x")
    assert found.kind == "set-up"
    assert "Login History" in found.remedy


@pytest.mark.parametrize(
    ("status", "code", "message", "ended"),
    [
        (401, "INVALID_SESSION_ID", "Session expired or invalid", True),
        (401, "INVALID_SESSION_ID", "session expired or invalid", True),
        (403, "Bad_OAuth_Token", "", True),
        (401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API", False),
        (401, "INVALID_SESSION_ID", "something new", False),
        (401, "INVALID_SESSION_ID", "", False),
        (401, "INVALID_AUTH_HEADER", "Session expired or invalid", False),
        (400, "INVALID_SESSION_ID", "Session expired or invalid", False),
        (500, "INVALID_SESSION_ID", "Session expired or invalid", False),
        (401, "", "Session expired or invalid", False),
    ],
)
def test_only_a_dead_token_counts_as_an_ended_session(status, code, message, ended):
    assert session_has_ended(status, code, message) is ended
