"""Run every family of measures, print the table and write bench.json. QUICK=1: fewer rounds, smaller sizes.

A missed number is a line in the table; only a measure that could not run makes the exit status 1.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from . import databases, report
from .bench import Bench, environment
from .databases import Database
from .results import Result, Section

FAMILIES = ("memory", "signing_in", "sweeps", "herd", "queries", "site_load", "token_api", "pages")
WIDTH = 170
"""Characters, when the table goes to a file."""


def main() -> int:
    quick = os.environ.get("QUICK", "").strip().lower() in ("1", "yes", "true")
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    used, left_out = _databases(quick)
    with tempfile.TemporaryDirectory(prefix="sf-bench-") as folder:
        _set_up_django(Path(folder))
        sections = run(Bench(quick, used), console)
    if left_out:
        sections.append(Section("Databases", left_out=(left_out,)))
    report.show(console, sections)
    versions = {database.name: database.version for database in used}
    report.write(Path("bench.json"), sections, report.machine(versions), quick=quick)
    return 1 if any(section.failure for section in sections) else 0


def _databases(quick: bool) -> tuple[tuple[Database, ...], str]:
    """Those to measure on, and why not on another one."""
    if quick:
        return (databases.SQLITE,), "PostgreSQL: only the full run is for it"
    found = databases.postgres()
    return ((databases.SQLITE,), found) if isinstance(found, str) else ((databases.SQLITE, found), "")


def run(bench: Bench, console: Console) -> list[Section]:
    """All families, one after the other: each has the machine for itself."""
    sections = []
    with _progress(console) as progress:
        task = progress.add_task("", total=len(FAMILIES))
        for name in FAMILIES:
            family = import_module(f"{__package__}.{name}")
            bench.say = partial(_say, progress, task, family.TITLE)
            sections.append(_section(family, bench))
            progress.advance(task)
    return sections


def _say(progress: Progress, task: TaskID, title: str, doing: str) -> None:
    progress.update(task, description=f"{title}: {doing}")


def _section(family: Any, bench: Bench) -> Section:
    started = time.perf_counter()
    bench.left_out = []
    results: list[Result] = []
    failure = ""
    try:
        results.extend(family.measure(bench))  # what came before a failure stays
    except Exception as exc:  # noqa: BLE001 - the other families can still run
        failure = f"{type(exc).__name__}: {exc}"
        print("".join(getattr(exc, "__notes__", [])) or failure, file=sys.stderr)
    seconds = time.perf_counter() - started
    return Section(family.TITLE, tuple(results), tuple(bench.left_out), failure, seconds)


def _progress(console: Console) -> Progress:
    return Progress(
        MofNCompleteColumn(),
        BarColumn(20),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
        console=console,
        transient=True,
    )


def _set_up_django(folder: Path) -> None:
    """The families name models; this process itself never asks a database."""
    os.environ.update(environment(folder, f"sqlite:///{folder / 'none.sqlite3'}"))
    os.environ["no_proxy"] = "127.0.0.1"
    import django

    django.setup()


if __name__ == "__main__":
    sys.exit(main())
