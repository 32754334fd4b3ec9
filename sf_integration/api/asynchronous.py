"""The same for async code: whoever waits never stops the others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import requests

from ..salesforce.oauth import Token
from ..salesforce.rest import DEFAULT_TIMEOUT_SECONDS, ApiUsage, Client, QueryResult, Record
from .connections import get_client, get_token, renew_token
from .threads import in_thread

P = ParamSpec("P")
R = TypeVar("R")


async def aget_token(name: str | None = None, *, username: str | None = None) -> Token:
    """`get_token` for async code: a caller who waits for a sign-in never stops the others."""
    from .. import tokens

    token = tokens.in_memory(name, username) if name else None
    if token is not None:
        return token
    return await in_thread(("tokens", name, username), get_token, name, username=username)


async def arenew_token(name: str | None, username: str | None, failed: Token) -> Token:
    return await in_thread(("tokens", name, username), renew_token, name, username, failed)


def aget_client(
    name: str | None = None,
    *,
    username: str | None = None,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
) -> ComingClient:
    """`get_client` for async code: `async with aget_client("acme") as sf:`, or `sf = await aget_client("acme")`."""
    return ComingClient(name, username, timeout_seconds)


@dataclass(frozen=True)
class ComingClient:
    """An AsyncClient that is made when it is awaited or entered."""

    _name: str | None
    _username: str | None
    _timeout_seconds: float

    def __await__(self) -> Generator[Any, None, AsyncClient]:
        return self._made().__await__()

    async def __aenter__(self) -> AsyncClient:
        return await self

    async def __aexit__(self, *_: object) -> None:
        """There is nothing to close."""

    async def _made(self) -> AsyncClient:
        name, username = self._name, self._username
        client = await in_thread(
            ("tokens", name, username),
            get_client,
            name,
            username=username,
            timeout_seconds=self._timeout_seconds,
        )
        return AsyncClient(client, name, username)


def _awaited(
    method: Callable[Concatenate[Client, P], R],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, R]]:
    """The client's method, run in a thread."""

    @wraps(method)
    async def call(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._in_thread(method, self._client, *args, **kwargs)

    return call


class AsyncClient:
    """A `Client` whose methods are awaited; made by `aget_client`. Its calls run in threads, a limited number at a time.

    It uses the connection pools of the process, so there is nothing to close; `async with` works all the same.
    """

    def __init__(self, client: Client, name: str | None, username: str | None) -> None:
        self._client = client
        self._name = name
        self._username = username

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def api_usage(self) -> ApiUsage | None:
        return self._client.api_usage

    @property
    async def api_version(self) -> str:
        return await self._in_thread(lambda: self._client.api_version)

    @property
    async def instance_url(self) -> str:
        return await self._in_thread(lambda: self._client.instance_url)

    def with_timeout(self, seconds: float) -> Self:
        return type(self)(self._client.with_timeout(seconds), self._name, self._username)

    async def request(
        self, method: str, path: str, *, timeout_seconds: float | None = None, **arguments: Any
    ) -> requests.Response:
        call = partial(self._client.request, method, path, timeout_seconds=timeout_seconds, **arguments)
        return await self._in_thread(call)

    async def request_json(
        self, method: str, path: str, *, timeout_seconds: float | None = None, **arguments: Any
    ) -> Any:
        call = partial(self._client.request_json, method, path, timeout_seconds=timeout_seconds, **arguments)
        return await self._in_thread(call)

    close = _awaited(Client.close)
    identity = _awaited(Client.identity)
    versions = _awaited(Client.versions)
    limits = _awaited(Client.limits)
    describe = _awaited(Client.describe)
    described_objects = _awaited(Client.described_objects)
    described_object = _awaited(Client.described_object)
    record = _awaited(Client.record)
    record_by_external_id = _awaited(Client.record_by_external_id)
    query = _awaited(Client.query)
    query_page = _awaited(Client.query_page)
    search = _awaited(Client.search)
    create = _awaited(Client.create)
    update = _awaited(Client.update)
    upsert = _awaited(Client.upsert)
    delete = _awaited(Client.delete)
    create_many = _awaited(Client.create_many)
    update_many = _awaited(Client.update_many)
    upsert_many = _awaited(Client.upsert_many)
    delete_many = _awaited(Client.delete_many)
    composite = _awaited(Client.composite)
    batch = _awaited(Client.batch)

    async def pages(self, page: QueryResult) -> AsyncIterator[QueryResult]:
        pages = self._client.pages(page)
        while (found := await self._in_thread(next, pages, None)) is not None:
            yield found

    async def query_all(
        self, statement: str, *values: object, include_deleted: bool = False
    ) -> AsyncIterator[Record]:
        async for page in self.pages(await self.query(statement, *values, include_deleted=include_deleted)):
            for record in page:
                yield record

    async def _in_thread(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await in_thread(("calls", self._name, self._username), call, *args, **kwargs)
