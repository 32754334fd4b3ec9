"""A database for each process of `make mutants`: every change is tried in a fork of one process, several at a time.

The first process makes it as all tests do, and keeps it; its forks begin with a copy.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from django.db import connections

_FIRST_PROCESS = os.getpid()


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    test = connections.settings["default"]["TEST"]
    kept = Path(test["NAME"])
    if os.getpid() != _FIRST_PROCESS and kept.exists():
        test["NAME"] = str(kept.with_name(f"mutant-{os.getpid()}.sqlite3"))
        shutil.copy(kept, test["NAME"])


def pytest_unconfigure() -> None:
    test = connections.settings["default"]["TEST"]
    if Path(test["NAME"]).name.startswith("mutant-"):
        Path(test["NAME"]).unlink(missing_ok=True)
