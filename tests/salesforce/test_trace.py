from __future__ import annotations

import json
import textwrap
from urllib.parse import quote

import pytest

from sf_integration.salesforce import rest, signin, trace
from sf_integration.salesforce.http import Call, recorded

from .conftest import sign_in_request


def traced(org, http):
    request = sign_in_request(org)
    return trace.describe(request, signin.run(request, http))


def shown(org, http) -> str:
    """All that is stored and printed of a sign-in."""
    found = traced(org, http)
    return json.dumps(found) + trace.as_text(found)


def test_the_trace_shows_what_was_sent_and_said(org, http):
    found = traced(org, http)
    assert found["endpoint"] == f"{org.url}/services/oauth2/token"
    assert found["header"] == {"alg": "RS256", "typ": "JWT"}
    assert found["claims"]["sub"] == org.user.username
    assert found["form"]["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert found["status"] == 200
    assert found["headers"]["Content-Type"].startswith("application/json")
    assert found["headers"]["Date"]
    assert found["answer"]["scope"] == "api refresh_token"


def test_the_assertion_is_told_as_its_length(org, http, monkeypatch):
    sent = []
    post = signin.oauth.post_assertion
    monkeypatch.setattr(
        signin.oauth, "post_assertion", lambda signed, **more: sent.append(signed) or post(signed, **more)
    )
    assert traced(org, http)["form"]["assertion"] == f"({len(sent[0])} characters)"


def test_the_text_reads_as_the_exchange_went(org, http):
    org.user.approved = False
    text = trace.as_text(traced(org, http))
    assert text.splitlines()[0] == f"POST {org.url}/services/oauth2/token"
    for earlier, later in (
        ("grant_type=urn:ietf", "&assertion=("),
        ("&assertion=(", '"iss": "'),
        ('"iss": "', "Answered 400 after "),
        ("Answered 400 after ", "Content-Type: application/json"),
        ("Content-Type: application/json", '"error": "invalid_app_access"'),
    ):
        assert text.index(earlier) < text.index(later)


def test_the_trace_holds_neither_token_nor_assertion(org, http):
    request = sign_in_request(org)
    outcome = signin.run(request, http)
    token = outcome.require().value
    assert len(token) > 50
    found = trace.describe(request, outcome)
    text = json.dumps(found) + trace.as_text(found)
    assert token not in text
    assert "eyJ" not in text
    assert f"({len(token)} characters)" in text


@pytest.mark.parametrize(
    "body",
    [
        '{"access_token": {"value": "planted"}}',
        '{"access_token": ["planted"]}',
        '{"refresh_token": "planted", "id_token": "planted", "signature": "planted"}',
        '{"data": {"access_token": "planted"}}',
        '{"planted-free": 1}',
    ],
)
def test_the_trace_shows_known_fields_only(org, http, body):
    org.fail("answer", body=body)
    text = shown(org, http)
    assert '"planted"' not in text
    assert "planted'" not in text


TOKEN = "00D5g000004FaKe!AREAQPr0TFakeFakeFake_FakeFake.CANARYCANARYCANARYCANARYCANARYCANARYCANARYCANARYF"
CANARY = "CANARY"


@pytest.mark.parametrize(
    "said",
    [
        TOKEN,
        quote(TOKEN),
        TOKEN.partition("!")[2],
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJDQU5BUlkiQ0FOQVJZ." + CANARY * 50,
        "\n".join(textwrap.wrap("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhYmMi." + CANARY * 50, 76)),
        CANARY * 50,
        f"eyJhbGciOiJSUzI1NiJ9.eyJ{CANARY * 9}.{CANARY}",
        f"00D5g000004FaKe!{CANARY * 8}..{CANARY}.{CANARY}",
    ],
    ids=["token", "quoted", "half", "assertion", "wrapped", "bare", "short end", "dots"],
)
@pytest.mark.parametrize("form", ["description", "error", "html", "name", "text", "header"])
def test_what_a_host_sends_back_does_not_come_through(org, http, said, form):
    body = {
        "description": json.dumps({"error": "invalid_grant", "error_description": f"bad: {said}"}),
        "error": json.dumps({"error": said}),
        "html": f"<html><body><h1>Oops</h1><p>assertion={said}</p></body></html>",
        "name": json.dumps({said: "x"}),
        "text": said,
        "header": "{}",
    }[form]
    headers = {"X-Request-Id": said.replace("\n", " "), "Set-Cookie": said.replace("\n", " ")}
    org.fail("answer", status=400, body=body, headers=headers if form == "header" else None)
    text = shown(org, http)
    assert CANARY not in text
    assert "<h1" not in text


@pytest.mark.parametrize("fault", ["html", "garbage", "maintenance", "close", "unknown_error", "redirect"])
def test_there_is_a_trace_of_every_kind_of_trouble(org, http, fault):
    org.fail(fault, times=None)
    found = traced(org, http)
    assert found["endpoint"]
    text = trace.as_text(found)
    assert "Answered" in text or "Came to nothing" in text


def test_headers_that_may_hold_secrets_are_left_out(org, http):
    headers = {"Set-Cookie": "BrowserId=planted", "X-Anything": "planted", "Retry-After": "120"}
    org.fail("answer", times=None, status=400, body={"error": "invalid_grant"}, headers=headers)
    assert "planted" not in shown(org, http)
    assert traced(org, http)["headers"]["Retry-After"] == "120"


def test_a_long_answer_is_cut(org, http):
    """It is stored with every check."""
    answer = {"error": "invalid_grant", "error_description": "x y " * 100_000} | {
        f"k{n}": "" for n in range(9999)
    }
    org.fail("answer", times=None, status=400, body=answer)
    found = traced(org, http)
    assert len(json.dumps(found)) < 5_000
    assert found["answer"]["error_description"].startswith("x y x y")


def test_calls_are_recorded_in_order_with_their_soql_and_no_other_query(org, http):
    request = sign_in_request(org)
    with recorded() as calls:
        outcome = signin.run(request, http)
        client = rest.Client(outcome.require(), api_version="67.0", http=http)
        client.identity()
        client.query("SELECT Id FROM Account LIMIT 1")
    with recorded() as others:
        client.limits()
    assert [(call.method, call.url.removeprefix(org.url), call.status) for call in calls] == [
        ("POST", "/services/oauth2/token", 200),
        ("GET", f"/id/{org.id}/{org.user.id}", 200),
        ("GET", "/services/data/v67.0/query", 200),
    ]
    assert [call.soql for call in calls] == ["", "", "SELECT Id FROM Account LIMIT 1"]
    assert len(others) == 1
    found = trace.with_calls(trace.describe(request, outcome), calls)
    assert [call["url"] for call in found["calls"]] == [call.url for call in calls[1:]]
    text = trace.as_text(found)
    assert f"GET {org.url}/services/data/v67.0/query" in text
    assert "SELECT Id FROM Account LIMIT 1" in text


def test_a_call_without_an_answer_is_recorded_too(org, http):
    org.fail("close", times=None)
    with recorded() as calls:
        signin.run(sign_in_request(org), http)
    assert [call.status for call in calls] == [None]


def test_addresses_are_told_without_password_and_query():
    call = Call("GET", "https://user:planted@acme.example/path", "", 200, 1)
    described = {"endpoint": "https://acme.example/token"}
    assert trace.with_calls(described, [call])["calls"][0]["url"] == "https://acme.example/path"
