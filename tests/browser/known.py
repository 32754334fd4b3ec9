"""What axe says against pages that are Django's own, with why it stays: {name of the page: {rule: reason}}."""

from __future__ import annotations

KNOWN: dict[str, dict[str, str]] = {}
