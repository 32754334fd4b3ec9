"""The back-ups of docs/backup.md, made by its own commands while the site works, and brought back elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection as database
from django.utils import timezone

from sf_integration import crypto, tokens
from sf_integration.models import AccessToken, SigningKey
from sf_integration.testing.django import ConnectableOrg
from tests import processes
from tests.conftest import database_url, has_postgres
from tests.deploy.databases import another_database, libpq

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        has_postgres() and shutil.which("pg_dump") is None and "SF_TEST_REQUIRE" not in os.environ,
        reason="needs pg_dump",
    ),
]

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "backup.md").read_text()
CONNECTIONS = 5


def block(title: str, place: int = 0) -> str:
    """The commands below a heading of the guide."""
    told = GUIDE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", told, re.MULTILINE | re.DOTALL)[place]


def run(commands: str, environment: dict[str, str]) -> str:
    """As typed, stopping at the first failure."""
    finished = subprocess.run(
        ["sh", "-euc", commands.replace(".venv/bin/python", sys.executable)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def back_up(copy: Path) -> None:
    if has_postgres():
        run(block("PostgreSQL"), libpq(urlsplit(database_url()).path.strip("/")) | {"BACKUP": str(copy)})
    else:
        commands = block("SQLite").replace("var/db.sqlite3", database.settings_dict["NAME"])
        run(commands, dict(os.environ) | {"BACKUP": str(copy)})


@contextmanager
def restored(copy: Path, folder: Path) -> Iterator[str]:
    """URL of a database that holds the copy."""
    with another_database(folder) as url:
        name = urlsplit(url).path
        if has_postgres():
            commands = block("PostgreSQL", 1).replace('createdb "$RESTORED"\n', "")
            run(commands, libpq() | {"BACKUP": str(copy), "RESTORED": name.strip("/")})
        else:
            commands = block("SQLite", 1).replace("var/db.sqlite3", str(Path(name)))
            run(commands, dict(os.environ) | {"BACKUP": str(copy)})
        yield url


@pytest.fixture
def copy(salesforce_org: ConnectableOrg, tmp_path: Path) -> Path:
    """Of a site with a token for each connection, which renewed them all the while."""
    first = salesforce_org.connect("row-0")
    for number in range(1, CONNECTIONS):
        user = salesforce_org.add_user(f"row{number}@nordhafen.example")
        salesforce_org.connect(f"row-{number}", username=user.username, signing_key=first.signing_key)
    renewed, stop = [], threading.Event()

    def renew() -> None:
        try:
            while not stop.is_set():
                AccessToken.objects.update(refresh_at=timezone.now())
                renewed.append(tokens.refresh_due())
        finally:
            database.close()

    tokens.refresh_due()
    at_work = threading.Thread(target=renew)
    at_work.start()
    try:
        made = tmp_path / "copy"
        back_up(made)
    finally:
        stop.set()
        at_work.join()
    assert sum(tally.renewed for tally in renewed) >= CONNECTIONS
    assert sum(tally.failed for tally in renewed) == 0
    assert made.stat().st_mode & 0o077 == 0
    return made


def ask(
    code: str, url: str, org: ConnectableOrg, environment: dict[str, str], **changes: str
) -> dict[str, object]:
    """What a site on the restored database says, in a process of its own."""
    # With DEBUG pages need no collected static files.
    site = environment | {"DATABASE_URL": url, "DEBUG": "on"} | changes
    process = processes.start(SITE + code, site, org.url)
    return json.loads(processes.finish(process).splitlines()[-1])


SITE = """
import json
from django.test import Client
from django.core.management import call_command
from django.contrib.auth import get_user_model
from django.conf import settings
settings.ALLOWED_HOSTS.append("testserver")
from sf_integration.salesforce.errors import SalesforceError
from sf_integration.models import Heartbeat
root = get_user_model().objects.create_superuser("root-of-copy")
browser = Client()
browser.force_login(root)
def states():
    return sorted({row["state"] for row in browser.get("/connections/health.json").json()})
def refusal():
    try:
        return get_token("row-0") and ""
    except SalesforceError as exc:
        return f"{type(exc).__name__}: {exc}"
def ready():
    return browser.get("/readyz").json()
"""

WITH_THE_KEYS = """
import hashlib
from datetime import timedelta
from django.utils import timezone
call_command("check", databases=["default"], fail_level="WARNING")
said = {"problems": ready()["problems"], "missing": ready()["missing_encryption_keys"], "states": states()}
said["tokens"] = sorted(
    hashlib.sha256(get_token(name).value.encode()).hexdigest()
    for name in ConnectedApp.objects.values_list("name", flat=True)
)
# As if the copy were of yesterday, made while somebody signed in.
yesterday = timezone.now() - timedelta(days=1)
AccessToken.objects.update(
    refresh_at=yesterday, expected_expiry=yesterday, claimed_by="lost", claimed_until=yesterday, next_try_at=yesterday
)
Heartbeat.objects.update_or_create(name="refresh due tokens", defaults={"at": yesterday})
said["silent"] = ready()["scheduler"]["silent"]
tokens.reset()
said["sweeps"] = [tokens.refresh_due().renewed for _ in range(3)]
print(json.dumps(said))
"""


def test_a_copy_with_its_keys_goes_on_where_it_was(
    copy: Path, salesforce_org: ConnectableOrg, process_environment: dict[str, str], tmp_path: Path
) -> None:
    newer = f"{crypto.new_key()},{os.environ['SF_ENCRYPTION_KEYS']}"
    before = salesforce_org.token_requests
    with restored(copy, tmp_path) as url:
        said = ask(WITH_THE_KEYS, url, salesforce_org, process_environment, SF_ENCRYPTION_KEYS=newer)
    # The copy is of one moment; what the site renewed since, the org has ended or not: no test's affair.
    assert (said["problems"], said["missing"]) == ([], [])
    assert "Encryption key missing" not in said["states"]
    known = {hashlib.sha256(each.token.encode()).hexdigest() for each in salesforce_org.sessions}
    assert len(set(said["tokens"])) == CONNECTIONS
    assert set(said["tokens"]) <= known
    assert said["silent"] is True
    assert said["sweeps"] == [CONNECTIONS, 0, 0]
    assert salesforce_org.token_requests - before == CONNECTIONS


WITHOUT_THE_KEY = """
page = browser.get("/connections/")
print(json.dumps({
    "problems": ready()["problems"], "missing": ready()["missing_encryption_keys"], "states": states(),
    "page": [page.status_code, page.content.decode().count("Encryption key missing") > 0],
    "detail": browser.get("/connections/row-0/").status_code, "refusal": refusal(), "renewed": tokens.refresh_due().renewed,
}))
"""


@pytest.mark.long
def test_a_copy_without_its_key_shows_pages_and_says_which_key_it_needs(
    copy: Path, salesforce_org: ConnectableOrg, process_environment: dict[str, str], tmp_path: Path
) -> None:
    key_id = run(block("What to keep"), dict(os.environ)).strip()
    before = len(salesforce_org.requests)
    with restored(copy, tmp_path) as url:
        other = crypto.new_key()
        said = ask(WITHOUT_THE_KEY, url, salesforce_org, process_environment, SF_ENCRYPTION_KEYS=other)
    assert said["problems"] == []
    assert said["missing"] == [key_id]
    assert said["states"] == ["Encryption key missing"]
    assert said["page"] == [200, True]
    assert said["detail"] == 200
    assert "EncryptionKeyMissing" in said["refusal"]
    assert key_id in said["refusal"]
    assert said["renewed"] == 0
    assert len(salesforce_org.requests) == before


BESIDE_THE_ORIGINAL = """
print(json.dumps({"states": states(), "refusal": refusal(), "renewed": tokens.refresh_due().renewed}))
"""


@pytest.mark.once
def test_a_copy_on_staging_calls_no_org_of_another_kind(
    copy: Path, salesforce_org: ConnectableOrg, process_environment: dict[str, str], tmp_path: Path
) -> None:
    (setting,) = block("A copy beside the original").splitlines()
    name, _, kinds = setting.partition("=")
    before = len(salesforce_org.requests)
    with restored(copy, tmp_path) as url:
        said = ask(BESIDE_THE_ORIGINAL, url, salesforce_org, process_environment, **{name: kinds})
    assert said["states"] == ["Not allowed here"]
    assert "NotAllowedHere" in said["refusal"]
    assert said["renewed"] == 0
    assert len(salesforce_org.requests) == before


def test_a_stolen_copy_holds_no_secret(copy: Path, salesforce_org: ConnectableOrg) -> None:
    content = copy.read_bytes()
    if has_postgres():
        content = subprocess.run(["pg_restore", "-f", "-", str(copy)], check=True, capture_output=True).stdout
    body = "".join(str(salesforce_org.app.private_key_pem).splitlines()[1:-1]).encode()
    secrets = [
        *(each.token.encode() for each in salesforce_org.sessions),
        *(body[at : at + 40] for at in range(0, len(body) - 40, 40)),
        base64.b64decode(body)[100:130],
        os.environ["SF_ENCRYPTION_KEYS"].encode(),
        base64.urlsafe_b64decode(os.environ["SF_ENCRYPTION_KEYS"] + "="),
        settings.SECRET_KEY.encode(),
    ]
    stored = bytes(SigningKey.objects.get().private_key.open())
    assert any(secret in stored for secret in secrets)
    assert len(secrets) > CONNECTIONS + 30
    assert [secret for secret in secrets if secret in content] == []
    # The search finds what is there.
    assert salesforce_org.app.consumer_key.encode() in content
    assert SigningKey.objects.get().certificate.splitlines()[2].encode() in content


def test_commands_after_a_restore_exist() -> None:
    from django.core.management import get_commands

    for line in block("After a restore").splitlines():
        assert line.split()[2] in get_commands()
