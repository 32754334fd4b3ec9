from __future__ import annotations

import logging
import time
from types import SimpleNamespace

import pytest
from django.db import connection
from django.test import Client

from sf_integration import clock, tasks

pytestmark = pytest.mark.django_db


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our clock is ten seconds ahead."""
    monkeypatch.setattr(clock, "time", SimpleNamespace(time=lambda: time.time() + 10))


@pytest.mark.postgres
def test_clocks_of_one_machine_agree(client: Client) -> None:
    assert abs(clock.seconds_ahead_of_database() or 9) < 0.5
    told = client.get("/readyz").json()["clock"]
    assert told["off"] is False


@pytest.mark.postgres
def test_a_host_whose_clock_is_off_says_so_but_serves(client: Client, ahead: None) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    told = answer.json()["clock"]
    assert 9 < told["seconds_ahead_of_database"] < 11
    assert told["off"] is True


@pytest.mark.postgres
def test_each_beat_warns_of_a_clock_that_is_off(ahead: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        tasks.refresh_due_tokens()
    assert "10.0 s ahead of the database's" in caplog.text


def test_a_database_file_has_no_clock(client: Client, ahead: None, caplog: pytest.LogCaptureFixture) -> None:
    if connection.vendor == "postgresql":
        pytest.skip("this database is no file")
    assert client.get("/readyz").json()["clock"] == {"seconds_ahead_of_database": None, "off": False}
    tasks.refresh_due_tokens()
    assert "ahead" not in caplog.text
