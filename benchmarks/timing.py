"""Clocks around calls."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

Call = Callable[[], object]


def in_turn(calls: Mapping[str, Call], *, rounds: int, repeat: int = 1) -> dict[str, float]:
    """Median seconds of each call. They are made in turn, so that the machine's moods hit all alike."""
    return _medians(time.perf_counter, calls, rounds, repeat)


def cpu_in_turn(calls: Mapping[str, Call], *, rounds: int, repeat: int = 1) -> dict[str, float]:
    """Likewise, CPU seconds of this thread: neither waiting nor what others do counts."""
    return _medians(time.thread_time, calls, rounds, repeat)


def cpu_of(call: Call) -> float:
    """CPU seconds that one call takes in all threads of this process."""
    started = time.process_time()
    call()
    return time.process_time() - started


def _medians(
    clock: Callable[[], float], calls: Mapping[str, Call], rounds: int, repeat: int
) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            started = clock()
            for _ in range(repeat):
                call()
            found[name].append((clock() - started) / repeat)
    return {name: statistics.median(values) for name, values in found.items()}
