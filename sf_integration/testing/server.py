"""The sockets: HTTP/1.1 with keep-alive, a thread per connection, and answers that may be spoilt on the wire."""

from __future__ import annotations

import email.utils
import gzip
import http
import logging
import re
import secrets
import socket
import ssl
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from . import control
from .bulk import v1
from .faults import Effect
from .messages import HTML, Answer, Incoming, Request, rest_error
from .oauth import identity, judge
from .orgs import Org
from .rest import resources
from .sites import Sites

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 16 * 1024 * 1024
KEEP_ALIVE_SECONDS = 75
CHUNKED_FROM_BYTES = 16 * 1024
"""Longer answers come in chunks, without a Content-Length."""
_SHUTDOWN_POLL_SECONDS = 0.02
_IDENTITY = re.compile(r"/id/([^/]+)/([^/]+)/?")
_HEXADECIMAL = re.compile(rb"[0-9A-Fa-f]{1,16}")
_PLAIN = Effect()


class Listener(ThreadingHTTPServer):
    """One port: an org's own, or a login host all orgs share."""

    daemon_threads = True
    block_on_close = False
    # A burst of clients must not be turned away, as it would with the usual queue of five.
    request_queue_size = 512

    def __init__(
        self,
        sites: Sites,
        org: Org,
        *,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        shared_login_url: str | None = None,
    ) -> None:
        """`org` is meant where the host name of a request says nothing else."""
        super().__init__((host, port), _Handler)
        self.sites = sites
        self.org = org
        self.shared_login_url = shared_login_url
        self.stopping = threading.Event()
        self._tls = tls
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        self._thread = threading.Thread(
            target=self.serve_forever, args=(_SHUTDOWN_POLL_SECONDS,), daemon=True
        )

    @property
    def scheme(self) -> str:
        return "https" if self._tls else "http"

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Close the port and every connection; threads that wait or send are let go.

        In a process forked after the start nothing listens, so that there is only the copy of the port to close.
        """
        self.stopping.set()
        if not self._thread.is_alive():
            self.server_close()
            return
        self.shutdown()
        # A fork's copy would else keep the port open, with nobody to answer.
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.server_close()
        with self._open_lock:
            for connection in self._open:
                with suppress(OSError, ValueError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def server_bind(self) -> None:
        # The parent looks up the host's full name, which can take seconds and isn't needed.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = self.socket.accept()
        if self._tls:
            # The handshake is left to the connection's own thread, so that a slow client holds up nobody.
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self._open_lock:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients go away in the middle of things, and so do we when stopping; anything else is a fault of ours."""
        if not isinstance(sys.exception(), OSError) and not self.stopping.is_set():
            logger.exception("The stand-in could not handle a connection")  # noqa: LOG004  it is one


def respond(org: Org, request: Incoming) -> Answer:
    """The org's true answer to a request."""
    path = request.path
    match path:
        case "/services/oauth2/token":
            return judge.token_endpoint(org, request)
        case "/services/oauth2/userinfo":
            return identity.userinfo(org, request)
        case "/services/oauth2/introspect":
            return identity.introspect(org, request)
        case "/services/oauth2/revoke":
            return identity.revoke(org, request)
    if match := _IDENTITY.fullmatch(path):
        return identity.identity(org, request, match[1], match[2])
    if path.startswith("/services/data"):
        return resources.handle(org, request)
    if path.startswith("/services/async/"):
        return v1.handle(org, request)
    return resources.outside(org, request)


def _place(path: str) -> str:
    if path == "/services/oauth2/token":
        return "token"
    if path.startswith(("/services/data", "/services/async/", "/services/apexrest/")):
        return "rest"
    if path.startswith("/id/") or path == "/services/oauth2/userinfo":
        return "identity"
    return "other"


class _BadRequest(Exception):
    """The request's target or body can't be read."""


class _Handler(BaseHTTPRequestHandler):
    server: Listener
    protocol_version = "HTTP/1.1"
    timeout = KEEP_ALIVE_SECONDS
    # Buffered, so that head and body leave in one write: two cost 40 ms by delayed acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True
    _clock = staticmethod(time.time)
    """The clock of the org that answers."""

    def _serve(self) -> None:
        began = time.monotonic()
        try:
            read = self._read_request()
        except _BadRequest:
            self.send_error(400)
            return
        org, request = self.server.sites.find(read, self.server.org)
        self._clock = org.now
        if request.path.partition("/")[2].partition("/")[0] == control.PATH[1:]:
            told = self._guarded(request, lambda: control.answer(org, request, self.client_address[0]))
            self._send(told, _PLAIN)
        else:
            self._serve_as(org, request, began)

    def _serve_as(self, org: Org, request: Incoming, began: float) -> None:
        """As the org does, with the faults it was told to have."""
        place = _place(request.path)
        if request.method == "POST" and place == "token":
            org.count_token_request()  # on arrival, however slow the answer
        effect = org.faults.take(place, request.path) or _PLAIN
        if effect.wait_seconds and self.server.stopping.wait(effect.wait_seconds):
            self.close_connection = True
            return
        answer = (
            effect.answer
            or self._redirect(org, request, place)
            or self._guarded(request, lambda: respond(org, request))
        )
        seconds = time.monotonic() - began
        org.remember(
            Request(
                at=org.now() - seconds,
                method=request.method,
                host=request.host,
                path=request.path,
                parameters=request.shown_parameters(),
                authorization=request.shown_authorization(),
                status=None if effect.delivery == "close" else answer.status,
                error=answer.error,
                user=answer.user,
                milliseconds=round(seconds * 1000, 1),
            )
        )
        self._send(answer, effect)

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = do_OPTIONS = _serve  # noqa: N815

    def handle_expect_100(self) -> bool:
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What can't be read as a request, or has a method of its own, gets JSON, too; then the connection ends."""
        self.close_connection = True
        if code == http.HTTPStatus.NOT_IMPLEMENTED:
            self._send(
                rest_error(405, "METHOD_NOT_ALLOWED", f"HTTP Method '{self.command}' not allowed."), _PLAIN
            )
        else:
            self._send(
                rest_error(code, "UNKNOWN_EXCEPTION", message or "The request can not be read"), _PLAIN
            )

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Silent: the org remembers its requests, and the line would hold the query."""

    # Reading

    def _read_request(self) -> Incoming:
        try:
            target = urlsplit(self.path)
        except ValueError:
            raise _BadRequest from None
        host = self.headers.get("Host", "")
        return Incoming(
            method=self.command,
            path=unquote(target.path),
            raw_path=target.path,
            query=dict(parse_qsl(target.query, keep_blank_values=True)),
            headers=cast("Mapping[str, str]", self.headers),
            body=self._read_body(),
            host=host,
            called_url=f"{self.server.scheme}://{host}",
            shared_login_url=self.server.shared_login_url,
        )

    def _read_body(self) -> bytes:
        """The body, unpacked if it is compressed. Source: REST API Developer Guide, "Compression"."""
        body = self._read_sent_body()
        if not body or self.headers.get("Content-Encoding", "").strip().lower() != "gzip":
            return body
        unpacked = zlib.decompressobj(wbits=31)
        try:
            whole = unpacked.decompress(body, MAX_BODY_BYTES)
        except zlib.error:
            raise _BadRequest from None
        if not unpacked.eof:  # cut off, or too large
            raise _BadRequest
        return whole

    def _read_sent_body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return b"".join(self._read_chunks())
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            raise _BadRequest
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise _BadRequest
        return body

    def _read_chunks(self) -> Iterator[bytes]:
        """The parts of a chunked body, read to its end, trailers included. Source: RFC 9112 section 7.1."""
        total = 0
        while size := self._read_chunk_size():
            total += size
            if total > MAX_BODY_BYTES:
                raise _BadRequest
            chunk = self.rfile.read(size)
            if len(chunk) < size or self.rfile.readline(3) != b"\r\n":
                raise _BadRequest
            yield chunk
        while self.rfile.readline(8192).strip():
            pass

    def _read_chunk_size(self) -> int:
        size = self.rfile.readline(1024).partition(b";")[0].strip()
        if not _HEXADECIMAL.fullmatch(size):
            raise _BadRequest
        return int(size, 16)

    # Answering

    def _guarded(self, request: Incoming, make: Callable[[], Answer]) -> Answer:
        """The answer; a fault of ours becomes one, too."""
        try:
            return make()
        except Exception:
            logger.exception("The stand-in failed at %s %s", request.method, request.path)
            return rest_error(500, "UNKNOWN_EXCEPTION", "An unexpected error occurred in the stand-in org.")

    def _redirect(self, org: Org, request: Incoming, place: str) -> Answer | None:
        """Once the org has moved, the API's old address only tells the new one."""
        has_moved = org.instance_url != org.url and not org.instance_url.endswith(f":{self.server.port}")
        if not has_moved or place in ("token", "identity") or request.path.startswith("/services/oauth2/"):
            return None
        return Answer(302, b"", HTML, (("Location", org.instance_url + self.path),))

    def _send(self, answer: Answer, effect: Effect) -> None:
        if effect.delivery == "close":
            self.close_connection = True
            return
        if effect.delivery == "huge":
            self._send_without_end(answer)
            return
        answer = self._compressed(answer)
        in_chunks = len(answer.body) >= CHUNKED_FROM_BYTES and self.request_version == "HTTP/1.1"
        head = self._head(answer, None if in_chunks else len(answer.body), in_chunks=in_chunks)
        body = _chunked(answer.body) if in_chunks else answer.body
        if self.command == "HEAD":
            body = b""
        if effect.delivery == "drip":
            self._drip(head, body, effect)
        elif effect.delivery == "cut":
            self.close_connection = True
            self.wfile.write(head + body[: len(body) // 2])
        else:
            self.wfile.write(head + body)

    def _compressed(self, answer: Answer) -> Answer:
        if not answer.body or "gzip" not in self._asked_for("Accept-Encoding"):
            return answer
        headers = (*answer.headers, ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding"))
        return replace(answer, body=gzip.compress(answer.body, compresslevel=1, mtime=0), headers=headers)

    def _asked_for(self, header: str) -> str:
        """A header of the request; empty when it hasn't any, or could not be read."""
        headers = getattr(self, "headers", None)
        return headers.get(header, "") if headers else ""

    def _head(self, answer: Answer, length: int | None, *, in_chunks: bool = False) -> bytes:
        """Status line and headers; neither length nor chunks means that the connection's end is the body's."""
        headers = [
            ("Date", email.utils.formatdate(self._clock(), usegmt=True)),
            ("Server", "sfdcedge"),
            ("Strict-Transport-Security", "max-age=63072000; includeSubDomains"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-XSS-Protection", "1; mode=block"),
            ("X-Robots-Tag", "none"),
            ("Content-Security-Policy", "upgrade-insecure-requests"),
            ("Cache-Control", "no-cache,must-revalidate,max-age=0,no-store,private"),
            ("Expires", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("Set-Cookie", f"BrowserId={secrets.token_urlsafe(16)}; path=/; Max-Age=31536000"),
            *answer.headers,
        ]
        if answer.status not in (204, 304):
            headers.append(("Content-Type", answer.content_type))
            if length is not None:
                headers.append(("Content-Length", str(length)))
        if in_chunks:
            headers.append(("Transfer-Encoding", "chunked"))
        if (length is None and not in_chunks) or self.close_connection:
            self.close_connection = True
            headers.append(("Connection", "close"))
        try:
            phrase = http.HTTPStatus(answer.status).phrase
        except ValueError:
            phrase = ""
        lines = [f"HTTP/1.1 {answer.status} {phrase}", *(f"{name}: {value}" for name, value in headers)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")

    def _drip(self, head: bytes, body: bytes, effect: Effect) -> None:
        for part, name in ((head, "headers"), (body, "body")):
            if effect.part not in ("both", name):
                self.wfile.write(part)
                self.wfile.flush()
                continue
            for byte in part:
                self.wfile.write(bytes((byte,)))
                self.wfile.flush()
                if self.server.stopping.wait(effect.byte_seconds):
                    self.close_connection = True
                    return

    def _send_without_end(self, answer: Answer) -> None:
        self.wfile.write(self._head(answer, None))
        block = b'{"access_token":"' + b"A" * 65_536
        while not self.server.stopping.is_set():
            self.wfile.write(block)


def _chunked(body: bytes) -> bytes:
    """The body as chunks of 8 KB. Source: RFC 9112 section 7.1."""
    parts = [body[start : start + 8192] for start in range(0, len(body), 8192)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
