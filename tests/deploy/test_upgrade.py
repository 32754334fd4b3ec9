"""From the release before to this one and back, while both work: docs/upgrading.md."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sf_integration.testing import Org, StandIn
from tests.conftest import has_postgres
from tests.deploy.databases import another_database
from tests.deploy.programs import Program, running
from tests.deploy.releases import PREVIOUS_STATE, ROOT, previous_release


@dataclass(frozen=True)
class Release:
    """Code of one release, on the database and broker that all share."""

    folder: Path
    environment: Mapping[str, str]

    def python(self, *arguments: str, good: bool = True) -> str:
        finished = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not good or finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout + finished.stderr

    def manage(self, *arguments: str) -> str:
        return self.python("manage.py", *arguments)

    def run(self, code: str) -> dict[str, object]:
        """What `code`, which ends by filling `said`, was told."""
        said = self.python("-c", SET_UP + code + "\nprint(json.dumps(said))")
        return json.loads(next(line for line in said.splitlines() if line.startswith("{")))

    def worker(self, log: Path) -> list[str]:
        return [
            *(sys.executable, "-m", "celery", "-A", "sfjwt_site", "worker", "--loglevel", "info"),
            *("--pool", "solo", "--hostname", f"{log.name}@here"),
        ]


SET_UP = """
import json, sys, threading, time
import django
django.setup()
from django.db import connection as database
from django.utils import timezone
from sf_integration import get_token, tokens
from sf_integration.models import AccessToken, ConnectedApp, Heartbeat
said = {}
"""

TRAFFIC = (
    SET_UP
    + """
from sf_integration import audit, health
counts, failures, stop = {}, [], threading.Event()
def repeat(name, act):
    while not stop.is_set():
        try:
            act()
            counts[name] = counts.get(name, 0) + 1
        except BaseException as exc:
            failures.append(f"{name}: {type(exc).__name__}: {exc}")
            break
        time.sleep(0.02)
    database.close()
def call():
    tokens.reset()
    get_token("acme")
def sweep():
    AccessToken.objects.update(refresh_at=timezone.now())
    tokens.refresh_due()
    Heartbeat.beat("refresh due tokens")
def check():
    health.check_connection(ConnectedApp.objects.select_related("signing_key").get(), asked_by="beat", light=True, renew=False)
threads = [threading.Thread(target=repeat, args=each) for each in (("call", call), ("sweep", sweep), ("check", check))]
for thread in threads: thread.start()
while len(counts) < 3 and not failures: time.sleep(0.02)
print("ready", flush=True)
sys.stdin.readline()
before = dict(counts)
while any(counts[name] < before[name] + 3 for name in counts) and not failures: time.sleep(0.02)
stop.set()
for thread in threads: thread.join()
print(json.dumps({"counts": counts, "failures": failures}))
"""
)


@pytest.fixture
def org() -> Iterator[Org]:
    with StandIn() as server:
        yield server.org


@pytest.fixture
def old(org: Org, tmp_path: Path) -> Iterator[Release]:
    """The release before, at work with one connection."""
    folder = tmp_path / "old"
    folder.mkdir()
    previous_release(folder)
    with another_database(tmp_path) as url:
        environment = dict(os.environ) | {
            "DATABASE_URL": url,
            "CELERY_BROKER_URL": "filesystem://localhost",
            "VAR_DIR": str(tmp_path / "var"),
            "DJANGO_SETTINGS_MODULE": "sfjwt_site.settings",
            "SF_ALLOWED_HOSTS": org.url.split("://")[1],
            "PYTHONPATH": str(folder),
        }
        old = Release(folder, environment)
        old.manage("migrate", "--verbosity", "0")
        key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
        key.write_text(str(org.app.private_key_pem))
        certificate.write_text(org.app.certificate_pem)
        old.manage(
            *("salesforce", "import", "acme", "--login-url", org.url, "--consumer-key", org.app.consumer_key),
            *("--username", org.user.username, "--key-file", str(key), "--certificate-file", str(certificate)),
        )
        yield old


def this_release(old: Release) -> Release:
    return replace(old, folder=ROOT, environment=old.environment | {"PYTHONPATH": str(ROOT)})


TABLES = 'said = {"tables": sorted(database.introspection.table_names())}'
ROWS = """
said = {
    "token": AccessToken.objects.get().value.open().decode(), "uses": AccessToken.objects.get().uses,
    "state": ConnectedApp.objects.get().last_outcome,
}
"""


def test_old_code_goes_on_while_the_database_is_migrated_and_back(old: Release) -> None:
    new = this_release(old)
    tables = old.run(TABLES)["tables"]
    at_work = subprocess.Popen(
        [sys.executable, "-c", TRAFFIC],
        cwd=old.folder,
        env=dict(old.environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert at_work.stdout is not None
        assert at_work.stdout.readline() == "ready\n"
        _migrate_on_two_hosts(new)
        output, errors = at_work.communicate("go on\n", timeout=60)
    finally:
        at_work.kill()
        at_work.wait(10)
    assert at_work.returncode == 0, errors
    told = json.loads(output)
    assert told["failures"] == []
    assert min(told["counts"].values()) > 3

    before = new.run(ROWS)
    added = set(new.run(TABLES)["tables"]) - set(tables)
    assert added
    assert "No migrations to apply" in new.manage("migrate")
    new.manage("migrate", "sf_integration", PREVIOUS_STATE, "--verbosity", "0")
    assert old.run(TABLES)["tables"] == tables
    assert old.run(ROWS) == before
    assert "No migrations to apply" in old.manage("migrate")
    assert old.run('said = {"served": bool(get_token("acme").value)}') == {"served": True}


def _migrate_on_two_hosts(new: Release) -> None:
    """At once, where hosts can share a database. Whoever comes second may fail, and does no harm."""
    hosts = 2 if has_postgres() else 1
    with ThreadPoolExecutor(hosts) as pool:
        said = list(
            pool.map(lambda _: new.python("manage.py", "migrate", good=False), range(hosts))
        )
    print(*said, sep="\n----\n")
    assert any("0010_operating... OK" in each for each in said), said
    assert "No migrations to apply" in new.manage("migrate")


DUE = """
AccessToken.objects.update(refresh_at=timezone.now())
said = {"version": AccessToken.objects.get().version}
"""
HAND_OUT = """
from sfjwt_site.celery import app
from sf_integration.tasks import refresh_due_tokens
for name in json.loads(sys.argv[1]) if len(sys.argv) > 1 else []:
    app.send_task(name)
refresh_due_tokens.delay()
"""
VERSION = 'said = {"version": AccessToken.objects.get().version}'


def test_workers_of_both_releases_take_each_others_messages(old: Release, tmp_path: Path) -> None:
    new = this_release(old)
    new.manage("migrate", "--verbosity", "0")
    old.run('get_token("acme")')
    unknown = new.run(SCHEDULED_SINCE)["tasks"]
    assert "sf_integration.alarms" in unknown

    with running(old.worker(tmp_path / "w-old"), old.environment, tmp_path / "w-old", folder=old.folder) as worker:
        due = old.run(DUE)
        new.python("-c", SET_UP + HAND_OUT, json.dumps(unknown))
        worker.wait_for_line("sweep renewed=1 failed=0")
        for name in unknown:
            worker.wait_for_line(f"Received unregistered task of type '{name}'")
        _stop(worker)

    due = old.run(DUE)
    old.python("-c", SET_UP + HAND_OUT)
    with running(new.worker(tmp_path / "w-new"), new.environment, tmp_path / "w-new", folder=ROOT) as worker:
        worker.wait_for_line("sweep renewed=1 failed=0")
        _stop(worker)
    assert old.run(VERSION) != due
    assert "unregistered" not in (tmp_path / "w-new").read_text()


SCHEDULED_SINCE = """
import pkgutil
from django_celery_beat.models import PeriodicTask
known = {"sf_integration.refresh_due_tokens", "sf_integration.check_due_connections", "sf_integration.housekeeping"}
said = {"tasks": sorted(set(PeriodicTask.objects.exclude(task__startswith="celery.").values_list("task", flat=True)) - known)}
"""


def _stop(worker: Program) -> None:
    worker.stop(60)
    assert "Traceback" not in worker.log.read_text().replace("Received unregistered", "").partition("Warm")[2]
