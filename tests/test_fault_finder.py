from __future__ import annotations

import datetime as dt
import json
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.utils import timezone

from sf_integration import access, get_token, health, tokens
from sf_integration.access import Act
from sf_integration.models import AccessToken, AuditEvent, ConnectedApp
from sf_integration.salesforce import errors
from sf_integration.salesforce.errors import (
    ConnectionPaused,
    LoginUnavailable,
    NotAllowedHere,
    SalesforceError,
)
from sf_integration.salesforce.stages import Stage, stage_of
from sf_integration.services import fault_finder
from sf_integration.services.fault_finder import Address, Finding
from sf_integration.testing.django import ConnectableOrg
from tests.test_access import person
from tests.test_command_line import salesforce

pytestmark = pytest.mark.django_db(transaction=True)

SANDBOX = pytest.mark.salesforce_org(is_sandbox=True)
LOCKED = "00D5g000004FaKeEAK"


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fault_finder, "PAUSE_SECONDS", 0.0)


@pytest.fixture
def login_hosts(salesforce_org: ConnectableOrg, settings: object) -> Iterator[tuple[str, str]]:
    """What stands for login.salesforce.com and test.salesforce.com here."""
    server = salesforce_org.server
    assert server is not None
    found = server.open_login_host(), server.open_login_host(for_sandboxes=True)
    settings.SF_INTEGRATION["LOGIN_HOSTS"] = found  # type: ignore[attr-defined]
    return found


def connection(name: str = "acme") -> ConnectedApp:
    return ConnectedApp.objects.select_related("signing_key").get(name=name)


def find(name: str = "acme") -> Finding:
    return fault_finder.find(connection(name), actor=access.SHELL)


def stages(found: Finding) -> list[Stage | None]:
    return [each.stage for each in found.tries]


# The verdicts


@SANDBOX
def test_a_sandbox_asked_for_at_productions_login_host_is_a_mix_up(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str]
) -> None:
    production, sandboxes = login_hosts
    salesforce_org.connect("acme", login_url=production)
    found = find()
    assert found.verdict == "mixed_up"
    assert "for production orgs" in found.sentence
    assert "sandbox org" in found.sentence
    assert found.better == Address(sandboxes, sandboxes)
    assert stages(found) == [Stage.APP, Stage.SIGNED_IN]


def test_a_production_org_asked_for_at_the_sandboxes_login_host_is_a_mix_up(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str]
) -> None:
    production, sandboxes = login_hosts
    salesforce_org.connect("acme", login_url=sandboxes)
    ConnectedApp.objects.update(environment="sandbox")
    found = find()
    assert found.verdict == "mixed_up"
    assert found.better == Address(production, production)


@SANDBOX
def test_the_orgs_own_my_domain_is_tried_before_the_login_hosts(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str]
) -> None:
    salesforce_org.connect("acme", login_url=login_hosts[0])
    ConnectedApp.objects.update(organization={"my_domain": salesforce_org.url, "environment": "sandbox"})
    found = find()
    assert found.verdict == "mixed_up"
    assert found.better == Address(salesforce_org.url, salesforce_org.url)


def test_a_wrong_audience_is_told_from_a_wrong_host(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str]
) -> None:
    salesforce_org.connect("acme", audience="https://elsewhere.example")
    found = find()
    assert found.verdict == "wrong_audience"
    assert found.better == Address(salesforce_org.url, salesforce_org.url)
    assert stages(found) == [Stage.AUDIENCE, Stage.SIGNED_IN]


def test_another_orgs_my_domain_is_a_wrong_host(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str]
) -> None:
    other = salesforce_org.add_org(username="somebody@else.example")
    salesforce_org.connect("acme", login_url=other.url)
    found = find()
    assert found.verdict == "wrong_host"
    assert found.better == Address(login_hosts[0], login_hosts[0])


def test_a_host_where_nothing_answers_is_a_wrong_host(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str], settings: object
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{free.getsockname()[1]}"
    settings.SF_INTEGRATION["ALLOWED_HOSTS"].append(nowhere)  # type: ignore[attr-defined]
    salesforce_org.connect("acme", login_url=f"http://{nowhere}")
    found = find()
    assert found.verdict == "wrong_host"
    assert found.tries[0].stage is Stage.HOST
    assert found.tries[0].problem.code == "connection_refused"


def test_what_fails_alike_everywhere_is_app_or_user(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str]
) -> None:
    made = salesforce_org.connect("acme")
    ConnectedApp.objects.filter(pk=made.pk).update(username="nobody@acme.example")
    found = find()
    assert found.verdict == "not_the_address"
    assert "app or the user" in found.sentence
    assert "approved" in found.remedy.lower() or "pre-authorized" in found.remedy.lower()
    assert found.who
    assert found.better is None
    assert len(found.tries) > 2


def test_a_later_refusal_is_progress(salesforce_org: ConnectableOrg, login_hosts: tuple[str, str]) -> None:
    salesforce_org.connect("acme", login_url=login_hosts[1])
    salesforce_org.user.approved = False
    found = find()
    assert found.verdict == "further"
    assert login_hosts[0] in found.sentence
    assert found.tries[-1].problem.code == "invalid_app_access"
    assert found.remedy == found.tries[-1].problem.remedy
    assert found.better is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda org: setattr(org.user, "active", False),
        lambda org: setattr(org.user, "ip_restricted", True),
        lambda org: setattr(org.user, "approved", False),
        lambda org: setattr(org, "active", False),
        lambda org: setattr(org.app, "scopes", ("api",)),
        lambda org: setattr(org, "clock_offset_seconds", 4000),
    ],
)
def test_what_no_address_mends_is_tried_once(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str], spoil: object
) -> None:
    salesforce_org.connect("acme")
    spoil(salesforce_org)  # type: ignore[operator]
    found = find()
    assert found.verdict == "not_the_address"
    assert salesforce_org.token_requests == 1
    assert found.remedy


def test_what_works_as_configured_is_said_to(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str]
) -> None:
    salesforce_org.connect("acme")
    found = find()
    assert (found.verdict, found.better) == ("works", None)


def test_an_org_in_maintenance_can_not_be_judged(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str]
) -> None:
    salesforce_org.connect("acme")
    salesforce_org.fail("maintenance", times=None)
    found = find()
    assert found.verdict == "undecided"
    assert salesforce_org.token_requests <= 1


def test_a_pair_that_leads_to_another_org_has_not_worked(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str]
) -> None:
    salesforce_org.connect("acme", login_url=login_hosts[1], expected_org_id=LOCKED)
    found = find()
    assert found.better is None
    assert found.tries[-1].stage is Stage.ORG


def test_an_external_client_app_is_not_looked_for_at_the_shared_login_hosts(
    salesforce_org: ConnectableOrg, settings: object
) -> None:
    made = ConnectedApp(
        name="x",
        login_url="https://acme.my.salesforce.com",
        app_kind="external_client_app",
        audience="https://x.example",
    )
    tried = [address for address, _ in fault_finder._candidates(made)]
    assert tried[1:] == [Address(made.login_url, made.login_url)]
    made.app_kind = "connected_app"
    assert len([address for address, _ in fault_finder._candidates(made)]) == 6


# What it must not do


@SANDBOX
def test_nothing_is_kept_of_the_tries(salesforce_org: ConnectableOrg, login_hosts: tuple[str, str]) -> None:
    salesforce_org.connect("acme", login_url=login_hosts[0])
    assert find().better
    row = AccessToken.objects.get()
    assert (row.value, row.claimed_until, row.last_error) == (None, None, None)
    assert tokens.in_memory("acme") is None
    assert salesforce_org.logins == 1
    assert not [session for session in salesforce_org.sessions if session.is_live]
    unchanged = connection()
    assert (unchanged.login_url, unchanged.audience) == (login_hosts[0], "")


@SANDBOX
def test_every_try_counts_as_a_sign_in(salesforce_org: ConnectableOrg, login_hosts: tuple[str, str]) -> None:
    salesforce_org.connect("acme", login_url=login_hosts[0])
    found = find()
    assert AccessToken.objects.get().logins == len(found.tries) == 2


def test_no_try_is_made_while_salesforce_refuses_more_sign_ins(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str]
) -> None:
    salesforce_org.connect("acme")
    salesforce_org.logins_per_hour = 0
    with pytest.raises(LoginUnavailable):
        get_token("acme")
    assert AccessToken.objects.get().last_error["kind"] == "rate"
    before = salesforce_org.token_requests
    with pytest.raises(LoginUnavailable):
        find()
    assert salesforce_org.token_requests == before


def test_too_many_sign_ins_end_the_search(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str]
) -> None:
    salesforce_org.connect("acme")
    salesforce_org.logins_per_hour = 0
    assert find().verdict == "undecided"
    assert salesforce_org.token_requests == 1


def test_the_fuse_holds_here_too(salesforce_org: ConnectableOrg, login_hosts: tuple[str, str]) -> None:
    salesforce_org.connect("acme")
    tokens.rows.ensure([connection()])
    AccessToken.objects.update(logins=600, logins_since=timezone.now())
    with pytest.raises(LoginUnavailable) as caught:
        find()
    assert caught.value.code == "fuse_blown"
    assert salesforce_org.token_requests == 0


def test_no_try_is_made_while_somebody_else_signs_in(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str]
) -> None:
    salesforce_org.connect("acme")
    tokens.rows.ensure([connection()])
    AccessToken.objects.update(claimed_by="x", claimed_until=timezone.now() + dt.timedelta(seconds=12))
    with pytest.raises(LoginUnavailable):
        find()
    assert salesforce_org.token_requests == 0


def test_a_paused_connection_is_not_tried(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str]
) -> None:
    salesforce_org.connect("acme", enabled=False)
    with pytest.raises(ConnectionPaused):
        find()
    assert salesforce_org.requests == []


def test_a_kind_of_org_that_may_not_be_called_is_not_tried(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str], settings: object
) -> None:
    """login.salesforce.com counts as production, whatever it would lead to."""
    production, sandboxes = login_hosts
    salesforce_org.connect("acme", login_url=sandboxes)
    ConnectedApp.objects.update(environment="sandbox")
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "ALLOWED_ENVIRONMENTS": ["sandbox"]}  # type: ignore[attr-defined]
    found = find()
    skipped = [each for each in found.tries if each.milliseconds is None]
    assert [each.address for each in skipped] == [Address(production, production)]
    assert "may not call production orgs" in skipped[0].words
    assert salesforce_org.token_requests == 1
    ConnectedApp.objects.update(environment="production")
    with pytest.raises(NotAllowedHere):
        find()
    assert salesforce_org.token_requests == 1


def test_a_connection_to_this_machine_never_leads_to_a_real_host(salesforce_org: ConnectableOrg) -> None:
    """The login hosts are Salesforce's own here."""
    made = salesforce_org.connect("acme", audience="https://elsewhere.example")
    for address, _ in list(fault_finder._candidates(made))[1:]:
        assert urlsplit(address.login_url).hostname == urlsplit(address.audience).hostname == "127.0.0.1"
    salesforce_org.user.approved = False
    assert find().verdict


def test_a_real_connection_never_leads_to_this_machine(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str]
) -> None:
    made = ConnectedApp(name="x", login_url="https://acme.my.salesforce.com")
    assert [address.login_url for address, _ in fault_finder._candidates(made)] == [made.login_url]


@pytest.fixture
def unlisted() -> Iterator[socket.socket]:
    """A server on this machine that nobody has allowed to be called."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def address_of(server: socket.socket) -> str:
    return f"http://127.0.0.1:{server.getsockname()[1]}"


@SANDBOX
def test_a_host_that_is_not_listed_is_not_tried(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str], unlisted: socket.socket
) -> None:
    """The address that the org told at some time may be one that may not be called."""
    salesforce_org.connect("acme", login_url=login_hosts[0])
    ConnectedApp.objects.update(organization={"my_domain": address_of(unlisted), "environment": "sandbox"})
    skipped = [each for each in find().tries if each.milliseconds is None]
    assert {each.address.login_url for each in skipped} == {address_of(unlisted)}
    assert "not listed in SF_ALLOWED_HOSTS" in skipped[0].words
    with pytest.raises(BlockingIOError):
        unlisted.accept()


def test_a_token_that_names_a_foreign_instance_is_not_sent_there(
    salesforce_org: ConnectableOrg, unlisted: socket.socket
) -> None:
    salesforce_org.connect("acme")
    answer = {
        "access_token": "00DPLANTED!planted",
        "instance_url": address_of(unlisted),
        "token_type": "Bearer",
    }
    salesforce_org.fail("answer", body=json.dumps(answer), times=None)
    assert find().verdict != "works"
    with pytest.raises(BlockingIOError):
        unlisted.accept()


def test_there_is_a_pause_between_two_sign_ins(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fault_finder, "PAUSE_SECONDS", 0.3)
    salesforce_org.connect("acme", audience="https://elsewhere.example")
    started = time.monotonic()
    assert len(find().tries) == 2
    assert time.monotonic() - started >= 0.3


def test_the_search_ends_in_time(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fault_finder, "LATEST_START_SECONDS", -1.0)
    salesforce_org.connect("acme", audience="https://elsewhere.example")
    found = find()
    assert salesforce_org.token_requests == 1
    assert "no time left" in found.tries[-1].words
    assert found.better is None


# Stages


@pytest.mark.parametrize(
    ("error", "stage"),
    [
        (errors.AuthenticationError("x", error="invalid_client_id"), Stage.APP),
        (errors.AuthenticationError("x", error="app_not_found"), Stage.APP),
        (errors.AuthenticationError("x", error="invalid_grant", description="invalid assertion"), Stage.SIGNATURE),
        (errors.AuthenticationError("x", error="invalid_grant", description="audience is invalid"), Stage.AUDIENCE),
        (errors.AuthenticationError("x", error="invalid_grant", description="Audience validation failed"), Stage.AUDIENCE),
        (errors.AuthenticationError("x", error="invalid_grant", description="invalid audience"), Stage.AUDIENCE),
        (errors.AuthenticationError("x", error="invalid_grant", description="expired authorization code"), Stage.TIME),
        (errors.AuthenticationError("x", error="invalid_grant", description="user hasn't approved this consumer"), Stage.USER),
        (errors.AuthenticationError("x", error="invalid_grant", description="inactive user"), Stage.RIGHTS),
        (errors.AuthenticationError("x", error="invalid_app_access"), Stage.RIGHTS),
        (errors.AuthenticationError("x", error="http_404"), Stage.HOST),
        (errors.TransportError("x", code="dns_failure"), Stage.HOST),
        (errors.TransportError("x", code="not_json"), Stage.HOST),
        (errors.TransportError("x", code="timeout"), None),
        (errors.TransportError("x", code="http_503"), None),
        (errors.LoginUnavailable("x", code="invalid_grant", retry_after=900), None),
        (errors.LoginUnavailable("x", code="unknown_error"), Stage.APP),
        (errors.WrongOrg("x", code="sandbox_refreshed"), Stage.ORG),
        (errors.NotAllowedHere("x"), None),
    ],
)  # fmt: skip
def test_each_refusal_has_its_stage(error: SalesforceError, stage: Stage | None) -> None:
    assert stage_of(error) is stage


# Page and command line


@SANDBOX
def test_the_page_shows_the_tries_and_saves_what_worked(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str], admin_client: Client
) -> None:
    production, sandboxes = login_hosts
    salesforce_org.connect("acme", login_url=production)
    health.check_connection(connection(), asked_by="test")
    assert "Find the fault" in admin_client.get("/connections/acme/").content.decode()
    page = admin_client.post("/connections/acme/find-fault/")
    assert page.headers["Cache-Control"].count("no-store")
    text = page.content.decode()
    for shown in (
        "Production and sandbox were mixed up",
        production,
        sandboxes,
        "client identifier invalid",
        "ms",
    ):
        assert shown in text
    chosen = {"login_url": sandboxes, "audience": sandboxes}
    answer = admin_client.post("/connections/acme/save-found/", chosen, follow=True).content.decode()
    assert f"login URL {sandboxes}, audience the default." in answer
    saved = connection()
    assert (saved.login_url, saved.audience) == (sandboxes, "")
    assert saved.connection_state().value == "Healthy"
    acts = set(AuditEvent.objects.values_list("act", flat=True))
    assert {"looked for the fault", "changed", "checked"} <= acts
    assert "Find the fault" not in admin_client.get("/connections/acme/").content.decode()


def test_the_button_is_not_there_for_what_no_address_mends(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    salesforce_org.connect("acme")
    salesforce_org.user.active = False
    health.check_connection(connection(), asked_by="test")
    assert "Find the fault" not in admin_client.get("/connections/acme/").content.decode()


def test_a_search_that_may_not_be_made_says_why(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    salesforce_org.connect("acme", enabled=False)
    answer = admin_client.post("/connections/acme/find-fault/")
    assert answer.status_code == 424
    assert "is paused" in answer.content.decode()


def test_asking_by_get_signs_in_nowhere(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    salesforce_org.connect("acme")
    for path in ("find-fault", "save-found", "use-own-login-url"):
        assert admin_client.get(f"/connections/acme/{path}/").status_code == 302
    assert salesforce_org.requests == []


def test_only_a_pair_that_is_tried_can_be_saved(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str], admin_client: Client
) -> None:
    made = salesforce_org.connect("acme")
    for url in ("https://elsewhere.my.salesforce.com", "javascript:alert(1)", ""):
        admin_client.post("/connections/acme/save-found/", {"login_url": url, "audience": url})
    assert connection().login_url == made.login_url


def test_who_may_not_manage_may_look_but_not_save(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str], client: Client
) -> None:
    salesforce_org.connect("acme", audience="https://elsewhere.example")
    client.force_login(person("alice", Act.VIEW_HEALTH, Act.RUN_CHECKS))
    text = client.post("/connections/acme/find-fault/").content.decode()
    assert "The audience is wrong" in text
    assert "Save what worked" not in text
    chosen = {"login_url": salesforce_org.url, "audience": salesforce_org.url}
    assert client.post("/connections/acme/save-found/", chosen).status_code == 403
    client.force_login(person("bob", Act.VIEW_HEALTH))
    assert client.post("/connections/acme/find-fault/").status_code == 403


def test_the_command_finds_the_fault_and_names_what_to_type(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str]
) -> None:
    salesforce_org.connect("acme", audience="https://elsewhere.example")
    ran = salesforce("check", "acme", "--find-fault")
    assert ran.status == 1
    told = " ".join(ran.out.split())
    assert "The audience is wrong" in told
    assert f"import acme --login-url {salesforce_org.url} --audience {salesforce_org.url}" in told


def test_the_command_saves_what_worked(salesforce_org: ConnectableOrg, login_hosts: tuple[str, str]) -> None:
    salesforce_org.connect("acme", audience="https://elsewhere.example")
    ran = salesforce("check", "acme", "--find-fault", "--save", "--json")
    assert ran.status == 0
    assert ran.json["healthy"]  # type: ignore[index]
    fault = ran.json["fault"]  # type: ignore[index]
    assert (fault["verdict"], fault["saved"]) == ("wrong_audience", True)
    assert [each["stage"] for each in fault["tries"]] == ["audience", "signed_in"]
    assert connection().audience == ""


def test_the_command_looks_for_no_fault_where_there_is_none(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    ran = salesforce("check", "acme", "--find-fault", "--json")
    assert (ran.status, "fault" in ran.json) == (0, False)  # type: ignore[operator]
    assert salesforce_org.token_requests == 1
    assert salesforce("check", "acme", "--save").status == 1


def test_no_token_is_in_what_is_shown(salesforce_org: ConnectableOrg, login_hosts: tuple[str, str]) -> None:
    issued: list[str] = []
    add = salesforce_org.sessions.add
    salesforce_org.sessions.add = lambda session: (issued.append(session.token), add(session))  # type: ignore
    salesforce_org.connect("acme", audience="https://elsewhere.example")
    shown = str(find()) + str(find().as_json()) + salesforce("check", "acme", "--find-fault").out
    assert len(issued) == 3
    assert not [token for token in issued if token in shown]


def test_saving_needs_no_more_than_the_pair(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str]
) -> None:
    made = salesforce_org.connect("acme", audience="https://elsewhere.example")
    own = Address(salesforce_org.url, salesforce_org.url)
    assert fault_finder.save(made, own, actor=access.SHELL).done


def test_a_search_that_can_not_be_made_spoils_no_json(
    salesforce_org: ConnectableOrg, login_hosts: tuple[str, str]
) -> None:
    salesforce_org.connect("acme")
    salesforce_org.logins_per_hour = 0
    ran = salesforce("check", "acme", "--find-fault", "--json")
    assert ran.status == 1
    assert ran.json["fault"]["verdict"] == "undecided"  # type: ignore[index]
    assert salesforce_org.token_requests == 1
