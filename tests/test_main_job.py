"""The whole job as the tutorials tell it: key by openssl, env file, import, check, record, renewal by beat, pages.

All programs are real ones: openssl, the stand-in, the commands, a Celery worker with beat.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from sf_integration.models import AccessToken, AuditEvent, ConnectedApp

pytestmark = [pytest.mark.openssl, pytest.mark.django_db(transaction=True)]

ROOT = Path(__file__).parents[1]
MANAGE = [sys.executable, str(ROOT / "manage.py")]
CONSUMER_KEY = "3MVG9.tutorial"
USERNAME = "integration@acme.example"
RENEWAL_SECONDS = 40


def openssl(command: str, *, folder: Path) -> None:
    subprocess.run(["openssl", *command.split()], cwd=folder, capture_output=True, timeout=60, check=True)


def make_key_in_four_steps(certs: Path) -> None:
    openssl("genrsa -des3 -passout pass:SomePassword -out server.pass.key 2048", folder=certs)
    openssl("rsa -passin pass:SomePassword -in server.pass.key -out server.key", folder=certs)
    openssl("req -new -key server.key -out server.csr -subj /CN=acme", folder=certs)
    openssl("x509 -req -sha256 -days 365 -in server.csr -signkey server.key -out server.crt", folder=certs)


def make_key_in_one_step(certs: Path) -> None:
    names = "-subj /CN=acme -keyout server.key -out server.crt"
    openssl(f"req -x509 -sha256 -nodes -days 365 -newkey rsa:2048 {names}", folder=certs)


def write_env_file(path: Path, *, domain: str) -> None:
    path.write_text(
        "KeyFile = 'certs/server.key'\n\n"
        f"ClientId = '{CONSUMER_KEY}'\n\n"
        f"UserName = '{USERNAME}'\n\n"
        f"Domain = '{domain}/' //for a Sandbox\n"
    )


@contextmanager
def stand_in(certificate: Path, environment: dict[str, str]) -> Iterator[dict[str, str]]:
    process = subprocess.Popen(
        [
            *(*MANAGE, "fake_salesforce", "--json", "--certificate-file", str(certificate)),
            *("--consumer-key", CONSUMER_KEY, "--username", USERNAME),
        ],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        assert process.wait(timeout=10) == 0
        process.communicate()


@contextmanager
def worker_with_beat(folder: Path, environment: dict[str, str]) -> Iterator[Path]:
    """Its log file."""
    log = folder / "worker.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "--app", "sfjwt_site", "worker", "--beat"),
                *("--pool", "threads", "--concurrency", "2", "--loglevel", "info"),
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            ],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
        )
        try:
            yield log
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def salesforce(*arguments: str, folder: Path, environment: dict[str, str]) -> str:
    """What it printed; it must do all it was asked."""
    ran = subprocess.run(
        [*MANAGE, "salesforce", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def wait_for_renewal(token: AccessToken, log: Path) -> None:
    deadline = time.monotonic() + RENEWAL_SECONDS
    while AccessToken.objects.get(pk=token.pk).fingerprint == token.fingerprint:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


def text_of(client: Client, address: str, **form: str) -> str:
    answer = client.post(address, form) if form else client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.parametrize(
    "make_key", [make_key_in_four_steps, pytest.param(make_key_in_one_step, marks=pytest.mark.long)]
)
def test_tutorial_from_key_to_page(
    make_key: object, tmp_path: Path, process_environment: dict[str, str], client: Client, settings: object
) -> None:
    (tmp_path / "certs").mkdir()
    make_key(tmp_path / "certs")  # type: ignore[operator]
    with stand_in(tmp_path / "certs" / "server.crt", process_environment) as org:
        address = org["url"].split("://")[1]
        environment = process_environment | {"SF_ALLOWED_HOSTS": address}
        write_env_file(tmp_path / "acme.env", domain=org["url"])

        def run(*arguments: str) -> str:
            return salesforce(*arguments, folder=tmp_path, environment=environment)

        assert "acme: created" in run("import", "acme", "--env-file", "acme.env")
        assert ConnectedApp.objects.get().login_url == org["url"]
        assert "acme: Healthy." in run("check", "acme")
        fields = ("--fields", "Name,AccountNumber")
        record = json.loads(run("record", "acme", "Account", "001Dn00000Gi7HJIAZ", *fields, "--json"))
        assert record["AccountNumber"] in run("record", "acme", "Account", "001Dn00000Gi7HJIAZ", *fields)

        make_beat_hurry()
        token = AccessToken.objects.get()
        AccessToken.objects.update(refresh_at=timezone.now())
        with worker_with_beat(tmp_path, environment) as log:
            wait_for_renewal(token, log)

        configured = settings.SF_INTEGRATION  # type: ignore[attr-defined]
        with override_settings(SF_INTEGRATION={**configured, "ALLOWED_HOSTS": [address]}):
            see_it_on_the_pages(client, record)
    assert_no_secret_was_left(tmp_path)


def make_beat_hurry() -> None:
    """The schedule of the site, with seconds for its minutes."""
    second, _ = IntervalSchedule.objects.get_or_create(every=1, period="seconds")
    PeriodicTask.objects.update_or_create(
        task="sf_integration.refresh_due_tokens",
        defaults={"name": "refresh", "interval": second, "enabled": True},
    )


def see_it_on_the_pages(client: Client, record: dict[str, str]) -> None:
    client.force_login(User.objects.create_superuser("alice"))
    assert re.search(r"acme.*Healthy", text_of(client, "/connections/"), re.DOTALL)
    assert USERNAME in text_of(client, "/connections/acme/")
    found = text_of(
        client,
        "/connections/acme/record/",
        sobject="Account",
        record="001Dn00000Gi7HJIAZ",
        fields="Name,AccountNumber",
    )
    assert record["AccountNumber"] in found
    query = "SELECT AccountNumber FROM Account WHERE Id = '001Dn00000Gi7HJIAZ'"
    assert record["AccountNumber"] in text_of(client, "/connections/acme/query/", soql=query)


def assert_no_secret_was_left(folder: Path) -> None:
    """Neither what the worker logged nor what was audited holds token or key."""
    token = AccessToken.objects.get()
    assert token.value is not None
    secret = token.value.open().decode()
    log = (folder / "worker.log").read_text()
    assert "sign-in connection=acme" in log
    for text in (log, str(list(AuditEvent.objects.values()))):
        assert secret not in text
        assert "PRIVATE KEY" not in text
