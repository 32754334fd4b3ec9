"""Tokens and clients in async code: whoever waits for an org never stops the others."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import SynchronousOnlyOperation
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.http import HttpRequest, JsonResponse
from django.test import AsyncClient as Browser
from django.test import override_settings
from django.urls import path

from sf_integration import (
    ApiError,
    AsyncClient,
    Client,
    UnknownConnection,
    aget_client,
    aget_token,
    get_client,
    get_token,
    tokens,
)
from sf_integration.api.threads import AT_ONCE
from sf_integration.models import AccessToken
from sf_integration.testing.django import ConnectableOrg
from tests.test_docs import examples

pytestmark = pytest.mark.django_db(transaction=True)

ACCOUNT = "001Dn00000Gi7HJIAZ"


def threads() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name.startswith("sf_integration")}


def public(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}


def test_it_has_every_method_of_the_client() -> None:
    assert public(AsyncClient) >= public(Client)
    for name in public(Client):
        theirs, ours = inspect.getattr_static(Client, name), inspect.getattr_static(AsyncClient, name)
        if inspect.isfunction(theirs):
            assert inspect.signature(ours).parameters == inspect.signature(theirs).parameters, name
            is_awaited = inspect.iscoroutinefunction(ours) or inspect.isasyncgenfunction(ours)
            assert is_awaited or name == "with_timeout"


def test_calls_are_those_of_the_client(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")

    async def main() -> None:
        async with aget_client("acme") as sf:
            assert (await sf.identity()).username == salesforce_org.user.username
            assert (await sf.query("SELECT Id FROM Account WHERE Name LIKE {}", "Kaff%")).total_size
            assert (await sf.record("Account", ACCOUNT, fields=["Name"]))["Name"]
            assert (await sf.request("GET", "limits")).status_code == 200
            assert await sf.instance_url == salesforce_org.instance_url
            assert float(await sf.api_version) > 60
            assert sf.api_usage is not None
            with pytest.raises(ApiError):
                await sf.query("SELECT Nothing FROM Account")
        with pytest.raises(UnknownConnection):
            await aget_client("nobody")

    asyncio.run(main())


def test_pages_are_fetched_as_they_are_taken(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")

    async def main() -> int:
        sf = await aget_client("acme")
        rows = sf.query_all("SELECT Id FROM Contact")
        await anext(rows)
        asked = len(salesforce_org.requests)
        count = sum([1 async for _ in rows])
        assert len(salesforce_org.requests) == asked + 1
        return count

    assert asyncio.run(main()) == 2499


def test_an_ended_session_is_renewed_within_the_call(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")

    async def main() -> None:
        sf = await aget_client("acme")
        await sf.limits()
        salesforce_org.end_sessions()
        assert await asyncio.gather(*(sf.limits() for _ in range(5)))

    asyncio.run(main())
    assert salesforce_org.token_requests == 2


@asynccontextmanager
async def ticking(most_seconds: float = 0.5) -> AsyncIterator[None]:
    """The loop goes on meanwhile."""
    gaps = []

    async def tick() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            gaps.append(time.monotonic() - before)

    clock = asyncio.create_task(tick())
    yield
    clock.cancel()
    assert len(gaps) > 5
    assert max(gaps) < most_seconds


def test_who_waits_for_a_stalled_login_host_stops_nobody(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    other = salesforce_org.add_org()
    other.connect("other")
    salesforce_org.fail("slow", seconds=1.2)

    async def main() -> None:
        async with ticking():
            waiting = [asyncio.create_task(aget_token("acme")) for _ in range(50)]
            await asyncio.sleep(0.1)
            async with asyncio.timeout(1.0):
                assert (await aget_token("other")).value
                assert await (await aget_client("other")).limits()
                assert await asyncio.to_thread(lambda: "the loop's own threads are free")
            assert not any(task.done() for task in waiting)
            assert len(set(await asyncio.gather(*waiting))) == 1

    asyncio.run(main())
    assert salesforce_org.token_requests == 1


def test_calls_of_a_stalled_org_leave_its_token_and_other_orgs_alone(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", api_version="67.0")
    other = salesforce_org.add_org()
    other.connect("other")
    get_token("acme")
    salesforce_org.fail("slow", seconds=1.0, where="rest", times=AT_ONCE)

    async def main() -> None:
        sf = await aget_client("acme")
        async with ticking():
            waiting = [asyncio.create_task(sf.limits()) for _ in range(AT_ONCE + 5)]
            await asyncio.sleep(0.2)
            async with asyncio.timeout(0.7):
                tokens.current().copies[("acme", None)].next_look = 0.0
                assert (await aget_token("acme")).value
                assert await (await aget_client("other")).limits()
            assert not any(task.done() for task in waiting)
            await asyncio.gather(*waiting)

    asyncio.run(main())


def test_a_caller_who_gives_up_leaves_the_sign_in_to_the_others(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    salesforce_org.fail("slow", seconds=0.8)

    async def main() -> None:
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await aget_token("acme")
        assert time.monotonic() - started < 0.6
        assert (await aget_token("acme")).value

    asyncio.run(main())
    assert salesforce_org.token_requests == 1
    assert AccessToken.objects.get().claimed_until is None


def test_callers_who_give_up_leave_no_more_threads_than_there_may_be(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")

    async def main() -> None:
        sf = await aget_client("acme")
        await sf.limits()
        of_earlier_tests = threads()
        salesforce_org.fail("slow", where="rest", seconds=1.0, times=None)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await asyncio.gather(*(sf.limits() for _ in range(AT_ONCE)))
        assert len(threads() - of_earlier_tests) <= AT_ONCE

    asyncio.run(main())


async def limits(request: HttpRequest) -> JsonResponse:
    sf = await aget_client("acme")
    return JsonResponse({"calls": (await sf.limits())["DailyApiRequests"]["Max"]})


urlpatterns = [path("limits/", limits)]


@override_settings(ROOT_URLCONF=__name__)
def test_async_views_use_it(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    assert async_to_sync(Browser().get)("/limits/").json()["calls"] > 0


def test_the_example_of_the_document_runs(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme-prod")
    [example] = examples("From async code")
    made: dict[str, Any] = {}
    exec(example, made)
    assert json.loads(asyncio.run(made["accounts"](None)).content)["names"]


@contextmanager
def opened() -> Iterator[list[BaseDatabaseWrapper]]:
    """The database connections that are opened meanwhile."""
    found: list[BaseDatabaseWrapper] = []

    def note(connection: BaseDatabaseWrapper, **_: object) -> None:
        found.append(connection)

    connection_created.connect(note)
    yield found
    connection_created.disconnect(note)


def test_nothing_is_left_of_it(salesforce_org: ConnectableOrg) -> None:
    """Neither database connections nor threads."""
    salesforce_org.connect("acme")
    of_earlier_tests = threads()

    async def main() -> None:
        sf = await aget_client("acme")
        await asyncio.gather(*(sf.limits() for _ in range(10)))

    with opened() as connections:
        asyncio.run(main())
    assert connections
    assert all(each.connection is None for each in connections)
    gc.collect()
    deadline = time.monotonic() + 2
    while ours := threads() - of_earlier_tests:
        assert time.monotonic() < deadline, ours
        time.sleep(0.01)


def test_the_plain_calls_name_their_twins(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", api_version="67.0")
    sf = get_client("acme")

    async def main() -> None:
        with pytest.raises(SynchronousOnlyOperation, match=r"await aget_token.*await aget_client"):
            sf.limits()

    asyncio.run(main())
