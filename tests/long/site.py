"""A whole site as separate processes on one machine, as `docs/many-hosts.md` has it on many."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psycopg
import requests

from sfjwt_site.run.__main__ import free_port

from .balancer import Answer, Balancer
from .programs import HOST, ROOT, Postgres, Program, RabbitMQ, Redis, until

BEAT_SECONDS = 5
"""Quicker than usual, so that little time must pass."""
CSRF = "c" * 32


@dataclass(frozen=True)
class Shape:
    """How many of what."""

    broker: str = "redis"
    webs: int = 2
    workers: int = 2
    beats: int = 1
    connections: int = 6
    session_seconds: int = 60
    worker_concurrency: int = 2


class Site:
    def __init__(self, folder: Path, shape: Shape) -> None:
        self.folder, self.shape = folder, shape
        self.names = [f"row-{number}" for number in range(shape.connections)]
        self.postgres = Postgres(folder)
        self.broker: Redis | RabbitMQ = Redis(folder) if shape.broker == "redis" else RabbitMQ(folder)
        self._stack = ExitStack()
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("SF_", "CACHE_"))
        } | {
            "DJANGO_SETTINGS_MODULE": "tests.long.settings",
            "ENV_FILE": "",
            "VAR_DIR": str(folder / "var"),
            "SECRET_KEY": secrets.token_urlsafe(50),
            "SF_ENCRYPTION_KEYS": secrets.token_urlsafe(32),
            "SITE_URL": f"http://{HOST}",
            "DATABASE_URL": self.postgres.url,
            "CELERY_BROKER_URL": self.broker.url,
            "SF_TOKEN_API": "on",
            "SF_TOKEN_API_CALLS_PER_MINUTE": "100000",
            "DEBUG": "off",
        }
        self.programs: dict[str, Program] = {}
        self.api_key = self.session = ""

    # ---- from nothing to a running site, and its end ----

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        for server in (self.postgres, self.broker):
            self._stack.callback(server.end)
            server.start()
        org = self._start_org()
        until(self.postgres.is_up, "PostgreSQL")
        self.postgres.create()
        self.manage("migrate", "--verbosity", "0")
        until(self.broker.is_up, self.shape.broker, seconds=60)
        self._make_rows(org)
        ports = [free_port() for _ in range(self.shape.webs)]
        self.webs = [f"http://{HOST}:{port}" for port in ports]
        for number, port in enumerate(ports, 1):
            self.add(*self._web(f"web-{number}", port))
        for number in range(1, self.shape.workers + 1):
            self.add(f"worker-{number}", *self._worker(f"worker-{number}"))
        for number in range(1, self.shape.beats + 1):
            self.add_beat(number)
        for url in self.webs:
            until(lambda url=url: _is_ready(url), f"{url} ready", seconds=60)  # type: ignore[misc]

    def _start_org(self) -> dict[str, Any]:
        org = Program(
            "stand-in",
            [
                *(sys.executable, "manage.py", "fake_salesforce", "--json"),
                *("--set", f"session_seconds={self.shape.session_seconds}", "--set", "token_format=jwt"),
                *("--state-dir", str(self.folder / "org"), "--port", str(free_port())),
            ],
            self.folder / "stand-in.log",
            environment=self.environment,
        )
        self._stack.callback(org.end)
        org.start()
        until(lambda: '"url"' in org.told(), "stand-in org", seconds=60)
        said: dict[str, Any] = json.loads(org.told().splitlines()[0])
        self.org_url = said["url"]
        self.environment["SF_ALLOWED_HOSTS"] = self.org_url.split("://")[1]
        said["users"] = {name: f"{name}@nordhafen.example" for name in self.names}
        for username in said["users"].values():
            self.tell_org("add-user", username=username)
        return said

    def _make_rows(self, org: dict[str, Any]) -> None:
        made = subprocess.run(
            [sys.executable, "-m", "tests.long.prepare"],
            input=json.dumps({**org, "beat_seconds": BEAT_SECONDS}),
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert made.returncode == 0, made.stderr[-3000:]
        said = json.loads(made.stdout.splitlines()[-1])
        self.api_key, self.session = said["api_key"], said["session"]

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    # ---- its programs ----

    def _web(self, name: str, port: int) -> tuple[str, list[str], dict[str, str]]:
        command = [
            *("gunicorn", "--workers", "2", "--threads", "4", "--worker-class", "gthread"),
            *("--graceful-timeout", "30", "--bind", f"{HOST}:{port}", "sfjwt_site.wsgi"),
        ]
        return name, command, {"SF_DRAIN_FILE": str(self.drain_file(name))}

    def _worker(self, name: str) -> tuple[list[str], dict[str, str]]:
        command = ["celery", "-A", "sfjwt_site", "worker", "-c", str(self.shape.worker_concurrency)]
        return [*command, "-n", f"{name}@localhost", "-l", "info"], {}

    def add_beat(self, number: int) -> Program:
        name = f"beat-{number}"
        command = ["celery", "-A", "sfjwt_site", "beat", "--pidfile", "", "-s", str(self.folder / name)]
        return self.add(name, command, {})

    def add(self, name: str, command: Sequence[str], more: dict[str, str]) -> Program:
        program = Program(
            name,
            [sys.executable, "-m", *command],
            self.folder / f"{name}.log",
            environment=self.environment | more,
        )
        self.programs[name] = program
        self._stack.callback(program.end)
        program.start()
        return program

    def drain_file(self, web: str) -> Path:
        return self.folder / f"{web}.drain"

    # ---- looking at it ----

    def ended(self) -> dict[str, str]:
        """Programs that should run and don't, with the end of their logs."""
        return {name: program.told(1500) for name, program in self.programs.items() if not program.runs()}

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.postgres.url, connect_timeout=3) as db:
            return db.execute(statement, values).fetchall()

    def write(self, statement: str) -> None:
        with psycopg.connect(self.postgres.url, connect_timeout=3) as db:
            db.execute(statement)

    def tell_org(self, action: str, **arguments: object) -> None:
        requests.post(f"{self.org_url}/stand-in/{action}", json=arguments, timeout=10).raise_for_status()

    def token_requests(self) -> list[dict[str, Any]]:
        asked = requests.get(f"{self.org_url}/stand-in/requests", timeout=10).json()
        return [each for each in asked if each["path"] == "/services/oauth2/token"]

    def ready(self, url: str) -> dict[str, Any]:
        found: dict[str, Any] = requests.get(f"{url}/readyz", timeout=10).json()
        return found

    # ---- using it ----

    @property
    def cookies(self) -> dict[str, str]:
        return {"sessionid": self.session, "csrftoken": CSRF}

    def page(self, balancer: Balancer, path: str, *, after: Answer | None = None) -> Answer:
        """`after`: who was redirected brings along what is to be said."""
        return balancer.request("GET", path, cookies=self.cookies | (after.cookies if after else {}))

    def press(self, balancer: Balancer, path: str, **fields: object) -> Answer:
        return balancer.request(
            "POST", path, cookies=self.cookies, data={"csrfmiddlewaretoken": CSRF, **fields}
        )

    def token(self, balancer: Balancer, name: str) -> Answer:
        headers = {"Authorization": f"Bearer {self.api_key}"}
        return balancer.request("POST", "/api/jwtauth", headers=headers, json={"connection": name})

    @contextmanager
    def callers(self) -> Iterator[Path]:
        """A process that calls `get_token`; the file it tells of it."""
        (self.folder / "caller.log").unlink(missing_ok=True)
        program = self.add("caller", ["tests.long.caller", *self.names], {})
        until(lambda: {call["name"] for call in calls(program.log)} == {*self.names}, "callers", seconds=60)
        try:
            yield program.log
        finally:
            program.kill()
            del self.programs["caller"]


def _is_ready(url: str) -> bool:
    with suppress(requests.RequestException):
        return requests.get(f"{url}/readyz", timeout=5).ok
    return False


class Traffic:
    """Pages, buttons and tokens over HTTP, all at the same time, until it is closed."""

    def __init__(self, site: Site, balancer: Balancer, *, callers: int = 2) -> None:
        self._closed = threading.Event()
        names = site.names
        self._threads = [
            self._again(0.4, lambda number: site.page(balancer, "/connections/")),
            self._again(
                0.4, lambda number: site.page(balancer, f"/connections/{names[number % len(names)]}/")
            ),
            self._again(5, lambda number: site.press(balancer, f"/connections/{names[0]}/check/")),
        ]
        self._threads += [
            self._again(0.1, lambda number: site.token(balancer, names[number % len(names)]))
            for _ in range(callers)
        ]

    def _again(self, pause: float, call: Callable[[int], object]) -> threading.Thread:
        def go_on() -> None:
            number = 0
            while not self._closed.wait(pause):
                call(number)
                number += 1

        return threading.Thread(target=go_on, daemon=True)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        for thread in self._threads:
            thread.join(60)


def calls(log: Path, *, since: float = 0.0) -> list[dict[str, Any]]:
    """What the callers of `get_token` were told."""
    told = [
        json.loads(line) for line in log.read_text().splitlines() if line.endswith("}") and line[0] == "{"
    ]
    return [each for each in told if each["at"] + each["seconds"] >= since]
