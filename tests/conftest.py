"""What tests need of the machine, and what a process started by a test needs of the test.

A test marked with a name of NEEDS is skipped where that is missing, and fails instead when SF_TEST_REQUIRE (names
with commas between, or "all") asks for it.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management.commands import flush
from django.db import connection, transaction

collect_ignore = ["shop"]  # a project of its own, which tests/site/test_shop.py runs
# The first is what users get by installing the package.
pytest_plugins = ["sf_integration.testing.pytest_plugin", "pytester", "tests.projects"]


def has_postgres() -> bool:
    return settings.DATABASES["default"]["ENGINE"].endswith("postgresql")


def has_redis_broker() -> bool:
    return settings.CELERY_BROKER_URL.startswith("redis")


def has_rabbitmq() -> bool:
    return "TEST_RABBITMQ_URL" in os.environ


def has_openssl() -> bool:
    return shutil.which("openssl") is not None


def has_chromium() -> bool:
    return shutil.which("chromium") is not None


def has_build() -> bool:
    return importlib.util.find_spec("build") is not None


NEEDS: dict[str, Callable[[], bool]] = {
    "postgres": has_postgres,
    "redis_worker": has_redis_broker,
    "rabbitmq": has_rabbitmq,
    "openssl": has_openssl,
    "chromium": has_chromium,
    "wheel": has_build,
}


def pytest_itemcollected(item: pytest.Item) -> None:
    """What a browser is started for takes long, too."""
    if item.get_closest_marker("chromium"):
        item.add_marker("long")


def pytest_runtest_setup(item: pytest.Item) -> None:
    required = os.environ.get("SF_TEST_REQUIRE", "").split(",")
    for name in [mark.name for mark in item.iter_markers() if mark.name in NEEDS]:
        if NEEDS[name]():
            continue
        if name in required or "all" in required:
            pytest.fail(f"SF_TEST_REQUIRE asks for {name}, which is missing here", pytrace=False)
        pytest.skip(f"needs {name}")


def pytest_xdist_auto_num_workers() -> int:
    """Many tests wait for processes, clocks and pages: one more at a time than there are cores."""
    return (os.cpu_count() or 1) + 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    missing = Counter(
        report.longrepr[2].removeprefix("Skipped: needs ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple) and report.longrepr[2].startswith("Skipped: needs ")
    )
    if missing:
        counted = ", ".join(f"{name} ({count})" for name, count in sorted(missing.items()))
        terminalreporter.write_line(f"Skipped, because this machine or environment lacks: {counted}.")
    if terminalreporter.config.option.markexpr == "not long":
        terminalreporter.write_line(
            """The long tests were left out: make test ARGS="-m ''" runs all, as CI does."""
        )


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A test that empties the tables gets back the rows that `migrate` ends with; to make them again takes ten times as long."""
    tables = [model for model in apps.get_models(include_auto_created=True) if not model._meta.proxy]
    with django_db_blocker.unblock():
        made = [rows for model in tables if (rows := list(model._base_manager.all()))]

    def put_back(*_: object, **__: object) -> None:
        with transaction.atomic():  # whichever table comes first
            for rows in made:
                type(rows[0])._base_manager.bulk_create(rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush, "emit_post_migrate_signal", put_back)
        yield


@pytest.fixture
def process_environment(transactional_db: None) -> dict[str, str]:
    """Environment for a program started by the test: that of the test, with the test's own database."""
    return dict(os.environ) | {
        "DATABASE_URL": database_url(),
        "DJANGO_SETTINGS_MODULE": "sfjwt_site.settings",
    }


def database_url() -> str:
    """DATABASE_URL of the database that this pytest process uses."""
    found = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{found['NAME']}"
    user = quote(found["USER"]) + (f":{quote(found['PASSWORD'])}" if found["PASSWORD"] else "")
    return f"postgres://{user}@{found['HOST']}:{found['PORT'] or 5432}/{found['NAME']}"
