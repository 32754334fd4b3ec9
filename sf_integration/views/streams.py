"""Answers that are sent while they are made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse


def streamed(
    request: HttpRequest, parts: Iterator[bytes], *, content_type: str, headers: Mapping[str, str]
) -> StreamingHttpResponse:
    # Under ASGI Django would take a plain iterator to its end before it sends the first byte.
    is_async = isinstance(request, ASGIRequest)
    return StreamingHttpResponse(
        _awaited(parts) if is_async else parts,
        content_type=content_type,
        headers={"X-Accel-Buffering": "no", **headers},
    )


async def _awaited(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    next_part = sync_to_async(lambda: next(parts, b""))
    while part := await next_part():
        yield part
