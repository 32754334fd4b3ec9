"""The tests under each Python and Django that the package supports: `make matrix`.

    python -m tests.matrix                 on every pair whose Python is found here, without browser and wheel,
                                           and without what is marked “once” or “long”
    python -m tests.matrix --all           the whole suite
    python -m tests.matrix --python 3.13   these pairs alone; likewise --django 6.0
    python -m tests.matrix --extras        the wheel with each of its extras alone, and with all

Each pair has an environment and a log of its own in `var/matrix`, with the locked packages, Django excepted. The last
lines say how each pair ended, and which Pythons are not here.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "var" / "matrix"
UV = Path(sys.executable).with_name("uv")

PYTHONS = ("3.11", "3.12", "3.13")
DJANGOS = {"5.2": PYTHONS, "6.0": PYTHONS[1:]}

LOCKS = ("requirements.txt", "requirements-dev.txt")
SUITE = ("-m", "not once and not wheel and not long", "--ignore=tests/browser")

# What each extra is for, as modules that need it.
PROMISES = {
    "httpx": ["sf_integration.contrib.httpx"],
    "metrics": ["sf_integration.metrics.collector"],
    "notify": ["apprise", "sf_integration.alarms.channel"],
    "postgres": ["django.db.backends.postgresql.base"],
    "redis": ["kombu.transport.redis", "django.core.cache.backends.redis", "redis"],
    "simple-salesforce": ["sf_integration.contrib.simple_salesforce"],
    "testing": ["sf_integration.testing.pytest_plugin", "sf_integration.testing.standin", "trustme"],
}
_IN_A_SITE = """
import importlib, sys
import django
from django.conf import settings
apps = ["django.contrib.auth", "django.contrib.contenttypes", "sf_integration"]
settings.configure(INSTALLED_APPS=apps, SF_INTEGRATION={"ENCRYPTION_KEYS": []})
django.setup()
for module in sys.argv[1:]:
    importlib.import_module(module)
"""


class Failed(Exception):
    """What it says is all that the table needs."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix")
    parser.add_argument("--all", action="store_true", help="the whole suite")
    parser.add_argument("--python", nargs="+", choices=PYTHONS, default=PYTHONS, help="these alone")
    parser.add_argument("--django", nargs="+", choices=DJANGOS, default=DJANGOS, help="these alone")
    parser.add_argument("--extras", action="store_true", help="the wheel's extras in place of the suite")
    options, for_pytest = parser.parse_known_args(arguments)
    FOLDER.mkdir(parents=True, exist_ok=True)
    pairs = [
        (python, django)
        for python in options.python
        for django in options.django
        if python in DJANGOS[django]
    ]
    chosen = [*(() if options.all else SUITE), *for_pytest]
    runs = extras(options.python) if options.extras else suites(pairs, chosen)
    table = []
    for name, outcome in runs:
        table.append((name, outcome))
        print(f"{name}: {outcome}", flush=True)
    width = max(len(name) for name, _ in table)
    print("", *(f"{name:<{width}}  {outcome}" for name, outcome in table), sep="\n")
    return int(any(outcome.startswith("FAILED") for _, outcome in table))


# ---- the suite on each pair -----------------------------------------------------------------------------------------


def suites(pairs: Sequence[tuple[str, str]], options: Sequence[str]) -> Iterator[tuple[str, str]]:
    for version, django in pairs:
        name = f"Python {version}, Django {django}"
        python = interpreter(version)
        if python is None:
            yield name, f"not run: there is no Python {version} here"
        else:
            yield name, outcome_of(lambda: suite(python, version, django, options))  # noqa: B023 - called at once


def suite(python: Path, version: str, django: str, options: Sequence[str]) -> str:
    place = f"{version}-django{django}"
    inside = environment(place, python)
    pip("sync", inside, "--require-hashes", *LOCKS)
    pip("install", inside, f"django=={django}.*")
    consistent(inside)
    return pytest(inside, FOLDER / f"{place}.log", options)


def pytest(inside: Path, log: Path, options: Sequence[str]) -> str:
    """Its closing line."""
    # Programs that tests start are found as if the environment were active; caches of other Pythons are left alone.
    variables = os.environ | {"PATH": f"{inside.parent}{os.pathsep}{os.environ['PATH']}"}
    command = [str(inside), "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    with log.open("w") as written:
        ended = subprocess.run(
            command, cwd=ROOT, env=variables, stdout=written, stderr=subprocess.STDOUT, check=False
        )
    lines = log.read_text().splitlines() or [""]
    if ended.returncode:
        raise Failed(
            "\n  ".join(
                [lines[-1], *(line for line in lines if re.match(r"(FAILED|ERROR) ", line)), str(log)]
            )
        )
    return next(line for line in reversed(lines) if " passed" in line)


# ---- the wheel with each extra --------------------------------------------------------------------------------------


def extras(pythons: Sequence[str]) -> Iterator[tuple[str, str]]:
    found = next(((version, python) for version in pythons if (python := interpreter(version))), None)
    if found is None:
        yield "extras", "not run: none of these Pythons is here"
        return
    version, python = found
    wheel = built()
    wanted = {"": []} | {extra: PROMISES[extra] for extra in declared_extras()}
    wanted[",".join(PROMISES)] = [module for modules in PROMISES.values() for module in modules]
    for extra, modules in wanted.items():
        name = f"Python {version}, sf-integration[{extra}]"
        yield name, outcome_of(lambda: with_extra(python, wheel, extra, modules))  # noqa: B023 - called at once


def with_extra(python: Path, wheel: Path, extra: str, modules: Sequence[str]) -> str:
    inside = environment("extra", python)
    pip("install", inside, f"sf-integration[{extra}] @ {wheel.as_uri()}")
    consistent(inside)
    run(inside, "-I", "-c", _IN_A_SITE, *modules)
    return f"imports {', '.join(modules) or 'by itself'}"


def declared_extras() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return list(project["optional-dependencies"])


def built() -> Path:
    """By way of a source distribution, so that nothing left in the tree by an older build gets in."""
    wheels = FOLDER / "wheel"
    shutil.rmtree(wheels, ignore_errors=True)
    run(UV, "build", "--quiet", "--out-dir", wheels, ROOT)
    (wheel,) = wheels.glob("*.whl")
    return wheel


# ---- environments ---------------------------------------------------------------------------------------------------


def interpreter(version: str) -> Path | None:
    """Of that version, whatever its name promises: a shim of pyenv may lead nowhere."""
    on_path = [Path(folder) / f"python{version}" for folder in os.get_exec_path()]
    in_pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"), reverse=True)
    return next((python for python in [*on_path, *in_pyenv] if version_of(python) == version), None)


def version_of(python: Path) -> str:
    command = [python, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def environment(place: str, python: Path) -> Path:
    """The Python of a new environment; packages come from uv's cache, so making it anew costs seconds."""
    run(UV, "venv", "--quiet", "--seed", "--clear", "--python", python, FOLDER / place)
    return FOLDER / place / "bin" / "python"


def pip(verb: str, inside: Path, *what: str) -> None:
    run(UV, "pip", verb, "--quiet", "--python", inside, *what)


def consistent(inside: Path) -> None:
    run(UV, "pip", "check", "--quiet", "--python", inside)


def run(*command: str | Path) -> None:
    ended = subprocess.run(
        [str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise Failed((ended.stderr or ended.stdout).strip())


def outcome_of(work: Callable[[], str]) -> str:
    started = time.monotonic()
    try:
        return f"{work()} ({time.monotonic() - started:.0f} s)"
    except Failed as failure:
        return f"FAILED: {failure}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
