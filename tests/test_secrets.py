"""Canaries: a key, a token, an assertion and a password are planted, and searched for everywhere.

A search that finds nothing proves nothing by itself, so it must find what is planted on purpose first.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import serialization
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection as database
from django.test import Client
from django.urls import reverse

from sf_integration import health, keystore, tasks, tokens
from sf_integration.models import (
    AccessToken,
    AuditEvent,
    ConnectedApp,
    ConnectionCheck,
    ConnectionEvent,
    SigningKey,
)
from sf_integration.salesforce import assertion, keys, oauth, signin
from sf_integration.testing import credentials
from sf_integration.testing.django import ConnectableOrg

pytestmark = pytest.mark.django_db(transaction=True)


def spellings(secret: str | bytes) -> Iterator[bytes]:
    """The forms that a secret may have on its way: as it is, escaped, encoded (also within more), and its middle."""
    raw = secret.encode() if isinstance(secret, str) else secret
    escaped = json.dumps(secret)[1:-1].encode() if isinstance(secret, str) else raw
    for form in {raw, escaped}:
        yield form
        yield form.hex().encode()
        yield quote(form, safe="").encode()
        for offset in range(3):
            # Base64 of a text that the secret is a part of: which letters come out depends on where it begins.
            inner = base64.b64encode(b"\0" * offset + form)[4:-4]
            yield inner
            yield inner.translate(bytes.maketrans(b"+/", b"-_"))
    if len(raw) > 60:
        yield raw[20:60]


def is_in(secret: str | bytes, haystack: bytes) -> bool:
    return any(spelling in haystack for spelling in spellings(secret))


def database_bytes() -> bytes:
    """Every value of every table, and on SQLite the file itself with its log."""
    found = io.BytesIO()
    with database.cursor() as cursor:
        for table in database.introspection.table_names():
            cursor.execute(f"SELECT * FROM {database.ops.quote_name(table)}")
            for row in cursor.fetchall():
                found.write("\x1f".join(map(str, row)).encode() + b"\n")
    if database.vendor == "sqlite":
        for path in Path(database.settings_dict["NAME"]).parent.glob("test*.sqlite3*"):
            found.write(path.read_bytes())
    return found.getvalue()


def broker_bytes() -> bytes:
    """The messages that wait in the broker."""
    url = settings.CELERY_BROKER_URL
    if url.startswith("filesystem"):
        folder = Path(settings.VAR_DIR)
        return b"".join(
            path.read_bytes() for path in folder.rglob("*") if path.suffix in (".msg", ".exchange")
        )
    import redis

    client = redis.Redis.from_url(url)
    dumped = [client.lrange("celery", 0, -1)] if client.exists("celery") else []
    return repr(dumped).encode()


class Canaries:
    """What must be found nowhere. New for each test: what one plants, SQLite's file keeps in its free pages."""

    def __init__(self, org: ConnectableOrg) -> None:
        self.org = org
        pem, certificate = credentials.make_key_and_certificate("canary")
        org.app.replace_certificate(certificate)
        org.app.private_key_pem = pem
        self.passphrase = f"correct horse battery staple {secrets.token_hex(8)}"
        self.password = f"Zwölf-Boxkämpfer-{secrets.token_hex(8)}"
        self.key = serialization.load_pem_private_key(pem.encode(), None)
        self.pem_line = pem.splitlines()[5]
        self.der = keys.to_der(self.key)  # type: ignore[arg-type]
        self.tokens: list[str] = []
        self.assertions: list[str] = []

    def all(self) -> dict[str, str | bytes]:
        found: dict[str, str | bytes] = {
            "private key, PEM": self.pem_line,
            "private key, DER": self.der[100:400],
            "passphrase": self.passphrase,
            "password": self.password,
        }
        found |= {f"token {number}": value for number, value in enumerate(self.tokens)}
        found |= {f"assertion {number}": value.split(".")[2] for number, value in enumerate(self.assertions)}
        return found

    def found_in(self, haystack: bytes) -> set[str]:
        return {name for name, secret in self.all().items() if is_in(secret, haystack)}


@pytest.fixture
def canaries(salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch) -> Canaries:
    """Every token and assertion of the test is noted on its way; nothing is changed."""
    noted = Canaries(salesforce_org)
    sign, read = assertion.sign, oauth.Token.from_json

    def noting_sign(*arguments: object, **options: object) -> str:
        value = sign(*arguments, **options)  # type: ignore[arg-type]
        noted.assertions.append(str(value))
        return value

    def noting_read(*arguments: object, **options: object) -> oauth.Token:
        token = read(*arguments, **options)  # type: ignore[arg-type]
        noted.tokens.append(str(token.value))
        return token

    monkeypatch.setattr(assertion, "sign", noting_sign)
    monkeypatch.setattr(oauth.Token, "from_json", noting_read)
    return noted


@pytest.fixture
def log_bytes() -> Iterator[io.StringIO]:
    """Everything that any logger says, at DEBUG."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def encrypted_pem(canaries: Canaries) -> bytes:
    return canaries.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(canaries.passphrase.encode()),
    )


def use_everything(canaries: Canaries) -> bytes:
    """The life of a connection with its failures; returns all that browsers and shells were shown."""
    org = canaries.org
    shown = io.BytesIO()
    get_user_model().objects.create_superuser("root", "root@acme.example", canaries.password)
    key = keystore.take_in(
        encrypted_pem(canaries),
        name="imported",
        passphrase=canaries.passphrase,
        certificate=org.app.certificate_pem.encode(),
    )
    connection = org.connect("acme", signing_key=key)
    health.check_connection(connection, asked_by="test")
    tasks.refresh_due_tokens()
    tasks.check_due_connections()
    org.end_sessions()
    with tokens_client("acme") as client:
        client.query("SELECT Id, Name FROM Account LIMIT 3")
    for kind in ("maintenance", "garbage", "html"):
        AccessToken.objects.update(last_try_at=None)
        org.fail(kind)
        health.check_connection(connection, asked_by="test")
    AccessToken.objects.update(last_try_at=None, next_try_at=None)
    # An answer that throws our own secrets back at us.
    for echoed in (canaries.assertions[-1], canaries.tokens[-1]):
        AccessToken.objects.update(last_try_at=None, next_try_at=None)
        org.fail("refuse", error="invalid_grant", description=f"bad {echoed} given")
        health.check_connection(connection, asked_by="test")
        AccessToken.objects.update(last_try_at=None, next_try_at=None)
        org.fail("answer", status=500, body=f"<html><p>{echoed}</p></html>", content_type="text/html")
        health.check_connection(connection, asked_by="test")
        AccessToken.objects.update(last_try_at=None, next_try_at=None)
        org.fail("refuse", error=echoed, description="no")
        health.check_connection(connection, asked_by="test")
    org.heal()
    AccessToken.objects.update(last_try_at=None, next_try_at=None)
    health.check_connection(ConnectedApp.objects.get(), asked_by="test")
    for page in pages(canaries.password):
        shown.write(page)
    output = io.StringIO()
    for arguments in (
        ["list", "--json"],
        ["check", "acme", "--trace"],
        ["check", "acme", "--trace", "--json"],
        ["reencrypt"],
        ["reencrypt", "--json"],
    ):
        call_command("salesforce", *arguments, stdout=output, stderr=output)
    call_command("dumpdata", "sf_integration", stdout=output)
    return shown.getvalue() + output.getvalue().encode()


def tokens_client(name: str):
    from sf_integration import get_client

    return get_client(name)


def pages(password: str) -> Iterator[bytes]:
    """Every page of the app and the admin, read and posted, sign-in included."""
    browser = Client(raise_request_exception=False)
    answer = browser.post(reverse("login"), {"username": "root", "password": password})
    assert answer.status_code == 302
    urls = [
        reverse("sf_integration:list"),
        reverse("sf_integration:health_json"),
        reverse("admin:index"),
        "/readyz",
    ]
    urls += [
        reverse(f"sf_integration:{page}", args=["acme"])
        for page in ("detail", "timeline", "identity", "record", "query", "certificate", "revoke")
    ]
    for model in (ConnectedApp, SigningKey, AccessToken, ConnectionCheck, AuditEvent):
        name = f"admin:sf_integration_{model._meta.model_name}"
        urls.append(reverse(f"{name}_changelist"))
        for row in model.objects.all()[:3]:
            urls += [reverse(f"{name}_change", args=[row.pk]), reverse(f"{name}_history", args=[row.pk])]
            if model in (ConnectedApp, SigningKey):
                urls.append(reverse(f"{name}_delete", args=[row.pk]))
    posts = [
        ("check", {}),
        ("refresh", {}),
        ("identity", {}),
        ("record", {"sobject": "Account", "record": "001Dn00000Gi7HJIAZ", "fields": "Name"}),
        ("query", {"soql": "SELECT Id, Name FROM Account LIMIT 5"}),
        ("query", {"soql": "SELEKT"}),
        ("revoke", {}),
    ]
    for url in urls:
        answer = browser.get(url)
        assert answer.status_code == 200, url
        yield headers_of(answer) + answer.getvalue()
    for page, data in posts:
        url = reverse(f"sf_integration:{page}", args=["acme"])
        answer = browser.post(url, data, follow=True)
        assert answer.status_code < 500, url
        yield headers_of(answer) + answer.getvalue()


def headers_of(answer: object) -> bytes:
    return repr(sorted(answer.headers.items())).encode()  # type: ignore[attr-defined]


def test_the_search_finds_what_is_planted(canaries: Canaries, log_bytes: io.StringIO) -> None:
    connection = canaries.org.connect("acme")
    tokens.get("acme")
    expected = set(canaries.all())
    assert {"token 0", "assertion 0", "private key, PEM", "private key, DER", "passphrase"} < expected
    for name, secret in canaries.all().items():
        text = secret if isinstance(secret, str) else secret.hex()
        # In the database,
        ConnectedApp.objects.update(notes=f"see {text} there")
        assert name in canaries.found_in(database_bytes())
        # in a page that shows it,
        get_user_model().objects.get_or_create(username="root", is_staff=True, is_superuser=True)
        browser = Client()
        browser.force_login(get_user_model().objects.get(username="root"))
        page = browser.get(reverse("admin:sf_integration_connectedapp_change", args=[connection.pk]))
        assert name in canaries.found_in(page.getvalue())
        # in a log line,
        logging.getLogger("sf_integration.tokens").info("told %s", text)
        assert name in canaries.found_in(log_bytes.getvalue().encode())
        # and in a message.
        tasks.refresh_batch.apply_async(([text],), expires=600)
        assert name in canaries.found_in(broker_bytes())
    empty_broker()


def test_no_secret_is_found_anywhere(canaries: Canaries, log_bytes: io.StringIO) -> None:
    empty_broker()
    shown = use_everything(canaries)
    assert len(canaries.tokens) >= 4
    assert len(canaries.assertions) >= 8
    assert set(ConnectionEvent.objects.values_list("kind", flat=True)) == set(ConnectionEvent.Kind)
    assert canaries.found_in(database_bytes()) == set()
    assert canaries.found_in(log_bytes.getvalue().encode()) == set()
    assert canaries.found_in(broker_bytes()) == set()
    assert canaries.found_in(shown) == set()
    assert re.search(rb"\d+ characters", shown), "the trace tells the token's length"


def test_no_secret_in_a_debug_page_of_a_crash(canaries: Canaries, monkeypatch: pytest.MonkeyPatch) -> None:
    """Django's debug page shows the local variables of every frame."""
    from django.test import RequestFactory
    from django.views.debug import ExceptionReporter

    canaries.org.connect("acme")
    tokens.get("acme")
    canaries.org.end_sessions()
    crashed: list[bytes] = []

    def crash(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug of ours")

    for module, name in ((oauth, "read_token"), (signin, "_attempt"), (oauth.Token, "from_json")):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, crash)
            AccessToken.objects.update(last_try_at=None)
            try:
                tokens.refresh("acme")
            except ZeroDivisionError as error:
                request = RequestFactory().get("/")
                reporter = ExceptionReporter(request, type(error), error, error.__traceback__)
                crashed.append(
                    reporter.get_traceback_html().encode() + reporter.get_traceback_text().encode()
                )
    assert len(crashed) == 3
    assert all(b"ZeroDivisionError" in page for page in crashed)
    assert [canaries.found_in(page) for page in crashed] == [set(), set(), set()]


def empty_broker() -> None:
    from celery import current_app

    current_app.control.purge()
