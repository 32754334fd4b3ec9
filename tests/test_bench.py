"""That `make bench` still runs: small measures in the processes it makes, and what it says of them. No number is judged."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from benchmarks import __main__ as command
from benchmarks import memory, report, sweeps
from benchmarks.bench import Bench, environment
from benchmarks.connections import add, usernames
from benchmarks.databases import SQLITE
from benchmarks.processes import CallFailed, Worker
from benchmarks.results import Result, Section
from benchmarks.salesforce import Salesforce, add_users

pytestmark = pytest.mark.once

QUICK = Bench(quick=True, databases=(SQLITE,))


def divide(dividend: float, divisor: float) -> float:
    return dividend / divisor


def text_of(*sections: Section) -> str:
    written = io.StringIO()
    report.show(Console(width=150, file=written), sections)
    return written.getvalue()


@pytest.mark.long
def test_get_token_is_measured_beside_its_references() -> None:
    results = memory.measure(QUICK)
    assert [result.reference_name.split(",")[0] for result in results] == ["google-auth", "botocore"]
    assert all(0 < result.ours < 1e6 for result in results)
    assert all(result.reference and result.ratio for result in results)


@pytest.mark.long
def test_sweep_of_two_workers_counts_what_the_org_saw() -> None:
    numbers = range(30)
    with Salesforce(apps=2) as org, QUICK.site(SQLITE, org.address) as site:
        org.call(add_users, usernames(numbers))
        site.worker().call(add, org.address, numbers)
        swept = sweeps.sweep(org, site.workers(2), "SQLite", len(numbers))
    assert (swept.tally.renewed, swept.logins) == (30, 30)
    assert swept.cpu_seconds > 0
    assert 20 < swept.peak_megabytes < 2000


def test_what_fails_in_a_worker_fails_here_too(tmp_path: Path) -> None:
    with Worker(environment(tmp_path, f"sqlite:///{tmp_path / 'none'}")) as worker:
        assert worker.call(divide, 1, 2) == 0.5
        with pytest.raises(CallFailed, match="ZeroDivisionError"):
            worker.call(divide, 1, 0)
        assert worker.call(divide, 3, 2) == 1.5


def test_every_family_can_be_run() -> None:
    for name in command.FAMILIES:
        family = __import__(f"benchmarks.{name}", fromlist=["measure"])
        assert family.TITLE
        assert callable(family.measure)


@pytest.mark.parametrize(
    ("result", "goal", "reached"),
    [
        (Result("a", 2, "ms", 60, "theirs", most_ratio=1 / 20), "≤ 1/20", True),
        (Result("a", 4, "ms", 60, "theirs", most_ratio=1 / 20), "≤ 1/20", False),
        (Result("a", 1.05, "ms", 1, "theirs", most_ratio=1.1), "≤ 1.1", True),
        (Result("a", 61, "s", most=60), "≤ 60 s", False),
        (Result("a", 1, most=1), "≤ 1", True),
        (Result("a", 1, "ms", 2, "theirs"), "", None),
    ],
)
def test_goal_is_an_amount_or_a_share_of_the_reference(
    result: Result, goal: str, reached: bool | None
) -> None:
    assert (result.goal, result.reached) == (goal, reached)


def test_table_shows_numbers_ratios_and_what_is_missing() -> None:
    told = text_of(
        Section("Speed", (Result("one", 1.5, "ms", 30.0, "theirs", most_ratio=1 / 10, facts={"p99": 7}),)),
        Section("Size", (Result("two", 400, "MB", most=300),), left_out=("PostgreSQL: none answers",)),
        Section("Luck", failure="CallFailed: no luck"),
    )
    for words in ("1.5 ms", "30 ms theirs", "0.05", "≤ 1/10", "p99 7", "≤ 300 MB", "missed"):
        assert words in told
    assert "left out: PostgreSQL: none answers" in told
    assert "could not run: CallFailed: no luck" in told


def test_file_holds_the_numbers_and_no_names_of_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    result = Result("one", 3, "ms", 2, "theirs", most_ratio=1)
    report.write(path, [Section("Speed", (result,))], report.machine({"SQLite": "3"}), quick=True)
    text = path.read_text()
    told = json.loads(text)
    assert {"cores", "python", "packages", "databases"} <= set(told["machine"])
    assert told["quick"] is True
    assert (
        told["sections"][0]["results"][0] | {"ratio": 1.5, "reached": False}
        == told["sections"][0]["results"][0]
    )
    assert str(Path.cwd()) not in text


@pytest.mark.parametrize(("failure", "status"), [("", 0), ("CallFailed: no luck", 1)])
def test_only_a_measure_that_could_not_run_fails_the_command(
    failure: str, status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    missed = Result("one", 61, "s", most=60)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUICK", "1")
    monkeypatch.setattr(command, "_set_up_django", lambda folder: None)
    monkeypatch.setattr(command, "run", lambda *_: [Section("Speed", (missed,), failure=failure)])
    assert command.main() == status
    assert (tmp_path / "bench.json").exists()


def test_a_family_that_fails_leaves_the_others_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(bench: Bench) -> list[Result]:
        bench.say("trying")
        raise RuntimeError("no luck")

    families = {
        "benchmarks.first": SimpleNamespace(TITLE="First", measure=fail),
        "benchmarks.second": SimpleNamespace(TITLE="Second", measure=lambda bench: [Result("one", 1)]),
    }
    monkeypatch.setattr(command, "FAMILIES", ("first", "second"))
    monkeypatch.setattr(command, "import_module", families.__getitem__)
    first, second = command.run(Bench(quick=True, databases=()), Console(quiet=True))
    assert first.failure == "RuntimeError: no luck"
    assert [result.what for result in second.results] == ["one"]
