"""What belongs to a project beside its code: licences, habits, drawings, and the tour for who changes it."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from django.urls import URLPattern

from sf_integration import urls, version
from sf_integration.alarms import texts
from sf_integration.health.ladder import LADDER
from sf_integration.models import RESERVED_NAMES, Alarm
from sf_integration.models.connections import valid_name
from sf_integration.presentation import facts

ROOT = Path(__file__).parents[1]
THIRD_PARTY = ROOT / "docs" / "third-party.md"
CHANGING_IT = ROOT / "docs" / "changing-it.md"
DRAWINGS = sorted((ROOT / "docs" / "images").glob("*.svg"))


# ---- licences -------------------------------------------------------------------------------------------------------


def families() -> dict[str, str]:
    """Distribution to family of licences, of the table in the document."""
    lines = re.findall(r"^\| ([\w.-]+)[^|]* \| (.+) \|$", THIRD_PARTY.read_text(), re.MULTILINE)
    pairs = [(name, family) for family, cell in lines for name in re.findall(r"`([^`]+)`", cell)]
    assert len(pairs) == len(dict(pairs)), "one is named twice"
    return dict(pairs)


def told_licence(name: str) -> str:
    """All that a distribution says of its licence itself."""
    metadata = importlib.metadata.metadata(name)
    fields = ("License-Expression", "License", "Classifier")
    told = [text for field in fields for text in metadata.get_all(field) or []]
    return " ".join(text for text in told if not text.startswith(("Framework", "Programming", "Topic")))


def test_licence_of_each_distribution_is_told() -> None:
    locked = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    told = families()
    assert sorted(told) == sorted(locked)
    not_here = []
    for name, family in told.items():
        try:
            assert family.partition("-")[0] in told_licence(name), name
        except importlib.metadata.PackageNotFoundError:
            not_here.append(name)
    # Needed by the oldest releases of Python 3.11 alone.
    assert set(not_here) <= {"async-timeout"}


def test_nothing_of_others_lies_among_the_static_files() -> None:
    marks = re.compile(
        r"licen[sc]e|copyright|sourceMappingURL|https?://(?!www\.w3\.org/2000/svg)", re.IGNORECASE
    )
    found = {
        path.name: marks.findall(path.read_text())
        for path in (ROOT / "sf_integration" / "static").rglob("*")
        if path.is_file()
    }
    assert len(found) > 15
    assert {name: said for name, said in found.items() if said} == {}


def test_our_own_licence_goes_along() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "MIT"
    assert "LICENSE" in project["license-files"]
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")


# ---- habits ---------------------------------------------------------------------------------------------------------


def hooks() -> list[dict[str, object]]:
    read = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [each["repo"] for each in read["repos"]] == ["local"], "nothing is fetched before a commit"
    return read["repos"][0]["hooks"]


def test_hooks_use_what_the_locks_installed() -> None:
    for hook in hooks():
        assert hook["language"] == "system", hook["id"]
        program = str(hook["entry"]).split()[0]
        assert program.startswith(".venv/bin/"), hook["id"]
        assert (ROOT / program).exists(), hook["id"]


def test_hooks_look_at_what_make_check_looks_at() -> None:
    makefile = (ROOT / "Makefile").read_text()
    checks = set(
        re.findall(r"^\t\$\(BIN\)/(ruff check|ruff format|mypy|lint-imports)", makefile, re.MULTILINE)
    )
    entries = " ".join(str(hook["entry"]) for hook in hooks())
    assert len(checks) == 4
    assert [check for check in checks if check not in entries] == []


def test_contributing_fits_on_a_screen() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 45


@pytest.mark.once
@pytest.mark.long
def test_tests_start_after_a_wheel_was_built_here(tmp_path: Path) -> None:
    left_behind = tmp_path / "sf_integration.egg-info"
    left_behind.mkdir()
    entry_points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    lines = [f"{name} = {module}" for name, module in entry_points.items()]
    (left_behind / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines]))
    (left_behind / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: sf_integration\nVersion: 0\n")
    command = [sys.executable, "-m", "pytest", "-n0", "-q", "--collect-only", "tests/test_clock.py"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr[-2000:]


# ---- the tour -------------------------------------------------------------------------------------------------------


def test_files_of_the_tour_are_there() -> None:
    paths = set(re.findall(r"`(\w[\w.-]*/[\w./-]*|\w+\.(?:py|md))`", CHANGING_IT.read_text()))
    assert len(paths) > 30
    homes = (ROOT, ROOT / "sf_integration")
    assert [path for path in sorted(paths) if not any((home / path).exists() for home in homes)] == []


def test_tests_that_the_tour_names_are_there() -> None:
    named = set(re.findall(r"\b(test_\w+)\b(?!\.py)", CHANGING_IT.read_text()))
    written = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert named
    assert [name for name in sorted(named) if f"def {name}(" not in written] == []


# ---- what a new thing must not forget --------------------------------------------------------------------------------


def test_every_step_has_a_title() -> None:
    assert list(facts._STEP_TITLES) == [name for name, _ in LADDER]


def test_first_parts_of_addresses_are_no_names() -> None:
    """Else a connection of that name would hide behind the page."""
    routes = [str(each.pattern) for each in urls.urlpatterns if isinstance(each, URLPattern)]
    firsts = {route.partition("/")[0] for route in routes if not route.startswith("<")}
    assert {first for first in firsts if valid_name.regex.match(first)} <= set(RESERVED_NAMES)


@pytest.mark.parametrize("kind", Alarm.Kind)
def test_every_kind_of_alarm_has_its_words(kind: Alarm.Kind) -> None:
    alarm = Alarm(kind=kind, title="acme", facts={})
    assert "acme" in texts.headline(alarm)
    assert "acme" in texts.ending(alarm)


def test_changes_begin_with_this_version() -> None:
    newest = re.search(r"^## (\S+?),? ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest
    assert newest[1] == version.__version__


# ---- drawings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drawing", DRAWINGS, ids=lambda path: path.name)
def test_drawing_tells_its_content_and_loads_nothing(drawing: Path) -> None:
    text = drawing.read_text()
    root = ET.fromstring(text)
    names = {"title", "desc"} & {child.tag.rpartition("}")[2] for child in root if (child.text or "").strip()}
    assert names == {"title", "desc"}
    assert "prefers-color-scheme: dark" in text
    assert re.findall(r"(?:href|src)=|url\((?!#)|https?://(?!www\.w3\.org/2000/svg)", text) == []


def test_drawings_are_found() -> None:
    assert len(DRAWINGS) >= 2
