"""The release before this one: its code, in a folder of its own."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIRST_MIGRATION = "sf_integration/migrations/0010_operating.py"
"""What this release adds first to the database; the release before is the commit on which the one stands that brought this file."""


def previous_release(folder: Path) -> Path:
    """Unpacked into `folder`; skips the test where there is no history to take it from."""
    brought = _git("log", "--diff-filter=A", "--format=%P", "-1", "--", FIRST_MIGRATION).decode().split()
    if not brought:
        pytest.skip("needs the history of the repository")
    packed = _git(
        "archive", "--format=tar", brought[0], "manage.py", "sf_integration", "sfjwt_site", "templates"
    )
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    assert not (folder / FIRST_MIGRATION).exists()
    return folder


def _git(*arguments: str) -> bytes:
    # Whose folder it is doesn't matter for reading.
    command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the history of the repository")
