"""The pictures of the documents: each is one that `make pictures` takes, is shown, small, and told in words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.browser.pictures import FOLDER, PICTURES

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
SHOWN = {
    (document.parent / target).resolve(): words
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
    for words, target in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", document.read_text())
}


def test_every_picture_is_taken_and_shown() -> None:
    taken = {picture.file for picture in PICTURES}
    there = {path for path in FOLDER.iterdir() if path.suffix != ".svg"}
    assert there == taken == {path for path in SHOWN if path.suffix != ".svg"}


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_picture_is_small_and_told(picture) -> None:
    assert picture.file.stat().st_size < 150_000
    assert len(SHOWN[picture.file]) > 40
