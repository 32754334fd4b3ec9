"""Messages that no sender of ours makes, before one that is sound: a worker tells them in its log and goes on."""

from __future__ import annotations

import base64
import json
import os
import pickle
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as site
from django.utils import timezone
from kombu import Connection, Queue

from sf_integration import tasks, tokens
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


def publish(connection: Connection, queue: str = QUEUE) -> None:
    with connection:
        producer = connection.Producer()
        exchange = connection.SimpleQueue(queue).queue.exchange
        for body, properties in poison():
            producer.publish(body, routing_key=queue, exchange=exchange, **properties)


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


def outlives(
    org: ConnectableOrg,
    environment: dict[str, str],
    log: Path,
    send: Callable[[], None],
    **way: Any,
) -> None:
    """`way`: how the sound message is sent, if not over the broker of the settings."""
    org.connect("acme")
    tokens.refresh_due()
    AccessToken.objects.update(refresh_at=timezone.now())
    send()
    tasks.refresh_batch.apply_async(([str(AccessToken.objects.get().pk)],), **way)
    with worker(environment, org, log, beat=False, queue=way.get("queue", QUEUE)):
        wait_for(lambda: AccessToken.objects.get().version > 1, "second token", log)
    assert org.token_requests == 2
    told = log.read_text()
    assert "no_such_task" in told
    assert "PRIVATE KEY" not in told


def into_redis() -> None:
    import redis

    client = redis.Redis.from_url(site.CELERY_BROKER_URL)
    for content in RAW:
        client.lpush(QUEUE, content)
    client.close()


@pytest.mark.long
def test_a_worker_outlives_messages_that_can_not_be_meant(
    salesforce_org: ConnectableOrg, process_environment: dict[str, str], tmp_path: Path
) -> None:
    """Over the broker of the settings: files, or Redis."""
    in_files = site.CELERY_BROKER_URL.startswith("filesystem")

    def send() -> None:
        publish(ours())
        (into_files if in_files else into_redis)()

    outlives(salesforce_org, process_environment, tmp_path / "worker.log", send)
    if in_files:
        aside = Path(site.CELERY_BROKER_TRANSPORT_OPTIONS["processed_folder"])
        assert len(list(aside.glob("*_raw*"))) == len(RAW)


@pytest.mark.rabbitmq
def test_a_worker_on_rabbitmq_outlives_them_too(
    salesforce_org: ConnectableOrg, process_environment: dict[str, str], tmp_path: Path
) -> None:
    """In a queue of its own: others use the same RabbitMQ."""
    url, queue = os.environ["TEST_RABBITMQ_URL"], f"faults-{uuid.uuid4()}"
    with Connection(url) as connection:
        outlives(
            salesforce_org,
            process_environment | {"CELERY_BROKER_URL": url},
            tmp_path / "worker.log",
            lambda: publish(Connection(url), queue),
            connection=connection,
            queue=queue,
        )
        connection.default_channel.queue_delete(queue)


def test_a_late_batch_renews_only_what_is_due(salesforce_org: ConnectableOrg) -> None:
    """Long after its time, or again and again: the row says what is to be done, not the message."""
    salesforce_org.connect("acme")
    tokens.refresh_due()
    ids = [str(row_id) for row_id in AccessToken.objects.values_list("pk", flat=True)]
    for _ in range(3):
        tasks.refresh_batch(ids)
        tasks.refresh_batch([*ids, str(uuid.uuid4())])
    assert salesforce_org.token_requests == 1
    AccessToken.objects.update(refresh_at=timezone.now())
    tasks.refresh_batch(ids)
    tasks.refresh_batch(ids)
    assert salesforce_org.token_requests == 2


@pytest.mark.redis_worker
def test_a_channel_that_outlives_its_connection_raises_what_celery_reconnects_after() -> None:
    """So does Celery leave it when Redis goes away during a task."""
    connection = Connection(site.CELERY_BROKER_URL)
    channel = connection.default_channel
    queue = Queue(f"trial-{uuid.uuid4()}", channel=channel, expires=60)
    queue.declare()
    connection.Producer().publish({}, routing_key=queue.name)
    assert queue.get() is not None  # under way: taken and not acknowledged
    channel._disconnect_pools()
    connection.transport.client = None
    with pytest.raises(connection.connection_errors):
        channel.qos.restore_unacked()
    connection.transport.client = connection
    channel.qos.restore_unacked()
    assert queue.get() is not None
    queue.delete()
    connection.release()
