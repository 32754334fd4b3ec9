"""Settings as a process gets them: each test starts one with just the environment it names."""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from socket import socket

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS_PAGE = (ROOT / "docs" / "settings.md").read_text()
NEEDED = {"SECRET_KEY": secrets.token_urlsafe(50), "SF_ENCRYPTION_KEYS": secrets.token_urlsafe(32)}


def run(*arguments: str, var: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python ARGUMENTS` in the project's folder, with nothing of this process's environment but PATH."""
    clean = {"PATH": os.environ["PATH"], "ENV_FILE": "", "VAR_DIR": str(var)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def settings(var: Path, *names: str, **environment: str) -> dict[str, object]:
    program = f"import json, sfjwt_site.settings as s; print(json.dumps({{n: getattr(s, n) for n in {names}}}, default=str))"
    finished = run("-c", program, var=var, **(NEEDED | environment))
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


@pytest.mark.parametrize("name", NEEDED)
def test_secrets_have_no_default(tmp_path: Path, name: str) -> None:
    finished = run("manage.py", "check", var=tmp_path, **{k: v for k, v in NEEDED.items() if k != name})
    assert finished.returncode == 1
    assert name in finished.stderr


def test_the_needed_two_are_enough_and_var_is_made_private(tmp_path: Path) -> None:
    var = tmp_path / "var"
    finished = run("manage.py", "migrate", "--verbosity", "0", var=var, DEBUG="on", **NEEDED)
    assert finished.returncode == 0, finished.stderr
    assert stat.S_IMODE(var.stat().st_mode) == 0o700
    assert (var / "db.sqlite3").exists()


def test_schedules_are_made_once_and_edits_survive(tmp_path: Path) -> None:
    program = """
import django; django.setup()
from django.core.management import call_command
from django_celery_beat.models import PeriodicTask
call_command("migrate", verbosity=0)
made = sorted(
    (row.name, row.task, row.expire_seconds, row.schedule.is_due(row.last_run_at).is_due) for row in PeriodicTask.objects.all()
)
PeriodicTask.objects.filter(name="sf_integration: check connections").update(enabled=False)
call_command("migrate", verbosity=0)
import json; print(json.dumps([made, PeriodicTask.objects.filter(enabled=False).count()]))
"""
    finished = run("-c", program, var=tmp_path, DJANGO_SETTINGS_MODULE="sfjwt_site.settings", **NEEDED)
    made, disabled = json.loads(finished.stdout)
    assert made == [
        ["sf_integration: alarms", "sf_integration.alarms", 60, True],
        ["sf_integration: check connections", "sf_integration.check_due_connections", 60, True],
        ["sf_integration: housekeeping", "sf_integration.housekeeping", None, False],
        ["sf_integration: refresh due tokens", "sf_integration.refresh_due_tokens", 60, True],
    ], "what is frequent is due as soon as beat starts"
    assert disabled == 1


def test_every_schedule_names_a_task_that_exists() -> None:
    import importlib

    from sfjwt_site.celery import app

    app.loader.import_default_modules()
    schedules = importlib.import_module("sfjwt_site.migrations.0001_schedules").SCHEDULES
    assert {task for _, task, *_ in schedules} <= set(app.tasks)


def test_https_site_url_turns_on_everything_that_keeps_it_https(tmp_path: Path) -> None:
    names = ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS")
    assert not any(settings(tmp_path, *names, SITE_URL="http://127.0.0.1:8000").values())
    assert all(settings(tmp_path, *names, SITE_URL="https://connections.example").values())


def test_deploy_check_is_clean_for_a_production_site(tmp_path: Path) -> None:
    finished = run(
        *("manage.py", "check", "--deploy", "--fail-level", "WARNING"),
        var=tmp_path,
        SITE_URL="https://connections.example",
        **NEEDED,
    )
    assert finished.returncode == 0, finished.stderr


def test_postgres_gives_up_connecting_soon_and_checks_what_it_keeps(tmp_path: Path) -> None:
    found = settings(tmp_path, "DATABASES", DATABASE_URL="postgres://user:pass@db.example:5432/name")
    default = found["DATABASES"]["default"]
    assert default["OPTIONS"]["connect_timeout"] == 3
    assert default["CONN_HEALTH_CHECKS"] is True
    assert default["CONN_MAX_AGE"] > 0


@pytest.mark.parametrize("url", ["", "sqlite:////tmp/elsewhere.sqlite3"])
def test_sqlite_takes_the_write_lock_first(tmp_path: Path, url: str) -> None:
    found = settings(tmp_path, "DATABASES", DATABASE_URL=url)
    options = found["DATABASES"]["default"]["OPTIONS"]
    assert options["transaction_mode"] == "IMMEDIATE"
    assert options["timeout"] == 20
    assert "journal_mode=WAL" in options["init_command"]


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("EMAIL_URL", "smtp+tls://user:s3cr#et@host:587"),
        ("EMAIL_URL", "mail://user:s3cr@host"),
        ("DATABASE_URL", "postgres://user:s3cr/et@host:5432/name"),
        ("DATABASE_URL", "//user:s3cr@host/name"),
        ("CACHE_URL", "redis://:s3cr/et@host:6379/1"),
        ("CELERY_BROKER_URL", "redis://:s3cr/et@host:6379/0"),
        ("CELERY_BROKER_URL", "amqp://user:s3[cr@host:5672//"),
    ],
)
def test_an_address_that_is_none_is_told_without_its_password(tmp_path: Path, name: str, url: str) -> None:
    finished = run("manage.py", "check", var=tmp_path, **NEEDED, **{name: url})
    assert finished.returncode == 1
    assert f"{name} is no address that can be read. Write " in finished.stderr
    assert "Traceback" not in finished.stderr
    assert "s3" not in finished.stderr


def test_addresses_of_several_hosts_and_passwords_with_commas_are_read(tmp_path: Path) -> None:
    urls = {
        "CACHE_URL": "redis://:s3,cr@one:6379,two:6379/1",
        "CELERY_BROKER_URL": "redis://:s3,cr@one:6379/0;redis://:s3,cr@two:6379/0",
    }
    found = settings(tmp_path, "CACHES", "CELERY_BROKER_URL", **urls)
    assert len(found["CACHES"]["default"]["LOCATION"]) > 1
    assert found["CELERY_BROKER_URL"] == urls["CELERY_BROKER_URL"]
    broker = "sentinel://one:26379;sentinel://two:26379"
    assert settings(tmp_path, "CELERY_BROKER_URL", CELERY_BROKER_URL=broker)["CELERY_BROKER_URL"] == broker


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"SF_KEEP_CHECKS_DAYS": "a month"}, "SF_KEEP_CHECKS_DAYS must be a whole number, not “a month”."),
        (
            {"TRUSTED_PROXIES": "proxy.internal"},
            "TRUSTED_PROXIES: 'proxy.internal' does not appear to be an IPv4 or IPv6 network. Write ",
        ),
        ({"SECRET_KEY_FILE": "/not/there"}, "SECRET_KEY_FILE: No such file or directory: /not/there"),
    ],
)
def test_a_value_that_can_not_be_read_is_one_sentence(
    tmp_path: Path, wrong: dict[str, str], said: str
) -> None:
    finished = run("manage.py", "check", var=tmp_path, **(NEEDED | wrong))
    assert finished.returncode == 1
    assert f"The settings are wrong: {said}" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_lists_may_have_blanks_and_environments_default_to_all(tmp_path: Path) -> None:
    found = settings(tmp_path, "SF_INTEGRATION", SF_ALLOWED_HOSTS=" 127.0.0.1:8100 , sf.example:443,")
    assert found["SF_INTEGRATION"]["ALLOWED_HOSTS"] == ["127.0.0.1:8100", "sf.example:443"]
    assert found["SF_INTEGRATION"]["ALLOWED_ENVIRONMENTS"] is None


def test_plain_settings_of_the_app_come_from_the_environment(tmp_path: Path) -> None:
    given = {
        "SF_PROMOTE_STAGED_KEYS": "off",
        "SF_KEEP_CHECKS_DAYS": "90",
        "SF_KEEP_EVENTS_DAYS": "30",
        "SF_KEEP_DAYS": "",
        "SF_ALARM_AFTER_SECONDS": "300",
    }
    read = settings(tmp_path, "SF_INTEGRATION", **given)["SF_INTEGRATION"]
    told = [read[name.removeprefix("SF_")] for name in given]
    assert told == [False, 90, 30, 400, 300]


def test_a_settings_module_of_ones_own_goes_over_that_of_the_site(tmp_path: Path) -> None:
    shown = re.search(r"^```python\n(# acme_settings.py\n.*?)^```$", SETTINGS_PAGE, re.MULTILINE | re.DOTALL)
    assert shown
    tmp_path.joinpath("acme_settings.py").write_text(shown[1])
    tmp_path.joinpath(".env").write_text("DJANGO_SETTINGS_MODULE=acme_settings\nSF_KEEP_DAYS=50\n")
    told = "from django.conf import settings; print(*map(settings.SF_INTEGRATION.get, ('HOST_RULE', 'KEEP_DAYS')))"
    environment = NEEDED | {"ENV_FILE": str(tmp_path / ".env"), "PYTHONPATH": str(tmp_path)}
    for program in (
        ("manage.py", "shell", "-v", "0", "-c", told),
        ("-c", f"import sfjwt_site.wsgi; {told}"),
        ("-c", f"import sfjwt_site.celery; {told}"),
    ):
        finished = run(*program, var=tmp_path, **environment)
        assert finished.stdout.split() == ["acme.rules.may_call", "50"], finished.stderr


@pytest.fixture
def mute_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
@pytest.mark.parametrize("kind", ["mute", "closed"])
def test_dead_broker_holds_up_a_caller_for_two_seconds_at_most(
    tmp_path: Path, mute_port: int, scheme: str, kind: str
) -> None:
    program = """
import time
import django; django.setup()
from sf_integration.tasks import refresh_due_tokens
import kombu.transport.redis, kombu.transport.pyamqp  # imports take time too, but only once
began = time.monotonic()
try:
    refresh_due_tokens.delay()
except Exception as exc:
    print(time.monotonic() - began, type(exc).__name__)
"""
    port = mute_port if kind == "mute" else 1
    finished = run(
        *("-c", program),
        var=tmp_path,
        DJANGO_SETTINGS_MODULE="sfjwt_site.settings",
        CELERY_BROKER_URL=f"{scheme}://127.0.0.1:{port}",
        **NEEDED,
    )
    seconds, error = finished.stdout.split()
    assert error == "OperationalError"
    assert float(seconds) <= 2


def test_celery_speaks_json_and_keeps_no_results() -> None:
    from sfjwt_site.celery import app

    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == "json"
    assert app.conf.result_backend is None
    assert app.conf.worker_prefetch_multiplier == 1


def test_workers_take_no_orders_by_the_broker() -> None:
    """`celery inspect conf` would be answered with all settings of the site, channels and cache with their passwords."""
    from sfjwt_site.celery import app

    assert app.conf.worker_enable_remote_control is False


def test_without_a_broker_messages_are_files_written_whole(tmp_path: Path) -> None:
    program = """
import django; django.setup()
from sfjwt_site.celery import app
print(type(app.connection().transport).__module__)
"""
    finished = run("-c", program, var=tmp_path, DJANGO_SETTINGS_MODULE="sfjwt_site.settings", **NEEDED)
    assert finished.stdout.strip() == "sfjwt_site.filesystem_broker"


def test_a_missing_setting_is_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"], "ENV_FILE": "", "VAR_DIR": str(tmp_path), "SECRET_KEY": "x" * 60},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "SF_ENCRYPTION_KEYS" in done.stderr
    assert ".env.example" in done.stderr
    assert "Traceback" not in done.stderr
