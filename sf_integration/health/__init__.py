"""The diagnosis: one ladder of steps, run on request and by beat, stored and told.

`ladder` has the steps, `steps` how one is taken, `logins` how a check signs in, `checking` runs one, `facts` what is kept, `report`
how it is told to programs and support, `rounds` what beat does, `scheduler` whether that works, `outages` which hosts are silent,
`history` what is kept of the past.
"""

from __future__ import annotations

from .checking import Trial, check_connection, try_values
from .history import tidy
from .report import trace_text
from .rounds import CALLS_PER_DAY, due_for_check, tell_changes
from .steps import FAILED, NOT_REACHED, OK, WARNING, Step

__all__ = [
    "CALLS_PER_DAY",
    "FAILED",
    "NOT_REACHED",
    "OK",
    "WARNING",
    "Step",
    "Trial",
    "check_connection",
    "due_for_check",
    "tell_changes",
    "tidy",
    "trace_text",
    "try_values",
]
