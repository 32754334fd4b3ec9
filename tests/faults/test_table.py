"""The table of faults is what the tests show, what the document says, and what an error can be looked up in."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import sf_integration.salesforce.http.failures as transport
from sf_integration import LoginUnavailable
from sf_integration.salesforce.diagnosis import no_answer, token_endpoint

from . import document
from .table import Fault, all_faults, foreseen

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]


@cache
def functions_and_words(path: str) -> tuple[frozenset[str], frozenset[str]]:
    """Of a test file: the functions that are tests, and all words and numbers in it, ids of parameters among them."""
    tree = ast.parse((ROOT / path).read_text())
    functions = {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    words = {str(node.value) for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    return frozenset(functions), frozenset(words)


@pytest.mark.parametrize("fault", [*all_faults()], ids=lambda fault: fault.id)
def test_each_fault_has_a_test_that_is_there(fault: Fault) -> None:
    assert fault.tests
    for node_id in fault.tests:
        found = re.fullmatch(r"(tests/[\w/]+\.py)::(test_\w+)(?:\[(.+)\])?", node_id)
        assert found, node_id
        path, function, parameter = found.groups()
        functions, words = functions_and_words(path)
        assert function in functions, node_id
        assert parameter is None or parameter in words, node_id


def test_there_are_many_and_each_is_told_once() -> None:
    ids = [fault.id for fault in all_faults()]
    assert len(ids) == len(set(ids)) >= 40


def test_the_document_shows_the_table() -> None:
    shown = document.DOCUMENT.read_text()
    assert shown == document.with_table(shown), "python -m tests.faults.document writes it anew"


def test_every_failure_of_transport_and_sign_in_is_foreseen() -> None:
    codes = set(re.findall(r'code="(\w+)"', Path(transport.__file__).read_text()))
    codes |= {entry.code for entry in (*no_answer.ENTRIES, *token_endpoint.ENTRIES)}
    assert {code for code in codes if foreseen(code) is None} == set()


def test_what_nobody_foresaw_is_told_so() -> None:
    assert foreseen("brand_new_code") is None
    assert foreseen(ZeroDivisionError()) is None
    assert foreseen(LoginUnavailable("x", code="brand_new_code")) is None


def test_an_error_is_found_by_its_code_or_its_class() -> None:
    from django.db import OperationalError

    found = foreseen(LoginUnavailable("x", code="fuse_blown"))
    assert found is not None
    assert found.id == "fuse"
    assert foreseen(OperationalError) is not None
    assert foreseen("http_520") is not None
