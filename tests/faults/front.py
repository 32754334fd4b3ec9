"""A host in front of the stand-in org, which can be made to do what no decent host does.

Reached by a name and over TLS, as Salesforce is, so that names, certificates and handshakes can fail too.
"""

from __future__ import annotations

import datetime as dt
import gzip
import http.client
import os
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.salesforce.raw_server import Behaviour, RawServer, Visit

NAME = "login.front.example"
TOKEN_PATH = b"POST /services/oauth2/token"


@cache
def authority() -> trustme.CA:
    return trustme.CA()


@cache
def certified(name: str = NAME, expired: bool = False, trusted: bool = True) -> ssl.SSLContext:
    """What the host shows: a certificate of that name."""
    until = dt.datetime.now(dt.UTC) - dt.timedelta(days=1) if expired else None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer = authority() if trusted else trustme.CA()
    issuer.issue_cert(name, **({"not_after": until} if until else {})).configure_cert(context)
    return context


class Front(RawServer):
    """Hands on to the org what it gets, until it is told to behave otherwise."""

    def __init__(self, org_url: str) -> None:
        self.leads_to(org_url)
        self.behaviour: Behaviour = self.hands_on
        self.tls: ssl.SSLContext | None = certified()
        self.resolver_says: int | None = None
        """An EAI code, once the name is to be resolved no more."""
        self.address = "127.0.0.1"
        self._plugs: list[socket.socket] = []
        super().__init__(self._meet)
        self.port = int(self.url.rpartition(":")[2])
        self.url = f"https://{NAME}:{self.port}"

    @property
    def sign_ins(self) -> int:
        """Token requests that came this far."""
        return sum(request.startswith(TOKEN_PATH) for request in self.requests)

    def leads_to(self, org_url: str) -> None:
        self._org = org_url.removeprefix("http://")

    def hands_on(self, visit: Visit) -> None:
        request = visit.read_request()
        head, _, body = request.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        upstream = http.client.HTTPConnection(self._org, timeout=10)
        try:
            upstream.request(method, path, body, dict(line.split(": ", 1) for line in lines))
            answer = upstream.getresponse()
            content = answer.read()
            kept = [
                f"{name}: {answer.headers[name]}"
                for name in ("Content-Type", "Date")
                if name in answer.headers
            ]
            visit.answer(content, "Connection: close", *kept, status=f"{answer.status} {answer.reason}")
        finally:
            upstream.close()

    def heal(self) -> None:
        self.behaviour, self.tls, self.resolver_says = self.hands_on, certified(), None
        self.address = "127.0.0.1"
        if self.stopping.is_set():
            self.unplug()
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self.stopping.clear()
            threading.Thread(target=self._accept, daemon=True).start()

    def close_port(self) -> None:
        """Nothing listens any more."""
        super().close()

    def leads_nowhere(self) -> None:
        """The name resolves to an address that no connection can be made to."""
        self.address = "127.255.255.255"

    def plug(self) -> None:
        """Somebody listens who takes no further connection: packets to the port are dropped."""
        self.close_port()
        listener = socket.create_server(("127.0.0.1", self.port), backlog=0)
        self._plugs = [listener]
        for _ in range(4):
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", self.port))
            self._plugs.append(waiting)

    def unplug(self) -> None:
        while self._plugs:
            self._plugs.pop().close()

    def close(self) -> None:
        self.unplug()
        super().close()

    def _meet(self, visit: Visit) -> None:
        if self.tls is not None:
            with suppress(ssl.SSLError):
                visit.connection = self.tls.wrap_socket(visit.connection, server_side=True)
                self._connections.append(visit.connection)
                self.behaviour(visit)
                # What was sent arrives before the end.
                visit.connection.shutdown(socket.SHUT_WR)
            return
        self.behaviour(visit)


def resolver(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that knows the front's name, or fails as one does."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        if host != NAME:
            return real(host, *arguments, **options)
        if front.resolver_says is not None:
            raise socket.gaierror(front.resolver_says, os.strerror(0))
        return real(front.address, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def trusted_file(folder: Path) -> str:
    path = folder / "authority.pem"
    authority().cert_pem.write_to_path(str(path))
    return str(path)


# ---- what it can be made to do ---------------------------------------------------------------------------------------


def says(body: bytes, *headers: str, status: str = "200 OK") -> Behaviour:
    """An answer, well framed."""
    if not any(line.startswith("Content-Type") for line in headers):
        headers = ("Content-Type: application/json;charset=UTF-8", *headers)

    def behaviour(visit: Visit) -> None:
        if visit.read_request():
            visit.answer(body, "Connection: close", *headers, status=status)

    return behaviour


def says_html(status: str, page: bytes = b"<html><body><h1>Oops</h1></body></html>") -> Behaviour:
    return says(page, "Content-Type: text/html", status=status)


def silent(visit: Visit) -> None:
    visit.read_request()
    while visit.goes_on:
        time.sleep(0.02)


def drips(visit: Visit) -> None:
    visit.read_request()
    visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
    visit.drip(b"x" * 10_000, 0.05)


def cut(visit: Visit) -> None:
    visit.read_request()
    visit.send(b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"access_token":')


def closes(visit: Visit) -> None:
    visit.read_request()


def endless_body(visit: Visit) -> None:
    visit.read_request()
    visit.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while visit.goes_on:
        visit.send(b"x" * 65_536)


def endless_headers(visit: Visit) -> None:
    visit.read_request()
    visit.send(b"HTTP/1.1 200 OK\r\n")
    while visit.goes_on:
        visit.send(b"X-Filler: " + b"x" * 60_000 + b"\r\n")


def continues(visit: Visit) -> None:
    visit.read_request()
    while visit.goes_on:
        visit.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 20)
        time.sleep(0.01)


def redirects(status: int, target: str) -> Behaviour:
    return says(b"", f"Location: {target}/services/oauth2/token", status=f"{status} Go")


@cache
def bomb(coding: str) -> bytes:
    """200 MB of zeros, or many times more, in some 200 kB or less."""
    zeros = b"\0" * 1_000_000
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | (16 if coding == "gzip" else 0))
    return b"".join([*(packer.compress(zeros) for _ in range(200)), packer.flush()])


def bombs(coding: str, times: int = 1) -> Behaviour:
    packed = bomb(coding)
    for _ in range(times - 1):
        packed = gzip.compress(packed, compresslevel=9)
    return says(packed, f"Content-Encoding: {', '.join([coding] * times)}")


def cut_handshake(front: Front) -> None:
    def behaviour(visit: Visit) -> None:
        visit.connection.recv(16)

    front.tls, front.behaviour = None, behaviour


def plain_http(front: Front) -> None:
    front.tls, front.behaviour = None, lambda visit: visit.answer(b"plain", status="400 Bad Request")


Breaks = Callable[[Front], None]


def behaves(behaviour: Behaviour) -> Breaks:
    def breaks(front: Front) -> None:
        front.behaviour = behaviour

    return breaks


def shows(context: Callable[[], ssl.SSLContext]) -> Breaks:
    def breaks(front: Front) -> None:
        front.tls = context()

    return breaks
