"""Text that debug pages, logs and error trackers must not show by accident."""

from __future__ import annotations


class Secret(str):
    """A string like any other, but for its `repr`: variables of a traceback are shown by that."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<secret of {len(self)} characters>"
