"""What programs branch on: each code that the HTTP token API answers is in its document."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "http-api.md").read_text()


def test_every_code_is_documented() -> None:
    sources = [*(ROOT / "sf_integration" / "token_api").glob("*.py")]
    sources.append(ROOT / "sf_integration" / "services" / "api_keys.py")
    codes = set(re.findall(r'\bcode ?= ?"(\w+)"', "".join(path.read_text() for path in sources)))
    assert {"api_key_expired", "too_many_calls", "unknown_field"} <= codes
    assert {code for code in codes if f"`{code}`" not in DOCUMENT} == set()
