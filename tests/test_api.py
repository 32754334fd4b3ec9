from __future__ import annotations

import asyncio
import datetime as dt
import io
import time

import pytest
import requests
from django.core.exceptions import SynchronousOnlyOperation
from django.utils import timezone

from sf_integration import (
    ActionNeeded,
    InvalidInput,
    SalesforceAuth,
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
