"""Stored secrets that don't open, in every way: each is told by name, and everything else goes on, everywhere."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.test import Client
from django.urls import reverse

from sf_integration import crypto, get_token, health, tasks, tokens
from sf_integration.fields import seal
from sf_integration.models import AccessToken, ConnectedApp, SigningKey
from sf_integration.salesforce.errors import ActionNeeded, EncryptionKeyMissing
from sf_integration.state import ConnectionState
from sf_integration.testing.django import ConnectableOrg
from sf_integration.urls import urlpatterns

pytestmark = pytest.mark.django_db(transaction=True)

LOST = crypto.new_key()
LOST_ID = crypto.Keyring.from_text([LOST]).key_ids[0]
MISSING, CHECKED = "told by its key id", "told by a check"

Damage = Callable[[str, str], str | None]
"""What lies in the column instead of the row's own sealed value, which is given with that of another row."""


def foreign(context: str) -> str:
    """Sealed with the right key, but for somewhere else."""
    model, name = (AccessToken, "value") if context == "model" else (SigningKey, "another_column")
    return seal(model, name, uuid.uuid4(), b"secret").ciphertext


DAMAGE: dict[str, tuple[Damage, str]] = {
    "missing-key": (lambda own, other: f"v1.{LOST_ID}{own[11:]}", MISSING),
    "null": (lambda own, other: None, MISSING),
    "empty": (lambda own, other: "", MISSING),
    "garbage": (lambda own, other: "-----BEGIN PRIVATE KEY----- planted", MISSING),
    "non-ascii": (lambda own, other: "schlüssel ☃", MISSING),
    "head-only": (lambda own, other: own[:11], MISSING),
    "other-version": (lambda own, other: f"v2{own[2:]}", MISSING),
    "truncated": (lambda own, other: own[:-40], CHECKED),
    "cut-to-nothing": (lambda own, other: own[:12], CHECKED),
    "garbled": (lambda own, other: own[:60] + "é!" + own[62:], CHECKED),
    "a-bit-changed": (lambda own, other: own[:-1] + ("A" if own[-1] != "A" else "Q"), CHECKED),
    "other-row": (lambda own, other: other, CHECKED),
    "other-column": (lambda own, other: foreign("column"), CHECKED),
    "other-model": (lambda own, other: foreign("model"), CHECKED),
    "a-megabyte": (lambda own, other: own + "A" * 1_000_000, CHECKED),
}


def store(model: type, column: str, row: Any, text: str | None) -> None:
    """Past everything of ours."""
    with database.cursor() as cursor:
        table = model._meta.db_table
        pk = row.pk.hex if database.vendor == "sqlite" else row.pk
        cursor.execute(f"UPDATE {table} SET {column} = %s WHERE id = %s", [text, pk])
        assert cursor.rowcount == 1


@pytest.fixture
def damaged(salesforce_org: ConnectableOrg) -> ConnectableOrg:
    """A connection for each kind of damage to its signing key, named so, and `good` with a key of its own."""
    org = salesforce_org
    key = org.connect("good").signing_key
    plain = key.private_key.open()
    for name, (damage, _) in DAMAGE.items():
        copy = SigningKey(name=name, fingerprint=uuid.uuid4().hex, size=2048, certificate=key.certificate)
        copy.private_key = seal(SigningKey, "private_key", copy.pk, plain)
        copy.save(force_insert=True)
        org.connect(name, signing_key=copy)
        store(
            SigningKey,
            "private_key",
            copy,
            damage(copy.private_key.ciphertext, key.private_key.ciphertext),
        )
    return org


@pytest.fixture
def browser(damaged: ConnectableOrg, client: Client) -> Client:
    client.force_login(get_user_model().objects.create_superuser("root"))
    return client


def page_urls() -> Iterator[str]:
    """Every page that needs nothing or the name of a connection."""
    for pattern in urlpatterns:
        names = list(pattern.pattern.converters)
        if not names:
            yield reverse(f"sf_integration:{pattern.name}")
        elif names == ["name"]:
            for connection in ConnectedApp.objects.all():
                yield reverse(f"sf_integration:{pattern.name}", args=[connection.name])


def admin_urls() -> Iterator[str]:
    for model in apps.get_app_config("sf_integration").get_models():
        name = f"admin:sf_integration_{model._meta.model_name}"
        try:
            yield reverse(f"{name}_changelist")
        except Exception:  # noqa: BLE001 - not every model is in the admin
            continue
        for row in model._default_manager.all():
            for page in ("change", "delete", "history"):
                yield reverse(f"{name}_{page}", args=[row.pk])


def run(*arguments: str) -> str:
    """Everything that a verb says, whether it ends well or not."""
    output = io.StringIO()
    try:
        call_command("salesforce", *arguments, stdout=output, stderr=output)
    except (SystemExit, CommandError) as end:
        output.write(str(end))
    return output.getvalue()


@pytest.mark.long
def test_every_page_goes_on(browser: Client) -> None:
    for connection in ConnectedApp.objects.all():
        health.check_connection(connection, asked_by="test")
    seen = 0
    for url in [*page_urls(), *admin_urls()]:
        answer = browser.get(url)
        assert answer.status_code in (200, 302, 403, 404, 405), url
        assert b"planted" not in answer.getvalue(), url
        seen += answer.status_code == 200
    assert seen > 10 * len(DAMAGE)


@pytest.mark.long
def test_every_button_goes_on(browser: Client) -> None:
    for name in DAMAGE:
        for button in ("check", "refresh", "identity", "pause", "resume", "revoke"):
            url = reverse(f"sf_integration:{button}", args=[name])
            assert browser.post(url, follow=True).status_code in (200, 403, 424, 502), url
    changelist = reverse("admin:sf_integration_connectedapp_changelist")
    chosen = [str(app.pk) for app in ConnectedApp.objects.all()]
    for action in ("check_now", "renew_now", "pause", "resume", "revoke_tokens"):
        answer = browser.post(changelist, {"action": action, "_selected_action": chosen}, follow=True)
        assert answer.status_code == 200, action
    for key in SigningKey.objects.exclude(name="good"):
        url = reverse("admin:sf_integration_signingkey_change", args=[key.pk])
        answer = browser.post(url, {"name": f"{key.name} renamed"}, follow=True)
        assert answer.status_code == 200
        assert SigningKey.objects.get(pk=key.pk).name == f"{key.name} renamed"


def test_every_command_goes_on(damaged: ConnectableOrg) -> None:
    listed = {row["name"]: row for row in json.loads(run("list", "--json"))}
    assert set(listed) == {"good", *DAMAGE}
    for verb in (["list"], ["export"], ["refresh"], ["reencrypt", "--dry-run"]):
        assert "Traceback" not in run(*verb)
    for name in DAMAGE:
        for verb in (
            ["check", name],
            ["check", name, "--json"],
            ["refresh", name],
            ["revoke", name],
            ["token", name, "--yes"],
            ["query", name, "SELECT Id FROM Account"],
        ):
            said = run(*verb)
            assert "planted" not in said
            assert "It works" not in said
    assert "It works" in run("check", "good")


def test_beat_goes_on(damaged: ConnectableOrg) -> None:
    assert tokens.refresh_due().renewed == 1
    assert AccessToken.objects.get(value__isnull=False).connection.name == "good"
    for connection_id, light in list(health.due_for_check()):
        tasks.check_batch([(str(connection_id), light)])
    tasks.housekeeping()
    assert ConnectedApp.objects.get(name="good").connection_state() is ConnectionState.HEALTHY


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_wrong_is_told(damaged: ConnectableOrg, browser: Client, name: str) -> None:
    """By list and state at once where the key id tells; by a check where only opening does."""
    expected = DAMAGE[name][1]
    with pytest.raises(ActionNeeded) as caught:
        get_token(name)
    connection = ConnectedApp.objects.get(name=name)
    if expected == CHECKED:
        assert isinstance(caught.value, EncryptionKeyMissing)
        assert caught.value.code == "secret_damaged"
        health.check_connection(connection, asked_by="test")
        connection.refresh_from_db()
        state, sentence = ConnectionState.FAILING, "damaged, or was copied here"
    else:
        state, sentence = ConnectionState.ENCRYPTION_KEY_MISSING, "Its signing key is "
    if name == "missing-key":
        sentence = f"(id {LOST_ID})"
    assert connection.connection_state() is state
    assert sentence in connection.state_sentence()
    [annotated] = ConnectedApp.objects.with_state().filter(name=name).values_list("state", flat=True)
    assert annotated == state.value
    told = {row["name"]: row for row in browser.get(reverse("sf_integration:health_json")).json()}
    assert told[name]["state"] == state.value
    assert sentence in told[name]["sentence"]
    for url in (
        reverse("sf_integration:detail", args=[name]),
        reverse("sf_integration:list") + f"?q={name}",
        reverse("admin:sf_integration_connectedapp_change", args=[connection.pk]),
        reverse("admin:sf_integration_connectedapp_changelist") + f"?q={name}",
    ):
        page = browser.get(url).content.decode()
        assert state.value in page, url
        assert sentence in page, url
    assert sentence in " ".join(run("check", name).split())
    assert damaged.token_requests == 0


def test_the_admin_names_the_missing_key_beside_the_signing_key(browser: Client) -> None:
    key = SigningKey.objects.get(name="missing-key")
    for url in (
        reverse("admin:sf_integration_signingkey_changelist"),
        reverse("admin:sf_integration_signingkey_change", args=[key.pk]),
    ):
        assert f"not configured here (id {LOST_ID})" in browser.get(url).content.decode()


@pytest.mark.parametrize("name", [name for name in DAMAGE if name not in ("null", "empty")])
def test_a_damaged_token_is_renewed_by_itself(salesforce_org: ConnectableOrg, name: str) -> None:
    app = salesforce_org.connect("acme")
    first = get_token("acme")
    row = AccessToken.objects.get()
    store(
        AccessToken,
        "value",
        row,
        DAMAGE[name][0](row.value.ciphertext, app.signing_key.private_key.ciphertext),
    )
    tokens.reset()
    assert get_token("acme") != first
    assert salesforce_org.token_requests == 2
    assert ConnectedApp.objects.get().connection_state() is not ConnectionState.FAILING


def test_the_search_finds_what_is_broken(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """That a page which opens a damaged secret would be noticed."""
    monkeypatch.setattr(SigningKey, "can_sign", property(lambda key: bool(key.private_key.open())))
    with pytest.raises((EncryptionKeyMissing, AttributeError)):
        browser.get(reverse("admin:sf_integration_signingkey_changelist"))
