"""The one module that opens connections.

Time-outs of sockets are per read, so an answer that drips outlives them. Here every read of an answer, status line and
headers included, is held to one deadline for the whole call. Nothing follows redirects, keeps cookies or reads `.netrc`;
proxies of the environment are honoured.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import certifi
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.utils import get_environ_proxies, prepend_scheme_if_needed, select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
)

from .errors import InvalidInput, TransportError

USER_AGENT = "sf-integration/1.0"
TOKEN_ANSWER_MAX_BYTES = 1_000_000
REST_ANSWER_MAX_BYTES = 64_000_000
_CHUNK = 65_536
_POOL_SIZE = 32


class _Retry(urllib3.Retry):
    """Time-outs are not tried again: they have used up the deadline, and a host in trouble needs no more load."""

    def increment(self, *args: Any, **kwargs: Any) -> Self:
        error = kwargs.get("error")
        if isinstance(error, ReadTimeoutError):
            raise error
        return super().increment(*args, **kwargs)


# Reads are idempotent, so they may be repeated; writes and sign-ins never are.
_READ_RETRIES = _Retry(
    total=2,
    connect=0,
    redirect=0,
    status_forcelist=(502, 503, 504),
    allowed_methods=("GET", "HEAD"),
    backoff_factor=0.3,
    raise_on_status=False,
    respect_retry_after_header=False,
)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The decoded body. Raises TransportError, with a harmless excerpt, when it is not JSON."""
        try:
            data = json.loads(self.body, parse_constant=_refuse_constant)
            return _whole(data) if _may_have_halves(self.body) and _HALF.search(self.body) else data
        except (ValueError, RecursionError) as exc:
            content_type = self.headers.get("Content-Type", "").partition(";")[0] or "no content type"
            raise TransportError(
                f"The host answered {self.status} with {mask(content_type)[:80]} instead of JSON: “{excerpt(self.body)}”",
                code=f"http_{self.status}" if self.status >= 400 else "not_json",
                status_code=self.status,
            ) from _without_frames(exc)

    def clock_skew_seconds(self, now: float) -> float | None:
        """How far our clock (`now`, seconds since 1970) is ahead of the answering host's; None when it sent no date."""
        try:
            return now - parsedate_to_datetime(self.headers["Date"]).timestamp()
        except (KeyError, ValueError, TypeError, OverflowError):
            return None


@dataclass(frozen=True)
class Call:
    """One request that was made, as far as it may be told: no headers, no body, no query but SOQL."""

    method: str
    url: str
    soql: str
    status: int | None
    """None when no usable answer came."""
    milliseconds: int


@contextmanager
def recorded() -> Iterator[list[Call]]:
    """The calls that this thread makes meanwhile, in order."""
    before = getattr(_calls, "record", None)
    calls: list[Call] = []
    _calls.record = calls
    try:
        yield calls
    finally:
        _calls.record = before


class Http:
    """Connection pools. After a fork the child starts with empty ones, also in clients that were made before."""

    def __init__(self, user_agent: str = USER_AGENT) -> None:
        self._user_agent = user_agent
        self._start_empty()
        _all_pools.add(self)

    def _start_empty(self) -> None:
        self._lock = threading.Lock()
        self._managers: dict[str | None, urllib3.PoolManager] = {}
        self._proxy_of: dict[str, str | None] = {}
        self._pools: weakref.WeakValueDictionary[str, HTTPConnectionPool] = weakref.WeakValueDictionary()
        """Of hosts that are called directly, as long as their manager keeps them: to ask it costs a fifth of a call."""
        self._session: requests.Session | None = None

    def post_form(
        self,
        url: str,
        fields: Mapping[str, str],
        *,
        timeout_seconds: float,
        max_bytes: int = TOKEN_ANSWER_MAX_BYTES,
    ) -> Answer:
        """One POST of a form, no retry, no redirect. Raises TransportError when there is no whole answer.

        Goes straight to urllib3: measured at half the CPU of `requests`, and every sign-in passes here.
        """
        status: int | None = None
        started = time.monotonic()
        try:
            with _deadline(timeout_seconds) as deadline:
                opener, target = self._opener(url)
                response = opener.urlopen(
                    "POST",
                    target,
                    body=urlencode(fields),
                    headers={
                        "Content-Type": "application/x-www-form-urlencoded",
                        "Accept": "application/json",
                        "User-Agent": self._user_agent,
                    },
                    timeout=urllib3.Timeout(connect=timeout_seconds, read=timeout_seconds),
                    retries=False,
                    redirect=False,
                    preload_content=False,
                )
                try:
                    body = _read(response, deadline, max_bytes)
                except BaseException:
                    response.close()
                    raise
                response.release_conn()
                status = response.status
        except (HTTPError, OSError, http.client.HTTPException) as exc:
            raise transport_error(exc, url, timeout_seconds) from _without_frames(exc)
        finally:
            _record("POST", url, None, status, started)
        _refuse_redirect(response.status, response.headers, url)
        return Answer(response.status, response.headers, body)

    def request(
        self,
        method: str,
        url: str,
        *,
        auth: AuthBase,
        timeout_seconds: float,
        max_bytes: int = REST_ANSWER_MAX_BYTES,
        **arguments: Any,
    ) -> requests.Response:
        """One call, its body read to the end. GETs are tried again on 502, 503, 504 and lost connections, within the deadline.

        `arguments` are those of `requests.request`: params, json, data, headers.
        """
        status: int | None = None
        started = time.monotonic()
        try:
            with _deadline(timeout_seconds) as deadline:
                response = self.session().request(
                    method,
                    url,
                    auth=auth,
                    timeout=timeout_seconds,
                    stream=True,
                    allow_redirects=False,
                    **arguments,
                )
                try:
                    response._content = _read(response.raw, deadline, max_bytes)
                except BaseException:
                    response.close()
                    raise
                # The body is whole, so the connection can serve the next call.
                response.raw.release_conn()
                status = response.status_code
        except (requests.RequestException, HTTPError, OSError, http.client.HTTPException) as exc:
            raise transport_error(exc, url, timeout_seconds) from _without_frames(exc)
        finally:
            _record(method, url, arguments.get("params"), status, started)
        _refuse_redirect(response.status_code, response.headers, url)
        return response

    def session(self) -> requests.Session:
        with self._lock:
            if self._session is None:
                self._session = _new_session(self._user_agent)
            return self._session

    def close(self) -> None:
        with self._lock:
            if self._session is not None:
                self._session.close()
                self._session = None
            for manager in self._managers.values():
                manager.clear()
            self._managers.clear()
            self._pools.clear()

    def _opener(self, url: str) -> tuple[Any, str]:
        """What opens `url`, and how to name it there: to its host's own pool by the path, to a proxy in full."""
        host = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        pool = self._pools.get(host)
        if pool is None:
            manager = self._manager(host)
            if self._proxy_of[host]:
                return manager, url
            pool = self._pools[host] = manager.connection_from_url(host)
        return pool, url[len(host) :]

    def _manager(self, host: str) -> urllib3.PoolManager:
        with self._lock:
            if host not in self._proxy_of:
                self._proxy_of[host] = select_proxy(host, get_environ_proxies(host, no_proxy=None))
            proxy = self._proxy_of[host]
            if proxy not in self._managers:
                self._managers[proxy] = _new_manager(proxy)
            return self._managers[proxy]


_all_pools: weakref.WeakSet[Http] = weakref.WeakSet()


def _leave_pools_to_the_parent() -> None:
    """A warm connection used by parent and child hands the answer of one to the other; a lock held at the fork stays held."""
    for pools in list(_all_pools):
        pools._start_empty()


os.register_at_fork(after_in_child=_leave_pools_to_the_parent)


class NoAuth(AuthBase):
    """Says that a call carries no credentials; with auth=None requests would look into `.netrc`."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class BearerAuth(AuthBase):
    """The access token, for one host only."""

    def __init__(self, token_value: str, instance_url: str) -> None:
        self._token_value = token_value
        self._instance_url = instance_url

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        require_same_origin(request.url or "", self._instance_url)
        request.headers["Authorization"] = f"Bearer {self._token_value}"
        return request


def _refuse_constant(name: str) -> None:
    """NaN and Infinity are Python's own additions to JSON."""
    raise ValueError(name)


_HALF = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")


def _may_have_halves(body: bytes) -> bool:
    """The search for them takes as long as reading the JSON does; to see that there can be none, next to nothing."""
    return (b"\\" in body and b"\\u" in body) or b"\xed" in body


def _whole(data: Any) -> Any:
    """The same without halves of surrogate pairs, as of an emoji cut in two: JSON may have them, no page or file can."""
    text = json.dumps(data, ensure_ascii=False)
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def excerpt(body: bytes, length: int = 200) -> str:
    """The start of a body as plain text: tags removed, anything like a token masked."""
    text = body[:20_000].decode("utf-8", "replace")
    text = re.sub(r"(?is)<(script|style)\b.*?</\1>|<[^>]*>?", " ", text)
    return " ".join(mask(text).split())[:length] or "(empty)"


def mask(text: str) -> str:
    """`text` with JWTs and session ids replaced by their length, and without what upsets terminals and databases."""
    return _SECRET.sub(
        lambda match: f"[{len(match.group())} characters hidden]",
        _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text),
    )


_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
# Each may come back wrapped into lines.
_SECRET = re.compile(
    r"\beyJ[\w-]+(?:\.[\w-]*){0,2}(?:\s+[\w-]{20,}(?:\.[\w-]*){0,2})*"
    r"|\b00D\w{12,15}(?:!|%(?:25)?21)[\w.%]+(?:\s+[\w.%]{20,})*"
    # An assertion without its beginning. Consumer keys are shorter.
    r"|\b[A-Za-z0-9_-]{100,}(?:\s+[A-Za-z0-9_-]{20,})*"
)


_ADDRESS = re.compile(
    r"https?://(?:[\w.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?(?:/[!-\[\]-~]*)?", re.ASCII | re.IGNORECASE
)


def is_web_address(url: str) -> bool:
    """Whether `url` is an http(s) address in which every parser finds the same host: no user, backslash or blank."""
    try:
        return _ADDRESS.fullmatch(url) is not None and urlsplit(url).port != 0
    except ValueError:
        return False


def host_of(url: str) -> str:
    """Host and port, for messages; empty when there is none."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return ""


def same_origin(url: str, other: str) -> bool:
    return _origin(url) == _origin(other)


def require_same_origin(url: str, instance_url: str) -> None:
    """Raise InvalidInput when a call to `url` would take the bearer of `instance_url` elsewhere."""
    if not same_origin(url, instance_url):
        raise InvalidInput(
            f"The access token belongs to {host_of(instance_url)} and is not sent to {host_of(url)}."
        )


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return (
        parts.scheme.lower(),
        (parts.hostname or "").lower(),
        parts.port or {"https": 443, "http": 80}.get(parts.scheme.lower()),
    )


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
    if any_of(ssl.SSLError, urllib3.exceptions.SSLError) and not any_of(ssl.SSLEOFError):
        return TransportError(
            f"No trusted TLS connection to {host} could be made{_told_by_tls(reasons)}.", code="tls_failure"
        )
    if any_of(AnswerTooLarge):
        return TransportError(f"{host} answered with more than can be right.", code="too_large")
    if any_of(ConnectionRefusedError):
        return TransportError(f"Nothing answers at {host}: connection refused.", code="connection_refused")
    if any_of(NewConnectionError) and not any_of(
        TimeoutError
    ):  # to urllib3 each is a time-out, also one told at once
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


class StaleConnection(http.client.RemoteDisconnected):
    """A pooled connection that the other side had closed before our request: safe to send once more."""


class AnswerTooLarge(OSError):
    """The body passes its cap."""


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


def _without_frames(exc: Exception) -> Exception:
    """`exc` and its causes without their tracebacks: the variables in there hold assertion, bearer or token answer."""
    for reason in _reasons(exc):
        reason.__traceback__ = None
    return exc


def _refuse_redirect(status: int, headers: Mapping[str, str], url: str) -> None:
    if status in (301, 302, 303, 307, 308):
        target = host_of(headers.get("Location", "")) or "another page"
        raise TransportError(
            f"{host_of(url)} redirects to {mask(target)}, which is not followed. Use the My Domain URL as login URL.",
            code="redirected",
            status_code=status,
        )


def _read(response: Any, deadline: float, max_bytes: int) -> bytes:
    """The decoded body of a urllib3 response, chunk by chunk against deadline and cap."""
    chunks: list[bytes] = []
    size = 0
    for chunk in response.stream(_CHUNK, decode_content=True):
        size += len(chunk)
        if size > max_bytes:
            raise AnswerTooLarge
        if time.monotonic() > deadline:
            raise TimeoutError
        chunks.append(chunk)
    return b"".join(chunks)


# A connection has no argument for a deadline, and requests builds its own: so it is handed over beside the call.
_calls = threading.local()


def _record(method: str, url: str, params: Any, status: int | None, started: float) -> None:
    calls: list[Call] | None = getattr(_calls, "record", None)
    if calls is not None:
        soql = str(params.get("q", "")) if isinstance(params, Mapping) else ""
        milliseconds = round((time.monotonic() - started) * 1000)
        calls.append(Call(method, url.partition("?")[0], soql, status, milliseconds))


@contextmanager
def _deadline(seconds: float) -> Iterator[float]:
    _calls.deadline = time.monotonic() + seconds
    try:
        yield _calls.deadline
    finally:
        _calls.deadline = None


class _DeadlineReader(io.RawIOBase):
    """Reads a socket with the time that is left as its time-out."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: float) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._sock.settimeout(remaining)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        deadline = getattr(_calls, "deadline", None)
        if deadline is not None:
            raw = self.fp.detach()
            self.fp = io.BufferedReader(_DeadlineReader(raw, sock, deadline))


def _addresses(host: str, port: int | None, connection: Any) -> list[str]:
    """Numeric addresses of a host, in the system's order."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as exc:  # no name at all, as with a label of more than 63 letters
        raise NameResolutionError(host, connection, socket.gaierror(str(exc))) from exc
    except socket.gaierror as exc:
        raise NameResolutionError(host, connection, exc) from exc
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _DeadlineConnection:
    """Mixed into urllib3's two connection classes."""

    response_class: Any = _Response
    _answers = 0
    """Over the present socket."""

    def connect(self) -> None:
        self._answers = 0
        super().connect()  # type: ignore[misc]

    def _new_conn(self: Any) -> socket.socket:
        """As urllib3's, but all addresses of a name share the time that is left; there each gets the whole of it."""
        connect: Callable[[], socket.socket] = super()._new_conn  # type: ignore[misc]
        deadline = getattr(_calls, "deadline", None)
        if deadline is None:
            return connect()
        name, failed = self._dns_host, None
        try:
            for address in _addresses(name, self.port, self):
                self._dns_host = address
                self.timeout = max(deadline - time.monotonic(), 0.001)
                try:
                    return connect()
                except (ConnectTimeoutError, NewConnectionError) as exc:
                    failed = exc
            raise failed or OSError("the name has no address")
        finally:
            self._dns_host = name

    def getresponse(self) -> Any:
        try:
            response = super().getresponse()  # type: ignore[misc]
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as exc:
            if self._answers:
                raise StaleConnection("") from exc
            raise
        self._answers += 1
        return response


class _HTTPConnection(_DeadlineConnection, HTTPConnection):
    pass


class _HTTPSConnection(_DeadlineConnection, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


_POOL_CLASSES = {"http": _HTTPPool, "https": _HTTPSPool}


def _new_manager(proxy: str | None) -> urllib3.PoolManager:
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()
    if proxy:
        # By the adapter, which knows what may stand in a proxy's address: no scheme, a user and a password, SOCKS.
        proxy = prepend_scheme_if_needed(proxy, "http")  # type: ignore[no-untyped-call]
        through: urllib3.PoolManager = _Adapter().proxy_manager_for(proxy, ca_certs=bundle)
        return through
    manager = urllib3.PoolManager(num_pools=256, maxsize=_POOL_SIZE, ca_certs=bundle)
    manager.pool_classes_by_scheme = _POOL_CLASSES
    return manager


class _Adapter(HTTPAdapter):
    """The adapter of requests with our connections, which keep to the deadline; SOCKS brings its own."""

    def __init__(self) -> None:
        super().__init__(pool_connections=256, pool_maxsize=_POOL_SIZE, max_retries=_READ_RETRIES)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOL_CLASSES

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        if isinstance(manager, urllib3.ProxyManager):
            manager.pool_classes_by_scheme = _POOL_CLASSES
        return manager


class _Session(requests.Session):
    def resolve_redirects(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """None. The parent reads a redirect's whole body, past our cap, only to know where it would lead."""
        return iter(())


def _new_session(user_agent: str) -> requests.Session:
    session = _Session()
    session.headers["User-Agent"] = user_agent
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    adapter = _Adapter()
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session
