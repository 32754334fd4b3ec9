"""docs/recipes.md against the shop: what it shows is the shop's code, which the shop's own tests run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
SHOP = ROOT / "tests" / "shop"
RECIPES = (ROOT / "docs" / "recipes.md").read_text()
TESTING = (ROOT / "docs" / "testing.md").read_text()

_BLOCK = re.compile(r"^```python\n# (?P<file>\S+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [(found["file"], found["code"]) for found in _BLOCK.finditer(RECIPES)]


def shows(code: str, source: str) -> bool:
    """Whether all paragraphs of `code` stand in `source` as whole lines, in this order."""
    place = 0
    for paragraph in code.strip("\n").split("\n\n"):
        place = f"\n{source}".find(f"\n{paragraph}\n", place)
        if place < 0:
            return False
    return True


@pytest.mark.parametrize(("file", "code"), BLOCKS, ids=lambda part: part.strip().splitlines()[-1].strip())
def test_recipe_is_the_code_of_the_shop(file: str, code: str) -> None:
    assert shows(code, (SHOP / file).read_text())


def test_every_block_names_its_file() -> None:
    assert len(BLOCKS) == RECIPES.count("```python\n") > 10


@pytest.mark.parametrize(
    "code", ["other = 1\n", "first = 1\nsecond = 2\n", "second = 2\n\nfirst = 1\n", "irst = 1\n"]
)
def test_other_code_would_be_noticed(code: str) -> None:
    source = "first = 1\n\n\nsecond = 2\n"
    assert shows("first = 1\n\nsecond = 2\n", source)
    assert not shows(code, source)


def test_own_test_takes_five_lines() -> None:
    """`test_docs.py` runs it, with all other files of that document."""
    found = re.search(r"^```python\n# test_five_lines\.py\n(.*?)^```$", TESTING, re.MULTILINE | re.DOTALL)
    assert found
    assert len([line for line in found[1].splitlines() if line]) == 5
