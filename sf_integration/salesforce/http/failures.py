"""What went wrong on the way, in our own words."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping

import requests
import urllib3
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from ..errors import TransportError
from .addresses import host_of
from .masking import mask


class StaleConnection(http.client.RemoteDisconnected):
    """A pooled connection that the other side had closed before our request: safe to send once more."""


class AnswerTooLarge(OSError):
    """The body passes its cap."""


_GONE = (
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
    ssl.SSLSyscallError,
    ConnectionResetError,
    ConnectionAbortedError,
    BrokenPipeError,
)
"""How a connection that the other side has left looks to TLS; which of them comes, time and version decide."""


def transport_error(exc: Exception, url: str, timeout_seconds: float) -> TransportError:
    """Our sentence for whatever the HTTP libraries raised. Their own texts hold whole URLs and are left out."""
    reasons = list(_reasons(exc))
    host = host_of(url)

    def any_of(*kinds: type[BaseException]) -> bool:
        return any(isinstance(reason, kinds) for reason in reasons)

    # First, since it wraps what went wrong on the way to the proxy: its name, its TLS, its time-out.
    if any_of(requests.exceptions.ProxyError, urllib3.exceptions.ProxyError):
        return TransportError(f"The proxy to {host} could not be used.", code="proxy_failure")
    if any_of(NameResolutionError, socket.gaierror):
        return TransportError(f"The name {host} does not resolve.", code="dns_failure")
    # Where the other side has gone in the handshake no certificate was judged.
    if any_of(ssl.SSLError, urllib3.exceptions.SSLError) and not any_of(*_GONE):
        return TransportError(
            f"No trusted TLS connection to {host} could be made{_told_by_tls(reasons)}.", code="tls_failure"
        )
    if any_of(AnswerTooLarge):
        return TransportError(f"{host} answered with more than can be right.", code="too_large")
    if any_of(ConnectionRefusedError):
        return TransportError(f"Nothing answers at {host}: connection refused.", code="connection_refused")
    # To urllib3 each of these is a time-out, also one told at once.
    if any_of(NewConnectionError) and not any_of(TimeoutError):
        return TransportError(f"No connection to {host} could be made.", code="connection_failed")
    if any_of(TimeoutError, ConnectTimeoutError, urllib3.exceptions.TimeoutError, requests.Timeout):
        return TransportError(f"{host} did not answer within {timeout_seconds:g} seconds.", code="timeout")
    if any_of(StaleConnection):
        return TransportError(f"{host} had closed the connection.", code="connection_stale")
    return TransportError(f"{host} broke off its answer.", code="cut_off")


def _told_by_tls(reasons: Iterable[BaseException]) -> str:
    """What OpenSSL found: a name mismatch, an expired certificate, no TLS at all."""
    for reason in reasons:
        if isinstance(reason, ssl.SSLCertVerificationError):
            return f" ({reason.verify_message.rstrip('.')})"
        if isinstance(reason, ssl.SSLError) and reason.reason:
            return f" ({reason.reason.replace('_', ' ').lower()})"
    return ""


def _reasons(exc: BaseException | None) -> Iterator[BaseException]:
    """The exception and all that the HTTP libraries wrapped into it."""
    seen: set[int] = set()
    pending = [exc]
    while pending:
        reason = pending.pop()
        if not isinstance(reason, BaseException) or id(reason) in seen:
            continue
        seen.add(id(reason))
        yield reason
        pending += [getattr(reason, "reason", None), reason.__cause__, reason.__context__, *reason.args]


def without_frames(exc: Exception) -> Exception:
    """`exc` and its causes without their tracebacks: the variables in there hold assertion, bearer or token answer."""
    for reason in _reasons(exc):
        reason.__traceback__ = None
    return exc


def refuse_redirect(status: int, headers: Mapping[str, str], url: str) -> None:
    if status in (301, 302, 303, 307, 308):
        target = host_of(headers.get("Location", "")) or "another page"
        raise TransportError(
            f"{host_of(url)} redirects to {mask(target)}, which is not followed. Use the My Domain URL as login URL.",
            code="redirected",
            status_code=status,
        )
