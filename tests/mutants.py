"""What each process of `make mutants` needs: every change is tried in a fork of one process, several at a time.

The first process makes a database as all tests do, and keeps it; its forks begin with a copy. Each test puts its statements
together anew, or it would not be seen which tests call what does so, nor a change of that.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from django.db import connections

_FIRST_PROCESS = os.getpid()


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    if os.getpid() == _FIRST_PROCESS:
        return
    test = connections.settings["default"]["TEST"]
    kept = Path(test["NAME"])
    if kept.exists():
        test["NAME"] = str(kept.with_name(f"mutant-{os.getpid()}.sqlite3"))
        shutil.copy(kept, test["NAME"])


def pytest_runtest_setup() -> None:
    from sf_integration.tokens import rows
    from sf_integration.tokens.prepared import Select, Update

    rows._write.cache_clear()
    ours = [module for name, module in sys.modules.items() if name.startswith("sf_integration.")]
    for each in (value for module in ours for value in vars(module).values()):
        if isinstance(each, (Select, Update)):
            each._plans.clear()


def pytest_unconfigure() -> None:
    test = connections.settings["default"]["TEST"]
    if Path(test["NAME"]).name.startswith("mutant-"):
        Path(test["NAME"]).unlink(missing_ok=True)
