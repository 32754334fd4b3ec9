from __future__ import annotations

import gc
import gzip
import socket
import ssl
import threading
import time
import tracemalloc
from base64 import b64encode
from contextlib import contextmanager

import pytest
import trustme
import urllib3

from sf_integration.salesforce.errors import InvalidInput, TransportError
from sf_integration.salesforce.http import Answer, BearerAuth, Http, NoAuth, excerpt, is_web_address, mask
from sf_integration.salesforce.http.failures import transport_error
from sf_integration.testing import StandIn

from .raw_server import RawServer, Visit

DEADLINE = 0.4


def post(http: Http, server, seconds: float = DEADLINE, **options) -> Answer:
    return http.post_form(
        server.url + "/services/oauth2/token", {"a": "b"}, timeout_seconds=seconds, **options
    )


def get(http: Http, server, seconds: float = DEADLINE, **options):
    return http.request("GET", server.url + "/x", auth=NoAuth(), timeout_seconds=seconds, **options)


CALLS = pytest.mark.parametrize("call", [post, get])


def failure(call, *args, **options) -> TransportError:
    with pytest.raises(TransportError) as caught:
        call(*args, **options)
    return caught.value


@contextmanager
def at_most(seconds: float):
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


@contextmanager
def call_later(seconds: float, work):
    timer = threading.Timer(seconds, work)
    timer.start()
    yield
    timer.join()


def drips_headers(visit: Visit) -> None:
    visit.read_request()
    visit.drip(b"HTTP/1.1 200 OK\r\n" + b"X-Filler: " + b"x" * 10_000)


def drips_header_lines(visit: Visit) -> None:
    visit.read_request()
    visit.send(b"HTTP/1.1 200 OK\r\n")
    for _ in range(90):
        visit.drip(b"A: b\r\n", 0.02)


def drips_body(visit: Visit) -> None:
    visit.read_request()
    visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
    visit.drip(b"x" * 10_000)


def drips_chunks(visit: Visit) -> None:
    visit.read_request()
    visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    visit.drip(b"1\r\nx\r\n" * 10_000, 0.01)


def drips_gzip(visit: Visit) -> None:
    visit.read_request()
    visit.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
    visit.drip(gzip.compress(bytes(range(256)) * 100))


def says_nothing(visit: Visit) -> None:
    visit.read_request()
    visit.drip(b"", 60)
    visit.connection.recv(1)


def continues_for_ever(visit: Visit) -> None:
    visit.read_request()
    while visit.goes_on:
        visit.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.02)


@CALLS
@pytest.mark.parametrize(
    "behaviour",
    [
        drips_headers,
        drips_header_lines,
        drips_body,
        drips_chunks,
        drips_gzip,
        says_nothing,
        continues_for_ever,
    ],
)
def test_one_deadline_holds_for_the_whole_answer(http, raw_server, call, behaviour):
    server = raw_server(behaviour)
    with at_most(2 * DEADLINE):
        assert failure(call, http, server).code == "timeout"


@CALLS
def test_connecting_and_the_handshake_share_the_deadline(http, call):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()

        class Org:
            url = f"https://127.0.0.1:{address[1]}"

        # While the line is full, the system drops who comes, who tries again after a second; nobody answers the handshake.
        with socket.create_connection(address), call_later(0.5, listener.accept), at_most(2.0):
            assert failure(call, http, Org, 1.5).code == "timeout"


@CALLS
def test_a_call_that_timed_out_is_not_sent_again(http, raw_server, call):
    server = raw_server(says_nothing)
    failure(call, http, server, 0.3)
    time.sleep(0.1)
    assert len(server.requests) == 1


@CALLS
def test_the_next_call_over_the_same_connection_has_a_deadline_of_its_own(http, raw_server, call):
    def slow_second(visit: Visit) -> None:
        visit.read_request()
        visit.answer(b"one")
        visit.read_request()
        time.sleep(0.3)
        visit.answer(b"two")

    server = raw_server(slow_second)
    call(http, server, 0.2)
    call(http, server, 2.0)
    assert server.visits == 1


def endless(visit: Visit) -> None:
    visit.read_request()
    visit.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while visit.goes_on:
        visit.send(b"x" * 65_536)


@CALLS
def test_an_endless_answer_is_cut_at_its_cap(http, raw_server, call):
    error = failure(call, http, raw_server(endless), 10.0, max_bytes=1_000_000)
    assert error.code == "too_large"


@CALLS
@pytest.mark.parametrize("length", [b"-1", b"-5"])
def test_a_chunk_of_a_negative_length_does_not_lead_past_the_cap(http, raw_server, call, length):
    def endless_chunk(visit: Visit) -> None:
        visit.read_request()
        visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + length + b"\r\n")
        while visit.goes_on:
            visit.send(b"x" * 65_536)

    tracemalloc.start()
    try:
        assert failure(call, http, raw_server(endless_chunk)).code == "cut_off"
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_the_token_endpoint_may_send_a_megabyte_at_most(http, org):
    org.fail("huge")
    assert failure(post, http, org, 10.0).code == "too_large"


def endless_headers(visit: Visit) -> None:
    visit.read_request()
    visit.send(b"HTTP/1.1 200 OK\r\n")
    while visit.goes_on:
        visit.send(b"X-Filler: " + b"x" * 60_000 + b"\r\n")


@CALLS
def test_endless_headers_are_refused(http, raw_server, call):
    assert failure(call, http, raw_server(endless_headers), 10.0).code == "cut_off"


BOMB = gzip.compress(b"\0" * 200_000_000, compresslevel=9)


@CALLS
@pytest.mark.parametrize("coding", ["gzip", "gzip, gzip"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_gzip_bomb_is_not_unpacked(http, raw_server, call, coding, chunked):
    body = gzip.compress(BOMB) if "," in coding else BOMB
    assert len(body) < 250_000

    def bomb(visit: Visit) -> None:
        visit.read_request()
        if chunked:
            visit.send(
                f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            )
            visit.send(f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")
        else:
            visit.answer(body, f"Content-Encoding: {coding}")

    server = raw_server(bomb)
    tracemalloc.start()
    try:
        assert failure(call, http, server, 10.0, max_bytes=1_000_000).code == "too_large"
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_compressed_answers_are_read(http, org):
    response = http.request(
        "GET",
        org.url + "/services/data",
        auth=NoAuth(),
        timeout_seconds=5.0,
        headers={"Accept-Encoding": "gzip"},
    )
    assert response.headers["Content-Encoding"] == "gzip"
    assert response.json()[0]["version"] == "42.0"


@CALLS
def test_an_answer_cut_in_its_body_is_no_answer(http, raw_server, call):
    def cut(visit: Visit) -> None:
        visit.read_request()
        visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}")

    assert failure(call, http, raw_server(cut)).code == "cut_off"


@CALLS
def test_a_connection_closed_before_any_answer_is_not_called_stale(http, raw_server, call):
    server = raw_server(lambda visit: visit.read_request())
    assert failure(call, http, server, 5.0).code == "cut_off"


def test_a_sign_in_is_posted_once_whatever_happens(http, raw_server):
    server = raw_server(lambda visit: visit.read_request())
    failure(post, http, server)
    assert len(server.requests) == 1


def test_reads_are_tried_again_when_the_connection_is_lost(http, raw_server):
    def second_time_lucky(visit: Visit) -> None:
        if visit.read_request() and visit.number > 1:
            visit.answer(b"here")

    server = raw_server(second_time_lucky)
    assert get(http, server, 5.0).content == b"here"


@pytest.mark.parametrize(("method", "tries"), [("GET", 3), ("POST", 1), ("PATCH", 1), ("DELETE", 1)])
def test_only_reads_are_tried_again_when_the_edge_is_in_trouble(http, raw_server, method, tries):
    def busy(visit: Visit) -> None:
        while visit.read_request():
            visit.answer(b"busy", "Retry-After: 60", status="503 Busy")

    server = raw_server(busy)
    with at_most(3.0):
        response = http.request(method, server.url, auth=NoAuth(), timeout_seconds=5.0)
    assert (response.status_code, len(server.requests)) == (503, tries)


def closes_at_the_second_request(visit: Visit) -> None:
    visit.read_request()
    visit.answer(b"{}")
    visit.read_request()


def test_a_pooled_connection_that_the_host_gave_up_is_told_apart(http, raw_server):
    server = raw_server(closes_at_the_second_request)
    post(http, server)
    assert failure(post, http, server).code == "connection_stale"


def test_a_new_socket_of_a_used_connection_is_not_called_stale(http, raw_server):
    def first_answers_then_none(visit: Visit) -> None:
        if visit.read_request() and visit.number == 1:
            visit.answer(b"{}")

    server = raw_server(first_answers_then_none)
    post(http, server)
    time.sleep(0.1)  # the host's closing arrives, so that the pool opens a new socket
    assert failure(post, http, server).code == "cut_off"
    assert server.visits == 2


@CALLS
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_refused(http, raw_server, call, status):
    def redirect(visit: Visit) -> None:
        visit.read_request()
        visit.answer(
            b"",
            f"Location: {target.url}/services/oauth2/token?x=00D5g000004FaKe!AQsecret",
            status=f"{status} Go",
        )

    target = raw_server(lambda visit: visit.read_request())
    error = failure(call, http, raw_server(redirect))
    assert (error.code, error.status_code) == ("redirected", status)
    assert target.url.removeprefix("http://") in str(error)
    assert "AQsecret" not in str(error)
    assert target.visits == 0


@CALLS
@pytest.mark.parametrize(
    "location", ["http://[", "", "//", "\\\\x", "http://user:planted@h/", "http://h:99999999/"]
)
def test_a_nonsensical_redirect_is_refused_all_the_same(http, raw_server, call, location):
    def redirect(visit: Visit) -> None:
        visit.read_request()
        visit.answer(b"", f"Location: {location}", status="302 Found")

    error = failure(call, http, raw_server(redirect))
    assert error.code == "redirected"
    assert "planted" not in str(error)


@CALLS
def test_a_redirect_with_an_endless_body_is_cut_at_the_cap(http, raw_server, call):
    def endless_redirect(visit: Visit) -> None:
        visit.read_request()
        visit.send(b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/\r\n\r\n")
        while visit.goes_on:
            visit.send(b"x" * 65_536)

    assert failure(call, http, raw_server(endless_redirect), 10.0, max_bytes=1_000_000).code == "too_large"


@CALLS
def test_nothing_listens(http, raw_server, call):
    server = raw_server(lambda visit: None)
    server.close()
    assert failure(call, http, server).code == "connection_refused"


@CALLS
def test_a_name_that_does_not_exist(http, call):
    class Nowhere:
        url = "http://no-such-host.invalid"

    error = failure(call, http, Nowhere, 5.0)
    assert error.code == "dns_failure"
    assert "no-such-host.invalid" in str(error)


# Credentials and cookies


@pytest.fixture
def netrc(tmp_path, monkeypatch):
    file = tmp_path / "netrc"
    file.write_text(
        "machine 127.0.0.1 login planted password planted\ndefault login planted password planted\n"
    )
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))


def answers_ok(visit: Visit) -> None:
    while visit.read_request():
        visit.answer(b"{}", "Set-Cookie: BrowserId=planted; Path=/; Max-Age=31536000")


@pytest.mark.usefixtures("netrc")
def test_netrc_is_never_used(http, raw_server):
    server = raw_server(answers_ok)
    post(http, server)
    get(http, server)
    http.request("GET", server.url, auth=BearerAuth("the-token", server.url), timeout_seconds=5.0)
    token_call, without_token, with_token = server.requests
    assert b"authorization" not in token_call.lower()
    assert b"authorization" not in without_token.lower()
    assert b"Authorization: Bearer the-token\r\n" in with_token


@CALLS
def test_cookies_are_not_sent_back(http, raw_server, call):
    server = raw_server(answers_ok)
    call(http, server)
    call(http, server)
    assert len(server.requests) == 2
    assert b"cookie:" not in server.requests[1].lower()


@pytest.mark.parametrize(
    "foreign",
    [
        "http://127.0.0.2:{port}/",
        "http://localhost:{port}/",
        "https://127.0.0.1:{port}/",
        "http://127.0.0.1:1/",
    ],
)
def test_the_bearer_is_sent_to_its_own_origin_only(http, raw_server, foreign):
    server = raw_server(answers_ok)
    port = server.url.rpartition(":")[2]
    with pytest.raises(InvalidInput, match="is not sent to"):
        http.request(
            "GET", foreign.format(port=port), auth=BearerAuth("planted", server.url), timeout_seconds=1.0
        )
    assert server.visits == 0


def test_the_token_request_is_a_form(http, raw_server):
    server = raw_server(answers_ok)
    http.post_form(server.url + "/t", {"assertion": "a.b&c", "x": "ü"}, timeout_seconds=1.0)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /t HTTP/1.1\r\n")
    assert b"Content-Type: application/x-www-form-urlencoded" in head
    assert body == b"assertion=a.b%26c&x=%C3%BC"


# Proxies


class Proxy:
    """Notes what it is asked and passes plain requests on to one server; tunnels are refused with 403."""

    def __init__(self, raw_server) -> None:
        self.server: RawServer = raw_server(self._serve)
        self.address = self.server.url.removeprefix("http://")

    def _serve(self, visit: Visit) -> None:
        while request := visit.read_request():
            if request.startswith(b"CONNECT "):
                visit.answer(b"no", status="403 Forbidden")
                return
            visit.answer(b'{"by": "proxy"}')


@pytest.fixture
def proxy(raw_server, monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return Proxy(raw_server)


@CALLS
@pytest.mark.parametrize("form", ["http://{}", "{}", "http://ann:pass%40word@{}"])
def test_the_proxy_of_the_environment_is_used(http, raw_server, proxy, monkeypatch, call, form):
    server = raw_server(answers_ok)
    monkeypatch.setenv("http_proxy", form.format(proxy.address))
    call(http, server)
    (request,) = proxy.server.requests
    assert f" {server.url}/".encode() in request.split(b"\r\n")[0]
    credentials = b"Proxy-Authorization: Basic " + b64encode(b"ann:pass@word")
    assert (credentials in request) == ("ann" in form)
    assert server.visits == 0


@CALLS
def test_no_proxy_is_honoured(http, raw_server, proxy, monkeypatch, call):
    server = raw_server(answers_ok)
    monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
    monkeypatch.setenv("no_proxy", "salesforce.test,127.0.0.1")
    call(http, server)
    assert (server.visits, proxy.server.visits) == (1, 0)


@CALLS
def test_a_proxy_that_refuses_the_tunnel_is_named_as_the_culprit(http, proxy, monkeypatch, call):
    class Org:
        url = "https://acme.my.salesforce.com"

    monkeypatch.setenv("https_proxy", f"http://{proxy.address}")
    assert failure(call, http, Org, 5.0).code == "proxy_failure"
    assert proxy.server.requests[0].startswith(b"CONNECT acme.my.salesforce.com:443 ")


@CALLS
@pytest.mark.parametrize("address", ["http://no-such-proxy.invalid:3128", "http://127.0.0.1:1"])
def test_a_proxy_that_can_not_be_reached_is_named_as_the_culprit(http, proxy, monkeypatch, call, address):
    class Org:
        url = "https://acme.my.salesforce.com"

    monkeypatch.setenv("https_proxy", address)
    assert failure(call, http, Org, 5.0).code == "proxy_failure"


@CALLS
def test_a_tunnel_that_drips_keeps_to_the_deadline(http, raw_server, proxy, monkeypatch, call):
    class Org:
        url = "https://acme.my.salesforce.com"

    monkeypatch.setenv("https_proxy", raw_server(drips_headers).url)
    with at_most(2 * DEADLINE):
        assert failure(call, http, Org).code in ("timeout", "proxy_failure")


@CALLS
def test_a_socks_proxy_is_never_passed_by(http, raw_server, proxy, monkeypatch, call):
    server = raw_server(answers_ok)
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    assert failure(call, http, server).code in ("proxy_failure", "connection_refused", "cut_off")
    assert server.visits == 0


# TLS


@pytest.fixture(scope="module")
def tls_org():
    with StandIn(tls=True) as server:
        yield server.org, str(server.ca_file)


@CALLS
def test_a_certificate_nobody_vouches_for_is_refused(http, tls_org, call, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    assert failure(call, http, tls_org[0], 5.0).code == "tls_failure"


@CALLS
def test_authorities_come_from_the_environment(http, tls_org, call, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", tls_org[1])
    call(http, tls_org[0], 5.0)


@CALLS
def test_a_certificate_for_another_host_is_refused(http, call, raw_server, monkeypatch, tmp_path):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.example").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))

    def impostor(visit: Visit) -> None:
        with context.wrap_socket(visit.connection, server_side=True) as connection:
            connection.recv(1)

    class Org:
        url = raw_server(impostor).url.replace("http:", "https:")

    assert failure(call, http, Org, 5.0).code == "tls_failure"


@CALLS
def test_a_tls_handshake_that_hangs_keeps_to_the_deadline(http, call, raw_server):
    class Org:
        url = raw_server(lambda visit: visit.drip(b"\x16\x03\x03\x40\x00" + b"\0" * 200)).url.replace(
            "http:", "https:"
        )

    with at_most(2 * DEADLINE):
        assert failure(call, http, Org).code in ("timeout", "tls_failure")


@CALLS
def test_a_host_that_speaks_no_tls_is_a_tls_failure(http, call, raw_server):
    class Org:
        url = raw_server(lambda visit: visit.answer(b"plain", status="400 Bad Request")).url.replace(
            "http:", "https:"
        )

    assert failure(call, http, Org, 5.0).code == "tls_failure"


# Many threads


def test_deadlines_of_threads_do_not_mix(http, raw_server):
    """A short deadline in one thread must not cut another thread's call over the same pool."""

    def slow(visit: Visit) -> None:
        while visit.read_request():
            time.sleep(0.4)
            visit.answer(b"{}")

    server = raw_server(slow)
    outcomes: dict[float, str] = {}

    def call(seconds: float) -> None:
        try:
            outcomes[seconds] = str(post(http, server, seconds).status)
        except TransportError as exc:
            outcomes[seconds] = exc.code

    threads = [threading.Thread(target=call, args=(seconds,)) for seconds in (0.1, 2.0, 0.2, 3.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert outcomes == {0.1: "timeout", 2.0: "200", 0.2: "timeout", 3.0: "200"}


# What is told of an answer


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (
            b"<html><head><style>p{}</style></head><body><p>Down for <b>maintenance</b>",
            "Down for maintenance",
        ),
        (b"<script>var planted = 1</script>Hello<br", "Hello"),
        (
            b"\xff\xfe\x00bad \x1b[31mred",
            "\N{REPLACEMENT CHARACTER}" * 3 + "bad \N{REPLACEMENT CHARACTER}[31mred",
        ),
        (b"", "(empty)"),
        (b"<html></html>", "(empty)"),
        (b"x " * 500, "x " * 100),
        (b"signature " + b"x" * 342 + b" ends", "signature [342 characters hidden] ends"),
        (b"token 00D5g000004FaKe!AQplanted.token here", "token [31 characters hidden] here"),
        (b"assertion eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIz.c2ln ends", "assertion [38 characters hidden] ends"),
        (
            b"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIz\nQ0FOQVJZQ0FOQVJZQ0FOQVJZ.Q0FOQVJZ\nQ0FOQVJZQ0FOQVJZQ0FOQVJZ ends",
            "[92 characters hidden] ends",
        ),
        (b"one\r\ntwo\tthree", "one two three"),
    ],
)
def test_an_excerpt_is_short_plain_and_harmless(body, shown):
    assert excerpt(body) == shown


@pytest.mark.parametrize("text", ["a\x00b", "a\x1bb", "a\ud800b", "a\x9bb"])
def test_what_upsets_terminals_and_databases_is_replaced(text):
    assert mask(text) == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"<html>", 200, "not_json"),
        (b"", 200, "not_json"),
        (b'{"access_token":"00D', 200, "not_json"),
        (b'{"a": NaN}', 200, "not_json"),
        (b"[" * 100_000, 200, "not_json"),
        (b"\xff\xfe\x00", 200, "not_json"),
        (b'{"a": ' + b"9" * 5000 + b"}", 200, "not_json"),
        (b"<html>down</html>", 503, "http_503"),
        (b"", 404, "http_404"),
    ],
    ids=lambda given: str(given)[:24],
)
def test_an_answer_that_is_no_json_is_told_by_its_status(body, status, code):
    if len(body) > 10_000:
        gc.collect()  # others' finalizers would fail at the depth to which this one is read
    with pytest.raises(TransportError) as caught:
        Answer(status, {"Content-Type": "text/html;charset=x"}, body).json()
    assert (caught.value.code, caught.value.status_code) == (code, status)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("half", [rb"\ud83d", rb"\uDE00", b"\xed\xa0\xbd", rb"\ud83d\ud83d\ude00"])
def test_half_an_emoji_is_replaced(half):
    whole = "\N{GRINNING FACE}" if len(half) > 6 else ""
    assert Answer(200, {}, b'{"a": ["b' + half + b'c"]}').json() == {
        "a": [f"b\N{REPLACEMENT CHARACTER}{whole}c"]
    }


@pytest.mark.parametrize(
    ("date", "skew"),
    [
        ("Thu, 01 Jan 1970 00:00:00 GMT", 100.0),
        ("Thu, 01 Jan 1970 00:05:00 GMT", -200.0),
        ("yesterday", None),
        ("", None),
        ("Thu, 01 Jan 1970 00:00:00 +9999", None),
        ("Thu, 01 Jan 99999 00:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -0001", None),
    ],
)
def test_the_clock_is_compared_with_the_hosts(date, skew):
    assert Answer(200, {"Date": date}, b"").clock_skew_seconds(100.0) == skew


def test_an_answer_does_not_show_its_body():
    assert "planted" not in repr(Answer(200, {}, b"planted"))


@pytest.mark.parametrize(
    "url",
    [
        "https://acme.my.salesforce.com",
        "https://acme--uat.sandbox.my.salesforce.com/",
        "http://127.0.0.1:8000",
        "http://[::1]:8000/x?y=z",
        "HTTPS://ACME.my.salesforce.com/customers",
    ],
)
def test_web_addresses(url):
    assert is_web_address(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "acme.my.salesforce.com",
        "ftp://acme.my.salesforce.com",
        "https://",
        "https:///path",
        "https://[",
        "https://evil.example\\@acme.my.salesforce.com",
        "https://evil.example\\.my.salesforce.com",
        "https://evil.example#.my.salesforce.com",
        "https://evil.example?.my.salesforce.com",
        "https://user@acme.my.salesforce.com",
        "https://user:word@acme.my.salesforce.com",
        "https://acme.my.salesforce.com:99999",
        "https://acme.my.salesforce.com:0",
        "https://acme.my.salesforce.com:x",
        "https://acme.my.salesforce.com/a b",
        "https://acme.my.salesforce.com\n",
        "https://acme.my.salesforce.com/\nX: y",
        "https://ac\tme.my.salesforce.com",
        "https://äcme.my.salesforce.com",
        " https://acme.my.salesforce.com",
    ],
)
def test_addresses_that_parsers_read_differently_are_none(url):
    assert not is_web_address(url)


def test_a_closed_http_can_be_used_again(http, org):
    post(http, org, 5.0)
    http.close()
    post(http, org, 5.0)
    http.close()


@pytest.mark.parametrize(
    "left",
    [ssl.SSLEOFError(8, "EOF"), ssl.SSLZeroReturnError(6, "closed"), ConnectionResetError(104, "reset")],
    ids=lambda exc: type(exc).__name__,
)
def test_a_host_that_leaves_the_handshake_has_shown_no_wrong_certificate(left: OSError) -> None:
    """Which of these comes is a matter of time and of OpenSSL's version; urllib3 wraps each alike."""
    wrapped = urllib3.exceptions.SSLError(left)
    assert transport_error(wrapped, "https://acme.my.salesforce.com", 10).code == "cut_off"
