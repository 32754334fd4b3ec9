"""What is done after a commit."""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction


def after_commit(work: Callable[..., object], *arguments: object) -> None:
    """Do it when all is stored, which is at once outside of transactions. What it raises is logged, and costs nobody anything."""
    # No partial: Django logs what breaks by its `__qualname__`, which a partial lacks, and would raise over that.
    transaction.on_commit(lambda: work(*arguments), robust=True)
