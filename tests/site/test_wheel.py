"""The wheel, in somebody else's site."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import venv
import zipfile
from pathlib import Path
from socket import socket

import pytest

ROOT = Path(__file__).parents[2]
APP = ROOT / "sf_integration"

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


def run(*command: str | Path, folder: Path) -> str:
    finished = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    shutil.copytree(APP, folder / APP.name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", folder=folder)
    (built,) = (folder / "dist").iterdir()
    return built


def test_wheel_holds_every_file_of_the_app_and_nothing_else(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = [path for path in APP.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert packed == {str(path.relative_to(ROOT)) for path in files}
    assert "sf_integration/py.typed" in packed


def test_page_answers_in_a_new_site_with_three_lines_of_settings(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    venv.create(environment)
    python = environment / "bin" / "python"
    # The packages the wheel needs are those of this environment; the wheel itself is installed.
    site_packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    run(
        *(sys.executable, "-m", "pip", "--python", python, "install"),
        *("--quiet", "--no-deps", "--no-index", wheel),
        folder=tmp_path,
    )
    run(python, "-m", "django", "startproject", "acme", folder=tmp_path)
    project = tmp_path / "acme"
    with (project / "acme" / "settings.py").open("a") as settings:
        settings.write(SETTINGS.format(key=secrets.token_urlsafe(32)))
    with (project / "acme" / "urls.py").open("a") as urls:
        urls.write(URLS)

    where = run(python, "-c", "import sf_integration; print(sf_integration.__file__)", folder=project)
    assert Path(where.strip()).is_relative_to(environment)
    run(python, "manage.py", "check", "--fail-level", "ERROR", folder=project)
    run(python, "manage.py", "migrate", "--verbosity", "0", folder=project)
    assert "Log in" in body_of_connections(python, project)


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
