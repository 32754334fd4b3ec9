"""Programs that tests start: Django in a process of its own, on the test's database and stand-in."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

PRELUDE = """
import os, sys, threading, time
import django
django.setup()
from sf_integration import get_token, get_client, tokens
from sf_integration.models import AccessToken, ConnectedApp
"""


def start(
    code: str, environment: Mapping[str, str], allowed_url: str, *arguments: str
) -> subprocess.Popen[str]:
    """Run `code` after Django's set-up; `allowed_url` is the stand-in that it may call."""
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code, *arguments],
        env={**environment, "SF_ALLOWED_HOSTS": allowed_url.split("://")[1]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], timeout_seconds: float = 60) -> str:
    """What it printed; fails with its errors when it did not end well."""
    output, errors = process.communicate(timeout=timeout_seconds)
    assert process.returncode == 0, errors
    return output
