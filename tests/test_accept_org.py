"""A refreshed sandbox, and another org than before: accepted by page, admin and command line, exactly as seen."""

from __future__ import annotations

import io
import sys

import pytest
from django.contrib.auth.models import User
from django.test import Client

from sf_integration import access, get_token, health
from sf_integration.access import AccessDenied, Act
from sf_integration.models import AccessToken, AuditEvent, ConnectedApp
from sf_integration.services import corrections
from sf_integration.testing.django import ConnectableOrg
from tests.test_access import person
from tests.test_command_line import Ran, salesforce

pytestmark = pytest.mark.django_db(transaction=True)

OTHER = "00D5g000004FaKeEAK"
ACTION_URL = "/admin/sf_integration/connectedapp/"


def connection(name: str = "acme") -> ConnectedApp:
    return ConnectedApp.objects.select_related("signing_key").get(name=name)


def check(name: str = "acme") -> ConnectedApp:
    health.check_connection(connection(name), asked_by="test")
    return connection(name)


def refreshed(org: ConnectableOrg, name: str = "acme", environment: str = "sandbox") -> ConnectedApp:
    """A connection that knew another org at the same address, and has met the new one since."""
    made = org.connect(name, expected_org_id=OTHER)
    facts = {"name": "Acme UAT", "login_url": made.login_url}
    ConnectedApp.objects.filter(name=name).update(environment=environment, organization=facts)
    return check(name)


SANDBOX = pytest.mark.salesforce_org(is_sandbox=True)


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal on which somebody types what is written to it."""
    typed = io.StringIO()
    typed.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", typed)
    return typed


def typing(keyboard: io.StringIO, text: str, *command: str) -> Ran:
    keyboard.write(text + "\n")
    keyboard.seek(0)
    return salesforce(*command)


# What is accepted


@SANDBOX
def test_a_real_refresh_is_seen_named_and_accepted(salesforce_org: ConnectableOrg) -> None:
    """From a healthy sandbox on: nothing about it is set by hand."""
    salesforce_org.connect("acme")
    assert check().connection_state().value == "Healthy"
    before, salesforce_org.id = salesforce_org.id, OTHER
    salesforce_org.end_sessions()
    failing = check()
    assert failing.last_error["code"] == "sandbox_refreshed"
    assert before in failing.last_error["cause"]
    assert OTHER in failing.last_error["cause"]
    other = corrections.other_org(failing)
    assert (other.expected, other.found, other.was_refreshed) == (before, OTHER, True)
    assert other.name == salesforce_org.name
    outcome = corrections.accept_org(failing, actor=access.SHELL, found=OTHER)
    assert outcome.done
    assert connection().expected_org_id == OTHER
    assert connection().connection_state().value == "Healthy"
    assert get_token("acme").value


@SANDBOX
def test_accepting_is_audited_by_the_name_of_the_field(salesforce_org: ConnectableOrg) -> None:
    corrections.accept_org(refreshed(salesforce_org), actor=access.SHELL, found=salesforce_org.id)
    event = AuditEvent.objects.get(act="accepted org")
    assert (event.actor, event.subject, event.fields) == ("command line", "acme", ["expected_org_id"])


@SANDBOX
def test_the_checklist_names_what_a_refresh_changes(salesforce_org: ConnectableOrg) -> None:
    failing = refreshed(salesforce_org)
    for word in ("active", "suffix", "permission", "certificate", "consumer key", "Accept"):
        assert word.lower() in failing.last_error["remedy"].lower()
    assert len(corrections.other_org(failing).checklist) == 4


@SANDBOX
def test_an_accepted_sandbox_that_is_not_ready_says_what_is_missing(salesforce_org: ConnectableOrg) -> None:
    failing = refreshed(salesforce_org)
    salesforce_org.user.active = False
    outcome = corrections.accept_org(failing, actor=access.SHELL, found=salesforce_org.id)
    assert "inactive" in outcome.sentence or "deactivated" in outcome.sentence
    assert connection().expected_org_id == salesforce_org.id


def test_production_is_never_accepted_without_a_persons_word(salesforce_org: ConnectableOrg) -> None:
    failing = refreshed(salesforce_org, environment="production")
    assert failing.last_error["code"] == "wrong_org"
    outcome = corrections.accept_org(failing, actor=access.SHELL, found=salesforce_org.id)
    assert not outcome.done
    assert connection().expected_org_id == OTHER
    outcome = corrections.accept_org(failing, actor=access.SHELL, found=salesforce_org.id, is_meant=True)
    assert outcome.done
    assert connection().expected_org_id == salesforce_org.id
    assert connection().connection_state().value == "Healthy"


@SANDBOX
def test_only_the_org_that_was_seen_is_accepted(salesforce_org: ConnectableOrg) -> None:
    failing = refreshed(salesforce_org)
    for found in ("", OTHER, "00DAA0000000001AAA"):
        assert not corrections.accept_org(failing, actor=access.SHELL, found=found, is_meant=True).done
    assert connection().expected_org_id == OTHER


@SANDBOX
@pytest.mark.parametrize(
    "meanwhile",
    [
        {"expected_org_id": "00DAA0000000001AAA"},
        {"login_url": "https://elsewhere.my.salesforce.com"},
        {"last_error": None},
        {"last_error": {"code": "wrong_org", "step": "sign_in", "organization_id": "00DAA0000000001AAA"}},
    ],
)
def test_what_was_set_or_seen_meanwhile_is_not_overwritten(
    salesforce_org: ConnectableOrg, meanwhile: dict[str, object]
) -> None:
    """The page was read before somebody else's edit, or before yet another org was met."""
    failing = refreshed(salesforce_org)
    ConnectedApp.objects.update(**meanwhile)
    before = connection().expected_org_id
    outcome = corrections.accept_org(failing, actor=access.SHELL, found=salesforce_org.id, is_meant=True)
    assert not outcome.done
    assert connection().expected_org_id == before
    assert not AuditEvent.objects.filter(act="accepted org").exists()


def test_a_connection_that_works_has_nothing_to_accept(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    assert corrections.other_org(check()) is None
    assert not corrections.accept_org(connection(), actor=access.SHELL, found=salesforce_org.id).done


@SANDBOX
def test_accepting_needs_the_right_to_manage(salesforce_org: ConnectableOrg) -> None:
    failing = refreshed(salesforce_org)
    alice = person("alice", Act.VIEW_HEALTH, Act.RUN_CHECKS)
    with pytest.raises(AccessDenied):
        corrections.accept_org(failing, actor=alice, found=salesforce_org.id)
    assert connection().expected_org_id == OTHER


@SANDBOX
def test_other_users_of_the_connection_sign_in_again_too(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.add_user("ops@acme.example")
    failing = refreshed(salesforce_org)
    ConnectedApp.objects.update(extra_usernames=["ops@acme.example"])
    with pytest.raises(Exception, match="refreshed"):
        get_token("acme", username="ops@acme.example")
    corrections.accept_org(failing, actor=access.SHELL, found=salesforce_org.id)
    assert not AccessToken.objects.filter(last_error__isnull=False).exists()
    assert get_token("acme", username="ops@acme.example").value


# The pages


@SANDBOX
def test_the_page_of_a_refreshed_sandbox_takes_one_click(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    refreshed(salesforce_org)
    assert "/connections/acme/accept-org/" in admin_client.get("/connections/acme/").content.decode()
    asked = admin_client.get("/connections/acme/accept-org/").content.decode()
    for shown in (OTHER, salesforce_org.id, "Acme UAT", "suffix"):
        assert shown in asked
    assert "is_meant" not in asked
    token_requests = salesforce_org.token_requests
    answer = admin_client.post("/connections/acme/accept-org/", {"found": salesforce_org.id}, follow=True)
    assert "is the expected one now" in answer.content.decode()
    assert connection().connection_state().value == "Healthy"
    assert salesforce_org.token_requests == token_requests + 1
    assert "/accept-org/" not in admin_client.get("/connections/acme/").content.decode()


def test_the_page_of_a_production_org_wants_a_tick(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    refreshed(salesforce_org, environment="production")
    assert "This is the org I mean" in admin_client.get("/connections/acme/accept-org/").content.decode()
    answer = admin_client.post("/connections/acme/accept-org/", {"found": salesforce_org.id})
    assert answer.status_code == 422
    assert "Tick the box" in answer.content.decode()
    assert connection().expected_org_id == OTHER
    admin_client.post("/connections/acme/accept-org/", {"found": salesforce_org.id, "is_meant": "yes"})
    assert connection().expected_org_id == salesforce_org.id


@SANDBOX
def test_asking_by_get_calls_nobody_and_changes_nothing(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    refreshed(salesforce_org)
    before = len(salesforce_org.requests)
    admin_client.get(f"/connections/acme/accept-org/?found={salesforce_org.id}&is_meant=yes")
    assert len(salesforce_org.requests) == before
    assert connection().expected_org_id == OTHER


@SANDBOX
def test_who_may_not_manage_neither_sees_the_button_nor_may_press_it(
    salesforce_org: ConnectableOrg, client: Client
) -> None:
    refreshed(salesforce_org)
    client.force_login(person("alice", Act.VIEW_HEALTH, Act.RUN_CHECKS))
    assert "/accept-org/" not in client.get("/connections/acme/").content.decode()
    assert client.get("/connections/acme/accept-org/").status_code == 403
    assert client.post("/connections/acme/accept-org/", {"found": salesforce_org.id}).status_code == 403
    assert connection().expected_org_id == OTHER


def test_a_page_with_nothing_to_accept_leads_back(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    salesforce_org.connect("acme")
    answer = admin_client.get("/connections/acme/accept-org/", follow=True)
    assert answer.redirect_chain[-1][0] == "/connections/acme/"
    assert "no other org to accept" in answer.content.decode()


# The admin


@SANDBOX
def test_the_change_form_leads_to_the_page_that_asks(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    made = refreshed(salesforce_org)
    assert (
        "/connections/acme/accept-org/" in admin_client.get(f"{ACTION_URL}{made.pk}/change/").content.decode()
    )


@SANDBOX
def test_the_admin_accepts_five_refreshed_sandboxes_at_once_and_leaves_production(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    """A copied production database after the refresh of all its sandboxes."""
    for number in range(5):
        refreshed(salesforce_org, f"uat-{number}")
    refreshed(salesforce_org, "prod", environment="production")
    salesforce_org.connect("well")
    check("well")
    chosen = list(ConnectedApp.objects.values_list("pk", flat=True))
    answer = admin_client.post(
        ACTION_URL, {"action": "accept_refreshed", "_selected_action": chosen}, follow=True
    )
    text = answer.content.decode()
    assert text.count("is the expected one now") == 5
    for number in range(5):
        assert connection(f"uat-{number}").expected_org_id == salesforce_org.id
        assert connection(f"uat-{number}").connection_state().value == "Healthy"
    assert connection("prod").expected_org_id == OTHER
    assert "Connection prod: the org" in text
    assert "no refreshed sandbox" in text
    assert "Connection well: there is no other org to accept" in text


@SANDBOX
def test_an_action_on_many_ends_while_the_person_waits_and_tells_how_many_are_left(
    salesforce_org: ConnectableOrg, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sf_integration.presentation.telling.LATEST_START_SECONDS", 0.0)
    chosen = [refreshed(salesforce_org, f"uat-{number}").pk for number in range(3)]
    data = {"action": "accept_refreshed", "_selected_action": chosen}
    text = admin_client.post(ACTION_URL, data, follow=True).content.decode()
    assert text.count("is the expected one now") == 1
    assert "2 were left, as time was up: choose them again." in text
    assert ConnectedApp.objects.filter(expected_org_id=OTHER).count() == 2


@SANDBOX
def test_the_admins_action_is_for_managers_only(salesforce_org: ConnectableOrg, client: Client) -> None:
    made = refreshed(salesforce_org)
    alice = person("alice", Act.VIEW_HEALTH, Act.RUN_CHECKS)
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    client.force_login(alice)
    client.post(ACTION_URL, {"action": "accept_refreshed", "_selected_action": [made.pk]})
    assert connection().expected_org_id == OTHER


# The command line


@SANDBOX
def test_the_command_accepts_many_with_yes(salesforce_org: ConnectableOrg) -> None:
    refreshed(salesforce_org, "uat")
    refreshed(salesforce_org, "prod", environment="production")
    ran = salesforce("accept-org", "uat", "prod", "--yes", "--json")
    assert ran.status == 0
    assert [(row["name"], row["accepted"], row["state"]) for row in ran.json] == [  # type: ignore[attr-defined]
        ("uat", True, "Healthy"),
        ("prod", True, "Healthy"),
    ]
    assert {row["found"] for row in ran.json} == {salesforce_org.id}  # type: ignore[attr-defined]


@SANDBOX
def test_the_command_tells_what_it_can_not_accept_and_goes_on(salesforce_org: ConnectableOrg) -> None:
    refreshed(salesforce_org, "uat")
    salesforce_org.connect("well")
    ran = salesforce("accept-org", "well", "nowhere", "uat", "--yes")
    assert ran.status == 1
    assert "well: There is no other org to accept" in ran.err
    assert "There is no connection “nowhere”" in ran.err
    assert connection("uat").expected_org_id == salesforce_org.id


@SANDBOX
def test_the_command_does_not_guess_where_nobody_can_be_asked(
    salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshed(salesforce_org)
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    ran = salesforce("accept-org", "acme")
    assert ran.status == 1
    assert "--yes" in ran.err
    assert connection().expected_org_id == OTHER


@SANDBOX
@pytest.mark.parametrize(("answer", "accepted"), [("yes", True), ("no", False), ("", False)])
def test_the_command_asks_for_a_sandbox(
    salesforce_org: ConnectableOrg, keyboard: io.StringIO, answer: str, accepted: bool
) -> None:
    refreshed(salesforce_org)
    assert (typing(keyboard, answer, "accept-org", "acme").status == 0) is accepted
    assert (connection().expected_org_id == salesforce_org.id) is accepted


@pytest.mark.parametrize(("answer", "accepted"), [("acme", True), ("yes", False)])
def test_the_command_wants_the_name_of_a_production_connection(
    salesforce_org: ConnectableOrg,
    keyboard: io.StringIO,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    accepted: bool,
) -> None:
    refreshed(salesforce_org, environment="production")
    assert (typing(keyboard, answer, "accept-org", "acme").status == 0) is accepted
    assert (connection().expected_org_id == salesforce_org.id) is accepted
    asked = capsys.readouterr().err
    assert OTHER in asked
    assert salesforce_org.id in asked
