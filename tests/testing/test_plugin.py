"""The pytest plugin in somebody else's project, run by a pytest of its own."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
PLUGIN = "sf_integration.testing.pytest_plugin"

SETTINGS = f"""
SECRET_KEY = "for tests alone"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "sf_integration"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}}}
SF_INTEGRATION = {{"ENCRYPTION_KEYS": ["{secrets.token_urlsafe(32)}"], "ALLOWED_HOSTS": ["crm.example:8443"]}}
"""
INI = """
[pytest]
DJANGO_SETTINGS_MODULE = settings
addopts = --strict-markers
"""
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


@pytest.fixture
def pytest_alone(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Programs started here know neither this project's settings nor the plugins it happens to have."""
    for name in ("DJANGO_SETTINGS_MODULE", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", PLUGIN)
    return pytester


@pytest.fixture
def project(pytest_alone: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A Django project that has the app installed."""
    plugins = ("pytest_django.plugin", "xdist.plugin", "pytest_socket", PLUGIN)
    monkeypatch.setenv("PYTEST_PLUGINS", ",".join(plugins))
    pytest_alone.makepyfile(settings=SETTINGS)
    pytest_alone.makeini(INI)
    return pytest_alone


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["plain", "xdist"])
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


def test_plugin_is_light_where_nobody_uses_it(pytest_alone: pytest.Pytester) -> None:
    """pytest loads it wherever the package is installed, with Django's settings or without."""
    pytest_alone.makepyfile(f"""
        import sys

        def test_nothing_of_the_stand_in_is_loaded():
            loaded = {{name for name in sys.modules if name.startswith("sf_integration.testing")}}
            assert loaded == {{"sf_integration.testing", "{PLUGIN}"}}
            assert {{"celery", "django", "lark", "sqlite3", "trustme"}} & set(sys.modules) == set()
    """)
    pytest_alone.runpytest_subprocess().assert_outcomes(passed=1)
