"""From this release to a next one and back, while both work: docs/upgrading.md."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from sf_integration.testing import StandIn
from tests.conftest import has_postgres
from tests.deploy.databases import another_database
from tests.deploy.programs import Program, running
from tests.deploy.releases import LAST_MIGRATION, NEXT_MIGRATION, ROOT, next_release


@dataclass(frozen=True)
class Release:
    """Code of one release, on the database and broker that all share."""

    folder: Path
    environment: Mapping[str, str]

    def python(self, *arguments: str) -> str:
        finished = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout + finished.stderr

    def run(self, code: str) -> dict[str, object]:
        """What `code`, which ends by filling `said`, was told."""
        said = self.python("-c", SET_UP + code + "\nprint(json.dumps(said))")
        return json.loads(next(line for line in said.splitlines() if line.startswith("{")))

    def worker(self, log: Path) -> AbstractContextManager[Program]:
        command = (
            *(sys.executable, "-m", "celery", "-A", "sfjwt_site", "worker", "--loglevel", "info"),
            *("--pool", "solo", "--hostname", f"{log.name}@here"),
        )
        return running(command, self.environment, log, folder=self.folder)


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

BEGIN = (
    SET_UP
    + """
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("salesforce", "import", "acme", *sys.argv[1:])
get_token("acme")
said["tables"] = sorted(database.introspection.table_names())
print(json.dumps(said), flush=True)
"""
)

TRAFFIC = (
    BEGIN
    + """
from sf_integration import health
counts, failures, stop = {}, [], threading.Event()
def repeat(name, act):
    while not stop.is_set():
        try:
            act()
            counts[name] = counts.get(name, 0) + 1
        except BaseException as exc:
            failures.append(f"{name}: {type(exc).__name__}: {exc}")
            break
        time.sleep(0.05)
    database.close()
def call():
    tokens.reset()
    get_token("acme")
def sweep():
    AccessToken.objects.update(refresh_at=timezone.now())
    tokens.refresh_due()
    Heartbeat.beat("refresh due tokens")
def check():
    connection = ConnectedApp.objects.select_related("signing_key").get()
    health.check_connection(connection, asked_by="beat", light=True, renew=False)
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


@dataclass(frozen=True)
class Old(Release):
    """This release, and what `salesforce import` has to know to connect it to an org."""

    options: tuple[str, ...] = ()


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Old]:
    with StandIn() as server, another_database(tmp_path) as url:
        org = server.org
        environment = dict(os.environ) | {
            "DATABASE_URL": url,
            "CELERY_BROKER_URL": "filesystem://localhost",
            "VAR_DIR": str(tmp_path / "var"),
            "DJANGO_SETTINGS_MODULE": "sfjwt_site.settings",
            "SF_ALLOWED_HOSTS": org.url.split("://")[1],
            "PYTHONPATH": str(ROOT),
        }
        key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
        key.write_text(str(org.app.private_key_pem))
        certificate.write_text(org.app.certificate_pem)
        options = (
            "--login-url",
            org.url,
            "--consumer-key",
            org.app.consumer_key,
            "--username",
            org.user.username,
        )
        files = ("--key-file", str(key), "--certificate-file", str(certificate))
        yield Old(ROOT, environment, (*options, *files))


@pytest.fixture
def new(old: Old, tmp_path: Path) -> Release:
    folder = next_release(tmp_path / "new")
    return Release(folder, {**old.environment, "PYTHONPATH": str(folder)})


FACTS = """
said["tables"] = sorted(database.introspection.table_names())
said["token"], said["uses"] = AccessToken.objects.get().value.open().decode(), AccessToken.objects.get().uses
"""
AND_BACK = f"""
from io import StringIO
from django.core.management import call_command
again = StringIO()
call_command("migrate", stdout=again)
said["again"] = "No migrations to apply" in again.getvalue()
said["new tables"] = sorted(database.introspection.table_names())
call_command("migrate", "sf_integration", "{LAST_MIGRATION}", verbosity=0)
"""
SERVED = """
from io import StringIO
from django.core.management import call_command
call_command("migrate", check_unapplied=True, stdout=StringIO())
said["served"] = get_token("acme").value == said["token"]
"""


@pytest.mark.long
def test_old_code_goes_on_while_the_database_is_migrated_and_back(old: Old, new: Release) -> None:
    at_work = subprocess.Popen(
        [sys.executable, "-c", TRAFFIC, *old.options],
        cwd=old.folder,
        env=dict(old.environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert at_work.stdout is not None
        before = json.loads(_line(at_work, "{"))
        assert _line(at_work, "ready")
        _migrate_on_two_hosts(new)
        output, errors = at_work.communicate("go on\n", timeout=60)
    finally:
        at_work.kill()
        at_work.wait(10)
    assert at_work.returncode == 0, errors
    told = json.loads(output)
    assert told["failures"] == []
    assert min(told["counts"].values()) > 3

    back = f"manage.py migrate sf_integration {LAST_MIGRATION.partition('_')[0]}\n"
    assert back in (ROOT / "docs" / "upgrading.md").read_text()
    then = new.run(FACTS + AND_BACK)
    assert then["again"]
    assert set(then["new tables"]) > set(before["tables"])
    now = old.run(FACTS + SERVED)
    assert now["tables"] == before["tables"]
    assert (now["token"], now["uses"], now["served"]) == (then["token"], then["uses"], True)


def _line(process: subprocess.Popen[str], beginning: str) -> str:
    """The next one that begins so; empty when the process has ended."""
    assert process.stdout is not None
    return next((line for line in process.stdout if line.startswith(beginning)), "")


def _migrate_on_two_hosts(new: Release) -> None:
    """At once, where hosts can share a database: who comes second waits, and has nothing to do."""
    hosts = 2 if has_postgres() else 1
    with ThreadPoolExecutor(hosts) as pool:
        said = list(pool.map(lambda _: new.python("manage.py", "migrate"), range(hosts)))
    applied = [f"{NEXT_MIGRATION}... OK" in each for each in said]
    assert sorted(applied, reverse=True) == [True, False][:hosts]
    assert sum("No migrations to apply" in each for each in said) == hosts - 1


HAND_OUT = """
from sfjwt_site.celery import app
from sf_integration.tasks import refresh_due_tokens
AccessToken.objects.update(refresh_at=timezone.now())
refresh_due_tokens.delay()
"""
MIGRATE_AND_SEND_ALL = """
from django.core.management import call_command
from django_celery_beat.models import PeriodicTask
call_command("migrate", verbosity=0)
from sfjwt_site.celery import app
scheduled = PeriodicTask.objects.filter(task__startswith="sf_integration.").values_list("task", flat=True)
said["tasks"] = [name for name in scheduled if name != "sf_integration.refresh_due_tokens"] + ["sf_integration.next"]
for name in said["tasks"]: app.send_task(name)
"""


@pytest.mark.once
@pytest.mark.long
def test_workers_of_both_releases_take_each_others_messages(old: Old, new: Release, tmp_path: Path) -> None:
    """Those that an old worker doesn't know, it drops, and goes on."""
    old.python("-c", BEGIN, *old.options)
    sent = new.run(MIGRATE_AND_SEND_ALL + HAND_OUT)["tasks"]
    assert {"sf_integration.alarms", "sf_integration.next"} <= set(sent)
    with old.worker(tmp_path / "w-old") as worker:
        worker.wait_for_line("sweep renewed=1 failed=0")
        worker.wait_for_line("Received unregistered task of type 'sf_integration.next'")
        worker.stop(60)
    old.run(HAND_OUT)
    with new.worker(tmp_path / "w-new") as worker:
        worker.wait_for_line("sweep renewed=1 failed=0")
        worker.stop(60)
    assert "unregistered" not in worker.log.read_text()
    assert "raised unexpected" not in (tmp_path / "w-old").read_text() + (tmp_path / "w-new").read_text()
