"""Everywhere that a secret must not be. Each place gives, as bytes, all that stands there now."""

from __future__ import annotations

import io
import logging
import logging.config
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from celery import current_app
from celery.signals import before_task_publish
from django.conf import settings
from django.core import mail
from django.core.cache import cache
from django.db import connection as database
from django.http.response import HttpResponseBase

from sf_integration.testing.django import ConnectableOrg

from .search import unpacked

LONGEST_LOG = 100_000_000
"""Characters. Beyond, some logger tells the same again and again, and is to be found rather than searched."""

_started: list[str] = []


def _note_process(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system"):
        _started.append(repr(arguments))


_hook: list[None] = []


class Places:
    """As long as it is open, it listens to loggers, messages and channels; databases, caches and files are read when asked for."""

    def __init__(self, org: ConnectableOrg, folder: Path) -> None:
        self.org = org
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self.shown = io.BytesIO()
        """Pages, JSON, downloads: status, headers and body of each answer."""
        self.printed = io.BytesIO()
        """Standard output and standard error of the verbs."""
        self.reports = io.BytesIO()
        """Pages of crashes with DEBUG, and mails to ADMINS."""
        self._logged = _Log()
        self._sent = io.BytesIO()
        self._posted = io.BytesIO()

    def all(self) -> dict[str, Callable[[], bytes]]:
        return {
            "pages": self.shown.getvalue,
            "verbs": self.printed.getvalue,
            "crash reports": self.reports.getvalue,
            "logs": self._logged.as_bytes,
            "messages to the broker": self._sent.getvalue,
            "broker": broker,
            "database": database_rows,
            "database file": database_file,
            "cache": cached,
            "mails": lambda: b"\n".join(each.message().as_bytes() for each in mail.outbox),
            "channels": self._posted.getvalue,
            "files": lambda: files(self.temporary) + files(Path(settings.VAR_DIR)),
            "addresses called at the org": lambda: repr(
                [(each.path, each.parameters) for each in self.org.requests]
            ).encode(),
            "processes started": lambda: "\n".join(_started).encode(),
        }

    def see(self, answer: HttpResponseBase, *, body: bool = True) -> bytes:
        """Note what a browser was shown; gives the body."""
        content = answer.getvalue()  # type: ignore[attr-defined]
        self.shown.write(f"{answer.status_code} {sorted(answer.headers.items())} {answer.cookies}\n".encode())
        if body:
            # The search knows what is packed by its first bytes.
            self.shown.writelines(part + b"\n" for part in unpacked(content))
        return bytes(content)

    @contextmanager
    def open(self) -> Iterator[str]:
        """Gives the address of a channel, host and port."""
        with ExitStack() as stack:
            stack.enter_context(_every_logger_into(self._logged))
            stack.enter_context(_statements_logged())
            before_task_publish.connect(self._note_message)
            stack.callback(before_task_publish.disconnect, self._note_message)
            if not _hook:
                sys.addaudithook(_note_process)
                _hook.append(None)
            _started.clear()
            self.channel = stack.enter_context(_channel(self._posted))
            yield self.channel

    def _note_message(self, **told: Any) -> None:
        self._sent.write(repr(told).encode() + b"\n")


class _Log(io.StringIO):
    def write(self, text: str) -> int:
        # Handlers swallow what is raised here.
        return super().write(text) if self.tell() < LONGEST_LOG else 0

    def as_bytes(self) -> bytes:
        told = self.getvalue()
        assert len(told) < LONGEST_LOG, f"logs without end: {told[-2000:]}"
        return told.encode(errors="backslashreplace")


class _WithEverything(logging.Formatter):
    """Also what only handlers of JSON or trackers write: arguments, extras."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{super().format(record)} {vars(record)!r}"


@contextmanager
def _every_logger_into(stream: io.StringIO) -> Iterator[None]:
    """All of them at DEBUG, in every format that the site knows."""
    configured = logging.config.DictConfigurator({"version": 1})
    formats = [configured.configure_formatter(dict(each)) for each in settings.LOGGING["formatters"].values()]
    handlers = [logging.StreamHandler(stream) for _ in (*formats, None)]
    for handler, each in zip(handlers, [*formats, _WithEverything("%(name)s %(message)s")], strict=True):
        handler.setFormatter(each)
    root = logging.getLogger()
    named = [each for each in logging.Logger.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    before = [(each, each.level, each.propagate, each.disabled) for each in (root, *named)]
    for each, *_ in before:
        # Templates tell each variable that isn't there with the `repr` of all that is: gigabytes.
        each.setLevel(logging.INFO if each.name == "django.template" else logging.DEBUG)
        each.propagate, each.disabled = True, False
    # Pytest's own would keep all of it a second time.
    others, root.handlers = root.handlers, handlers
    try:
        yield
    finally:
        root.handlers = others
        for each, level, propagate, disabled in before:
            each.setLevel(level)
            each.propagate, each.disabled = propagate, disabled


@contextmanager
def _statements_logged() -> Iterator[None]:
    """`django.db.backends` tells each statement with its parameters, as it does with DEBUG."""
    before, database.force_debug_cursor = database.force_debug_cursor, True
    try:
        yield
    finally:
        database.force_debug_cursor = before


@contextmanager
def _channel(posted: io.BytesIO) -> Iterator[str]:
    """A receiver of alarms. Its own address may hold its own secret, what it is sent may not."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.write(self.rfile.read(int(self.headers.get("Content-Length", 0))) + b"\n")
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield "{}:{}".format(*server.server_address)
        finally:
            server.shutdown()


def database_rows() -> bytes:
    """Every value of every table."""
    found = io.BytesIO()
    with database.cursor() as cursor:
        for table in database.introspection.table_names():
            cursor.execute(f"SELECT * FROM {database.ops.quote_name(table)}")
            for row in cursor.fetchall():
                found.write("\x1f".join(map(str, row)).encode() + b"\n")
    return found.getvalue()


def database_file() -> bytes:
    """SQLite's file with its log: also what was deleted, in its free pages."""
    if database.vendor != "sqlite":
        return b""
    folder = Path(database.settings_dict["NAME"]).parent
    return b"".join(path.read_bytes() for path in sorted(folder.glob("test*.sqlite3*")))


def broker() -> bytes:
    """The messages that wait there, and all else of it."""
    url = settings.CELERY_BROKER_URL
    if url.startswith("filesystem"):
        return files(Path(settings.VAR_DIR) / "broker")
    import redis

    client = redis.Redis.from_url(url)
    return b"\n".join(key + _of_redis(client, key) for key in client.scan_iter())


def _of_redis(client: Any, key: bytes) -> bytes:
    read = {
        b"list": lambda: client.lrange(key, 0, -1),
        b"hash": lambda: client.hgetall(key),
        b"set": lambda: client.smembers(key),
        b"zset": lambda: client.zrange(key, 0, -1),
        b"string": lambda: client.get(key),
    }
    return repr(read[client.type(key)]()).encode()


def empty_broker() -> None:
    current_app.control.purge()


def cached() -> bytes:
    if "locmem" in settings.CACHES["default"]["BACKEND"]:
        return repr(dict(cache._cache)).encode()  # type: ignore[attr-defined]
    import redis

    client = redis.Redis.from_url(settings.CACHES["default"]["LOCATION"])
    ours = f"{settings.CACHES['default']['KEY_PREFIX']}*"
    return b"\n".join(key + (client.get(key) or b"") for key in client.scan_iter(ours))


def files(folder: Path) -> bytes:
    """Names and contents, databases apart."""
    return b"\n".join(
        b"\n".join((str(path).encode(), *unpacked(path.read_bytes())))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".sqlite3" not in path.name
    )
