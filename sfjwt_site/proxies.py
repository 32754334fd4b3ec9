"""The visitor's own address, where requests come through proxies.

What counts wrong passwords and refused API keys counts by it. Without this all who come through a proxy would have its address,
and one of them could lock out the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from inspect import iscoroutinefunction
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

Network = IPv4Network | IPv6Network


def networks(names: Iterable[str]) -> tuple[Network, ...]:
    """Raises ValueError with the name that is neither an address nor a network."""
    return tuple(ip_network(name) for name in names)


def visitor(remote: str, forwarded_for: str, proxies: Sequence[Network]) -> str:
    """The last address on the way here that is none of the proxies'. What stands before it, the visitor may have written."""
    found = remote
    for told in reversed([*forwarded_for.split(","), remote]):
        address = _read(told)
        if address is None:
            break
        found = str(address)
        if not any(address in network for network in proxies):
            break
    return found


@sync_and_async_middleware
def middleware(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    async def answer_later(request: HttpRequest) -> HttpResponse:
        _place(request)
        response: HttpResponse = await get_response(request)
        return response

    def answer(request: HttpRequest) -> HttpResponse:
        _place(request)
        response: HttpResponse = get_response(request)
        return response

    return answer_later if iscoroutinefunction(get_response) else answer


def _place(request: HttpRequest) -> None:
    if settings.TRUSTED_PROXIES:
        remote = request.META.get("REMOTE_ADDR", "")
        forwarded_for = request.headers.get("X-Forwarded-For", "")
        request.META["REMOTE_ADDR"] = visitor(remote, forwarded_for, settings.TRUSTED_PROXIES)


def _read(told: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(told.strip())
    except ValueError:
        return None
    # A server that listens on both families sees IPv4 so.
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address
