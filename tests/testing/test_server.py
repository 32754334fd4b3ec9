from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from urllib.parse import urlencode, urlsplit

import pytest
import requests

from sf_integration.testing import App, Org, StandIn

from .conftest import GRANT_TYPE, Caller


def connect(org: Org) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(org.url).netloc, timeout=10)


def test_connection_is_kept_for_further_requests(org: Org):
    connection = connect(org)
    connection.request("GET", "/services/data")
    connection.getresponse().read()
    first = connection.sock
    connection.request("GET", "/nothing")

    assert connection.getresponse().status == 404
    assert connection.sock is first
    connection.close()


def test_chunked_body_is_read_and_the_connection_stays_usable(caller: Caller, org: Org):
    form = urlencode({"grant_type": GRANT_TYPE, "assertion": caller.sign()}).encode()
    pieces = [form[start : start + 100] for start in range(0, len(form), 100)]
    connection = connect(org)

    for _ in range(2):
        connection.request(
            "POST",
            "/services/oauth2/token",
            body=iter(pieces),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            encode_chunked=True,
        )
        answer = connection.getresponse()
        assert (answer.status, "access_token" in json.load(answer)) == (200, True)
    connection.close()


@pytest.mark.parametrize(
    "head",
    [
        b"Transfer-Encoding: chunked\r\n\r\nnot a number\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n",
        b"Content-Length: many\r\n\r\n",
        b"Content-Length: 99999999999\r\n\r\n",
    ],
)
def test_unreadable_body_is_answered_and_ends_the_connection(org: Org, head: bytes):
    with socket.create_connection(urlsplit(org.url).netloc.split(":"), timeout=10) as raw:
        raw.sendall(b"POST /services/oauth2/token HTTP/1.1\r\nHost: x\r\n" + head)
        answer = b"".join(iter(lambda: raw.recv(4096), b""))

    assert answer.startswith(b"HTTP/1.1 400")


def test_expectation_is_answered_at_once(caller: Caller, org: Org):
    form = urlencode({"grant_type": GRANT_TYPE, "assertion": caller.sign()}).encode()
    with socket.create_connection(urlsplit(org.url).netloc.split(":"), timeout=10) as raw:
        raw.sendall(
            b"POST /services/oauth2/token HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n" % len(form)
        )
        assert raw.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.sendall(form)
        assert raw.recv(4096).startswith(b"HTTP/1.1 200")


def test_head_and_body_arrive_in_one_piece(org: Org):
    with socket.create_connection(urlsplit(org.url).netloc.split(":"), timeout=10) as raw:
        raw.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        piece = raw.recv(65_536)

    assert piece.endswith(b'"message":"The requested resource does not exist"}]')


def test_gzip_is_sent_to_who_asks_for_it(signed_in: Caller):
    zipped = signed_in.call("GET", "limits", headers={"Accept-Encoding": "gzip"})
    plain = signed_in.call("GET", "limits", headers={"Accept-Encoding": "identity"})

    assert (zipped.headers["Content-Encoding"], zipped.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert "Content-Encoding" not in plain.headers
    assert int(zipped.headers["Content-Length"]) < int(plain.headers["Content-Length"])
    assert set(zipped.json()) == set(plain.json())


def test_head_request_gets_no_body(org: Org):
    connection = connect(org)
    connection.request("HEAD", "/services/data")
    answer = connection.getresponse()

    assert (answer.status, answer.read()) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 100
    connection.close()


def test_date_header_follows_the_clock_of_the_org(caller: Caller, org: Org):
    def seconds_ahead() -> float:
        answer = caller.http.get(f"{org.url}/services/data", timeout=10)
        return parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time()

    assert seconds_ahead() == pytest.approx(0, abs=2)
    org.clock_offset_seconds = -600
    assert seconds_ahead() == pytest.approx(-600, abs=2)


def test_date_header_is_that_of_the_org_which_answers(server: StandIn, key_pair: tuple[str, str]):
    named = server.add_org(host_name="acme.my.salesforce.com", app=App(certificate_pem=key_pair[1]))
    named.clock_offset_seconds = -600

    headers = {"Host": named.url.partition("//")[2]}
    answer = requests.get(f"{server.url}/services/data", headers=headers, timeout=10)

    assert parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time() == pytest.approx(
        -600, abs=2
    )


def test_name_of_an_app_may_be_written_in_any_script(signed_in: Caller, org: Org):
    org.app.name, org.app.api_limit = "Łódź 倉庫", 100

    assert (
        signed_in.get("limits")
        .headers["Sforce-Limit-Info"]
        .startswith("api-usage=1/15000; per-app-api-usage=1/100")
    )


def test_sixty_four_connections_at_once_are_served(org: Org):
    barrier = threading.Barrier(64)

    def sign_in_and_query(number: int) -> int:
        caller = Caller(org)
        with caller.http:
            barrier.wait(30)
            caller.sign_in()
            return int(caller.query("SELECT COUNT() FROM Account").json()["totalSize"])

    with ThreadPoolExecutor(64) as pool:
        assert list(pool.map(sign_in_and_query, range(64))) == [60] * 64
    assert (org.token_requests, org.logins, org.api_used) == (64, 64, 64)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("slow", {"seconds": 600}),
        ("drip", {"seconds": 600}),
        ("huge", {}),
        ("slow", {"seconds": 600, "where": "any"}),
    ],
)
def test_stop_lets_every_thread_go(key_pair: tuple[str, str], kind: str, options: dict[str, float]):
    before = set(threading.enumerate())
    server = StandIn(certificate_pem=key_pair[1]).start()
    server.org.fail(kind, times=None, **options)
    with socket.create_connection(urlsplit(server.url).netloc.split(":"), timeout=10) as raw:
        raw.sendall(b"POST /services/oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        while len(set(threading.enumerate()) - before) < 2:
            time.sleep(0.01)
        time.sleep(0.1)
        server.stop()
        deadline = time.monotonic() + 5
        while set(threading.enumerate()) - before and time.monotonic() < deadline:
            time.sleep(0.01)

    assert set(threading.enumerate()) - before == set()


def test_process_forked_after_the_start_leaves_the_server_alone(server: StandIn, caller: Caller):
    child = os.fork()
    if child == 0:
        # As a web server's worker would when it unwinds the stack it was forked in.
        server.stop()
        os._exit(0)
    deadline = time.monotonic() + 10
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    if ended == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    assert ended == (child, 0)
    assert caller.sign_in().status_code == 200


def test_port_closes_though_a_forked_process_has_a_copy(server: StandIn, signed_in: Caller):
    url = server.url
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        server.stop()
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(f"{url}/services/data", timeout=5)
        server.start()
        assert (server.url, signed_in.get("limits").status_code) == (url, 200)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_start_that_fails_leaves_no_port_open(key_pair: tuple[str, str]):
    first, second = StandIn(certificate_pem=key_pair[1]), StandIn(certificate_pem=key_pair[1])
    with first:
        second.add_org(app=App(certificate_pem=key_pair[1])).url = first.url

        with pytest.raises(OSError, match="in use"):
            second.start()

        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(f"{second.url}/services/data", timeout=5)


def test_login_hosts_come_back_where_they_were(server: StandIn):
    url = server.open_login_host()
    server.stop()
    server.start()

    assert requests.get(f"{url}/services/data", timeout=5).status_code == 200


def test_stopped_server_refuses_and_comes_back_at_the_same_port_with_its_sessions(
    server: StandIn, signed_in: Caller
):
    url = server.url
    server.stop()
    with pytest.raises(requests.exceptions.ConnectionError):
        signed_in.get("limits")

    server.start()

    assert server.url == url
    assert signed_in.get("limits").status_code == 200


def test_port_in_use_is_an_error(server: StandIn, key_pair: tuple[str, str]):
    port = int(server.url.rpartition(":")[2])

    with pytest.raises(OSError, match="in use"):
        StandIn(port=port, certificate_pem=key_pair[1]).start()


def test_localhost_is_a_name_of_the_server(server: StandIn, caller: Caller):
    by_name = server.url.replace("127.0.0.1", "localhost")
    form = {"grant_type": GRANT_TYPE, "assertion": caller.sign(aud=by_name)}

    answer = caller.http.post(f"{by_name}/services/oauth2/token", data=form, timeout=10)

    assert answer.json()["instance_url"] == server.url


@pytest.fixture
def tls_server(key_pair: tuple[str, str]) -> Iterator[StandIn]:
    with StandIn(tls=True, certificate_pem=key_pair[1], private_key_pem=key_pair[0]) as server:
        yield server


def test_tls_server_is_trusted_by_its_own_authority_only(tls_server: StandIn):
    caller = Caller(tls_server.org)
    with pytest.raises(requests.exceptions.SSLError):
        caller.sign_in()

    caller.http.verify = str(tls_server.ca_file)

    assert caller.sign_in().json()["instance_url"] == tls_server.url
    assert tls_server.url.startswith("https://")
    assert caller.get("limits").status_code == 200
    caller.http.close()


def test_client_that_never_shakes_hands_holds_up_nobody(tls_server: StandIn):
    context = ssl.create_default_context(cafile=str(tls_server.ca_file))
    port = int(tls_server.url.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10),
        socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as secure,
    ):
        secure.sendall(b"GET /services/data HTTP/1.1\r\nHost: x\r\n\r\n")
        assert secure.recv(100).startswith(b"HTTP/1.1 200")
