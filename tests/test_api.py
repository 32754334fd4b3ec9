from __future__ import annotations

import asyncio
import datetime as dt
import io
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections
from django.utils import timezone
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from sf_integration import (
    ActionNeeded,
    InvalidInput,
    SalesforceAuth,
    SalesforceError,
    Token,
    TransportError,
    UnknownConnection,
    aget_token,
    get_client,
    get_token,
    tokens,
)
from sf_integration.models import AccessToken
from sf_integration.testing.django import ConnectableOrg

pytestmark = pytest.mark.django_db(transaction=True)

ACCOUNT = "001Dn00000Gi7HJIAZ"


def test_readme_example_works(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("reporting")
    with get_client("reporting") as sf:
        assert sf.identity().username == salesforce_org.user.username
        names = [
            row["Name"] for row in sf.query_all("SELECT Id, Name FROM Account WHERE Name LIKE {}", "Kaff%")
        ]
        assert names
        assert sf.record("Account", ACCOUNT, fields=["Name", "AccountNumber"])["AccountNumber"]


def test_client_pages_lazily(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    with get_client("acme") as sf:
        rows = sf.query_all("SELECT Id FROM Contact")
        next(rows)
        asked = len(salesforce_org.requests)
        assert sum(1 for _ in rows) == 2499
        assert len(salesforce_org.requests) == asked + 1


def test_making_a_client_calls_nothing(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    get_client("acme")
    assert salesforce_org.requests == []


def test_client_of_an_unknown_connection_fails_at_once(salesforce_org: ConnectableOrg) -> None:
    with pytest.raises(UnknownConnection):
        get_client("nobody")


def an_hour_ago() -> None:
    """As if the stored tokens had been issued some time ago."""
    AccessToken.objects.update(issued_at=timezone.now() - dt.timedelta(hours=1))
    tokens.reset()


def test_moved_instance_is_followed(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    old = get_token("acme")
    an_hour_ago()
    salesforce_org.move()
    with get_client("acme") as sf:
        assert sf.query("SELECT Id FROM Account LIMIT 1").total_size == 1
    assert get_token("acme").instance_url == salesforce_org.instance_url != old.instance_url
    assert salesforce_org.token_requests == 2


def test_redirect_without_a_move_costs_one_sign_in(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    get_token("acme")
    an_hour_ago()
    salesforce_org.fail("redirect", where="rest", times=None)
    with get_client("acme") as sf:
        for _ in range(5):
            with pytest.raises(TransportError, match="redirects to"):
                sf.query("SELECT Id FROM Account LIMIT 1")
    assert salesforce_org.token_requests == 2


def test_own_session_is_signed_and_replayed_once(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    token = get_token("acme")
    salesforce_org.end_sessions()
    with requests.Session() as session:
        answer = session.get(f"{token.instance_url}/services/data/v66.0/limits", auth=SalesforceAuth("acme"))
    assert answer.status_code == 200
    assert [earlier.status_code for earlier in answer.history] == [401]
    assert salesforce_org.token_requests == 2


def test_a_file_is_sent_whole_again(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    token = get_token("acme")
    salesforce_org.end_sessions()
    body = io.BytesIO(b'{"LastName": "Again"}')
    answer = requests.post(
        f"{token.instance_url}/services/data/v66.0/sobjects/Contact",
        data=body,
        headers={"Content-Type": "application/json"},
        auth=SalesforceAuth("acme"),
        timeout=10,
    )
    assert answer.status_code == 201, answer.text


def test_bearer_goes_to_the_own_instance_only(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    with pytest.raises(InvalidInput, match="not sent"):
        requests.get("http://127.0.0.1:9/steal", auth=SalesforceAuth("acme"), timeout=5)


LIMITS = "/services/data/v66.0/limits"


def test_a_redirect_elsewhere_goes_without_the_token(salesforce_org: ConnectableOrg) -> None:
    """Also where a subclass has put it; and what is said of sessions there costs no sign-in."""
    salesforce_org.connect("acme")
    foreign = salesforce_org.add_org()
    token = get_token("acme")
    salesforce_org.fail("redirect", where="rest", location=f"{foreign.url}{LIMITS}", times=None)

    class Auth(SalesforceAuth):
        def sign(self, request: requests.PreparedRequest, token: Token) -> None:
            super().sign(request, token)
            request.headers["X-SFDC-Session"] = token.value

    answer = requests.get(token.instance_url + LIMITS, auth=Auth("acme"), timeout=5)
    assert answer.url.startswith(foreign.url)
    assert answer.status_code == 401
    assert token.value not in str(answer.request.headers)
    assert "X-SFDC-Session" not in answer.request.headers
    assert salesforce_org.token_requests == 1


def test_a_redirect_back_without_the_token_says_nothing_of_the_session(
    salesforce_org: ConnectableOrg,
) -> None:
    salesforce_org.connect("acme")
    foreign, token = salesforce_org.add_org(), get_token("acme")
    salesforce_org.fail("redirect", where="rest", location=f"{foreign.url}{LIMITS}")
    foreign.fail("redirect", where="rest", location=token.instance_url + LIMITS)
    answer = requests.get(token.instance_url + LIMITS, auth=SalesforceAuth("acme"), timeout=5)
    assert (answer.status_code, len(answer.history)) == (401, 2)
    assert salesforce_org.token_requests == 1


def test_cookies_of_the_session_stay_out_of_redirects_too(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    url = get_token("acme").instance_url + LIMITS
    salesforce_org.fail("redirect", where="rest", location=url)
    with requests.Session() as session:
        session.auth = SalesforceAuth("acme")
        session.cookies.set("sid", "of another org", domain="127.0.0.1")
        answer = session.get(url, timeout=5)
    assert (answer.status_code, len(answer.history)) == (200, 1)
    assert "Cookie" not in answer.request.headers


def test_a_body_that_tells_its_place_and_can_not_go_back_is_not_replayed(
    salesforce_org: ConnectableOrg,
) -> None:
    salesforce_org.connect("acme")
    url = f"{get_token('acme').instance_url}/services/data/v66.0/sobjects/Contact"
    salesforce_org.end_sessions()

    class Forward:
        def __iter__(self) -> Iterator[bytes]:
            yield b"{}"

        def tell(self) -> int:
            return 0

    assert requests.post(url, data=Forward(), auth=SalesforceAuth("acme"), timeout=5).status_code == 401


def test_a_body_that_can_not_be_sent_twice_is_not_cut(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    url = f"{get_token('acme').instance_url}/services/data/v66.0/sobjects/Contact"
    salesforce_org.end_sessions()

    def post() -> requests.Response:
        body = iter([b'{"LastName":', b' "Once"}'])
        headers = {"Content-Type": "application/json"}
        return requests.post(url, data=body, headers=headers, auth=SalesforceAuth("acme"), timeout=5)

    refused = post()
    assert refused.status_code == 401
    assert refused.json()[0]["errorCode"] == "INVALID_SESSION_ID"
    assert post().status_code == 201
    assert len(salesforce_org.query("SELECT Id FROM Contact WHERE LastName = 'Once'")) == 1


def test_an_answer_can_be_streamed(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    token = get_token("acme")
    salesforce_org.end_sessions()
    url, auth = f"{token.instance_url}/services/data/v66.0/limits", SalesforceAuth("acme")
    with requests.get(url, auth=auth, stream=True, timeout=5) as answer:
        assert not answer._content_consumed  # type: ignore[attr-defined]
        assert b"DailyApiRequests" in b"".join(answer.iter_content(50))


def test_it_is_replayed_once_also_where_the_session_retries(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    url = get_token("acme").instance_url + LIMITS
    dead = {"status": 401, "code": "INVALID_SESSION_ID", "message": "Session expired or invalid"}
    salesforce_org.fail("rest_error", times=None, **dead)
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=Retry(3, status_forcelist=[503])))
        session.auth = SalesforceAuth("acme")
        asked = len(salesforce_org.requests)
        assert session.get(url, timeout=5).status_code == 401
        paths = [request.path for request in salesforce_org.requests[asked:]]
        assert paths.count(LIMITS) == 2
        assert salesforce_org.token_requests == 2
        salesforce_org.heal()
        salesforce_org.fail("maintenance", where="rest", times=2)
        assert session.get(url, timeout=5).status_code == 200
    assert salesforce_org.token_requests == 2


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [(401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API"), (403, "X", "no")],
)
def test_refusals_that_look_alike_cost_no_sign_in(
    salesforce_org: ConnectableOrg, status: int, code: str, message: str
) -> None:
    salesforce_org.connect("acme")
    url = get_token("acme").instance_url + LIMITS
    salesforce_org.fail("rest_error", status=status, code=code, message=message)
    answer = requests.get(url, auth=SalesforceAuth("acme"), timeout=5)
    assert (answer.status_code, answer.history) == (status, [])
    assert salesforce_org.token_requests == 1


def test_threads_share_one_auth_and_one_renewal(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    url = get_token("acme").instance_url + LIMITS
    salesforce_org.end_sessions()
    with requests.Session() as session, ThreadPoolExecutor(8) as pool:
        session.auth = SalesforceAuth("acme")

        def ask(_: int) -> int:
            try:
                return session.get(url, timeout=5).status_code
            finally:
                connections.close_all()

        assert set(pool.map(ask, range(16))) == {200}
    assert salesforce_org.token_requests == 2


def test_cookies_of_another_org_stay_away(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    token = get_token("acme")
    with requests.Session() as session:
        session.cookies.set("sid", "of another org", domain="127.0.0.1", path="/")
        salesforce_org.end_sessions()
        answer = session.get(token.instance_url + LIMITS, auth=SalesforceAuth("acme"), timeout=5)
    assert answer.status_code == 200
    assert "Cookie" not in answer.request.headers
    assert "Cookie" not in answer.history[0].request.headers


def test_the_replay_follows_an_instance_that_has_moved(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    old = get_token("acme")
    salesforce_org.move()
    dead = [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}]
    salesforce_org.fail("answer", where="rest", status=401, body=dead)
    answer = requests.get(f"{old.instance_url}{LIMITS}?a=b", auth=SalesforceAuth("acme"), timeout=5)
    assert answer.status_code == 200
    assert answer.url == f"{salesforce_org.instance_url}{LIMITS}?a=b"
    assert old.instance_url != salesforce_org.instance_url


def test_netrc_does_not_replace_the_bearer(
    salesforce_org: ConnectableOrg, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"  # type: ignore[operator]
    netrc.write_text("machine 127.0.0.1 login someone password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    salesforce_org.connect("acme")
    token = get_token("acme")
    url = f"{token.instance_url}/services/data/v66.0/limits"
    assert requests.get(url, auth=SalesforceAuth("acme"), timeout=5).status_code == 200
    with get_client("acme") as sf:
        assert sf.limits()


def test_a_waiting_coroutine_does_not_stop_the_others(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    salesforce_org.fail("slow", seconds=0.8)

    async def ticks() -> int:
        count = 0
        while True:
            await asyncio.sleep(0.02)
            count += 1
            if token.done():
                return count

    async def main() -> int:
        nonlocal token
        token = asyncio.ensure_future(aget_token("acme"))
        counted = await ticks()
        assert (await token).value == (await aget_token("acme")).value
        return counted

    token: asyncio.Future[object]
    assert asyncio.run(main()) > 15


def test_concurrent_coroutines_share_one_sign_in(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    salesforce_org.fail("slow", seconds=0.2)

    async def main() -> set[str]:
        return {token.value for token in await asyncio.gather(*(aget_token("acme") for _ in range(20)))}

    assert len(asyncio.run(main())) == 1
    assert salesforce_org.token_requests == 1


@pytest.mark.parametrize("warm", [True, False])
def test_in_an_event_loop_the_plain_calls_say_what_to_use(salesforce_org: ConnectableOrg, warm: bool) -> None:
    """Always, not only when the database has to be asked."""
    salesforce_org.connect("acme", api_version="67.0")
    with get_client("acme") as client:
        if warm:
            get_token("acme")

        async def main() -> None:
            for ask in (lambda: get_token("acme"), client.limits):
                with pytest.raises(SynchronousOnlyOperation, match="use `await aget_token"):
                    ask()

        asyncio.run(main())


def test_who_told_django_that_it_is_safe_may_use_them_in_a_loop(
    salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    salesforce_org.connect("acme")
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")

    async def main() -> str:
        return get_token("acme").value

    assert asyncio.run(main())


def test_error_is_ready_to_be_logged(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.user.active = False
    salesforce_org.connect("billing")
    with pytest.raises(ActionNeeded) as caught:
        get_token("billing")
    assert "deactivated" in caught.value.cause
    assert caught.value.remedy


def test_a_warm_token_is_quick(salesforce_org: ConnectableOrg) -> None:
    """Not a benchmark: it fails only if the hot path does a query or a decryption."""
    salesforce_org.connect("acme")
    get_token("acme")
    started = time.perf_counter()
    for _ in range(10_000):
        get_token("acme")
    assert time.perf_counter() - started < 2


@pytest.mark.django_db(transaction=True)
def test_versions_are_asked_for_once_however_many_clients(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", api_version="")
    for _ in range(3):
        get_client("acme").query("SELECT Id FROM Account LIMIT 1")
    assert [each.path for each in salesforce_org.requests].count("/services/data") == 1


def test_errors_tell_their_connection(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    with pytest.raises(SalesforceError) as of_a_call:
        get_client("acme").query("SELECT Nothing FROM Account")
    salesforce_org.user.active = False
    salesforce_org.end_sessions()
    with pytest.raises(SalesforceError) as of_the_sign_in:
        get_client("acme").limits()
    with pytest.raises(SalesforceError) as unknown:
        get_token("acne")
    assert of_a_call.value.connection == of_the_sign_in.value.connection == "acme"
    assert unknown.value.connection == "acne"


@pytest.mark.parametrize("body", ["<html>", "[1]", '{"child": {"totalSize": 1, "records": ["x"]}}'])
def test_errors_of_garbled_answers_tell_their_connection_too(
    salesforce_org: ConnectableOrg, body: str
) -> None:
    salesforce_org.connect("acme")
    client, record_id = get_client("acme"), "001000000000001AAA"
    assert client.api_version  # it is asked for before the answers are garbled
    calls = (
        lambda: client.query("SELECT Id FROM Account"),
        lambda: client.record("Account", record_id),
        lambda: client.record_by_external_id("Account", "Id", record_id),
        lambda: client.create("Account", {"Name": "Acme"}),
        lambda: client.delete_many([record_id]),
    )
    salesforce_org.fail("answer", status=200, body=body, where="rest", times=len(calls))
    for call in calls:
        with pytest.raises(TransportError) as garbled:
            call()
        assert garbled.value.connection == "acme"


def test_several_connections_and_none_named_is_one_sentence(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    salesforce_org.connect("globex")
    with pytest.raises(UnknownConnection, match="There is not just one connection: name one, or set"):
        get_token()
