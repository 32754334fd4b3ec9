"""The table as docs/faults.md shows it: `python -m tests.faults.document` writes it there anew."""

from __future__ import annotations

from pathlib import Path

from docs.references.markdown import table

from .table import GROUPS, Fault

DOCUMENT = Path(__file__).parents[2] / "docs" / "faults.md"
BEGIN, END = "<!-- table: tests/faults/table.py -->\n", "<!-- end of the table -->\n"
COLUMNS = ("fault", "made by", "what users see", "what is kept", "how it ends", "shown by")


def text() -> str:
    parts = []
    for group in GROUPS:
        parts.append(f"## {group.title}\n\n{group.note}\n\n{table(COLUMNS, map(_row, group.faults))}\n")
    return "\n".join(parts)


def with_table(document: str) -> str:
    before, _, rest = document.partition(BEGIN)
    return f"{before}{BEGIN}\n{text()}\n{END}{rest.partition(END)[2]}"


def _row(fault: Fault) -> list[str]:
    shown = "; ".join(f"`{test.removeprefix('tests/')}`" for test in fault.tests) + (
        " (long)" if fault.long else ""
    )
    return [fault.title, fault.made, fault.seen, fault.kept, fault.back, shown]


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text()))
