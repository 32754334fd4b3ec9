from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APP = ROOT / "sf_integration"


@dataclass(frozen=True)
class Installed:
    """The wheel, in an environment whose other packages are those of this one."""

    folder: Path

    @property
    def wheel(self) -> Path:
        (built,) = (self.folder / "source" / "dist").glob("*.whl")
        return built

    @property
    def sources(self) -> set[str]:
        """What the source distribution holds, from its own folder on."""
        (built,) = (self.folder / "source" / "dist").glob("*.tar.gz")
        with tarfile.open(built) as packed:
            return {name.partition("/")[2] for name in packed.getnames()}

    @property
    def metadata(self) -> Message:
        packed = zipfile.ZipFile(self.wheel)
        (name,) = (name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(packed.read(name))

    @property
    def environment(self) -> Path:
        return self.folder / "venv"

    def python(self, *arguments: str | Path, folder: Path, **variables: str) -> str:
        """What it prints there; nothing of this pytest's environment is known to it."""
        return _run(self.environment / "bin" / "python", *arguments, folder=folder, **variables)


def _run(*command: str | Path, folder: Path, **variables: str) -> str:
    finished = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={"PATH": os.environ["PATH"]} | variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Built and installed once, by the first of the pytest processes that wants it."""
    base = tmp_path_factory.getbasetemp()
    installed = Installed((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "wheel")
    installed.folder.mkdir(exist_ok=True)
    with (installed.folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not installed.environment.exists():
            _build(installed.folder / "source")
            _install(installed)
    return installed


def _build(source: Path) -> None:
    shutil.copytree(APP, source / APP.name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    (source / "tests").mkdir()
    (source / "tests" / "test_api.py").touch()
    # What a wheel that was built here by `build --wheel` has left, of a module that is gone since.
    (source / "build" / "lib" / APP.name).mkdir(parents=True)
    (source / "build" / "lib" / APP.name / "gone.py").touch()
    _run(sys.executable, "-m", "build", "--no-isolation", folder=source)


def _install(installed: Installed) -> None:
    venv.create(installed.environment)
    site_packages = Path(sysconfig.get_path("purelib", vars={"base": str(installed.environment)}))
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    _run(
        *(sys.executable, "-m", "pip", "--python", installed.environment / "bin" / "python", "install"),
        *("--quiet", "--no-deps", "--no-index", installed.wheel),
        folder=installed.folder,
    )
    where = installed.python(
        "-c", "import sf_integration; print(sf_integration.__file__)", folder=installed.folder
    )
    assert Path(where.strip()).is_relative_to(installed.environment)
