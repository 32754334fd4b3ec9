"""The wheel, in somebody else's site."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import time
import urllib.error
import urllib.request
import zipfile
from importlib.metadata import version
from pathlib import Path
from socket import socket

import pytest
from packaging.requirements import Requirement

import sf_integration
from sf_integration.salesforce.http.pools import USER_AGENT
from tests import matrix

from .conftest import APP, ROOT, Installed

pytestmark = pytest.mark.wheel

OWN_SITE = (ROOT / "docs" / "own-site.md").read_text()
SETTINGS, URLS = re.findall(
    r"^```python\n(# (?:settings|urls)\.py\n.*?)^```$", OWN_SITE, re.MULTILINE | re.DOTALL
)[:2]
"""What a reader of the document adds to the files that Django made."""


def test_wheel_holds_every_file_of_the_app_and_nothing_else(installed: Installed) -> None:
    packed = {name for name in zipfile.ZipFile(installed.wheel).namelist() if ".dist-info/" not in name}
    files = [path for path in APP.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert packed == {str(path.relative_to(ROOT)) for path in files}
    assert "sf_integration/py.typed" in packed
    assert packed < installed.sources
    assert not any(name.startswith("tests") for name in installed.sources)


def test_the_version_comes_from_one_place(installed: Installed) -> None:
    assert installed.metadata["Version"] == sf_integration.__version__
    assert f"sf-integration/{sf_integration.__version__}" == USER_AGENT
    documents = "".join(
        document.read_text() for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    )
    assert set(re.findall(r"sf_integration-([\d.]+)-py3", documents)) == {sf_integration.__version__}
    released = re.findall(r"^## (\d[\d.]*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[:1] in ([], [sf_integration.__version__])


def test_the_description_stands_by_itself(installed: Installed) -> None:
    """A package index shows it without the files that README.md links to."""
    assert installed.metadata["Description-Content-Type"] == "text/markdown"
    told = installed.metadata.get_payload()
    assert "from sf_integration import get_client" in told
    assert re.findall(r"\]\((?!https://)", told) == []


def test_the_licence_is_told_and_packed(installed: Installed) -> None:
    assert installed.metadata["License-Expression"] == "MIT"
    packed = zipfile.ZipFile(installed.wheel).namelist()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in packed)


@pytest.mark.long
def test_what_the_wheel_and_all_its_extras_need_goes_together(installed: Installed) -> None:
    """Where this environment has them all, as that of `make test` does."""
    installed.python("-m", "pip", "check", folder=installed.folder)
    needed = [Requirement(line) for line in installed.metadata.get_all("Requires-Dist", [])]
    wrong = [str(each) for each in needed if not each.specifier.contains(version(each.name))]
    assert wrong == []


def test_each_extra_is_tried_by_the_matrix(installed: Installed) -> None:
    assert set(installed.metadata.get_all("Provides-Extra", [])) == set(matrix.PROMISES)


def test_the_matrix_names_a_python_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "interpreter", lambda version: None)
    told = dict(matrix.suites([("3.13", "6.0")], ()))
    assert told == {"Python 3.13, Django 6.0": "not run: there is no Python 3.13 here"}


@pytest.mark.long
def test_page_answers_in_a_new_site_with_three_lines(installed: Installed, tmp_path: Path) -> None:
    installed.python("-m", "django", "startproject", "acme", folder=tmp_path)
    project = tmp_path / "acme"
    with (project / "acme" / "settings.py").open("a") as settings:
        settings.write(SETTINGS.replace('os.environ["SF_ENCRYPTION_KEYS"]', repr(secrets.token_urlsafe(32))))
    with (project / "acme" / "urls.py").open("a") as urls:
        urls.write(URLS)

    installed.python("manage.py", "check", "--fail-level", "ERROR", folder=project)
    installed.python("manage.py", "migrate", "--verbosity", "0", folder=project)
    groups = "from django.contrib.auth.models import Group; print(Group.objects.count())"
    assert installed.python("manage.py", "shell", "-v", "0", "-c", groups, folder=project).strip() == "3"
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
