"""What each process of `make mutants` needs: every change is tried in a fork of one process, several at a time.

The first process makes a database as all tests do, and keeps it; its forks begin with a copy. They begin without the statements
that it has put together, or a change of what puts them together would not be seen.
"""

from __future__ import annotations

import gc
import os
import shutil
from pathlib import Path

import pytest
from django.db import connections

_FIRST_PROCESS = os.getpid()


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    if os.getpid() == _FIRST_PROCESS:
        return
    _forget_statements()
    test = connections.settings["default"]["TEST"]
    kept = Path(test["NAME"])
    if kept.exists():
        test["NAME"] = str(kept.with_name(f"mutant-{os.getpid()}.sqlite3"))
        shutil.copy(kept, test["NAME"])


def _forget_statements() -> None:
    from sf_integration.tokens import rows
    from sf_integration.tokens.prepared import Select, Update

    rows._write.cache_clear()
    for each in gc.get_objects():
        if isinstance(each, (Select, Update)):
            each._plans.clear()


def pytest_unconfigure() -> None:
    test = connections.settings["default"]["TEST"]
    if Path(test["NAME"]).name.startswith("mutant-"):
        Path(test["NAME"]).unlink(missing_ok=True)
