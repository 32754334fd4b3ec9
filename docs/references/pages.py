"""The documents with parts that are made from the code.

A document says where such a part stands, `<!-- made from the code: NAME -->` to `<!-- end of NAME -->`; what is around it
is written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from . import commands, errors, settings

_DOCS = Path(__file__).parents[1]
PAGES = [_DOCS / f"{name}.md" for name in ("settings", "errors", "command-line-reference")]
PARTS: Mapping[str, Callable[[], str]] = {
    "variables": settings.variables,
    "keys": settings.keys,
    "checks": settings.checks,
    "classes": errors.classes,
    "index of errors": errors.index,
    "errors": errors.catalogue,
    "verbs": commands.verbs,
    "stand-in": commands.stand_in,
}
PART = re.compile(r"(<!-- made from the code: (?P<name>.+) -->\n).*?(<!-- end of (?P=name) -->)", re.DOTALL)


def stale() -> dict[Path, str]:
    """Documents that don't say what the code says, and what they should be."""
    texts = {page: _filled(page.read_text()) for page in PAGES}
    return {page: text for page, text in texts.items() if page.read_text() != text}


def _filled(page: str) -> str:
    return PART.sub(lambda found: f"{found[1]}\n{PARTS[found['name']]()}\n\n{found[3]}", page)
