"""Which encryption keys are needed is told by lists, checks and probes, without opening anything."""

from __future__ import annotations

import io
import logging
import uuid
from collections.abc import Callable, Iterator

import pytest
from django.apps import apps
from django.core import checks
from django.core.management import call_command
from django.db import OperationalError, connection, models
from django.test import Client

from sf_integration import crypto, sealed_columns, tasks
from sf_integration.fields import SealedField, seal
from sf_integration.models import AccessToken, ConnectedApp, SigningKey
from sf_integration.sealed_columns import SealedColumn, missing_keys, stored_key_ids

pytestmark = pytest.mark.django_db

HERE, LOST = crypto.new_key(), crypto.new_key()
HERE_ID, LOST_ID = crypto.Keyring.from_text([HERE, LOST]).key_ids
COLUMN = SealedColumn(SigningKey, "private_key")


@pytest.fixture(autouse=True)
def look_anew() -> Iterator[None]:
    sealed_columns._seen = None
    yield
    sealed_columns._seen = None


@pytest.fixture
def encryption_keys(settings) -> Callable[..., None]:
    def configure(*keys: str) -> None:
        settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"ENCRYPTION_KEYS": keys}

    configure(HERE)
    return configure


def key_row(name: str) -> SigningKey:
    row = SigningKey(name=name, fingerprint=uuid.uuid4().hex, size=2048)
    row.private_key = seal(SigningKey, "private_key", row.pk, b"secret")
    row.save()
    return row


def store(name: str, text: str | None) -> None:
    """What nothing of ours would write."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sf_integration_signingkey SET private_key = %s WHERE name = %s", [text, name])


@pytest.fixture
def lost_keys(encryption_keys: Callable[..., None]) -> None:
    """Two signing keys sealed with an encryption key that is gone, and one that opens."""
    encryption_keys(LOST)
    for name in ("one", "two"):
        key_row(name)
    encryption_keys(HERE)
    key_row("good")


@pytest.mark.parametrize(
    "stored",
    [
        "rubbish", "v1.", f"v1.{HERE_ID}", f"v1.{HERE_ID}.", f"v1.{HERE_ID}.A.B", f"v2.{HERE_ID}.AAAA", f"V1.{HERE_ID}.AAAA",
        f" v1.{HERE_ID}.AAAA", f"v1.{LOST_ID}.AAAA", "v1.ä2345678.AAAA", "v1.1.345678.AAAA", "ünreadable", "v1.12345678" * 99,
        f"v1.{HERE_ID}." + "A" * 1_000_000,
    ],
    ids=range(14),  # the keys, so the texts, are others in each process
)  # fmt: skip
def test_database_and_python_agree_on_the_key_id(encryption_keys: Callable[..., None], stored: str) -> None:
    """Else a list would sort a row by another state than it shows."""
    key_row("one")
    store("one", stored)
    assert stored_key_ids() == {SigningKey.objects.get().private_key.key_id: 1}


def test_nothing_is_counted_as_nothing(encryption_keys: Callable[..., None]) -> None:
    for name, stored in (("null", None), ("empty", "")):
        key_row(name)
        store(name, stored)
    assert stored_key_ids() == {}
    assert missing_keys() == {}


def test_missing_keys_are_named_with_what_they_sealed(lost_keys: None) -> None:
    assert missing_keys() == {LOST_ID: "2 signing keys"}
    assert missing_keys(["another database"]) == {}


def test_all_that_one_missing_key_sealed_is_named_together(encryption_keys: Callable[..., None]) -> None:
    encryption_keys(LOST)
    key = key_row("one")
    app = ConnectedApp.objects.create(
        name="acme", login_url="https://a.my.salesforce.com", signing_key=key, username="u"
    )
    for number in range(2):
        row = AccessToken(connection=app, username=f"u{number}")
        row.value = seal(AccessToken, "value", row.pk, b"token")
        row.save()
    encryption_keys(HERE)
    assert missing_keys()[LOST_ID].split(", ") == ["1 signing key", "2 access tokens"]
    assert stored_key_ids() == {LOST_ID: 3}
    assert stored_key_ids([COLUMN]) == {LOST_ID: 1}


def test_only_values_that_are_still_the_seen_ones_are_swapped(encryption_keys: Callable[..., None]) -> None:
    first, second, third = (key_row(name) for name in ("one", "two", "three"))
    new = {row.pk: seal(SigningKey, "private_key", row.pk, b"new") for row in (first, second)}
    seen = {first.pk: first.private_key, second.pk: third.private_key}
    swaps = (
        (pk, seen[pk], {"private_key": new[pk], "name": f"swapped {pk}"}) for pk in (first.pk, second.pk)
    )
    assert COLUMN.swap(swaps) == 1
    assert {row.pk: (row.private_key.open(), row.name) for row in SigningKey.objects.all()} == {
        first.pk: (b"new", f"swapped {first.pk}"),
        second.pk: (b"secret", "two"),
        third.pk: (b"secret", "three"),
    }
    assert COLUMN.swap([]) == 0


def test_a_check_with_the_database_warns_and_blocks_nothing(lost_keys: None) -> None:
    errors = io.StringIO()
    call_command("check", databases=["default"], stderr=errors)  # would raise for an error
    assert f"Encryption key missing (id {LOST_ID})" in errors.getvalue()
    assert "2 signing keys" in errors.getvalue()
    assert "sf_integration.W003" in errors.getvalue()


def test_without_a_database_to_ask_nothing_is_asked(
    lost_keys: None, django_assert_num_queries: Callable[..., object]
) -> None:
    with django_assert_num_queries(0):  # type: ignore[attr-defined]
        found = checks.run_checks(tags=["sf_integration"])
    assert [message for message in found if message.id == "sf_integration.W003"] == []


def test_the_check_goes_by_itself_when_the_tables_are_not_there(lost_keys: None) -> None:
    """As before the first migrate, which runs it."""

    def not_there(execute, sql, *rest):
        if "sf_integration_" in sql:
            raise OperationalError("no such table")
        return execute(sql, *rest)

    with connection.execute_wrapper(not_there):
        found = checks.run_checks(tags=["database"], databases=["default"])
    assert [message for message in found if message.id == "sf_integration.W003"] == []


def test_readyz_names_missing_keys_and_stays_ready(
    lost_keys: None, encryption_keys: Callable[..., None], client: Client
) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["missing_encryption_keys"] == [LOST_ID]
    encryption_keys(HERE, LOST)
    assert client.get("/readyz").json()["missing_encryption_keys"] == []


def test_readyz_counts_once_a_minute_only(lost_keys: None, client: Client, monkeypatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr(sealed_columns, "missing_keys", lambda: looks.append(1) or {})
    for _ in range(5):
        client.get("/readyz")
    assert len(looks) == 1


@pytest.mark.django_db(transaction=True)
def test_a_worker_says_at_its_start_what_it_lacks(lost_keys: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        tasks.worker_ready.send(sender=None)
    assert f"encryption key missing (id {LOST_ID}): it sealed 2 signing keys" in caplog.text


def test_a_model_of_the_site_with_a_sealed_field_is_found_too(monkeypatch) -> None:
    """By the kind of field, not by a list."""

    class Vault(models.Model):  # noqa: DJ008 - nobody looks at it
        secret = SealedField(null=True)

        class Meta:
            app_label = "tests"
            managed = False

    known = list(apps.get_models())
    monkeypatch.setattr(apps, "get_models", lambda: [*known, Vault])
    assert SealedColumn(Vault, "secret") in sealed_columns.sealed_columns()
