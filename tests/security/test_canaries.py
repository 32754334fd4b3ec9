"""Canaries: keys, tokens, passwords and all else that must stay secret are planted, and searched for everywhere."""

from __future__ import annotations

import logging
import re
import secrets
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from celery import current_app
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core import mail
from django.core.cache import cache
from django.db import connection as database
from django.test import Client, override_settings
from django.urls import reverse

from sf_integration import tasks
from sf_integration.management.commands.salesforce import VERBS
from sf_integration.models import ConnectedApp, ConnectionEvent
from sf_integration.testing.django import ConnectableOrg

from .canaries import Canaries
from .places import Places, empty_broker
from .search import Search
from .walk import Walk, addresses

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def canaries(salesforce_org: ConnectableOrg) -> Iterator[Canaries]:
    planted = Canaries(salesforce_org)
    with planted.listening():
        yield planted


@pytest.fixture
def places(
    salesforce_org: ConnectableOrg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Places]:
    found = Places(salesforce_org, tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(found.temporary))
    empty_broker()
    cache.clear()
    yield found
    empty_broker()
    cache.clear()


@contextmanager
def watched(places: Places, canaries: Canaries) -> Iterator[None]:
    """With all that can be switched on. Not a fixture: pytest's own keeping of log lines begins after those."""
    with places.open() as channel:
        secret = canaries.channel_secret
        with_all = {
            "TOKEN_API": True,
            "METRICS_TOKEN": canaries.metrics_token,
            "ALARM_MAIL": ["ops@acme.example"],
            "ALARM_CHANNELS": {"ops": f"json://bot:{secret}@{channel}/{secret}/?-token={secret}"},
            "ALARM_AFTER_SECONDS": 0,
        }
        with override_settings(SF_INTEGRATION=settings.SF_INTEGRATION | with_all):
            yield


def plant_in_database(text: str) -> None:
    ConnectedApp.objects.update(notes=f"see {text} there")


def plant_in_page(places: Places, text: str) -> None:
    plant_in_database(text)
    admin = User.objects.get_or_create(username="root", is_staff=True, is_superuser=True)[0]
    browser = Client(headers={"Accept-Encoding": "gzip"})
    browser.force_login(admin, "django.contrib.auth.backends.ModelBackend")
    change = reverse("admin:sf_integration_connectedapp_change", args=[ConnectedApp.objects.get().pk])
    answer = browser.get(change)
    assert answer.headers["Content-Encoding"] == "gzip"
    places.see(answer)


def log(text: str) -> None:
    logging.getLogger("urllib3.connectionpool").debug("told %s", text)


def log_extra(text: str) -> None:
    logging.getLogger("sf_integration.tokens").info("told", extra={"token": text})


def log_crash(text: str) -> None:
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("celery.app.trace").exception("Task failed")


def post(places: Places, text: str) -> None:
    with socket.create_connection(places.channel.split(":"), timeout=5) as sender:
        body = text.encode()
        sender.sendall(b"POST /x HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        assert sender.recv(100)


PLANTED: dict[str, list[Callable[[Places, str], object]]] = {
    "pages": [plant_in_page],
    "verbs": [lambda places, text: places.printed.write(text.encode())],
    "crash reports": [lambda places, text: places.reports.write(text.encode())],
    "logs": [
        lambda places, text: log(text),
        lambda places, text: log_extra(text),
        lambda places, text: log_crash(text),
    ],
    "messages to the broker": [lambda places, text: tasks.refresh_batch.apply_async(([text],), expires=600)],
    "broker": [lambda places, text: tasks.refresh_batch.apply_async(([text],), expires=600)],
    "database": [
        lambda places, text: plant_in_database(text),
        lambda places, text: SessionStore().create_model_instance({"kept": ["-" * 99, text]}).save(),
    ],
    "database file": [lambda places, text: plant_in_database(text)],
    "cache": [lambda places, text: cache.set("kept", {"token": text})],
    "mails": [lambda places, text: mail.mail_admins("It broke", f"Größer: {text}", html_message=f"<p>{text}</p>")],
    "channels": [post],
    "files": [lambda places, text: (places.temporary / "upload.tmp").write_text(text)],
    "addresses called at the org": [
        lambda places, text: requests.get(f"{places.org.url}/services/data?key={quote(text)}", timeout=5)
    ],
    "processes started": [
        lambda places, text: subprocess.run(["true"], env={"KEY": text}, check=True),
        lambda places, text: subprocess.run(["true", text], check=True),
    ],
}  # fmt: skip


@pytest.mark.parametrize("place", PLANTED)
def test_the_search_finds_what_is_planted(
    place: str, canaries: Canaries, places: Places, settings: Any
) -> None:
    """In each place, in each of the ways by which it could come there."""
    settings.ADMINS = [("Ann", "ann@acme.example")]
    canaries.org.connect("acme")
    with watched(places, canaries):
        assert set(places.all()) == set(PLANTED)
        if place == "database file" and database.vendor != "sqlite":
            pytest.skip("PostgreSQL's files are not ours to read")
        for number, plant in enumerate(PLANTED[place]):
            secret = secrets.token_urlsafe(40)
            plant(places, secret)
            assert Search({"it": secret}).found_in(places.all()[place]()) == {"it"}, number


@pytest.mark.once
def test_logs_without_end_fail_instead_of_filling_the_memory(
    canaries: Canaries, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.security.places.LONGEST_LOG", 1000)
    with watched(places, canaries):
        for _ in range(100):
            log("the same " * 100)
    with pytest.raises(AssertionError, match="logs without end"):
        places.all()["logs"]()


@pytest.mark.once
@pytest.mark.long
def test_no_secret_is_found_anywhere(canaries: Canaries, places: Places, tmp_path: Path) -> None:
    walk = Walk(canaries.org, canaries, places, tmp_path)
    with watched(places, canaries):
        walk.everything()
        found = {place: read() for place, read in places.all().items()}
    search = canaries.search()
    told = {place: search.told(data) for place, data in found.items()}
    assert {place: where for place, where in told.items() if where} == {}
    # It did look at something, and at everything there is.
    assert len(search.table) > 100_000
    assert {kind for kind in KINDS if not any(name.startswith(kind) for name in canaries.all())} == set()
    empty = {place for place, data in found.items() if not data}
    assert empty <= {
        "files",
        "processes started",
        *(["database file"] if database.vendor != "sqlite" else []),
    }
    asked = {name for name, _ in addresses()} - walk.went_well
    assert {name for name in asked if not REFUSED.fullmatch(name)} == set()
    assert {verb.name for verb in VERBS} - walk.ran == STOPS
    assert {name for name in current_app.tasks if name.startswith("sf_integration.")} - walk.ran == set()
    assert set(ConnectionEvent.objects.values_list("kind", flat=True)) == set(ConnectionEvent.Kind)


KINDS = (
    "private key",
    "stored private key",
    "passphrase",
    "password",
    "token",
    "assertion",
    "API key",
    "metrics",
    "channel",
    "encryption key",
    "SECRET_KEY",
)
REFUSED = re.compile(
    # What the app itself writes is neither added nor deleted by people.
    r"admin:sf_integration_(accesstoken|alarm|alarmmessage|auditevent|checkday|connectioncheck|connectionevent)_(add|delete)"
    # Others' pages, of which there may be no row.
    r"|admin:(axes|django_celery_beat)_\w+|admin:autocomplete"
    # Asks for an address; only a script does.
    r"|sf_integration:login_url"
)
STOPS = {"reencrypt", "register-key"}
"""They exit with 1 here: a key that doesn't open, a signer that there isn't."""
