"""The site that `make docs` makes: every link and anchor leads somewhere, and it calls no other host."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.watching import ARGUMENTS

ROOT = Path(__file__).parents[1]
# What a browser fetches by itself; links are for people to follow.
_FETCHED = re.compile(
    r"""(?:src="|<link\b[^>]*?\bhref="|url\(["']?|@import ["'])((?:https?:)?//[^"')]+)""", re.IGNORECASE
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    make_site(folder)
    return folder


@pytest.mark.once
@pytest.mark.long
def test_it_is_whole_and_stays_on_its_host(site: Path) -> None:
    assert 'url=README.html"' in (site / "index.html").read_text()
    made = [path for path in site.rglob("*") if path.suffix in (".html", ".css")]
    assert len(made) > 40
    assert [found for path in made for found in _FETCHED.findall(path.read_text())] == []
    offered = {path.name for path in site.joinpath("_downloads").rglob("*")}
    assert [name for name in files_to_take_away() if name not in offered] == []


@pytest.mark.once
@pytest.mark.long
@pytest.mark.chromium
def test_no_page_is_wider_than_its_window(site: Path) -> None:
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS).new_page()
        page.goto(site.joinpath("docs", "python-api.html").as_uri())
        too_wide = []
        for width in (360, 760, 820, 1000, 1024, 1100, 1200, 1320, 1400, 1540, 1600, 1920):
            page.set_viewport_size({"width": width, "height": 900})
            if page.evaluate("document.documentElement.scrollWidth") > width:
                too_wide.append(width)
        page.context.browser.close()
    assert too_wide == []


def make_site(folder: Path) -> None:
    options = ["--quiet", "--fail-on-warning", "--keep-going", "--conf-dir", "docs"]
    command = [
        sys.executable,
        "-m",
        "sphinx",
        *options,
        "--doctree-dir",
        str(folder / "trees"),
        ".",
        str(folder),
    ]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert made.returncode == 0, made.stderr


def files_to_take_away() -> list[str]:
    folders = [ROOT / "docs" / name for name in ("deploy", "postman", "prometheus")]
    return [path.name for folder in folders for path in folder.rglob("*") if path.is_file()]


def test_a_page_that_fetches_from_elsewhere_is_noticed() -> None:
    page = (
        '<link rel="stylesheet" href="//cdn.example/a.css"> <script src="https://x.example/b.js"></script>'
        '<a href="https://fine.example/">a link</a> <style>@import "https://y.example/c.css";</style>'
    )
    assert _FETCHED.findall(page) == [
        "//cdn.example/a.css",
        "https://x.example/b.js",
        "https://y.example/c.css",
    ]
