"""Messages that no sender of ours makes, before one that is sound: a worker tells them in its log and goes on."""

from __future__ import annotations

import base64
import json
import os
import pickle
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as site
from django.utils import timezone
from kombu import Connection

from sf_integration import get_token, tasks, tokens
from sf_integration.models import AccessToken
from sf_integration.testing.django import ConnectableOrg
from tests.test_tasks import wait_for, worker

pytestmark = pytest.mark.django_db(transaction=True)

QUEUE = "celery"


def task(name: str, *arguments: Any, **headers: Any) -> tuple[bytes, dict[str, Any]]:
    body = json.dumps([arguments, {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    told = {"task": name, "id": str(uuid.uuid4()), "lang": "py", "retries": 0, **headers}
    return body.encode(), {"headers": told, "content_type": "application/json", "content_encoding": "utf-8"}


def poison() -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Well packed, so that every broker takes it, and not to be meant."""
    batch = "sf_integration.refresh_batch"
    yield task("sf_integration.no_such_task", [])
    yield task(batch)
    yield task(batch, ["no id"])
    yield task(batch, {"a": 1})
    yield task(batch, [[[[[]]]]])
    yield task(batch, [str(uuid.uuid4()) for _ in range(40_000)])
    yield task("sf_integration.check_batch", [[1, 2, 3]])
    yield task("sf_integration.selected_lane", "no such act", ["no id"], "", "no time")
    yield task("sf_integration.refresh_due_tokens", expires="no time")
    _, sound = task(batch)
    yield b"{not json", sound
    yield b"", sound
    yield b"\xff\xfe\x00", sound
    yield b'"text"', sound
    yield b"[" * 100_000, sound
    yield pickle.dumps({"a": 1}), {**sound, "content_type": "application/x-python-serialize"}
    yield b"\x80", {**sound, "content_type": "application/no-such", "content_encoding": "no-such"}
    yield b"[[],{},{}]", {"content_type": "application/json", "content_encoding": "utf-8", "headers": {}}


def publish(connection: Connection) -> None:
    with connection:
        producer = connection.Producer()
        queue = connection.SimpleQueue(QUEUE)
        for body, properties in poison():
            producer.publish(body, routing_key=QUEUE, exchange=queue.queue.exchange, **properties)


def ours() -> Connection:
    return Connection(site.CELERY_BROKER_URL, transport_options=site.CELERY_BROKER_TRANSPORT_OPTIONS)


RAW = [
    b"",
    b"{",
    b"\xff\xfe\x00",
    b"[]",
    b'{"properties": {}}',
    b'{"properties": {"delivery_info": {}}}',
    b'{"properties": {"delivery_info": {}, "delivery_tag": "x"}}',
    b'{"body": 5, "properties": {"delivery_info": {}, "delivery_tag": "y", "body_encoding": "base64"}}',
    b'{"body": "!", "properties": {"delivery_info": 7, "delivery_tag": [], "body_encoding": 5}, "headers": 3}',
    b"[" * 100_000,
    json.dumps({"body": base64.b64encode(b"x" * 3_000_000).decode(), "properties": {}}).encode(),
]
"""Not packed by any kombu: put where messages lie."""


def into_files() -> None:
    folder = Path(site.CELERY_BROKER_TRANSPORT_OPTIONS["data_folder_in"])
    folder.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(RAW):
        (folder / f"{time.time_ns()}_raw{number}.{QUEUE}.msg").write_bytes(content)


def outlives(org: ConnectableOrg, environment: dict[str, str], log: Path, send: Callable[[], None]) -> None:
    org.connect("acme")
    send()
    with worker(environment, org, log, beat=False):
        tasks.refresh_due_tokens.delay()
        wait_for(lambda: AccessToken.objects.filter(value__isnull=False).exists(), "token", log)
        AccessToken.objects.update(refresh_at=timezone.now())
        tasks.refresh_due_tokens.delay()
        wait_for(lambda: AccessToken.objects.get().version > 1, "second token", log)
    assert org.token_requests == 2
    told = log.read_text()
    assert "no_such_task" in told
    assert "PRIVATE KEY" not in told


@contextmanager
def broker(environment: dict[str, str], url: str) -> Iterator[dict[str, str]]:
    """The environment of a worker on another broker, and our own sending there."""
    from celery import current_app

    before = current_app.conf.broker_url, current_app.conf.broker_transport_options
    current_app.conf.update(broker_url=url, broker_transport_options={})
    current_app.pool.force_close_all()
    try:
        yield environment | {"CELERY_BROKER_URL": url}
    finally:
        current_app.conf.update(broker_url=before[0], broker_transport_options=before[1])
        current_app.pool.force_close_all()


def test_a_worker_outlives_messages_that_can_not_be_meant(
    salesforce_org: ConnectableOrg, process_environment: dict[str, str], tmp_path: Path
) -> None:
    """Over the broker of the settings: files with SQLite."""

    def send() -> None:
        publish(ours())
        if site.CELERY_BROKER_URL.startswith("filesystem"):
            into_files()

    outlives(salesforce_org, process_environment, tmp_path / "worker.log", send)
    if site.CELERY_BROKER_URL.startswith("filesystem"):
        aside = Path(site.CELERY_BROKER_TRANSPORT_OPTIONS["processed_folder"])
        assert len(list(aside.glob("*_raw*"))) == len(RAW)
