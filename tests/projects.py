"""Somebody else's project, with a pytest of its own that knows nothing of this one."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

PLUGIN = "sf_integration.testing.pytest_plugin"

_ROOT = Path(__file__).parents[1]
_SETTINGS = f"""
SECRET_KEY = "for tests alone"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "sf_integration"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}}}
SF_INTEGRATION = {{"ENCRYPTION_KEYS": ["{secrets.token_urlsafe(32)}"], "ALLOWED_HOSTS": ["crm.example:8443"]}}
"""
_INI = """
[pytest]
DJANGO_SETTINGS_MODULE = acme.settings
addopts = --strict-markers
"""


@pytest.fixture
def bare_pytest(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Programs started here know neither this project's settings nor the plugins it happens to have."""
    for name in ("DJANGO_SETTINGS_MODULE", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(_ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", PLUGIN)
    return pytester


@pytest.fixture
def project(bare_pytest: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A Django project that has the app installed."""
    plugins = ("pytest_django.plugin", "xdist.plugin", "pytest_socket", PLUGIN)
    monkeypatch.setenv("PYTEST_PLUGINS", ",".join(plugins))
    bare_pytest.mkpydir("acme").joinpath("settings.py").write_text(_SETTINGS)
    bare_pytest.path.joinpath("manage.py").touch()
    bare_pytest.makeini(_INI)
    return bare_pytest
