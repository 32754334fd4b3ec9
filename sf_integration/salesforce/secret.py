"""Values that debug pages, logs, error trackers and caches must not get by accident.

Variables of a traceback are shown by their `repr`, and caches pickle what they are given.
"""

from __future__ import annotations

from typing import Any, NoReturn, Self, SupportsIndex


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
