"""Host and org contradict each other: told, and mended at a click."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest
from django.test import Client

from sf_integration import health, hosts
from sf_integration.access import SHELL, Act
from sf_integration.models import AuditEvent, ConnectedApp
from sf_integration.services import corrections
from sf_integration.testing.django import ConnectableOrg
from tests.test_access import person
from tests.test_command_line import salesforce

pytestmark = pytest.mark.django_db(transaction=True)

SANDBOX = "acme--uat.sandbox.my.salesforce.com"
PRODUCTION = "acme.my.salesforce.com"


def connection(name: str = "acme") -> ConnectedApp:
    return ConnectedApp.objects.select_related("signing_key").get(name=name)


def check(name: str = "acme") -> dict[str, dict[str, object]]:
    ran = health.check_connection(connection(name), asked_by="test")
    return {step["step"]: step for step in ran.steps}


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of these hosts lead to this machine itself."""
    look_up = socket.getaddrinfo

    def here(host: str, *rest: object, **more: object) -> object:
        return look_up("127.0.0.1" if host in (SANDBOX, PRODUCTION) else host, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", here)


@pytest.fixture
def acme(salesforce_org: ConnectableOrg, names: None) -> ConnectableOrg:
    """The production org, reached at the names of both: somebody typed the sandbox's, and an old record leads to it."""
    org = salesforce_org.server.add_org(  # type: ignore[union-attr]
        host_name=PRODUCTION, organization_type="Enterprise Edition", app=salesforce_org.app
    )
    salesforce_org.server._sites.by_host[SANDBOX] = org  # type: ignore[union-attr]
    salesforce_org.server._certifier.certify(salesforce_org.server._names())  # type: ignore[union-attr]
    return org


def at(org: ConnectableOrg, host: str) -> str:
    port = urlsplit(org.url).port
    hosts_allowed = hosts.settings.ALLOWED_HOSTS
    assert f"{PRODUCTION}:{port}" in hosts_allowed
    return f"https://{host}:{port}"


WITH_TLS = pytest.mark.salesforce_org(tls=True)


def contradicted(org: ConnectableOrg, settings: object) -> ConnectedApp:
    """A checked connection to the production org by the sandbox's name."""
    wrong = at(org, SANDBOX)
    settings.SF_INTEGRATION["ALLOWED_HOSTS"].append(urlsplit(wrong).netloc)  # type: ignore[attr-defined]
    org.connect("acme", login_url=wrong, audience=org.url)
    assert check()["environment"]["code"] == "environment_contradiction"
    return connection()


@WITH_TLS
def test_a_sandbox_host_of_an_org_that_is_none_needs_attention(
    acme: ConnectableOrg, settings: object
) -> None:
    found = contradicted(acme, settings)
    assert found.connection_state().value == "Needs attention"
    assert "host of the login URL says sandbox, the org says production" in found.state_sentence()
    remedy = str(check()["environment"]["remedy"])
    assert f"import acme --login-url {acme.url}" in remedy


@WITH_TLS
def test_one_click_takes_the_orgs_own_address(
    acme: ConnectableOrg, settings: object, admin_client: Client
) -> None:
    contradicted(acme, settings)
    page = admin_client.get("/connections/acme/").content.decode()
    assert f"Use {acme.url} as login URL" in page
    answer = admin_client.post(
        "/connections/acme/use-own-login-url/", {"login_url": acme.url}, follow=True
    ).content.decode()
    assert f"login URL {acme.url}, audience the default." in answer
    mended = connection()
    assert (mended.login_url, mended.audience) == (acme.url, "")
    assert mended.connection_state().value == "Healthy"
    assert AuditEvent.objects.get(act="changed").fields == ["audience", "login_url"]
    assert "use-own-login-url" not in admin_client.get("/connections/acme/").content.decode()


@WITH_TLS
def test_only_the_address_that_was_shown_is_taken(acme: ConnectableOrg, settings: object) -> None:
    found = contradicted(acme, settings)
    for url in ("", "https://elsewhere.my.salesforce.com", found.login_url):
        assert not corrections.use_own_login_url(found, actor=SHELL, login_url=url).done
    assert connection().login_url == found.login_url


@WITH_TLS
def test_an_address_that_may_not_be_called_is_not_taken(acme: ConnectableOrg, settings: object) -> None:
    found = contradicted(acme, settings)
    settings.SF_INTEGRATION["ALLOWED_HOSTS"].remove(urlsplit(acme.url).netloc)  # type: ignore[attr-defined]
    outcome = corrections.use_own_login_url(found, actor=SHELL, login_url=acme.url)
    assert not outcome.done
    assert "SF_ALLOWED_HOSTS" in outcome.sentence
    assert connection().login_url == found.login_url


@WITH_TLS
def test_a_kind_of_org_that_may_not_be_called_is_not_taken(acme: ConnectableOrg, settings: object) -> None:
    found = contradicted(acme, settings)
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "ALLOWED_ENVIRONMENTS": ["sandbox"]}  # type: ignore[attr-defined]
    before = len(acme.requests)
    outcome = corrections.use_own_login_url(found, actor=SHELL, login_url=acme.url)
    assert not outcome.done
    assert "may not call production orgs" in outcome.sentence
    assert len(acme.requests) == before
    assert connection().login_url == found.login_url


@WITH_TLS
def test_taking_the_address_needs_the_right_to_manage(
    acme: ConnectableOrg, settings: object, client: Client
) -> None:
    contradicted(acme, settings)
    client.force_login(person("alice", Act.VIEW_HEALTH, Act.RUN_CHECKS))
    assert "use-own-login-url" not in client.get("/connections/acme/").content.decode()
    answer = client.post("/connections/acme/use-own-login-url/", {"login_url": acme.url})
    assert answer.status_code == 403
    assert connection().login_url != acme.url


@WITH_TLS
def test_the_command_line_names_the_command_that_mends_it(acme: ConnectableOrg, settings: object) -> None:
    contradicted(acme, settings)
    ran = salesforce("check", "acme")
    assert f"--login-url {acme.url}" in " ".join(ran.out.split())
    assert salesforce("import", "acme", "--login-url", acme.url, "--audience", acme.url).status == 0
    assert salesforce("check", "acme").status == 0
    assert connection().connection_state().value == "Healthy"


@WITH_TLS
def test_a_production_host_of_a_sandbox_needs_attention_too(acme: ConnectableOrg) -> None:
    acme.answer(
        "SELECT Id, Name, OrganizationType, IsSandbox, InstanceName, TrialExpirationDate FROM Organization LIMIT 1",
        [{"Id": acme.id, "Name": "Acme", "OrganizationType": "Enterprise Edition", "IsSandbox": True}],
    )
    acme.connect("acme")
    step = check()["environment"]
    assert step["code"] == "environment_contradiction"
    assert "says production, the org says sandbox" in str(step["message"])


def test_a_host_that_tells_nothing_contradicts_nothing(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    assert check()["environment"]["status"] == "ok"
    assert corrections.own_login_url(connection()) == ""


@pytest.mark.parametrize(
    ("host", "told"),
    [
        (PRODUCTION, "production"),
        ("login.salesforce.com", "production"),
        (SANDBOX, "sandbox"),
        ("test.salesforce.com", "sandbox"),
        ("acme-123.scratch.my.salesforce.com", "scratch"),
        ("acme-dev-ed.develop.my.salesforce.com", "developer"),
        ("acme--uat.my.salesforce.com", ""),
        ("na1.salesforce.com", ""),
        ("acme.my.site.com", ""),
        ("127.0.0.1:8001", ""),
        ("salesforce.acme.example", ""),
    ],
)
def test_what_a_host_tells_of_the_kind_of_org(host: str, told: str) -> None:
    assert hosts.environment_told_by(f"https://{host}") == told
