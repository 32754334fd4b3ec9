"""Connection pools, and one call through them."""

from __future__ import annotations

import http.client
import os
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import certifi
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.utils import get_environ_proxies, prepend_scheme_if_needed, select_proxy
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import HTTPError, ReadTimeoutError

from ...version import __version__
from . import record
from .answer import Answer
from .deadline import POOL_CLASSES, held_to
from .failures import AnswerTooLarge, refuse_redirect, transport_error, without_frames

USER_AGENT = f"sf-integration/{__version__}"
SMALL_ANSWER_MAX_BYTES = 1_000_000
"""Of sign-ins, identities and lists of versions: read, JSON can take 25 times its bytes of memory."""
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


class Http:
    """Connection pools. After a fork the child starts with empty ones, also in clients that were made before."""

    def __init__(self) -> None:
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
        max_bytes: int = SMALL_ANSWER_MAX_BYTES,
    ) -> Answer:
        """One POST of a form, no retry, no redirect. Raises TransportError when there is no whole answer.

        Goes straight to urllib3: measured at half the CPU of `requests`, and every sign-in passes here.
        """
        with _one_call("POST", url, timeout_seconds) as call:
            opener, target = self._opener(url)
            response = opener.urlopen(
                "POST",
                target,
                body=urlencode(fields),
                headers={
                    "Content-Type": "application/x-www-form-urlencoded",
                    "Accept": "application/json",
                    "User-Agent": USER_AGENT,
                },
                timeout=urllib3.Timeout(connect=timeout_seconds, read=timeout_seconds),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            body = call.read(response, max_bytes)
        refuse_redirect(response.status, response.headers, url)
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
        with _one_call(method, url, timeout_seconds, arguments.get("params")) as call:
            response = self.session().request(
                method,
                url,
                auth=auth,
                timeout=timeout_seconds,
                stream=True,
                allow_redirects=False,
                **arguments,
            )
            response._content = call.read(response.raw, max_bytes)
        refuse_redirect(response.status_code, response.headers, url)
        return response

    def session(self) -> requests.Session:
        with self._lock:
            if self._session is None:
                self._session = _new_session()
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


class _OneCall:
    """A call under way."""

    def __init__(self, deadline: float) -> None:
        self.status: int | None = None
        """None until the answer was read to its end."""
        self._deadline = deadline

    def read(self, response: Any, max_bytes: int) -> bytes:
        """The decoded body of a urllib3 response, chunk by chunk against deadline and cap."""
        try:
            body = b"".join(self._chunks(response, max_bytes))
        except BaseException:
            response.close()
            raise
        response.release_conn()  # the body is whole, so the connection can serve the next call
        self.status = response.status
        return body

    def _chunks(self, response: Any, max_bytes: int) -> Iterator[bytes]:
        size = 0
        for chunk in response.stream(_CHUNK, decode_content=True):
            size += len(chunk)
            if size > max_bytes:
                raise AnswerTooLarge
            if time.monotonic() > self._deadline:
                raise TimeoutError
            yield chunk


@contextmanager
def _one_call(method: str, url: str, timeout_seconds: float, params: Any = None) -> Iterator[_OneCall]:
    """Held to its deadline, noted for who records, and what goes wrong told in our words."""
    started = time.monotonic()
    deadline = started + timeout_seconds
    call = _OneCall(deadline)
    try:
        with held_to(deadline):
            yield call
    except (requests.RequestException, HTTPError, OSError, http.client.HTTPException) as exc:
        raise transport_error(exc, url, timeout_seconds) from without_frames(exc)
    finally:
        record.note(method, url, params, call.status, started)


def _new_manager(proxy: str | None) -> urllib3.PoolManager:
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()
    if proxy:
        # By the adapter, which knows what may stand in a proxy's address: no scheme, a user and a password, SOCKS.
        proxy = prepend_scheme_if_needed(proxy, "http")  # type: ignore[no-untyped-call]
        through: urllib3.PoolManager = _Adapter().proxy_manager_for(proxy, ca_certs=bundle)
        return through
    manager = urllib3.PoolManager(num_pools=256, maxsize=_POOL_SIZE, ca_certs=bundle)
    manager.pool_classes_by_scheme = POOL_CLASSES
    return manager


class _Adapter(HTTPAdapter):
    """The adapter of requests with our connections, which keep to the deadline; SOCKS brings its own."""

    def __init__(self) -> None:
        super().__init__(pool_connections=256, pool_maxsize=_POOL_SIZE, max_retries=_READ_RETRIES)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOL_CLASSES

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        if isinstance(manager, urllib3.ProxyManager):
            manager.pool_classes_by_scheme = POOL_CLASSES
        return manager


class _Session(requests.Session):
    def resolve_redirects(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """None. The parent reads a redirect's whole body, past our cap, only to know where it would lead."""
        return iter(())


def _new_session() -> requests.Session:
    session = _Session()
    session.headers["User-Agent"] = USER_AGENT
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    adapter = _Adapter()
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session
