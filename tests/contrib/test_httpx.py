from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from sf_integration import ActionNeeded, InvalidInput, get_token
from sf_integration.contrib.httpx import SalesforceAuth
from sf_integration.testing.django import ConnectableOrg
from tests.test_docs import examples

pytestmark = pytest.mark.django_db(transaction=True)

LIMITS, CONTACTS = "/services/data/v66.0/limits", "/services/data/v66.0/sobjects/Contact"
DEAD = [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}]


class Caller:
    """One request with either client of the library."""

    def __init__(self, is_async: bool) -> None:
        self.is_async = is_async

    def __call__(self, method: str, url: str, **options: object) -> httpx.Response:
        auth = SalesforceAuth("acme")
        if not self.is_async:
            with httpx.Client(auth=auth, cookies={"sid": "of another org"}) as client:
                return client.request(method, url, **options)  # type: ignore[arg-type]

        async def main() -> httpx.Response:
            async with httpx.AsyncClient(auth=auth, cookies={"sid": "of another org"}) as client:
                return await client.request(method, url, **options)  # type: ignore[arg-type]

        return asyncio.run(main())

    def stream(self) -> Iterator[bytes] | AsyncIterator[bytes]:
        return self._stream_async() if self.is_async else iter([b'{"LastName":', b' "Once"}'])

    async def _stream_async(self) -> AsyncIterator[bytes]:
        for part in (b'{"LastName":', b' "Once"}'):
            yield part


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def call(request: pytest.FixtureRequest, salesforce_org: ConnectableOrg) -> Caller:
    salesforce_org.connect("acme")
    return Caller(request.param)


def test_an_ended_session_is_renewed_and_the_call_replayed_once(
    call: Caller, salesforce_org: ConnectableOrg
) -> None:
    url = get_token("acme").instance_url
    salesforce_org.end_sessions()
    answer = call("POST", url + CONTACTS, json={"LastName": "Lind"})
    assert answer.status_code == 201
    assert [earlier.status_code for earlier in answer.history] == [401]
    assert "Cookie" not in answer.request.headers
    assert salesforce_org.token_requests == 2
    salesforce_org.fail("answer", where="rest", status=401, body=DEAD, times=None)
    asked = len(salesforce_org.requests)
    assert call("GET", url + LIMITS).status_code == 401
    assert [request.path for request in salesforce_org.requests[asked:]].count(LIMITS) == 2
    assert salesforce_org.token_requests == 3


def test_a_refusal_that_looks_alike_costs_no_sign_in(call: Caller, salesforce_org: ConnectableOrg) -> None:
    url = get_token("acme").instance_url + LIMITS
    message = "This session is not valid for use with the REST API"
    salesforce_org.fail("rest_error", status=401, code="INVALID_SESSION_ID", message=message)
    assert call("GET", url).status_code == 401
    assert salesforce_org.token_requests == 1


def test_the_token_goes_to_the_own_instance_only(call: Caller, salesforce_org: ConnectableOrg) -> None:
    with pytest.raises(InvalidInput, match="not sent"):
        call("GET", "http://127.0.0.1:9/steal")
    token = get_token("acme")
    foreign = salesforce_org.add_org()
    salesforce_org.fail("redirect", where="rest", location=f"{foreign.url}{LIMITS}")
    answer = call("GET", token.instance_url + LIMITS, follow_redirects=True)
    assert str(answer.url).startswith(foreign.url)
    assert answer.status_code == 401
    assert token.value not in str(answer.request.headers)
    assert salesforce_org.token_requests == 1


def test_a_redirect_back_without_the_token_says_nothing_of_the_session(
    call: Caller, salesforce_org: ConnectableOrg
) -> None:
    token, foreign = get_token("acme"), salesforce_org.add_org()
    salesforce_org.fail("redirect", where="rest", location=f"{foreign.url}{LIMITS}")
    foreign.fail("redirect", where="rest", location=token.instance_url + LIMITS)
    answer = call("GET", token.instance_url + LIMITS, follow_redirects=True)
    assert (answer.status_code, len(answer.history)) == (401, 2)
    assert salesforce_org.token_requests == 1


def test_a_stream_is_not_cut(call: Caller, salesforce_org: ConnectableOrg) -> None:
    url = get_token("acme").instance_url + CONTACTS
    salesforce_org.end_sessions()
    headers = {"Content-Type": "application/json"}
    assert call("POST", url, content=call.stream(), headers=headers).json() == DEAD
    assert call("POST", url, content=call.stream(), headers=headers).status_code == 201
    assert len(salesforce_org.query("SELECT Id FROM Contact WHERE LastName = 'Once'")) == 1


def test_the_replay_follows_an_instance_that_has_moved(call: Caller, salesforce_org: ConnectableOrg) -> None:
    old = get_token("acme")
    salesforce_org.move()
    salesforce_org.fail("answer", where="rest", status=401, body=DEAD)
    answer = call("GET", old.instance_url + LIMITS)
    assert answer.status_code == 200
    assert str(answer.url) == salesforce_org.instance_url + LIMITS
    assert answer.request.headers["Host"] == salesforce_org.instance_url.partition("//")[2]


def test_a_refused_sign_in_is_our_error(call: Caller, salesforce_org: ConnectableOrg) -> None:
    salesforce_org.user.approved = False
    with pytest.raises(ActionNeeded) as caught:
        call("GET", salesforce_org.instance_url + LIMITS)
    assert caught.value.remedy


def test_an_answer_can_be_streamed(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    url = get_token("acme").instance_url + LIMITS
    salesforce_org.end_sessions()
    with httpx.stream("GET", url, auth=SalesforceAuth("acme")) as answer:
        assert not answer.is_stream_consumed
        assert b"DailyApiRequests" in b"".join(answer.iter_bytes(50))


def test_the_examples_of_the_document_run(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme-prod")
    made: dict[str, Any] = {}
    for example in examples("Your own HTTP session"):
        exec(example, made)
    assert made["answer"].status_code == 200
    assert asyncio.run(made["limits"]())["DailyApiRequests"]


def test_the_loop_goes_on_while_it_waits(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    salesforce_org.fail("slow", seconds=0.5)

    async def main() -> float:
        gaps = []
        async with httpx.AsyncClient(auth=SalesforceAuth("acme")) as client:
            call = asyncio.create_task(client.get(salesforce_org.instance_url + LIMITS))
            while not call.done():
                before = time.monotonic()
                await asyncio.sleep(0.01)
                gaps.append(time.monotonic() - before)
            assert (await call).status_code == 200
        return max(gaps)

    assert asyncio.run(main()) < 0.4
