"""How Sphinx makes a site of README.md and docs/: `make docs`.

The whole folder is the source, so that every link is an ordinary relative one, which works in the files as well.
"""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

project = "Salesforce connections for Django"
html_title = project
language = "en"
# Straight quotes and two hyphens stay what they are: commands are copied from here, errors are pasted into the search.
smartquotes = False

extensions = ["myst_parser"]
root_doc = "README"
include_patterns = ["*.md", "docs/*.md"]
exclude_patterns = [".*", "benchmarks", "build", "dist", "mutants", "tests", "var", "sf*"]
# Anchors of headings, named as code hosts name them.
myst_heading_anchors = 4
# Blocks of JSON with an ellipsis are coloured as far as that goes.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_static_path = ["theme/docs.css"]
html_css_files = ["docs.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
templates_path = ["theme"]
html_additional_pages = {"index": "to-the-readme.html"}

DOCS = Path(__file__).parent

_FILE_NAME = re.compile(r"\[(?:\w+/)?[\w-]+\.md\]\(")
_CHAPTERS = re.compile(r"^## (?P<title>.+)\n\n(?P<links>(?:- .+\n)+)", re.MULTILINE)


def name_links(app: Sphinx, name: str, source: list[str]) -> None:
    """A link that shows a file's name shows the title of its page."""
    source[0] = _FILE_NAME.sub("[](", source[0])


def add_navigation(app: Sphinx, name: str, source: list[str]) -> None:
    """The side bar has what docs/index.md lists, in its groups and under its names."""
    if name == root_doc:
        source[0] += _toctree("Contents", ["docs/index.md"])
        for group in _CHAPTERS.finditer((DOCS / "index.md").read_text()):
            links = re.findall(r"\[(.+)\]\((.+)\)", group["links"])
            source[0] += _toctree(group["title"], [f"{title} </docs/{page}>" for title, page in links])


def _toctree(title: str, pages: list[str]) -> str:
    return "\n".join(["\n```{toctree}", ":hidden:", f":caption: {title}", "", *pages, "```", ""])


def setup(app: Sphinx) -> None:
    app.connect("source-read", name_links)
    app.connect("source-read", add_navigation)
