"""`python -m sfjwt_site.run`: start everything, say where it is, stop everything."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, NoReturn

from sfjwt_site.environment import BASE_DIR, env_file, read_env_file
from sfjwt_site.run.env_file import replace_allowed_host, replace_host, write_first
from sfjwt_site.run.processes import Child, Children, Kept, StartError, term_when_parent_dies, watch

HOST = "127.0.0.1"


class StopRequested(Exception):
    """INT, TERM or HUP arrived."""


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        signal.signal(signal.SIGHUP, _stop)
    if "MAKELEVEL" in os.environ:  # without make there is nobody to outlive
        term_when_parent_dies(os.getppid())
    os.umask(0o077)
    try:
        run()
    except StopRequested:
        print("\nStopped.")
        return 0
    except StartError as error:
        print(f"\nmake run: {error}", file=sys.stderr)
        return 1


def run() -> NoReturn:
    began = time.monotonic()
    var = private_folder(Path(setting("VAR_DIR") or BASE_DIR / "var"))
    logs = private_folder(var / "log")
    port = wanted_port(os.environ.get("PORT") or "8000")
    address = f"http://{HOST}:{port}"
    with only_one(var / "run.lock", address):
        if not is_free(port):
            raise StartError(
                f"port {port} is in use by another program. Stop that one or take another port: "
                f"make run PORT={port + 1000}"
            )
        environment = dict(os.environ) | {"VAR_DIR": str(var)}
        stand_in_port = settle_environment(environment, address)
        with Children(folder=BASE_DIR, log_folder=logs, environment=environment) as children:
            services: list[Child] = []
            kept: list[Kept] = []
            preparing = start_preparing(children)
            said = ""
            if stand_in_port is not None:
                with step("Stand-in org"):
                    kept, said = start_stand_in(children, stand_in_port, var)
            prepared = finish_preparing(preparing, said)
            with step("Web"):
                services.append(start_web(children, port, logs))
            services.append(start_worker(children))
            print(f"\nReady after {time.monotonic() - began:.1f} s: {address}/")
            print(sign_in_hint(prepared))
            print(f"Logs are in {logs}. Ctrl-C stops everything.", flush=True)
            watch(services, kept, log_folder=logs)


def _stop(*signal_and_frame: object) -> NoReturn:
    raise StopRequested


# ---- Before anything is started ------------------------------------------------------------------------------


def private_folder(path: Path) -> Path:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as exc:
        raise StartError(
            f"can't write in {path}: {exc.strerror or exc}. Make the folder yours, or work in a copy."
        ) from exc
    return path.resolve()


def wanted_port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise StartError(f"PORT={text} is not a port number (1 to 65535).")
    return int(text)


@contextlib.contextmanager
def only_one(path: Path, address: str) -> Iterator[None]:
    """Hold a lock that dies with this process; it holds the address for whoever comes second."""
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            lock.seek(0)
            raise StartError(f"already running at {lock.read().strip()}. Nothing was started.") from exc
        lock.truncate(0)
        lock.write(f"{address}/\n")
        lock.flush()
        yield


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers themselves bind: closed connections of the last run don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """One below those that systems hand to outgoing connections: such a one could be taken again before it is used."""
    candidates = (random.randrange(18_000, 32_000) for _ in range(1000))  # noqa: S311 - any will do
    return next(port for port in candidates if is_free(port))


def setting(name: str) -> str:
    """What a child will find under this name: of the environment, else of `.env`, else empty."""
    path = env_file()
    in_file = read_env_file(path) if path is not None else {}
    return os.environ.get(name, in_file.get(name, ""))


def settle_environment(environment: dict[str, str], address: str) -> int | None:
    """Write `.env` the first time, keep its stand-in entry true, adapt SITE_URL to the port.

    Returns the port for the stand-in; None when SF_ALLOWED_HOSTS lists no host of this machine: none is wanted.
    """
    path = env_file()
    if path is not None and not path.exists():
        with step(f"Writing {path.name} with fresh keys"):
            write_first(path, site_url=address, stand_in_host=f"{HOST}:{free_port()}")
    if setting("SITE_URL").startswith(f"http://{HOST}:"):
        environment["SITE_URL"] = address
    entry = stand_in_entry(setting("SF_ALLOWED_HOSTS"))
    if entry is None:
        print("No stand-in org: SF_ALLOWED_HOSTS lists no host of this machine.")
        return None
    port = int(entry.rpartition(":")[2])
    if is_free(port):
        return port
    port = free_port()
    print(f"{entry} is taken, the stand-in org moves to {HOST}:{port}.")
    if "SF_ALLOWED_HOSTS" in environment:
        environment["SF_ALLOWED_HOSTS"] = replace_host(
            environment["SF_ALLOWED_HOSTS"], entry, f"{HOST}:{port}"
        )
    elif path is not None:
        replace_allowed_host(path, entry, f"{HOST}:{port}")
    return port


def stand_in_entry(allowed_hosts: str) -> str | None:
    """The first 127.0.0.1:PORT of a comma-separated list."""
    for entry in (part.strip() for part in allowed_hosts.split(",")):
        host, _, port = entry.partition(":")
        if host == HOST and port.isdecimal():
            return entry
    return None


# ---- Starting ------------------------------------------------------------------------------------------------


def start_stand_in(children: Children, port: int, var: Path) -> tuple[list[Kept], str]:
    """Returns what keeps it running and the line in which it says how to sign in to it (JSON).

    Its folder makes it the same org again after a restart, with its key and data; what it was told meanwhile is gone.
    """
    start = partial(
        children.start,
        "stand-in",
        *("manage.py", "fake_salesforce", "--json"),
        *("--host", HOST, "--port", str(port), "--state-dir", str(var / "stand-in")),
    )
    child = start()
    children.wait_for(child, lambda: said_by_stand_in(child) is not None, timeout_seconds=30)
    return [Kept(child, start)], said_by_stand_in(child) or ""


def said_by_stand_in(child: Child) -> str | None:
    for line in child.output().splitlines(keepends=True):
        if line.startswith("{") and line.endswith("\n"):
            return line.strip()
    return None


def start_preparing(children: Children) -> Child:
    return children.start(
        "prepare", "-m", "sfjwt_site.run.prepare", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def finish_preparing(child: Child, said_by_stand_in: str) -> dict[str, Any]:
    """Hand over what the stand-in said, show the steps as they come, return the `Prepared` as a dict."""
    with contextlib.suppress(BrokenPipeError):
        pipe(child.popen.stdin).write(said_by_stand_in + "\n")
        pipe(child.popen.stdin).flush()
    last: dict[str, Any] = {}
    for line in pipe(child.popen.stdout):
        last = json.loads(line)
        if "step" in last:
            show(last["step"], last["seconds"])
    if child.popen.wait(timeout=10):
        raise child.failure()
    return last


def start_web(children: Children, port: int, logs: Path) -> Child:
    child = children.start(
        "web",
        *("-m", "gunicorn", "sfjwt_site.wsgi", "--bind", f"{HOST}:{port}", "--no-control-socket"),
        *("--worker-class", "gthread", "--workers", "1", "--threads", "3", "--graceful-timeout", "3"),
        *("--access-logfile", str(logs / "access.log")),
        *("--logger-class", "sfjwt_site.gunicorn_logger.Logger"),
    )
    children.wait_for(child, lambda: answers(port), timeout_seconds=60)
    return child


def start_worker(children: Children) -> Child:
    return children.start(
        "worker",
        *("-m", "celery", "--app", "sfjwt_site", "worker", "--beat", "--loglevel", "info"),
        *("--pool", "threads", "--concurrency", "4"),
        # Talk among many workers; this one is alone.
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    )


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status < 500
    except OSError:
        return False
    finally:
        connection.close()


# ---- Telling -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    show(name, time.monotonic() - started)


def show(name: str, seconds: float) -> None:
    print(f"  {seconds:5.1f} s  {name}", flush=True)


def sign_in_hint(prepared: dict[str, Any]) -> str:
    password = prepared.get("admin_password")
    reset = ".venv/bin/python manage.py changepassword admin"
    if password:
        return f"Sign in as admin with the password {password} (shown only now; to set another: {reset})"
    return f"Sign in as before (to set a new password: {reset})"


def pipe(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise ValueError("started without a pipe")
    return stream


if __name__ == "__main__":
    sys.exit(main())
