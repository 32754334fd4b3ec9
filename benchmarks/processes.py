"""Processes of their own that call functions for us: what is measured shares neither lock nor memory with anything else.

They are spawned, not forked, and import what they are told to call once their set-up is done.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, Self, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
_SPAWN = multiprocessing.get_context("spawn")
_END_SECONDS = 10


class CallFailed(Exception):
    """A function raised, or its process ended. The text is the last line of the traceback; the rest is a note."""


class Remote:
    """A process that answers one call at a time. `target` gets its end of the pipe, then `arguments`."""

    def __init__(self, target: Callable[..., None], *arguments: object) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=target, args=(theirs, *arguments), daemon=True)
        self._process.start()
        theirs.close()  # or its end would never be noticed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let it end by itself, which it does when nobody is left to answer."""
        self._pipe.close()
        self._process.join(_END_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def ask(self, question: object) -> Any:
        """What the process answers. Raises CallFailed."""
        try:
            self._pipe.send(question)
            return self.answer()
        except (EOFError, OSError) as exc:
            raise CallFailed(f"a process of the bench ended: {exc!r}") from exc

    def answer(self) -> Any:
        went_well, value = self._pipe.recv()
        if went_well:
            return value
        failed = CallFailed(value.strip().splitlines()[-1])
        failed.add_note(value)
        raise failed


class Worker(Remote):
    """A Django process of a site: `environment` is all that its settings need."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__(_work, dict(environment))

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a function of a module there; arguments and result are copied."""
        result: R = self.ask((function, args, kwargs))
        return result


def serve(pipe: Connection, *first: object) -> None:
    """Answer until the other side is gone; `first` are handed to each function before its own arguments."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started us, whose end we notice
    while True:
        try:
            function, args, kwargs = pipe.recv()
        except EOFError:
            return
        try:
            answer = (True, function(*first, *args, **kwargs))
        except BaseException:  # noqa: BLE001 - told to who asked
            answer = (False, traceback.format_exc())
        pipe.send(answer)


def _work(pipe: Connection, environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    import django  # reads the settings, so not before the environment is right

    django.setup()
    # A line per sign-in, and warnings of full pools of others, would bury the table.
    logging.disable(logging.WARNING)
    serve(pipe)
    os._exit(0)  # taking Django apart takes a while, and nothing is left to be done
