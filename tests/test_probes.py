from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from sf_integration.health.scheduler import REFRESH
from sf_integration.models import Heartbeat

pytestmark = pytest.mark.django_db


def down(*_: object) -> None:
    raise OperationalError("the database is gone")


def test_healthz_needs_nothing(client: Client) -> None:
    with connection.execute_wrapper(down):
        assert client.get("/healthz").status_code == 200


def test_ready_with_database_migrations_and_encryption_key(client: Client) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["ready"] is True
    assert "no-cache" in answer["Cache-Control"]


def test_silent_scheduler_is_told_but_never_unready(client: Client) -> None:
    assert client.get("/readyz").json()["scheduler"]["silent"] is True
    Heartbeat.beat(REFRESH)
    assert client.get("/readyz").json()["scheduler"]["silent"] is False
    Heartbeat.objects.update(at=timezone.now() - dt.timedelta(minutes=5))
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["scheduler"]["silent"] is True


@pytest.mark.parametrize("keys", [[], ["not-a-key"]])
def test_not_ready_without_a_usable_encryption_key(client: Client, settings: object, keys: list[str]) -> None:
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "ENCRYPTION_KEYS": keys}  # type: ignore[attr-defined]
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "SF_ENCRYPTION_KEYS" in answer.json()["problems"][0]


def test_not_ready_while_the_drain_file_is_there(client: Client, settings: object, tmp_path: Path) -> None:
    file = tmp_path / "drain"
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "DRAIN_FILE": str(file)}  # type: ignore[attr-defined]
    assert client.get("/readyz").status_code == 200
    file.touch()
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["problems"] == [f"being taken out of service: {file} is there"]
    assert client.get("/healthz").status_code == 200


def test_not_ready_without_the_database(client: Client) -> None:
    with connection.execute_wrapper(down):
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["problems"] == ["the database does not answer"]


def test_not_ready_before_migrations(client: Client) -> None:
    from django.db.migrations.recorder import MigrationRecorder

    MigrationRecorder.Migration.objects.filter(app="sf_integration").delete()
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "migrate" in answer.json()["problems"][0]
