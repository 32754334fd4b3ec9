"""The life of access tokens: the only writer of AccessToken.

`lifecycle` has the times, `process` what a process keeps in memory, `rows` the statements, `claims` who may sign in, `prepared` how
statements are put together once, `gate` who must wait, `pin` which org it must be, `renewal` one sign-in, `promotion` what becomes
of a staged signing key, `trial` a sign-in with it, `source` what callers use, `apart` the same inside their transactions, `sweep`
what beat does, `cleanup` what it does daily, `events` what is told to the history, `totals` how often it happened, `commits` what
waits for a commit, `reseal` the stored tokens under another encryption key.
"""

from __future__ import annotations

from .cleanup import delete_unused
from .events import code_of
from .lifecycle import TokenState
from .process import current, reset
from .reseal import reseal
from .source import (
    Source,
    api_version,
    get,
    in_memory,
    is_of,
    only_connection,
    refresh,
    refusal,
    renew,
    revoke,
)
from .sweep import Tally, due_batches, refresh_batch, refresh_due

__all__ = [
    "Source",
    "Tally",
    "TokenState",
    "api_version",
    "code_of",
    "current",
    "delete_unused",
    "due_batches",
    "get",
    "in_memory",
    "is_of",
    "only_connection",
    "refresh",
    "refresh_batch",
    "refresh_due",
    "refusal",
    "renew",
    "reseal",
    "reset",
    "revoke",
]
