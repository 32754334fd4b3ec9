"""Programs of a deployment, started as its files say and stopped as a service manager does it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import requests

START_SECONDS = 60
_HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True)
class Program:
    popen: subprocess.Popen[bytes]
    log: Path

    def wait_for(self, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not is_ready():
            assert self.popen.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def wait_for_line(self, text: str) -> None:
        self.wait_for(lambda: text in self.log.read_text())

    def stop(self, seconds: float) -> None:
        """TERM to the one process, as KillMode=mixed does; it has to end well in time."""
        self.popen.terminate()
        assert self.popen.wait(seconds) == 0, self.log.read_text()


@contextmanager
def running(
    command: Sequence[str] | str,
    environment: Mapping[str, str],
    log: Path,
    *,
    folder: Path,
    inherited: socket.socket | None = None,
) -> Iterator[Program]:
    """`command` in a process group of its own, a string by the shell; `inherited`: the socket that systemd would hand over."""
    words = ["sh", "-c", command] if isinstance(command, str) else list(command)
    fds: tuple[int, ...] = ()
    if inherited is not None:
        fds = (inherited.fileno(),)
        words = [sys.executable, "-c", _HAND_OVER, str(inherited.fileno()), *words]
    with log.open("wb") as output:
        popen = subprocess.Popen(
            words,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=fds,
            start_new_session=True,
        )
    try:
        yield Program(popen, log)
    finally:
        _kill_group(popen)


def _kill_group(popen: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(popen.pid, 9)
    popen.wait(10)


def finish(
    command: Sequence[str] | str, environment: Mapping[str, str], *, folder: Path, seconds: float = 120
) -> str:
    """Run to the end, which has to be good; what it printed."""
    finished = subprocess.run(
        ["sh", "-c", command] if isinstance(command, str) else list(command),
        cwd=folder,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def answers(url: str, **headers: str) -> bool:
    try:
        return requests.get(url, headers=headers, timeout=5).status_code == 200
    except requests.ConnectionError:
        return False
