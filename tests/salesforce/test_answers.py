from __future__ import annotations

import json

import pytest
import requests

from sf_integration.salesforce.answers import json_of, raise_for_error
from sf_integration.salesforce.errors import (
    ApiError,
    ApiUnavailable,
    NotFound,
    QueryCursorLost,
    RetryableError,
    SessionExpired,
    TransportError,
)


def answer(
    status: int,
    body: str | bytes | list | dict,
    content_type: str = "application/json;charset=UTF-8",
    *,
    retry_after: str = "",
    method: str = "GET",
):
    response = requests.Response()
    response.status_code = status
    response.headers["Content-Type"] = content_type
    response.headers["Retry-After"] = retry_after
    response.request = requests.Request(method, "http://localhost/").prepare()
    text = json.dumps(body) if isinstance(body, (list, dict)) else body
    response._content = text.encode() if isinstance(text, str) else text
    return response


def refusal(*args, **more) -> Exception:
    with pytest.raises((ApiError, TransportError)) as caught:
        raise_for_error(answer(*args, **more))
    return caught.value


def rest(code: str, message: str, **more: object) -> list:
    return [{"message": message, "errorCode": code} | more]


@pytest.mark.parametrize("status", [200, 201, 204, 300, 304])
def test_what_is_no_refusal_passes(status):
    raise_for_error(answer(status, ""))


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (401, rest("INVALID_SESSION_ID", "Session expired or invalid"), SessionExpired, "INVALID_SESSION_ID"),
        (
            401,
            rest("INVALID_SESSION_ID", "This session is not valid for use with the REST API"),
            ApiError,
            "INVALID_SESSION_ID",
        ),
        (403, "Bad_OAuth_Token", SessionExpired, "Bad_OAuth_Token"),
        (403, "Wrong_Org", ApiError, "http_403"),
        (404, "Bad_Id", NotFound, "http_404"),
        (404, rest("NOT_FOUND", "The requested resource does not exist"), NotFound, "NOT_FOUND"),
        (404, rest("ENTITY_IS_DELETED", "entity is deleted", fields=[]), NotFound, "ENTITY_IS_DELETED"),
        (
            400,
            rest("INVALID_QUERY_LOCATOR", "invalid query locator"),
            QueryCursorLost,
            "INVALID_QUERY_LOCATOR",
        ),
        (400, rest("MALFORMED_QUERY", "unexpected token: SELEKT"), ApiError, "MALFORMED_QUERY"),
        (400, {"error": "invalid_grant", "error_description": "x"}, ApiError, "invalid_grant"),
        (503, rest("SERVER_UNAVAILABLE", "Server Unavailable"), ApiUnavailable, "SERVER_UNAVAILABLE"),
        (429, "slow down", ApiUnavailable, "http_429"),
        (503, "<html>down", TransportError, "http_503"),
        (500, "", TransportError, "http_500"),
        (420, "<html>gone", TransportError, "http_420"),
        (400, "[", TransportError, "http_400"),
        (400, "[" * 50_000, TransportError, "http_400"),
        (400, "[]", ApiError, "http_400"),
        (400, "{}", ApiError, "http_400"),
        (400, "[5]", ApiError, "http_400"),
        (400, "[null]", ApiError, "http_400"),
        (400, "[[]]", ApiError, "http_400"),
        (400, rest("X", "m", fields=5), ApiError, "X"),
        (400, rest("X", "m", fields="Name"), ApiError, "X"),
        (400, [{"message": None, "errorCode": None}], ApiError, "http_400"),
        (400, [{"message": {"a": 1}, "errorCode": ["X"]}], ApiError, "['X']"),
        (400, b"\xff\xfe", ApiError, "http_400"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_each_refusal_has_its_class_and_code(status, body, kind, code):
    error = refusal(status, body)
    assert type(error) is kind
    assert (error.code, error.status_code) == (code, status)
    assert str(error)


def test_the_fields_at_fault_are_told():
    error = refusal(
        400, rest("REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]", fields=["Name"])
    )
    assert error.fields == ("Name",)
    assert error.message == "Required fields are missing: [Name]"


def test_html_of_something_in_between_is_no_refusal_of_salesforce():
    error = refusal(403, "<html>Blocked by <b>GuardWall</b></html>", "text/html")
    assert isinstance(error, TransportError)
    assert "Blocked by GuardWall" in str(error)


@pytest.mark.parametrize(
    "body",
    [
        rest("X", "bad 00D5g000004FaKe!AQplanted.token"),
        rest("00D5g000004FaKe!AQplanted", "m"),
        "no 00D5g000004FaKe!AQplanted",
    ],
)
def test_a_token_that_is_echoed_does_not_come_through(body):
    error = refusal(400, body)
    assert "planted" not in f"{error} {vars(error)}"


def test_a_long_message_is_cut():
    """Checks store it, pages show it."""
    error = refusal(400, rest("X", "x y " * 100_000))
    assert error.message.startswith("x y x y")
    assert len(str(error)) < 5_000


def test_success_that_is_no_json_is_told():
    with pytest.raises(TransportError) as caught:
        json_of(answer(200, "<html>Log in</html>", "text/html"))
    assert caught.value.code == "not_json"


# What passes by itself


@pytest.mark.parametrize(
    ("status", "code", "message", "seconds"),
    [
        (400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record", 5),
        (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", 3600),
        (403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded.", 30),
        (400, "QUERY_TIMEOUT", "Your query request was running for too long.", 60),
        (503, "SERVER_UNAVAILABLE", "Server Unavailable", 5),
        (500, "UNKNOWN_EXCEPTION", "An unexpected error occurred.", 5),
        (429, "NEVER_HEARD_OF", "x", 5),
        (502, "NEVER_HEARD_OF", "x", 5),
    ],
)
def test_what_passes_can_be_tried_again_and_is_still_a_refusal(status, code, message, seconds):
    error = refusal(status, rest(code, message))
    assert isinstance(error, RetryableError)
    assert isinstance(error, ApiError)
    assert (error.status_code, error.error_code, error.retry_after) == (status, code, seconds)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("120", 120),
        ("0", 1),
        ("999999999", 86_400),
        ("Sat, 01 Jan 2000 00:00:00 GMT", 1),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
        ("soon", 5),
        ("9" * 5000, 5),
        ("²", 5),
    ],
    ids=lambda value: str(value)[:20],
)
def test_the_wait_that_the_host_asks_for_counts(told, seconds):
    for body in (rest("SERVER_UNAVAILABLE", "Server Unavailable"), "<html>down"):
        assert refusal(503, body, retry_after=told).retry_after == seconds


@pytest.mark.parametrize(("method", "is_retryable"), [("GET", True), ("PATCH", True), ("POST", False)])
def test_a_fault_in_the_middle_of_a_post_is_not_repeated(method, is_retryable):
    """It may have been carried out before."""
    error = refusal(500, rest("UNKNOWN_EXCEPTION", "An unexpected error occurred."), method=method)
    assert isinstance(error, RetryableError) is is_retryable
    assert isinstance(refusal(503, rest("SERVER_UNAVAILABLE", "x"), method=method), RetryableError)


def test_a_refusal_tells_cause_remedy_and_who_acts():
    error = refusal(400, rest("INVALID_FIELD", "No such column 'Bacon__c'"))
    assert "no such field" in error.cause
    assert "__c" in error.remedy
    assert "admin" in error.who


def test_a_refusal_that_the_catalogue_does_not_know_explains_itself():
    error = refusal(400, rest("STOCK_TOO_LOW", "Only three are left."))
    assert (error.cause, error.remedy, error.who) == ("Only three are left.", "", "")
