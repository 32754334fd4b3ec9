"""Child processes that end with their parent, whatever happens to it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn, Self

LARGEST_LOG = 10_000_000
"""Bytes; as much again is kept of what came before."""
TERM_SECONDS = 7.0
"""How long children get to stop by themselves; with the launcher's own steps the whole stays under 10 s."""


class StartError(Exception):
    """The site can't be started or has ended; the text says why and what to do."""


@dataclass(frozen=True)
class Child:
    name: str
    popen: subprocess.Popen[str]
    log: Path
    log_start: int
    """Size of the log before this process wrote to it."""

    def output(self) -> str:
        """What it has written so far, this time."""
        with self.log.open("rb") as file:
            if file.seek(0, os.SEEK_END) >= self.log_start:
                file.seek(self.log_start)
            else:  # it was put aside meanwhile
                file.seek(0)
            return file.read().decode(errors="replace")

    def has_ended(self) -> bool:
        return self.popen.poll() is not None

    def failure(self) -> StartError:
        last = "\n".join(f"    {line}" for line in self.output().splitlines()[-12:])
        return StartError(
            f"{self.name} ended with status {self.popen.returncode}. Its log {self.log} ends:\n{last}"
        )


class Children:
    """Starts processes and, at the end of the `with` block, stops them all."""

    def __init__(self, *, folder: Path, log_folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._log_folder = log_folder
        self._environment = dict(environment)
        self._all: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        # A second Ctrl-C must not leave half of them behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self.stop()

    def start(
        self, name: str, *arguments: str, stdin: int = subprocess.DEVNULL, stdout: int | None = None
    ) -> Child:
        """Run `python ARGUMENTS`. What it prints goes to NAME.log; standard output to `stdout` if given."""
        path = self._log_folder / f"{name}.log"
        with path.open("a") as log:
            start = log.seek(0, os.SEEK_END)
            popen = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self._folder,
                env=self._environment,
                stdin=stdin,
                stdout=log if stdout is None else stdout,
                stderr=log,
                text=True,
                # A group of its own: Ctrl-C reaches the launcher alone, which then stops the children.
                start_new_session=True,
                preexec_fn=partial(term_when_parent_dies, os.getpid()),  # noqa: PLW1509 (no threads here)
            )
        child = Child(name, popen, path, start)
        self._all.append(child)
        return child

    def wait_for(self, child: Child, is_ready: Callable[[], bool], *, timeout_seconds: float) -> None:
        """Return when `is_ready()`; raise StartError when `child` ends or the time does."""
        deadline = time.monotonic() + timeout_seconds
        while not is_ready():
            if child.has_ended():
                raise child.failure()
            if time.monotonic() > deadline:
                raise StartError(f"{child.name} isn't ready after {timeout_seconds:.0f} s. See {child.log}.")
            time.sleep(0.02)

    def stop(self) -> None:
        """TERM to all at once, KILL to what is left after a while."""
        running = [child for child in self._all if not child.has_ended()]
        for child in running:
            child.popen.terminate()
        deadline = time.monotonic() + TERM_SECONDS
        for child in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.popen.wait(max(0.0, deadline - time.monotonic()))
        for child in self._all:
            _kill_group(child.popen)


def _kill_group(popen: subprocess.Popen[str]) -> None:
    """KILL whatever is left of a child's process group: itself, or what it started (a worker's beat)."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(popen.pid, signal.SIGKILL)
    popen.wait()


class Kept:
    """A child that is started again when it ends, unless it ends too often."""

    MOST_ENDS, WITHIN_SECONDS = 3, 60.0

    def __init__(self, child: Child, start: Callable[[], Child]) -> None:
        self.child, self._start = child, start
        self._ends: list[float] = []

    def look_after(self, now: float) -> str:
        """Start it again if it has ended, and tell that in one line; empty while all is well, and once it was given up."""
        if not self.child.has_ended() or len(self._ends) >= self.MOST_ENDS:
            return ""
        self._ends = [end for end in self._ends if now - end < self.WITHIN_SECONDS] + [now]
        if len(self._ends) >= self.MOST_ENDS:
            given_up = f"That was {self.MOST_ENDS} times within a minute: it stays down until the next start."
            return f"{self.child.failure()}\n{given_up} The others go on."
        ended, self.child = self.child, self._start()
        return f"{ended.name} ended with status {ended.popen.returncode} and is started again, as it was at first."


def put_aside(folder: Path, *, largest: int) -> None:
    """Let each log of more than `largest` bytes begin anew, and keep what it held as NAME.log.1. Programs that append to it go on."""
    for log in folder.glob("*.log"):
        if log.stat().st_size > largest:
            with contextlib.suppress(OSError):  # a full disk is no reason to stop the site
                shutil.copyfile(log, log.with_name(f"{log.name}.1"))
                os.truncate(log, 0)


def watch(children: Sequence[Child], kept: Sequence[Kept], *, log_folder: Path) -> NoReturn:
    """Wait until one of the children ends by itself, and raise StartError for it; meanwhile look after logs and those to be kept."""
    while True:
        put_aside(log_folder, largest=LARGEST_LOG)
        for child in children:
            if child.has_ended():
                raise child.failure()
        for each in kept:
            if said := each.look_after(time.monotonic()):
                print(said, flush=True)
        time.sleep(0.25)


def term_when_parent_dies(parent: int) -> None:
    """Have the kernel send this process TERM when the process `parent` is gone, even by KILL. Linux only."""
    if _prctl is None:
        return
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it was gone before the kernel was asked
        os.kill(os.getpid(), signal.SIGTERM)


_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Looked up here, since a process between fork and exec should do as little as it can.
_prctl = ctypes.CDLL(None).prctl if sys.platform.startswith("linux") else None
