"""Values that debug pages, logs, error trackers and caches must not get by accident.

Variables of a traceback are shown by their `repr`, and caches pickle what they are given.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn, ParamSpec, Self, SupportsIndex, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


class _Hidden:
    """Shows its length only, and is not pickled."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<secret of {len(self)} {self._unit}>"  # type: ignore[arg-type, attr-defined]

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            "A secret is not pickled: caches, queues and other processes must not get it. Let them ask for a token themselves."
        )

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class Secret(_Hidden, str):
    """A string like any other, but for that."""

    __slots__ = ()
    _unit = "characters"

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> SecretBytes:
        return SecretBytes(super().encode(encoding, errors))


class SecretBytes(_Hidden, bytes):
    """Bytes like any other, but for that."""

    # Python allows no __slots__ with items here.
    _unit = "bytes"

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> Secret:
        return Secret(super().decode(encoding, errors))


def takes_secrets(*names: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """For functions that work on secrets given as plain text in the arguments `names`: what they raise comes without their frames.

    The variables of that work, those of libraries too, can't be hidden one by one. Where it happened is kept as a note, in lines
    of source.
    """

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        signature = inspect.signature(function)

        @wraps(function)
        def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            try:
                given = signature.bind(*args, **kwargs)
            except TypeError as exc:
                raise exc.with_traceback(None) from None  # a wrong call; its frames hold what was given
            finally:
                del args, kwargs
            for name in {*names} & {*given.arguments}:
                given.arguments[name] = hidden(given.arguments[name])
            try:
                return function(*given.args, **given.kwargs)
            except Exception as exc:  # noqa: BLE001 - it goes on
                raise _without_frames(exc) from None

        return guarded

    return decorate


def hidden(value: Any) -> Any:
    """Text and bytes as secrets, anything else as it is."""
    if isinstance(value, str):
        return Secret(value)
    return SecretBytes(value) if isinstance(value, (bytes, bytearray)) else value


def _without_frames(exc: Exception) -> Exception:
    below = exc.__traceback__.tb_next if exc.__traceback__ else None
    if below is not None:
        exc.add_note("Raised in (variables are left out):\n" + "".join(traceback.format_tb(below)))
    exc.__cause__ = exc.__context__ = None
    return exc.with_traceback(None)
