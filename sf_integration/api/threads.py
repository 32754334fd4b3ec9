"""Where async code waits: threads that no other connection's callers can use up.

The threads of an event loop's own executor are few (six on two cores), and whoever waits for a dead org keeps one for
seconds. So each lane has its own, as long as somebody or a call is in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

Lane = tuple[str, str | None, str | None]
"""What is done there, and the connection and username that it is done for."""

AT_ONCE = 25
"""Calls of a lane; further ones wait in line. An org takes no more long ones at a time.

Source: Salesforce Developer Limits and Allocations Quick Reference, "API Request Limits and Allocations".
"""


async def in_thread(lane: Lane, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What `call` gives. A task that is cancelled stops waiting at once; the call goes on to its end."""
    executor = _executor(lane)
    run = partial(copy_context().run, partial(_call, executor, call, *args, **kwargs))
    return await asyncio.get_running_loop().run_in_executor(executor, run)


def _executor(lane: Lane) -> Executor:
    from .. import tokens

    executors = tokens.current().executors
    executor = executors.get(lane)
    if executor is None:
        executor = executors[lane] = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="sf_integration")
    return executor


def _call(_: Executor, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """A thread's database connections are its own, and nobody else would close them.

    Its executor is held as long as it works: who gives up would else make room for further threads beside those that hang.
    """
    from django.db import connections

    try:
        return call(*args, **kwargs)
    finally:
        connections.close_all()
