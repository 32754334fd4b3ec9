"""A second project, which knows the public API only, against the wheel."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import pytest

import sf_integration

from .conftest import ROOT, Installed

SHOP = ROOT / "tests" / "shop"
DOCUMENTS = {ROOT / "README.md", *(ROOT / "docs").glob("*.md")} - {ROOT / "docs" / "recipes.md"}


@pytest.mark.wheel
@pytest.mark.long
def test_shop_passes_its_tests_with_the_wheel(installed: Installed, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shutil.copytree(SHOP, shop, ignore=shutil.ignore_patterns("__pycache__", "var"))
    written = sum(file.read_text().count("def test_") for file in (shop / "tests").glob("test_*.py"))

    # Plugins by their names: the rest of what is installed here is not the shop's.
    options = ("-q", "-p", "django", "-p", "sf_integration")
    told = installed.python(
        "-m", "pytest", *options, folder=shop, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", PYTHONDONTWRITEBYTECODE="1"
    )

    outcome = re.search(r"(\d+) passed in ", told)
    assert outcome, told
    assert int(outcome[1]) >= written > 20


def imports(file: Path) -> set[tuple[str, str]]:
    """Module and name of all that is imported from the app, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            found |= {(node.module or "", alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
    return {(module, name) for module, name in found if module.partition(".")[0] == "sf_integration"}


def test_shop_imports_documented_modules_only() -> None:
    text = "".join(document.read_text() for document in DOCUMENTS)
    documented = set(re.findall(r"^(?:from|import) (sf_integration[\w.]*)", text, re.MULTILINE))
    used = set().union(*(imports(file) for file in SHOP.rglob("*.py")))
    assert {module for module, _ in used} <= documented
    assert {name for module, name in used if module == "sf_integration"} <= set(sf_integration.__all__)
    assert len(used) > 10
