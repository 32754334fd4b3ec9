from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from sf_integration.testing import Org

from .conftest import Caller, refusal


@pytest.mark.parametrize(
    ("kind", "options", "status", "content_type", "text"),
    [
        ("unknown_error", {}, 400, "application/json", '{"error":"unknown_error","error_description":"retry your request"}'),
        ("maintenance", {}, 503, "text/html", "We are down for maintenance. Sorry for the inconvenience. We'll be back shortly."),
        ("bad_gateway", {}, 502, "text/html", "Bad Gateway"),
        ("html", {}, 200, "text/html", "<form"),
        ("garbage", {}, 200, "application/json", '{"access_token":"00D'),
        ("refuse", {"error": "invalid_grant", "description": "activation secret invalid"}, 400, "application/json", "activation secret invalid"),
        ("refuse", {"error": "server_error", "description": "", "status": 500}, 500, "application/json", "server_error"),
        ("answer", {"status": 418, "body": "short and stout", "content_type": "text/plain"}, 418, "text/plain", "short and stout"),
    ],
)  # fmt: skip
def test_answer_is_replaced_once(
    caller: Caller, org: Org, kind: str, options: dict[str, Any], status: int, content_type: str, text: str
):
    org.fail(kind, **options)

    answer = caller.sign_in()

    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith(content_type)
    assert text in answer.text
    assert caller.sign_in().status_code == 200
    assert (org.token_requests, org.logins) == (2, 1)


def test_redirect_names_another_host(caller: Caller, org: Org):
    org.fail("redirect", location="https://attacker.example/services/oauth2/token")

    answer = caller.sign_in()

    assert answer.status_code == 302
    assert answer.headers["Location"] == "https://attacker.example/services/oauth2/token"


def test_rest_error_meets_the_rest_api_alone(signed_in: Caller, org: Org):
    org.fail("rest_error", status=400, code="UNABLE_TO_LOCK_ROW", message="unable to obtain exclusive access")

    assert signed_in.sign_in().status_code == 200
    assert refusal(signed_in.get("limits"))[:2] == (400, "UNABLE_TO_LOCK_ROW")
    assert signed_in.get("limits").status_code == 200


def test_unknown_error_of_the_rest_api_is_a_500(signed_in: Caller, org: Org):
    org.fail("unknown_error", where="rest")

    assert refusal(signed_in.get("limits"))[:2] == (500, "UNKNOWN_EXCEPTION")


def test_identity_can_fail_alone(signed_in: Caller, org: Org):
    org.fail("maintenance", where="identity")

    assert signed_in.get("limits").status_code == 200
    assert signed_in.get(f"/id/{org.id}/{org.user.id}").status_code == 503
    assert signed_in.get("/services/oauth2/userinfo").status_code == 200


def test_faults_queue_up_and_heal(signed_in: Caller, org: Org):
    org.fail("unknown_error", times=2)
    org.fail("maintenance", where="any", times=None)

    assert [signed_in.sign_in().status_code for _ in range(4)] == [400, 400, 503, 503]
    assert signed_in.get("limits").status_code == 503
    org.heal()
    assert signed_in.sign_in().status_code == 200


def test_slow_answer_is_late_but_true(caller: Caller, org: Org):
    org.fail("slow", seconds=0.4)
    began = time.monotonic()

    assert caller.sign_in().status_code == 200
    assert time.monotonic() - began >= 0.4


@pytest.mark.parametrize("part", ["headers", "body", "both"])
def test_dripping_answer_is_complete_in_the_end(caller: Caller, org: Org, part: str):
    org.fail("drip", seconds=0.0005, part=part)
    began = time.monotonic()

    assert caller.sign_in().status_code == 200
    assert time.monotonic() - began >= 0.1


def test_connection_is_cut_in_the_body(signed_in: Caller, org: Org):
    org.fail("cut", where="rest")

    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        signed_in.get("limits")
    assert signed_in.get("limits").status_code == 200


def test_connection_is_closed_without_an_answer(caller: Caller, org: Org):
    org.fail("close")

    with pytest.raises(requests.exceptions.ConnectionError):
        caller.sign_in()
    assert caller.sign_in().status_code == 200
    assert org.requests[0].status is None


def test_endless_body_never_ends(caller: Caller, org: Org):
    org.fail("huge")
    with caller.http.post(f"{org.url}/services/oauth2/token", stream=True, timeout=10) as answer:
        read = 0
        for block in answer.iter_content(65_536):
            read += len(block)
            if read > 20_000_000:
                break

    assert read > 20_000_000
    assert caller.sign_in().status_code == 200


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        (("earthquake",), {}, ValueError),
        (("close",), {"where": "moon"}, ValueError),
        (("close",), {"times": 0}, ValueError),
        (("slow",), {}, TypeError),
        (("maintenance",), {"seconds": 3}, TypeError),
    ],
)
def test_mistaken_faults_are_told_at_once(org: Org, arguments: Any, options: Any, error: type[Exception]):
    with pytest.raises(error):
        org.fail(*arguments, **options)


def test_secrets_are_hidden_whatever_name_they_come_under(signed_in: Caller, org: Org):
    jwt, pem = signed_in.sign(), org.app.private_key_pem or ""
    query = {"Assertion": "s3cret", "jwt": jwt, "session": signed_in.token, "key": pem, "q": "SELECT Id"}
    for authorization in (f"{signed_in.token} Bearer", signed_in.token, "Basic czNjcmV0OnMzY3JldA=="):
        headers = {"Authorization": authorization}
        signed_in.http.post(f"{org.url}/services/data", data=query, headers=headers, timeout=10)

    shown = repr(org.requests)
    for secret in ("s3cret", jwt, signed_in.token, "PRIVATE KEY", "czNjcmV0"):
        assert secret not in shown
    assert org.requests[-1].parameters["q"] == "SELECT Id"
    assert org.requests[-1].authorization == "Basic (20 characters)"


def test_requests_and_answers_show_no_secret_in_a_traceback(org: Org):
    seen: list[object] = []
    org.answer_path("/services/apexrest/seen", seen.append)
    caller = Caller(org)
    caller.sign_in()
    caller.call("POST", "/services/apexrest/seen", json={"password": "s3cret"}, params={"code": "s3cret"})

    assert "s3cret" not in repr(seen)
    assert caller.token not in repr(seen)


def test_everything_that_was_asked_is_remembered_without_secrets(signed_in: Caller, org: Org):
    signed_in.query("SELEKT")
    signed_in.sign_in(exp=0)
    signed_in.get(f"/id/{org.id}/{org.user.id}")
    signed_in.http.get(f"{org.url}/services/oauth2/revoke", params={"token": signed_in.token}, timeout=10)

    seen = [(r.method, r.path, r.status, r.error, r.user) for r in org.requests]
    assert seen == [
        ("POST", "/services/oauth2/token", 200, None, org.user.username),
        ("GET", "/services/data/v67.0/query", 400, "MALFORMED_QUERY", org.user.username),
        ("POST", "/services/oauth2/token", 400, "invalid_grant", None),
        ("GET", f"/id/{org.id}/{org.user.id}", 200, None, org.user.username),
        ("GET", "/services/oauth2/revoke", 200, None, None),
    ]
    shown = repr(org.requests) + repr(org) + repr(org.app) + repr(org.user) + repr(list(org.sessions))
    assert signed_in.token not in shown
    assert org.app.consumer_secret not in shown
    assert "PRIVATE KEY" not in shown
