"""docs/other-libraries.md: its examples run, and those that can't are at least Python and name what is there."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from sf_integration.testing.django import ConnectableOrg

TEXT = (Path(__file__).parents[2] / "docs" / "other-libraries.md").read_text()
BLOCKS = re.findall(r"(<!-- not run: [^>]+ -->\n)?^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.django_db(transaction=True)
@pytest.mark.salesforce_org(tls=True)
@pytest.mark.parametrize("code", [code for mark, code in BLOCKS if not mark], ids=["use", "test"])
def test_example_runs(code: str, salesforce_org: ConnectableOrg) -> None:
    if "salesforce_org" not in code:
        salesforce_org.connect("acme-prod")
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "other-libraries.md", "exec"), namespace)
    for made in [value for name, value in namespace.items() if name.startswith("test_")]:
        made(salesforce_org)
    assert salesforce_org.token_requests


def test_recipes_that_can_not_run_are_python_over_what_is_there() -> None:
    recipes = [code for mark, code in BLOCKS if mark]
    assert len(recipes) == 2
    for code in recipes:
        for imported in ast.walk(ast.parse(code)):
            if isinstance(imported, ast.ImportFrom) and str(imported.module).startswith("sf_integration"):
                module = import_module(str(imported.module))
                assert all(hasattr(module, alias.name) for alias in imported.names)
