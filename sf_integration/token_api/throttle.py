"""How often callers call: counted by the minute in Django's cache, which all processes share if it is one that can be shared.

When the cache does not answer or keeps nothing, each process counts for itself: a throttle must not be what stops callers.
"""

from __future__ import annotations

import logging
import time
from collections import Counter

from django.core.cache import cache

from .answers import TooManyCalls

CACHE_RESTS_SECONDS = 30.0
"""How long a cache that failed is not asked: each try may take as long as its time-out."""

log = logging.getLogger("sf_integration.token_api")

_cache_asked_from = 0.0
_own: Counter[str] = Counter()


def count(what: str, *, limit: int, called: str = "calls", once: str = "", now: float | None = None) -> None:
    """Count one of these, which people know as `called`. Raises TooManyCalls for those beyond the limit of a minute.

    `once`: which one it is, where several may tell of the same; it counts once.
    """
    now = now or time.time()
    is_new = not once or _counted(_key(f"{what}.{once}", now)) == 1
    if _counted(_key(what, now), int(is_new)) > limit:
        _refuse(limit, called, now)


def require_below(what: str, *, limit: int, called: str = "calls", now: float | None = None) -> None:
    """Raise TooManyCalls if the limit was reached already; counts nothing."""
    now = now or time.time()
    if _counted(_key(what, now), 0) >= limit:
        _refuse(limit, called, now)


def _refuse(limit: int, called: str, now: float) -> None:
    raise TooManyCalls(f"More than {limit:,} {called} within a minute.", retry_after=60 - now % 60)


def _key(what: str, now: float) -> str:
    return f"sf_integration.calls.{int(now // 60)}.{what}"


def _counted(key: str, more: int = 1) -> int:
    """How many there are with these."""
    global _cache_asked_from  # noqa: PLW0603 - of this process
    if time.monotonic() >= _cache_asked_from:
        try:
            return _counted_by_cache(key, more)
        except Exception as exc:  # noqa: BLE001 - each kind of cache has its own
            _cache_asked_from = time.monotonic() + CACHE_RESTS_SECONDS
            log.warning("the cache did not count calls, this process does: %s", type(exc).__name__)
    return _counted_here(key, more)


def _counted_by_cache(key: str, more: int) -> int:
    if not more:
        return int(cache.get(key, 0))
    try:
        return int(cache.incr(key))
    except ValueError:
        if not cache.add(key, 1, timeout=120):
            return int(cache.incr(key))
        if key not in cache:
            raise LookupError("this cache keeps nothing") from None
        return 1


def _counted_here(key: str, more: int) -> int:
    if len(_own) > 10_000:  # mostly of minutes long past
        _own.clear()
    _own[key] += more
    return _own[key]
