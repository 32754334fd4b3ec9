"""The table on the terminal and bench.json."""

from __future__ import annotations

import json
import os
import platform
import ssl
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .results import Result, Section, number

_PACKAGES = (
    *("django", "cryptography", "pyjwt", "requests", "urllib3", "psycopg"),
    *("google-auth", "botocore", "simple-salesforce"),
)
_MARKS = {True: "[green]✓[/]", False: "[red]missed[/]", None: ""}


def machine(databases: Mapping[str, str]) -> dict[str, Any]:
    """What the numbers depend on; nothing that names the machine. `databases`: their versions by name."""
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "packages": {name: version(name) for name in _PACKAGES},
        "databases": dict(databases),
    }


def show(console: Console, sections: Sequence[Section]) -> None:
    table = Table("measure", "ours", "reference", "ours / reference", "to reach", "")
    for section in sections:
        table.add_section()
        table.add_row(f"[bold]{section.title}[/]")
        for result in section.results:
            table.add_row(*_cells(result))
        for sentence in section.left_out:
            table.add_row(f"[yellow]left out: {sentence}[/]")
        if section.failure:
            table.add_row(f"[red]could not run: {section.failure}[/]")
    console.print(table)


def write(path: Path, sections: Sequence[Section], facts: Mapping[str, Any], *, quick: bool) -> None:
    found = {"machine": facts, "quick": quick, "sections": [section.as_json() for section in sections]}
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def _cells(result: Result) -> tuple[str, ...]:
    further = " · ".join(f"{name} {number(value)}" for name, value in result.facts.items())
    return (
        f"  {result.what}" + (f"\n[dim]    {further}[/]" if further else ""),
        _with_unit(result.ours, result),
        f"{_with_unit(result.reference, result)} {result.reference_name}" if result.reference else "",
        f"{result.ratio:.3g}" if result.ratio is not None else "",
        result.goal,
        _MARKS[result.reached],
    )


def _with_unit(value: float | None, result: Result) -> str:
    return "" if value is None else f"{number(value)} {result.unit}".rstrip()
