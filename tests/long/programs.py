"""Programs of a site, to be killed, frozen and brought back; and the servers it needs, each of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sfjwt_site.run.__main__ import free_port
from sfjwt_site.run.processes import term_when_parent_dies

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"


@dataclass
class Program:
    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    user: str | None = None
    stop_signal: int = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert self.process is None or self.process.poll() is not None, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                list(self.command),
                cwd=ROOT,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A test run that is killed leaves nothing behind.
                preexec_fn=partial(term_when_parent_dies, os.getpid()),  # noqa: PLW1509 - does next to nothing
                user=self.user,
            )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL to it and all its children, as when the machine takes their memory away."""
        self._signal_all(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(10)

    def freeze(self) -> None:
        self._signal_all(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal_all(signal.SIGCONT)

    def stop(self, timeout_seconds: float = 40) -> int:
        """Asked to end, as systemd asks; its status."""
        assert self.process is not None
        self.process.send_signal(self.stop_signal)
        return self.process.wait(timeout_seconds)

    def end(self) -> None:
        """At the end of all: whatever state it is in."""
        if not self.runs():
            return
        self.go_on()
        try:
            self.stop(15)
        except subprocess.TimeoutExpired:
            self.kill()

    def _signal_all(self, number: int) -> None:
        for pid in family(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def told(self, last: int = 4000) -> str:
        return self.log.read_text(errors="replace")[-last:] if self.log.exists() else ""


def family(pid: int) -> list[int]:
    """A process and all that came of it, the eldest first."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                children.setdefault(int(parent), []).append(int(folder.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def until(true: Callable[[], object], what: str, *, seconds: float = 30, every: float = 0.1) -> float:
    """Wait for it; how long that took. Fails when it does not come."""
    began = time.monotonic()
    while not true():
        waited = time.monotonic() - began
        assert waited < seconds, f"{what}: not within {seconds:.0f} s"
        time.sleep(every)
    return time.monotonic() - began


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


# ---- the servers ----


def postgres_programs() -> Path | None:
    """Folder of initdb and postgres, the newest there is."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


class Postgres(Program):
    """A cluster of its own, in a folder that goes with it. PostgreSQL refuses to run as root."""

    def __init__(self, folder: Path) -> None:
        programs = postgres_programs()
        assert programs is not None, "PostgreSQL's programs (initdb, postgres) are missing"
        user = "postgres" if os.geteuid() == 0 else None
        # A folder of pytest is closed to other users.
        self.data = Path(tempfile.mkdtemp(prefix="sf-postgres-"))
        if user:
            os.chown(self.data, pwd.getpwnam(user).pw_uid, -1)
        self.port = free_port()
        self.url = f"postgres://postgres@{HOST}:{self.port}/site"
        subprocess.run(
            [
                programs / "initdb",
                "-D",
                self.data,
                "-A",
                "trust",
                "-U",
                "postgres",
                "--no-sync",
                "-E",
                "UTF8",
            ],
            check=True,
            capture_output=True,
            user=user,
            cwd="/",
        )
        settings = (f"port={self.port}", "unix_socket_directories=", "fsync=off", "max_connections=60")
        options = [part for each in settings for part in ("-c", each)]
        super().__init__(
            "postgres",
            [str(programs / "postgres"), "-D", str(self.data), *options],
            folder / "postgres.log",
            user=user,
            stop_signal=signal.SIGINT,  # “fast”: does not wait for its clients
        )

    def create(self) -> None:
        import psycopg

        with psycopg.connect(
            f"postgres://postgres@{HOST}:{self.port}/postgres", autocommit=True
        ) as connection:
            connection.execute("CREATE DATABASE site")

    def is_up(self) -> bool:
        import psycopg

        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(f"postgres://postgres@{HOST}:{self.port}/postgres", connect_timeout=2).close()
            return True
        return False

    def end(self) -> None:
        super().end()
        shutil.rmtree(self.data, ignore_errors=True)


class Redis(Program):
    """Keeps nothing on disk: killed, it forgets all messages."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://{HOST}:{self.port}/0"
        super().__init__(
            "redis",
            ["redis-server", "--bind", HOST, "--port", str(self.port), "--save", "", "--appendonly", "no"],
            folder / "redis.log",
        )

    def is_up(self) -> bool:
        return answers(self.port)


class RabbitMQ(Program):
    """A node of its own, with its own cookie, folder and port mapper."""

    SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

    def __init__(self, folder: Path) -> None:
        home = folder / "rabbitmq"
        home.mkdir()
        self.port, distribution, self.mapper = (free_port() for _ in range(3))
        self.url = f"amqp://guest:guest@{HOST}:{self.port}//"
        (home / "plugins").write_text("[].\n")
        super().__init__(
            "rabbitmq",
            [str(self.SERVER)],
            folder / "rabbitmq.log",
            environment=dict(os.environ)
            | {
                "HOME": str(home),
                "RABBITMQ_NODENAME": f"chaos-{secrets.token_hex(3)}@localhost",
                "RABBITMQ_NODE_IP_ADDRESS": HOST,
                "RABBITMQ_NODE_PORT": str(self.port),
                "RABBITMQ_DIST_PORT": str(distribution),
                "RABBITMQ_MNESIA_BASE": str(home / "data"),
                "RABBITMQ_LOG_BASE": str(home / "log"),
                "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
                "RABBITMQ_CONFIG_FILE": str(home / "none"),
                "RABBITMQ_CONF_ENV_FILE": str(home / "none-env"),
                "RABBITMQ_PID_FILE": str(home / "pid"),
                "ERL_EPMD_PORT": str(self.mapper),
                "ERL_EPMD_ADDRESS": HOST,
            },
        )

    def is_up(self) -> bool:
        return answers(self.port)

    def end(self) -> None:
        super().end()
        # The port mapper lives on by itself.
        subprocess.run(
            ["epmd", "-port", str(self.mapper), "-kill"], capture_output=True, check=False, timeout=10
        )
