"""Whatever is sent, the stand-in answers or hangs up, and goes on serving everybody else."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import quote, urlsplit

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sf_integration.testing import Org, StandIn

from .conftest import Caller

ENDPOINTS = (
    "/services/oauth2/token",
    "/services/oauth2/revoke",
    "/services/oauth2/introspect",
    "/services/oauth2/userinfo",
    "/services/data",
    "/services/data/v67.0/query",
    "/services/data/v67.0/sobjects/Account",
    "/services/data/v67.0/sobjects/Account/001Dn00000Gi7HJIAZ",
    "/services/data/v67.0/composite",
    "/services/data/v67.0/jobs/ingest",
    "/services/async/67.0/job",
    "/id/00D/005",
    "/stand-in",
    "/stand-in/fail",
)
METHODS = ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW")

fuzzed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def busy(key_pair: tuple[str, str]) -> Iterator[StandIn]:
    """One server for all examples: what one request breaks, the next would notice."""
    with StandIn(certificate_pem=key_pair[1], private_key_pem=key_pair[0], name="Busy") as server:
        yield server


@pytest.fixture(scope="module")
def known(busy: StandIn) -> Caller:
    caller = Caller(busy.org)
    assert caller.sign_in().status_code == 200
    return caller


def exchange(server: StandIn, sent: bytes) -> bytes:
    """What comes back until the other side hangs up, or nothing more comes."""
    host, port = urlsplit(server.url).netloc.split(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        with suppress(OSError):
            raw.sendall(sent)
            raw.shutdown(socket.SHUT_WR)
        with suppress(OSError):
            while piece := raw.recv(65_536):
                received += piece
    return received


def assert_serves(caller: Caller) -> None:
    assert caller.query("SELECT COUNT() FROM Account").status_code == 200


def assert_is_well_answered(method: str, answer: http.client.HTTPResponse, body: bytes) -> None:
    assert answer.status != 500
    if body and "json" in (answer.headers["Content-Type"] or ""):
        json.loads(body)
    if answer.status >= 500:
        assert json.loads(body), method


@fuzzed
@given(sent=st.binary(max_size=400))
def test_bytes_that_are_no_request_harm_nobody(busy: StandIn, known: Caller, sent: bytes):
    received = exchange(busy, sent)
    assert b" 500 " not in received[:20]
    assert_serves(known)


@fuzzed
@given(
    line=st.sampled_from([f"{method} {path}" for method in METHODS for path in ENDPOINTS]),
    version=st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/9", "", "FTP/1.1"]),
    headers=st.lists(
        st.tuples(
            st.sampled_from(
                ["Content-Length", "Transfer-Encoding", "Content-Type", "Authorization", "Host", "Expect", "Accept", "X"]
            ),
            st.one_of(
                st.sampled_from(["chunked", "-1", "5", "999999999999", "application/x-www-form-urlencoded", "Bearer x", "100-continue"]),
                st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n"), max_size=20),
            ),
        ),
        max_size=4,
    ),
    body=st.binary(max_size=60),
)  # fmt: skip
def test_malformed_heads_and_bodies_harm_nobody(
    busy: StandIn, known: Caller, line: str, version: str, headers: list[tuple[str, str]], body: bytes
):
    head = "\r\n".join([f"{line} {version}", *(f"{name}: {value}" for name, value in headers)])
    received = exchange(busy, head.encode("latin-1") + b"\r\n\r\n" + body)
    assert b" 500 " not in received[:20]
    busy.org.heal()
    assert_serves(known)


@fuzzed
@given(
    method=st.sampled_from(METHODS),
    path=st.one_of(
        st.sampled_from(ENDPOINTS),
        st.lists(st.text(max_size=12), min_size=1, max_size=5).map(
            lambda parts: "/services/data/v67.0/" + "/".join(quote(part, safe="") for part in parts)
        ),
        st.text(max_size=30).map(lambda text: "/" + quote(text, safe="/?&=%")),
    ),
    query=st.dictionaries(
        st.sampled_from(["q", "fields", "token", "assertion", "grant_type", "version", "columns", "_HttpMethod"]),
        st.text(max_size=40),
        max_size=3,
    ),
    body=st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=8),
            lambda inner: st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["Name", "compositeRequest", "records", "method", "url", "referenceId", "kind", "where"]),
                inner,
                max_size=4,
            ),
            max_leaves=8,
        ).map(lambda data: json.dumps(data).encode()),
    ),
    content_type=st.sampled_from(["application/json", "application/x-www-form-urlencoded", "text/xml", ""]),
)  # fmt: skip
def test_strange_requests_of_a_known_caller_are_answered(
    busy: StandIn,
    known: Caller,
    method: str,
    path: str,
    query: dict[str, str],
    body: bytes,
    content_type: str,
):
    host = urlsplit(busy.url).netloc
    target = path + (
        "?" + "&".join(f"{name}={quote(value)}" for name, value in query.items()) if query else ""
    )
    connection = http.client.HTTPConnection(host, timeout=10)
    # The token is that of another session: what is tried may be to end it.
    token = Caller(busy.org).sign_in().json()["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": content_type}
    connection.request(method, target, body=body, headers=headers)
    answer = connection.getresponse()
    assert_is_well_answered(method, answer, answer.read())
    connection.close()
    busy.org.heal()
    assert_serves(known)


def test_two_hundred_and_fifty_six_callers_at_once_are_served(org: Org):
    callers = 256
    barrier = threading.Barrier(callers)

    def sign_in_and_query(number: int) -> int:
        caller = Caller(org)
        with caller.http:
            barrier.wait(60)
            assert caller.http.get(f"{org.url}/services/data", timeout=60).status_code == 200
            answer = caller.post_token(
                {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": caller.sign()}
            )
            return answer.status_code

    with ThreadPoolExecutor(callers) as pool:
        assert list(pool.map(sign_in_and_query, range(callers))) == [200] * callers
    assert (org.token_requests, org.logins) == (callers, callers)


def test_fault_for_the_next_call_hits_one_of_many_at_once(org: Org):
    callers = 64
    org.fail("answer", status=418, where="any")
    barrier = threading.Barrier(callers)

    def ask(number: int) -> int:
        barrier.wait(30)
        return requests.get(f"{org.url}/services/data", timeout=30).status_code

    with ThreadPoolExecutor(callers) as pool:
        statuses = list(pool.map(ask, range(callers)))
    assert sorted(statuses) == [200] * (callers - 1) + [418]


def test_each_of_several_faults_hits_one_call_in_its_turn(signed_in: Caller, org: Org):
    org.fail("answer", status=501, where="rest")
    org.fail("answer", status=502, where="token")
    org.fail("answer", status=503, where="/services/data/v67.0/limits")
    assert signed_in.get("sobjects").status_code == 501
    assert signed_in.get("sobjects").status_code == 200
    assert signed_in.get("limits").status_code == 503
    assert signed_in.get("limits").status_code == 200
    assert signed_in.sign_in().status_code == 502
    assert signed_in.sign_in().status_code == 200
