"""`make mutants`: each module below is changed bit by bit, and its own tests look. docs/mutation.md tells what came of it.

mutmut tries a change with all tests that call the changed function. That would take days, so each module is tried in a copy of
this tree by the few tests that are about it. A change of what runs while modules are imported is not seen in mutmut's forks, which
have them imported: so what survives is tried again in a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "mutants"
LEFT_OUT = shutil.ignore_patterns(".*", "mutants", "var", "__pycache__")

_ROWS = "tests/tokens/test_rows.py"
TESTS: dict[str, list[str]] = {
    "access.py": ["tests/test_access.py"],
    "crypto.py": ["tests/test_crypto.py"],
    "fields.py": ["tests/test_fields.py"],
    "sealed_columns.py": ["tests/test_sealed_columns.py"],
    "salesforce/assertion.py": ["tests/salesforce/test_assertion.py"],
    "salesforce/secret.py": ["tests/salesforce/test_secret.py"],
    "services/api_keys.py": ["tests/test_api_clients.py"],
    "token_api/callers.py": ["tests/token_api/test_callers.py"],
    "tokens/apart.py": ["tests/tokens/test_apart.py"],
    "tokens/gate.py": ["tests/tokens/test_gate.py"],
    "tokens/lifecycle.py": ["tests/tokens/test_lifecycle.py"],
    "tokens/pin.py": ["tests/tokens/test_pin.py"],
    "tokens/prepared.py": ["tests/tokens/test_prepared.py"],
    "tokens/process.py": [
        "tests/tokens/test_process.py",
        # It starts a program, which would not see the change.
        "--deselect=tests/tokens/test_process.py::test_two_forks_of_a_warm_process_mix_up_nothing",
    ],
    "tokens/renewal.py": ["tests/tokens/test_renewal.py"],
    "tokens/rows.py": [
        "tests/tokens/test_statements.py",
        f"{_ROWS}::test_the_row_of_a_username_is_found_without_regard_to_case",
        f"{_ROWS}::test_the_row_comes_whole_with_connection_and_signing_key",
        f"{_ROWS}::test_a_row_that_moved_on_is_left_alone_and_its_neighbours_are_written",
        f"{_ROWS}::test_a_statement_that_fails_marks_the_callers_transaction",
        f"{_ROWS}::test_a_database_connection_that_was_dropped_is_opened_anew_once",
        f"{_ROWS}::test_only_a_transaction_that_can_be_rolled_back_is_a_callers",
    ],
    "tokens/claims.py": ["tests/tokens/test_statements.py"],
    "tokens/source.py": ["tests/tokens/test_callers.py"],
}
"""Of a module of `sf_integration`, what looks."""


def copy_of_tree(module: str) -> Path:
    """Where mutmut works on this module, made anew."""
    place = WORK / module.removesuffix(".py").replace("/", ".")
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(ROOT, place, ignore=LEFT_OUT)
    settings = place / "pyproject.toml"
    head = "[tool.mutmut]\n"
    only = f"only_mutate = {json.dumps([f'sf_integration/{module}'])}\n"
    look = f"pytest_add_cli_args_test_selection = {json.dumps(TESTS[module])}\n"
    settings.write_text(settings.read_text().replace(head, head + only + look))
    return place


def main(modules: list[str]) -> int:
    unknown = sorted({*modules} - {*TESTS})
    if unknown:
        print(f"Nothing is written down for {', '.join(unknown)}. Known: {', '.join(TESTS)}.")
        return 2
    mutmut = Path(sys.executable).with_name("mutmut")
    for module in modules or TESTS:
        place = copy_of_tree(module)
        print(f"\n== {module}, in {place.relative_to(ROOT)}", flush=True)
        if subprocess.run([mutmut, "run"], cwd=place, check=False).returncode:
            return 1
        told = subprocess.run(
            [mutmut, "results"], cwd=place, check=True, capture_output=True, text=True
        ).stdout
        for name, _, outcome in (line.strip().partition(": ") for line in told.splitlines()):
            alone = outcome == "survived" and is_noticed_from_the_start(place, name, TESTS[module])
            print(f"{name}: {'noticed in a process of its own' if alone else outcome}", flush=True)
    return 0


def is_noticed_from_the_start(place: Path, name: str, tests: list[str]) -> bool:
    """Whether these tests fail in a process that has imported the changed function, not the right one."""
    command = [sys.executable, "-m", "pytest", "-n0", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"MUTANT_UNDER_TEST": name}
    quiet: dict[str, Any] = {"capture_output": True, "timeout": 120}
    try:
        ended = subprocess.run(command, check=False, cwd=place / "mutants", env=environment, **quiet)
    except subprocess.TimeoutExpired:
        return True
    return ended.returncode != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
