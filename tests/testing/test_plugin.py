"""The pytest plugin in somebody else's project, run by a pytest of its own."""

from __future__ import annotations

import pytest

from tests.projects import PLUGIN

TESTS = """
import socket
from urllib.parse import urlsplit

import pytest
from django.conf import settings

from sf_integration import get_client, get_token
from sf_integration.models import ConnectedApp

earlier = []


@pytest.mark.django_db
@pytest.mark.parametrize("turn", range(4))
def test_every_test_has_an_org_of_its_own(salesforce_org, turn):
    assert not ConnectedApp.objects.exists()
    salesforce_org.connect("acme")
    assert salesforce_org.requests == []
    assert get_token("acme").instance_url == salesforce_org.url
    assert salesforce_org.token_requests == 1
    address = urlsplit(salesforce_org.url)
    assert settings.SF_INTEGRATION["ALLOWED_HOSTS"] == ["crm.example:8443", address.netloc]
    assert salesforce_org.id not in [org_id for org_id, _ in earlier]
    for _, port in earlier:
        with socket.socket() as probe:
            assert port == address.port or probe.connect_ex(("127.0.0.1", port)) != 0
    earlier.append((salesforce_org.id, address.port))


def test_settings_without_the_fixture_are_the_projects_own():
    assert settings.SF_INTEGRATION["ALLOWED_HOSTS"] == ["crm.example:8443"]


@pytest.mark.salesforce_org(tls=True, is_sandbox=True)
def test_mark_makes_another_org(salesforce_org, db):
    salesforce_org.connect("acme")
    with get_client("acme") as sf:
        [row] = sf.query("SELECT IsSandbox FROM Organization").records
    assert salesforce_org.url.startswith("https://")
    assert row["IsSandbox"] is True
"""
SOCKET_TESTS = """
import pytest

from sf_integration import get_token

pytestmark = pytest.mark.django_db


def sign_in(org):
    org.connect("acme")
    assert get_token("acme").instance_url == org.url


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_with_its_host(salesforce_org):
    sign_in(salesforce_org)


@pytest.mark.enable_socket
def test_with_every_host(salesforce_org):
    sign_in(salesforce_org)


def test_with_the_fixture(socket_enabled, salesforce_org):
    sign_in(salesforce_org)


def test_plain(salesforce_org):
    sign_in(salesforce_org)
"""


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["plain", "xdist"])
@pytest.mark.long
def test_tests_are_kept_apart(project: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    project.makepyfile(test_sync=TESTS)
    project.runpytest_subprocess(*arguments).assert_outcomes(passed=6)


def test_loopback_is_enough_where_sockets_are_blocked(project: pytest.Pytester) -> None:
    project.makepyfile(test_sync=SOCKET_TESTS)
    allowed = project.runpytest_subprocess("--disable-socket", "--allow-hosts=127.0.0.1")
    allowed.assert_outcomes(passed=4)


def test_single_tests_may_be_let_out_where_sockets_are_blocked(project: pytest.Pytester) -> None:
    project.makepyfile(test_sync=SOCKET_TESTS)
    blocked = project.runpytest_subprocess("--disable-socket")
    blocked.assert_outcomes(passed=3, errors=1)
    blocked.stdout.fnmatch_lines(["ERROR test_sync.py::test_plain - pytest_socket.SocketBlockedError*"])


def test_missing_database_is_told(project: pytest.Pytester) -> None:
    project.makepyfile(test_sync="def test_it(salesforce_org): salesforce_org.connect('acme')")
    result = project.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(['*Database access not allowed, use the "django_db" mark*'])


def test_plugin_is_light_where_nobody_uses_it(bare_pytest: pytest.Pytester) -> None:
    """pytest loads it wherever the package is installed, with Django's settings or without."""
    bare_pytest.makepyfile(f"""
        import sys

        def test_nothing_of_the_stand_in_is_loaded():
            loaded = {{name for name in sys.modules if name.startswith("sf_integration.testing")}}
            assert loaded == {{"sf_integration.testing", "{PLUGIN}"}}
            assert {{"celery", "django", "lark", "sqlite3", "trustme"}} & set(sys.modules) == set()
    """)
    bare_pytest.runpytest_subprocess().assert_outcomes(passed=1)
