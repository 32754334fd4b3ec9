from __future__ import annotations

import re
from pathlib import Path

import pytest

from sf_integration.salesforce import setup_guide
from sf_integration.salesforce.setup_guide import CONNECTED, EXTERNAL, ROOMS, STEPS, Refusal, Step
from sf_integration.salesforce.setup_guide.markdown import as_markdown

DOCUMENT = Path(__file__).parents[2] / "docs" / "set-up-guide.md"

step_by_id = pytest.mark.parametrize("step", STEPS, ids=lambda step: step.id)


def test_document_is_what_the_data_says() -> None:
    assert DOCUMENT.read_text() == as_markdown(), (
        "Renew it: .venv/bin/python -m sf_integration.salesforce.setup_guide > docs/set-up-guide.md"
    )


def test_four_rooms_in_the_order_they_are_walked() -> None:
    assert [room.id for room in ROOMS] == ["user", "app", "grant", "values"]
    ids = [step.id for step in STEPS]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", step_id) for step_id in ids)
    assert not set(ids) & {room.id for room in ROOMS}


@step_by_id
def test_step_says_where_to_click_what_to_choose_and_what_comes_of_leaving_it_out(step: Step) -> None:
    for kind in (EXTERNAL, CONNECTED):
        way = step.way(kind)
        assert way.menu
        assert all(sentence.endswith((".", "”")) for sentence in way.choose)
        assert not way.setup_path or re.fullmatch(r"/lightning/setup/\w+/home", way.setup_path)
        # Who is sent to a page of Setup begins there.
        assert way.menu.startswith("Setup → ") == bool(way.setup_path)
    assert bool(step.skipped) != bool(step.without)


@pytest.mark.parametrize(
    "refusal", {refusal for step in STEPS for refusal in step.skipped}, ids=lambda refusal: refusal.said
)
def test_error_of_a_step_left_out_is_in_the_catalogue(refusal: Refusal) -> None:
    assert refusal.entry.code == refusal.code
    # No general entry, when Salesforce's words are known.
    assert bool(refusal.entry.fragment) or refusal.code != "invalid_grant"


@pytest.mark.parametrize(
    ("code", "said", "first"),
    [
        ("invalid_app_access", "user is not admin approved to access this app", "attach"),
        ("invalid_grant", "Salesforce refused the sign-in (invalid_grant: user hasn't approved this consumer).", "permitted-users"),
        ("invalid_grant", "invalid assertion", "certificate"),
        ("invalid_grant", "audience is invalid", "login-url"),
        ("invalid_grant", "inactive user", "new-user"),
        ("invalid_request", "refresh_token scope is required and the connected app should be installed", "scopes"),
        ("invalid_client_id", "client identifier invalid", "consumer-key"),
        ("app_not_found", "External client app is not installed in this org", "login-url"),
        ("invalid_grant", "user is inactive", "new-user"),
        ("inactive_user", "", "new-user"),
        ("dns_failure", "", "login-url"),
        ("http_404", "", "login-url"),
        ("http_420", "", "login-url"),
        ("not_json", "It answered with text/html.", "login-url"),
        ("not_json", "It answered with (empty).", "login-url"),
        ("INVALID_SESSION_ID", "This session is not valid for use with the REST API", "scopes"),
        ("scope_api_missing", "The token has the scopes refresh_token, not “api”.", "scopes"),
        ("INVALID_TYPE", "sObject type 'Case' is not supported.", "object-access"),
        ("INVALID_FIELD", "No such column 'X' on entity 'Account'.", "object-access"),
        ("API_CURRENTLY_DISABLED", "API is disabled for this User", "profile"),
        ("wrong_user", "", "copy-username"),
    ],
)  # fmt: skip
def test_error_leads_to_the_step_that_was_left_out(code: str, said: str, first: str) -> None:
    assert setup_guide.steps_explaining(code, said)[0].id == first


@pytest.mark.parametrize("code", ["nonsense", "", "unknown_error", "timeout", "REQUEST_LIMIT_EXCEEDED"])
def test_error_that_no_step_prevents_leads_to_none(code: str) -> None:
    assert setup_guide.steps_explaining(code, "whatever") == []


def test_waiting_is_never_the_first_thing_to_look_at() -> None:
    for step in STEPS:
        for refusal in step.skipped:
            explaining = setup_guide.steps_explaining(refusal.code, refusal.description)
            assert step in explaining
            assert explaining[0].id != "wait"


def test_kinds_of_app_differ_where_their_menus_do() -> None:
    told = {
        kind: " ".join(" ".join((step.way(kind).menu, *step.way(kind).choose)) for step in STEPS)
        for kind in (EXTERNAL, CONNECTED)
    }
    for words in (
        "External Client App Manager",
        "Distribution State: Local",
        "Enable JWT Bearer Flow",
        "App Policies",
    ):
        assert words in told[EXTERNAL]
    for words in (
        "App Manager → the app → Manage → Edit Policies",
        "Use digital signatures",
        "Manage Permission Sets",
    ):
        assert words in told[CONNECTED]
    for kind in (EXTERNAL, CONNECTED):
        for words in (
            "Salesforce Integration",
            "Minimum Access - API Only Integrations",
            "Salesforce API Only System Integrations",
            "Salesforce API Integration",
            "Object Settings",
            "Field Permissions",
            "Manage user data via APIs (api)",
            "Access and manage your data (api)",
            "Perform requests at any time (refresh_token, offline_access)",
            "Perform requests on your behalf at any time (refresh_token, offline_access)",
            "choose the certificate again",
            "Admin approved users are pre-authorized",
        ):
            assert words in told[kind]
