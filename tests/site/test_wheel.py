"""The wheel, in somebody else's site."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from socket import socket

import pytest

from .conftest import APP, ROOT, Installed

pytestmark = pytest.mark.wheel

SETTINGS = """
INSTALLED_APPS += ["sf_integration"]
SF_INTEGRATION = {{"ENCRYPTION_KEYS": ["{key}"]}}
LOGIN_URL = "/admin/login/"
"""
URLS = """
from django.urls import include
urlpatterns += [path("connections/", include("sf_integration.urls"))]
"""


def test_wheel_holds_every_file_of_the_app_and_nothing_else(installed: Installed) -> None:
    packed = {name for name in zipfile.ZipFile(installed.wheel).namelist() if ".dist-info/" not in name}
    files = [path for path in APP.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert packed == {str(path.relative_to(ROOT)) for path in files}
    assert "sf_integration/py.typed" in packed


def test_page_answers_in_a_new_site_with_three_lines_of_settings(
    installed: Installed, tmp_path: Path
) -> None:
    installed.python("-m", "django", "startproject", "acme", folder=tmp_path)
    project = tmp_path / "acme"
    with (project / "acme" / "settings.py").open("a") as settings:
        settings.write(SETTINGS.format(key=secrets.token_urlsafe(32)))
    with (project / "acme" / "urls.py").open("a") as urls:
        urls.write(URLS)

    installed.python("manage.py", "check", "--fail-level", "ERROR", folder=project)
    installed.python("manage.py", "migrate", "--verbosity", "0", folder=project)
    assert "Log in" in body_of_connections(installed.environment / "bin" / "python", project)


def body_of_connections(python: Path, project: Path) -> str:
    """What a browser without a session gets at /connections/, redirects followed."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [str(python), "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"],
        cwd=project,
        env={"PATH": os.environ["PATH"]},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/connections/", timeout=10) as answer:
                    return answer.read().decode()
            except urllib.error.HTTPError:
                raise
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
    finally:
        server.terminate()
        server.wait(30)
