"""A worker process that dies between the call and its acknowledgement, by a real kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from kombu import Connection
from orders.tasks import push_order

OPPORTUNITY = "/services/data/v67.0/sobjects/Opportunity/Order_Number__c/"
BROKER = "filesystem://"


def wait_for(condition: Callable[[], object], log: Path) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


def children_of(process: subprocess.Popen[bytes]) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@pytest.fixture
def sent(order, transactional_db) -> None:
    """The message lies in a folder, from which another process takes it."""
    folder = settings.VAR_DIR / "messages"
    folder.mkdir(exist_ok=True)
    folders = dict.fromkeys(("data_folder_in", "data_folder_out", "control_folder"), str(folder))
    with Connection(BROKER, transport_options=folders) as broker:
        push_order.apply_async((order.pk,), connection=broker)


@pytest.fixture
def other_process(sent, salesforce_org, tmp_path) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {
        "BROKER_URL": BROKER,
        "SHOP_DATABASE": str(connection.settings_dict["NAME"]),
        "SF_ENCRYPTION_KEYS": ",".join(settings.SF_INTEGRATION["ENCRYPTION_KEYS"]),
        "SF_ALLOWED_HOSTS": salesforce_org.url.removeprefix("http://"),
    }
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "shop",
        "worker",
        "--concurrency",
        "1",
        "--loglevel",
        "INFO",
    ]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *quiet], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    yield process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(20)


def test_order_is_not_written_twice(order, salesforce_org, other_process, tmp_path):
    log = tmp_path / "worker.log"
    salesforce_org.fail("drip", seconds=60, where=OPPORTUNITY)  # written at once, answered much later
    statement = "SELECT Id FROM Opportunity WHERE Order_Number__c = 'W-00001'"
    wait_for(lambda: salesforce_org.query(statement), log)

    for child in children_of(other_process):
        os.kill(child, signal.SIGKILL)

    wait_for(lambda: not type(order).waiting().exists(), log)
    [opportunity] = salesforce_org.query(statement)
    order.refresh_from_db()
    assert order.salesforce_id == opportunity["Id"]
    calls = [request for request in salesforce_org.requests if request.path.startswith(OPPORTUNITY)]
    assert len(calls) == 2
