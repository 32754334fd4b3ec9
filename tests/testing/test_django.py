"""The stand-in in Django's own test cases, and what it leaves behind: nothing."""

from __future__ import annotations

import os
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection as database
from django.test import SimpleTestCase, TestCase, TransactionTestCase, override_settings

from sf_integration import (
    ActionNeeded,
    NotAllowedHere,
    RetryableError,
    UnknownConnection,
    get_client,
    get_token,
    tokens,
)
from sf_integration.models import AccessToken, ConnectedApp
from sf_integration.testing.django import ConnectableOrg, SalesforceOrgMixin, stand_in


class InsideATransaction(SalesforceOrgMixin, TestCase):
    def test_token_is_got_used_and_renewed(self) -> None:
        self.salesforce_org.connect()
        assert database.in_atomic_block
        with get_client("acme") as sf:
            assert sf.query("SELECT COUNT() FROM Contact").total_size == 2500
            self.salesforce_org.end_sessions()
            assert sf.query("SELECT COUNT() FROM Contact").total_size == 2500
        assert self.salesforce_org.token_requests == 2

    def test_refusal_is_raised(self) -> None:
        self.salesforce_org.connect()
        self.salesforce_org.user.active = False
        with pytest.raises(ActionNeeded, match="inactive user"):
            get_token("acme")

    def test_next_test_starts_with_nothing(self) -> None:
        """Whichever of these runs first."""
        assert not ConnectedApp.objects.exists()
        assert self.salesforce_org.requests == []
        with pytest.raises(UnknownConnection):
            get_token("acme")


class WithoutATransaction(SalesforceOrgMixin, TransactionTestCase):
    def test_token_is_stored(self) -> None:
        connection = self.salesforce_org.connect()
        token = get_token("acme")
        assert not database.in_atomic_block
        assert AccessToken.objects.filter(connection=connection, version__gt=0).count() == 1
        tokens.reset()
        assert get_token("acme").value == token.value
        assert self.salesforce_org.token_requests == 1


class WithOptions(SalesforceOrgMixin, TestCase):
    salesforce_org_options = {"tls": True, "is_sandbox": True, "username": "sync@acme.example.uat"}

    def test_org_is_made_as_told(self) -> None:
        assert self.salesforce_org.connect().username == "sync@acme.example.uat"
        with get_client("acme") as sf:
            assert sf.identity().username == "sync@acme.example.uat"
            [row] = sf.query("SELECT IsSandbox FROM Organization").records
        assert row["IsSandbox"] is True
        assert self.salesforce_org.url.startswith("https://")


class WithoutADatabase(SalesforceOrgMixin, SimpleTestCase):
    def test_org_answers(self) -> None:
        assert self.salesforce_org.server is not None
        assert self.salesforce_org.requests == []


def test_moved_org_is_followed_from_the_next_sign_in(salesforce_org: ConnectableOrg, db: None) -> None:
    salesforce_org.connect()
    with get_client("acme") as sf:
        sf.identity()
        salesforce_org.move()
        with pytest.raises(RetryableError, match="redirects to"):
            sf.query("SELECT Id FROM Account LIMIT 1")
        call_command("salesforce", "refresh", "acme")
        assert sf.query("SELECT Id FROM Account LIMIT 1").total_size == 1
    assert get_token("acme").instance_url == salesforce_org.instance_url != salesforce_org.url


def test_two_orgs_are_told_apart(salesforce_org: ConnectableOrg, db: None) -> None:
    assert salesforce_org.server
    second = salesforce_org.add_org(name="Acme UAT", is_sandbox=True)
    assert isinstance(second, ConnectableOrg)
    salesforce_org.connect()
    second.connect("acme-uat")
    names = {}
    for name in ("acme", "acme-uat"):
        with get_client(name) as sf:
            [row] = sf.query("SELECT Name FROM Organization").records
            names[name] = row["Name"]
    assert names == {"acme": "Nordhafen Coffee Traders", "acme-uat": "Acme UAT"}
    assert (salesforce_org.logins, second.logins) == (1, 1)


def test_further_app_and_user_are_connected(salesforce_org: ConnectableOrg, db: None) -> None:
    app = salesforce_org.add_app(name="Nightly", kind="external", scopes=("full", "refresh_token"))
    salesforce_org.add_user("nightly@nordhafen.example")
    salesforce_org.connect()
    salesforce_org.connect("nightly", app=app, username="nightly@nordhafen.example")
    assert get_token("nightly").scopes == ("full", "refresh_token")
    assert get_token("acme").scopes == ("api", "refresh_token")


def test_foreign_certificate_leaves_nothing_to_sign_with(salesforce_org: ConnectableOrg, db: None) -> None:
    salesforce_org.app.replace_certificate(salesforce_org.app.certificate_pem)
    with pytest.raises(ValueError, match="private key is not known"):
        salesforce_org.connect()


def test_connection_is_checked_like_any_other(salesforce_org: ConnectableOrg, db: None) -> None:
    with pytest.raises(Exception, match="login_url"):
        salesforce_org.connect(login_url="https://crm.example")


def test_address_is_forgotten_afterwards(db: None) -> None:
    with stand_in() as org:
        connection = org.connect()
        get_token("acme")
    with pytest.raises(NotAllowedHere):
        get_token("acme")
    assert connection.login_url not in str(settings.SF_INTEGRATION)


@pytest.mark.parametrize("trusted", [None, "/etc/ssl/company.pem"])
def test_settings_and_environment_are_put_back(monkeypatch: pytest.MonkeyPatch, trusted: str | None) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    if trusted:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", trusted)
    before = settings.SF_INTEGRATION
    with suppress(KeyError), stand_in(tls=True) as org:
        assert org.server
        assert os.environ["REQUESTS_CA_BUNDLE"] == str(org.server.ca_file)
        assert urlsplit(org.url).netloc in settings.SF_INTEGRATION["ALLOWED_HOSTS"]
        raise KeyError("as a failing test does")
    assert os.environ.get("REQUESTS_CA_BUNDLE") == trusted
    assert settings.SF_INTEGRATION is before


def test_proxy_of_the_environment_is_left_out(monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    """As in many a company, where it would be asked for loopback, too."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    with stand_in() as org:
        assert os.environ["no_proxy"] == "intranet.example,127.0.0.1,localhost"
        org.connect()
        assert get_token("acme").instance_url == org.url


def test_project_without_an_encryption_key_has_one_meanwhile(db: None) -> None:
    with override_settings(SF_INTEGRATION={}):
        with stand_in() as org:
            org.connect()
            assert get_token("acme").instance_url == org.url
        assert settings.SF_INTEGRATION == {}


@pytest.mark.parametrize("hosts", ["crm.example, 127.0.0.1:8443", ["crm.example", "127.0.0.1:8443"], ()])
def test_allowed_hosts_of_the_project_stay_allowed(hosts: object, db: None) -> None:
    with override_settings(SF_INTEGRATION=settings.SF_INTEGRATION | {"ALLOWED_HOSTS": hosts}):
        with stand_in() as org:
            address = urlsplit(org.url).netloc
            expected = ["crm.example", "127.0.0.1:8443", address] if hosts else [address]
            assert settings.SF_INTEGRATION["ALLOWED_HOSTS"] == expected
            org.connect()
            get_token("acme")
        assert settings.SF_INTEGRATION["ALLOWED_HOSTS"] == hosts


def test_orgs_may_run_beside_each_other(db: None) -> None:
    with stand_in() as first, stand_in(is_sandbox=True) as second:
        first.connect("first")
        second.connect("second")
        assert get_token("first").instance_url == first.url
        assert get_token("second").instance_url == second.url
