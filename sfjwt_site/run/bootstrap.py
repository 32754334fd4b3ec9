"""Make or update `.venv` from hashed locks: `python3 bootstrap.py STAMP LOCK...`

Runs under whatever `python3` the machine has, so it is plain enough for old ones to say what they lack. The file
STAMP is written when all is installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

OLDEST = (3, 11)


def main(stamp: Path, locks: list[Path]) -> None:
    venv = stamp.parent
    refuse_unsuitable(venv)
    python = venv / "bin" / "python"
    with OneAtATime(venv.parent):
        if is_fresh(stamp, locks):
            return  # another make did it meanwhile
        if not runs(python):
            with Step("Making .venv"):
                run(sys.executable, "-m", "venv", "--clear", str(venv))
        with Step("Installing " + ", ".join(lock.name for lock in locks)):
            install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            for lock in locks:
                run(*install, "--require-hashes", "--requirement", str(lock))
        stamp.touch()


def refuse_unsuitable(venv: Path) -> None:
    """Exit with one sentence when the environment can't be made here."""
    if sys.version_info < OLDEST:
        sys.exit(
            f"make: Python {sys.version_info[0]}.{sys.version_info[1]} is too old, 3.11 or newer is needed. "
            "If this machine has one, name it: make run PYTHON=python3.12"
        )
    try:
        import ensurepip  # noqa: F401
        import venv as _venv  # noqa: F401
    except ImportError:
        sys.exit(
            "make: this Python can't make virtual environments. Install python3-venv (apt install python3-venv)."
        )
    nearest = venv if venv.exists() else venv.parent
    if not os.access(nearest, os.W_OK):
        sys.exit(f"make: can't write in {nearest.resolve()}. Make it yours, or work in a copy that is.")


class Step:
    """Says what is being done, and afterwards how long it took."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        self.started = time.monotonic()
        print(f"{self.what} ...", flush=True)

    def __exit__(self, *failure: object) -> None:
        if failure[0] is None:
            print(f"{self.what}: {time.monotonic() - self.started:.1f} s", flush=True)


class OneAtATime:
    """One process at a time per folder; the others wait."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        import fcntl

        self.descriptor = os.open(self.folder, os.O_RDONLY)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def __exit__(self, *failure: object) -> None:
        os.close(self.descriptor)


def is_fresh(stamp: Path, locks: list[Path]) -> bool:
    return stamp.exists() and all(stamp.stat().st_mtime >= lock.stat().st_mtime for lock in locks)


def runs(python: Path) -> bool:
    """Whether there is a working environment; one copied from elsewhere or left by a removed Python isn't."""
    try:
        command = [str(python), "-m", "pip", "--version"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def run(*command: str) -> None:
    finished = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if finished.returncode:
        print("\n".join(finished.stdout.splitlines()[-15:]), file=sys.stderr)
        sys.exit("make: that failed, see above. Packages come from the network: is this machine online?")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
