"""A disk that is full and a database that can only be read, in processes that get less than the test itself."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from django.db import connection as database
from django.test import Client
from django.utils import timezone

from sf_integration import get_token
from sf_integration.models import AccessToken, ConnectedApp
from sf_integration.testing.django import ConnectableOrg
from tests.processes import finish, start

pytestmark = pytest.mark.django_db(transaction=True)

FULL_DISK = """
import json, logging, resource, sys
from pathlib import Path
from django.conf import settings
from django.db import connection
from sf_integration import tasks

log = sys.argv[1]
seen = {}
stored = get_token("acme").value

handler = logging.FileHandler(log, delay=False)
logging.getLogger().addHandler(handler)
logging.getLogger().info("before")

def outcome(function):
    try:
        function()
    except Exception as exc:
        return type(exc).__name__
    return "done"

messages = Path(settings.CELERY_BROKER_TRANSPORT_OPTIONS["data_folder_in"])
def lying():
    return sorted(path.name for path in messages.iterdir()) if messages.exists() else []

tasks.refresh_due_tokens.delay()  # makes the folders
before = lying()
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
tokens.reset()
seen["served"] = get_token("acme").value == stored
seen["renewal"] = outcome(lambda: tokens.refresh("acme"))
seen["still"] = get_token("acme").value == stored
seen["message"] = outcome(tasks.refresh_due_tokens.delay)
seen["litter"] = lying() != before
logging.getLogger().info("x" * 100_000)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

with connection.cursor() as cursor:
    cursor.execute("PRAGMA integrity_check")
    seen["integrity"] = cursor.fetchone()[0]
seen["claimed"] = AccessToken.objects.exclude(claimed_by="").count()
seen["renewed"] = outcome(lambda: tokens.refresh("acme"))
seen["sent"] = outcome(tasks.refresh_due_tokens.delay)
logging.getLogger().info("after")
seen["log"] = [line in Path(log).read_text() for line in ("before", "after", "xxx")]
for name in set(lying()) - set(before):
    (messages / name).unlink()
print(json.dumps(seen))
"""


@pytest.mark.once
def test_a_full_disk_loses_nothing(
    salesforce_org: ConnectableOrg, process_environment: dict[str, str], tmp_path: Path
) -> None:
    """Database, message and log, one after the other; then there is room again."""
    if database.vendor != "sqlite":
        pytest.skip("a server's disk can't be filled from here")
    salesforce_org.connect("acme")
    stored = get_token("acme").value
    child = start(FULL_DISK, process_environment, salesforce_org.url, str(tmp_path / "log"))
    assert json.loads(finish(child)) == {
        "served": True,
        "renewal": "OperationalError",
        "still": True,
        "message": "OSError",
        "litter": False,
        "integrity": "ok",
        "claimed": 0,
        "renewed": "done",
        "sent": "done",
        "log": [True, True, False],
    }
    assert salesforce_org.token_requests == 2, "nothing was asked for that could not be stored"
    assert AccessToken.objects.get().value.open().decode() != stored
    assert ConnectedApp.objects.count() == 1


READ_ONLY = """
import json, sys
from django.conf import settings
from django.db import connection
from django.test import Client

settings.ALLOWED_HOSTS = ["testserver"]
settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
if connection.vendor == "sqlite":
    connection.settings_dict["NAME"] = f"file:{connection.settings_dict['NAME']}?mode=ro"
seen = {}

def outcome(function):
    try:
        function()
    except Exception as exc:
        return type(exc).__name__
    return "done"

seen["served"] = outcome(lambda: get_token("live"))
seen["renewal"] = outcome(lambda: tokens.refresh("live"))
seen["first"] = outcome(lambda: get_token("bare"))
browser = Client(raise_request_exception=False)
browser.cookies[settings.SESSION_COOKIE_NAME] = sys.argv[1]
for page in ("/connections/", "/connections/live/", "/readyz"):
    seen[page] = browser.get(page).status_code
answer = browser.post("/connections/live/check/")
seen["check"] = answer.status_code
seen["words"] = "<h1" in answer.content.decode()
print(json.dumps(seen))
"""


def test_a_database_that_can_only_be_read_serves_what_is_stored(
    salesforce_org: ConnectableOrg,
    process_environment: dict[str, str],
    admin_client: Client,
    settings: object,
) -> None:
    """As after a change-over to a standby: SQLite opened with mode=ro, PostgreSQL with default_transaction_read_only."""
    live = salesforce_org.connect("live")
    salesforce_org.connect("bare", signing_key=live.signing_key)
    stored = get_token("live").value
    session = admin_client.cookies[settings.SESSION_COOKIE_NAME].value  # type: ignore[attr-defined]
    environment = process_environment | {"PGOPTIONS": "-c default_transaction_read_only=on"}
    refusal = "OperationalError" if database.vendor == "sqlite" else "InternalError"
    seen = json.loads(finish(start(READ_ONLY, environment, salesforce_org.url, session)))
    assert seen == {
        "served": "done",
        "renewal": refusal,
        "first": refusal,
        "/connections/": 200,
        "/connections/live/": 200,
        "/readyz": 200,
        "check": 500,
        "words": True,
    }
    assert salesforce_org.token_requests == 1, "nobody signed in for a token that could not be stored"
    row = AccessToken.objects.get(connection=live)
    assert (row.value.open().decode(), row.claimed_by) == (stored, "")  # type: ignore[union-attr]
    AccessToken.objects.update(refresh_at=timezone.now() - dt.timedelta(seconds=1))
    assert get_token("bare").value
