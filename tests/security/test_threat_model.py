"""The threat model names the tests that prove it: each of them is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
MODEL = (ROOT / "docs" / "security.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", MODEL)
TOPICS = (
    "SSRF", "redirect", "rebinding", "userinfo", "nextRecordsUrl", "stolen database", "stolen back-up", "curious staff",
    "stolen API key", "session cookie", "poisoned answer", "log readers", "metrics", "broker", "cache", "CSRF", "clickjacking",
    "brute force", "dependency", "session fixation", "open redirect", "host header", "cache poisoning", "XSS", "formula", "SOQL",
    "template injection", "deserialisation", "timing", "denial of service", "clock", "algorithm", "nonce", "key sizes", "worker host",
    "subdomain takeover",
)  # fmt: skip


@cache
def functions_of(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_test_that_is_named_is_there() -> None:
    assert len(NAMED) > 50
    assert [f"{path}::{name}" for path, name in NAMED if name not in functions_of(path)] == []


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_is_told(topic: str) -> None:
    assert topic.lower() in MODEL.lower()


def test_every_row_names_a_proof_or_says_that_there_is_none() -> None:
    rows = [line for line in MODEL.splitlines() if line.startswith("| ") and line.count("|") == 5][1:]
    rows = [row for row in rows if not set(row) <= set("| -")]
    assert len(rows) > 25
    assert [row for row in rows if "`tests/" not in row and "no test" not in row] == []
