"""What is done after a commit."""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper


def after_commit(work: Callable[..., object], *arguments: object) -> None:
    """Do it when all is stored, which is at once outside of transactions. What it raises is logged, and costs nobody anything.

    Never done, as after a rollback, where the caller commits by hand.
    """
    if by_hand(transaction.get_connection()):
        return
    # No partial: Django logs what breaks by its `__qualname__`, which a partial lacks, and would raise over that.
    transaction.on_commit(lambda: work(*arguments), robust=True)


def by_hand(database: BaseDatabaseWrapper) -> bool:
    """Whether the caller has switched Django's transactions off: a transaction may be open, and nobody is told when it ends."""
    is_connected = database.connection is not None
    return is_connected and not database.autocommit and not database.in_atomic_block
