from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import sf_integration
from sf_integration.salesforce import diagnosis
from sf_integration.salesforce.diagnosis import (
    CATALOGUE,
    FAMILIES,
    GROUPS,
    UNKNOWN,
    explain,
    explain_transport,
    is_catch_all,
    session_has_ended,
)

from .rows import ALL, BARE_WORDS, MALFORMED, NO_ANSWER, OURS, Row

APP = Path(sf_integration.__file__).parent
# Defaults of base classes: what is raised has a code of its own.
BASES = {"unavailable", "action_needed", "authentication_failed"}


# Tables of hundreds are walked in one test each: as tests of their own they would cost more than what they look at.


def test_every_documented_error_has_its_entry() -> None:
    for row in ALL:
        found = explain(row.code, row.description)
        of_family = found.code in FAMILIES and row.code.startswith(found.code)
        assert found.code == row.code or of_family, row
        assert (found.fragment, found.kind) == (row.fragment, row.kind), row
        assert row.word in found.remedy, row


def test_documented_wording_is_not_left_to_the_general_entry() -> None:
    """Where a code has several meanings, the wording must find the one that is meant."""
    usual = {
        "invalid_client",
        "API_DISABLED_FOR_ORG",
        "MALFORMED_QUERY",
        "INVALID_FIELD",
    }  # the general one is meant
    rows = [row for row in ALL if row.description and row is not MALFORMED]
    found = {row.description: explain(row.code, row.description) for row in rows}
    assert {
        words for words, entry in found.items() if is_catch_all(entry) and entry.code not in usual
    } == set()


def test_our_own_codes_have_entries() -> None:
    assert [explain(code).code for code in OURS] == list(OURS)


def raised_codes() -> Iterator[str]:
    """Every code that is written in the app's source: `code="…"`, first arguments of warnings and remarks, `code` of classes."""
    for path in APP.rglob("*.py"):
        if {"testing", "diagnosis", "migrations", "token_api"} & {
            *path.parts
        }:  # what programs are told has its own page
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                named = [item.value for item in node.keywords if item.arg in ("code", "error_code")]
                is_warning = getattr(node.func, "id", getattr(node.func, "attr", "")).lower() in (
                    "_warn",
                    "warn",
                    "remark",
                )
                first = node.args[:1] if is_warning else []
                yield from texts([*named, *first])
            elif isinstance(node, ast.ClassDef) and path.name == "errors.py":
                assigned = [part for part in node.body if isinstance(part, ast.Assign | ast.AnnAssign)]
                of_code = [
                    part
                    for part in assigned
                    if "code" in ast.unparse(part).partition("=")[0].partition(":")[0]
                ]
                yield from texts([part.value for part in of_code if part.value is not None])


def texts(nodes: list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.IfExp):
            yield from texts([node.body, node.orelse])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
            yield node.value


def test_every_code_that_is_raised_has_an_entry() -> None:
    raised = set(raised_codes()) - BASES
    assert {"dns_failure", "wrong_org", "fuse_blown", "secret_damaged", "Bad_OAuth_Token"} <= raised
    assert {code for code in raised if explain(code) is UNKNOWN} == set()


def test_no_entry_is_hidden_behind_another() -> None:
    for entry in CATALOGUE:
        code = f"{entry.code}98" if entry.code in ("http_4", "http_5") else entry.code
        assert explain(code, entry.fragment) is entry


def test_no_two_entries_are_for_the_same_error() -> None:
    assert len({(entry.code, entry.fragment) for entry in CATALOGUE}) == len(CATALOGUE)


def test_each_entry_has_an_address_of_its_own() -> None:
    anchors = [entry.anchor for entry in CATALOGUE] + [group.anchor for group in GROUPS]
    assert len(set(anchors)) == len(anchors)
    assert all(anchor.replace("-", "").isidentifier() for anchor in anchors)
    assert (
        explain("invalid_grant", "user hasn't approved this consumer").anchor
        == "invalid_grant-user-hasnt-approved"
    )


def test_every_entry_is_complete() -> None:
    actors = {getattr(diagnosis, name) for name in ("ORG_ADMIN", "US", "SALESFORCE", "ADMIN_HERE", "CALLER")}
    for entry in CATALOGUE:
        assert entry.fragment == entry.fragment.lower(), entry
        assert all(wording == wording.lower() for wording in entry.wordings), entry
        assert entry.cause.endswith("."), entry
        assert entry.remedy.endswith((".", "?")), entry
        assert entry.who in actors, entry
        is_told_where = entry.where or entry.who != diagnosis.ORG_ADMIN
        assert is_told_where or "Attach the app to the agent" in entry.remedy, entry
        assert entry.retryable == (entry.kind != "set-up"), entry
        assert "`" not in entry.cause + entry.remedy + entry.where  # pages show the words as they are


def test_menus_of_both_kinds_of_app_are_named() -> None:
    for entry in CATALOGUE:
        if "External Client App Manager →" in entry.where:
            assert "Connected App: " in entry.where


@pytest.mark.parametrize("row", NO_ANSWER, ids=lambda row: f"{row.code} {row.description[:40]}".strip())
def test_missing_answers_have_entries_too(row: Row) -> None:
    assert explain_transport(row.code).code


def test_other_missing_answers_are_taken_as_passing() -> None:
    assert explain_transport("never_heard_of").kind == "passing"


def test_an_unknown_refusal_is_not_tried_for_ever() -> None:
    found = explain("never_heard_of", "x")
    assert found is UNKNOWN
    assert found.kind == "set-up"
    assert "Login History" in found.remedy


@pytest.mark.parametrize("row", BARE_WORDS, ids=lambda row: row.code)
def test_bare_word_of_the_identity_url_is_its_code(row: Row) -> None:
    """Such an answer has no JSON, so that its code is the status and its text the word."""
    assert explain("http_403", row.code) is explain(row.code)


def test_bent_apostrophe_is_understood() -> None:
    assert explain(
        "invalid_grant", "user hasn\N{RIGHT SINGLE QUOTATION MARK}t approved this consumer"
    ).fragment


def test_most_refused_sign_ins_point_at_login_history() -> None:
    """Not those where no user is known yet, or the request itself is broken."""
    silent = {
        "audience",
        "expired authorization code",
        "inactive user",
        "user is inactive",
        "inactive organization",
    }
    for entry in CATALOGUE:
        if entry.code in ("invalid_grant", "invalid_app_access") and entry.fragment not in silent:
            assert "Login History" in entry.remedy or "Run As" in entry.remedy


@pytest.mark.parametrize(
    ("status", "code", "message", "ended"),
    [
        (401, "INVALID_SESSION_ID", "Session expired or invalid", True),
        (401, "INVALID_SESSION_ID", "session expired or invalid", True),
        (403, "Bad_OAuth_Token", "", True),
        (401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API", False),
        (401, "INVALID_SESSION_ID", "Invalid Session ID found in SessionHeader", False),
        (401, "INVALID_SESSION_ID", "Connected app is not attached to Agent", False),
        (401, "INVALID_SESSION_ID", "something new", False),
        (401, "INVALID_SESSION_ID", "", False),
        (401, "INVALID_AUTH_HEADER", "Session expired or invalid", False),
        (400, "INVALID_SESSION_ID", "Session expired or invalid", False),
        (500, "INVALID_SESSION_ID", "Session expired or invalid", False),
        (401, "", "Session expired or invalid", False),
    ],
)
def test_only_a_dead_token_counts_as_an_ended_session(
    status: int, code: str, message: str, ended: bool
) -> None:
    assert session_has_ended(status, code, message) is ended
