"""Messages as files, sent and taken by several processes at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection, Exchange, Queue
from kombu.utils.json import loads

from sfjwt_site.filesystem_broker import SET_ASIDE_SECONDS, Transport

QUEUE = Queue("jobs", Exchange("jobs", type="direct"), routing_key="jobs")
MESSAGES = 1000

PROGRAM = """
import json, sys
from tests.site.test_filesystem_broker import produce, consume
{"produce": produce, "consume": consume}[sys.argv[1]](*json.loads(sys.argv[2]))
"""


@pytest.fixture(autouse=True)
def forget_queues() -> None:
    """A process declares a queue once, whatever the folder; each test has a new one."""
    Transport.global_state.clear()


def connect(folder: Path) -> Connection:
    return Connection(
        transport=Transport,
        transport_options={
            "data_folder_in": str(folder / "messages"),
            "data_folder_out": str(folder / "messages"),
            "processed_folder": str(folder / "taken"),
            "control_folder": str(folder / "exchanges"),
            "polling_interval": 0.01,
        },
    )


def produce(folder: str, first: int, count: int) -> None:
    with connect(Path(folder)) as connection:
        producer = connection.Producer(serializer="json")
        for number in range(first, first + count):
            producer.publish(
                {"number": number, "padding": "x" * 2000},
                exchange=QUEUE.exchange,
                routing_key="jobs",
                declare=[QUEUE],
            )


def consume(folder: str, seconds_without: float) -> None:
    """Print the number of every message that comes, until none came for a while."""
    with connect(Path(folder)) as connection:
        queue = connection.SimpleQueue(QUEUE)
        while True:
            try:
                message = queue.get(timeout=seconds_without)
            except Empty:
                return
            print(message.payload["number"], flush=True)
            message.ack()


def take(folder: Path, count: int) -> list[int]:
    with connect(folder) as connection:
        queue = connection.SimpleQueue(QUEUE)
        numbers = []
        for _ in range(count):
            message = queue.get(timeout=5)
            numbers.append(message.payload["number"])
            message.ack()
        return numbers


def start(what: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, what, json.dumps(arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def test_two_producers_and_two_consumers_lose_nothing_and_take_nothing_twice(tmp_path: Path) -> None:
    half = MESSAGES // 2
    producers = [start("produce", str(tmp_path), first, half) for first in (0, half)]
    consumers = [start("consume", str(tmp_path), 3) for _ in range(2)]

    outputs = [process.communicate(timeout=60) for process in producers + consumers]

    assert [process.returncode for process in producers + consumers] == [0, 0, 0, 0], outputs
    taken = [int(number) for output, _ in outputs for number in output.split()]
    assert sorted(taken) == list(range(MESSAGES))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[]", b'{"properties": {}}', b'"text"'])
def test_message_that_cannot_be_read_is_set_aside_and_the_next_one_comes(
    tmp_path: Path, content: bytes
) -> None:
    planted = "0_planted.jobs.msg"
    produce(str(tmp_path), 7, 1)
    (tmp_path / "messages" / planted).write_bytes(content)

    assert take(tmp_path, 1) == [7]
    assert [path.name for path in (tmp_path / "taken").iterdir()] == [planted]


def test_messages_are_taken_in_the_order_they_were_sent(tmp_path: Path) -> None:
    produce(str(tmp_path), 0, 20)
    assert take(tmp_path, 20) == list(range(20))


def test_half_written_message_is_not_seen(tmp_path: Path) -> None:
    with connect(tmp_path) as connection:
        queue = connection.SimpleQueue(QUEUE)
        (tmp_path / "messages" / "1_a.jobs.msg.b.part").write_text('{"half":')
        with pytest.raises(Empty):
            queue.get(timeout=0.1)


def test_binding_keeps_what_other_processes_bound(tmp_path: Path) -> None:
    with connect(tmp_path) as one, connect(tmp_path) as other:
        for connection, name in ((one, "first"), (other, "second"), (one, "first")):
            Queue(name, QUEUE.exchange, routing_key=name).declare(channel=connection.default_channel)
    table = loads((tmp_path / "exchanges" / "jobs.exchange").read_text())
    assert sorted(entry[2] for entry in table) == ["first", "second"]


def test_folders_are_private(tmp_path: Path) -> None:
    with connect(tmp_path) as connection:
        connection.default_channel  # noqa: B018
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"messages": 0o700, "taken": 0o700, "exchanges": 0o700}


def test_what_was_set_aside_is_forgotten_after_a_day(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    long_ago = time.time() - SET_ASIDE_SECONDS - 60
    for name, when in (("old.jobs.msg", long_ago), ("new.jobs.msg", time.time())):
        (taken / name).touch()
        os.utime(taken / name, (when, when))
    with connect(tmp_path) as connection:
        connection.default_channel  # noqa: B018
    assert [path.name for path in taken.iterdir()] == ["new.jobs.msg"]
