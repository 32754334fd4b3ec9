"""Everything real at once: two gunicorn processes, two workers, two beats, PostgreSQL and RabbitMQ, short-lived tokens.

Half a minute long; SF_SOAK_SECONDS makes it longer. `make soak` is half an hour of a larger site, with faults.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import requests
from django.apps import apps
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from sf_integration.models import AccessToken
from sf_integration.testing.django import ConnectableOrg
from sfjwt_site.run.__main__ import free_port

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.postgres,
    pytest.mark.rabbitmq,
]

SECONDS = float(os.environ.get("SF_SOAK_SECONDS", "30"))
BEAT_SECONDS = 5
"""Quicker than usual, so that beats and callers meet often."""
LIFE_SECONDS = 30
"""Of a token. It is renewed after 12 to 15 s, and when beat comes next."""
EARLIEST_SECONDS = 11
ROWS = 3
CALLERS = 6


@contextmanager
def running(*command: str, environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program in the background, which must still run at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def celery(*arguments: str) -> tuple[str, ...]:
    return ("celery", "-A", "sfjwt_site", *arguments)


@pytest.fixture
def site(
    salesforce_org: ConnectableOrg, process_environment: dict[str, str], tmp_path: Path
) -> Iterator[str]:
    """URL of the gunicorn, with all else running."""
    environment = process_environment | {
        "CELERY_BROKER_URL": os.environ["TEST_RABBITMQ_URL"],
        "SF_ALLOWED_HOSTS": salesforce_org.url.split("://")[1],
    }
    make_schedule()
    port = free_port()
    subprocess.run(
        [sys.executable, "-m", *celery("purge", "-f")], env=environment, check=True, stdout=subprocess.DEVNULL
    )
    programs = {
        "gunicorn": (
            *("gunicorn", "--preload", "--workers", "2", "--threads", "4", "--worker-class", "gthread"),
            *("--bind", f"127.0.0.1:{port}", "tests.tokens.soak_site:application"),
        ),
        "worker-1": celery("worker", "-c", "2", "-n", f"one-{port}@localhost", "-l", "info"),
        "worker-2": celery("worker", "-c", "2", "-n", f"two-{port}@localhost", "-l", "info"),
        "beat-1": celery("beat", "--pidfile", "", "-s", str(tmp_path / "b1"), "--max-interval", "5"),
        "beat-2": celery("beat", "--pidfile", "", "-s", str(tmp_path / "b2"), "--max-interval", "5"),
    }
    with ExitStack() as stack:
        for name, command in programs.items():
            stack.enter_context(running(*command, environment=environment, log=tmp_path / f"{name}.log"))
        wait_for(f"http://127.0.0.1:{port}/row-0", tmp_path / "gunicorn.log")
        yield f"http://127.0.0.1:{port}"


def make_schedule() -> None:
    migration = import_module("sfjwt_site.migrations.0001_schedules")
    migration.make_schedules(apps, None)
    often, _ = IntervalSchedule.objects.get_or_create(every=BEAT_SECONDS, period="seconds")
    PeriodicTask.objects.filter(task="sf_integration.refresh_due_tokens").update(interval=often)


def wait_for(url: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            requests.get(url, timeout=5)
        except requests.ConnectionError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        else:
            return


def call_for(seconds: float, site: str) -> list[dict[str, Any]]:
    """Many callers, a few times a second each; what they were told."""
    told: list[dict[str, Any]] = []
    end = time.monotonic() + seconds

    def call(first: int) -> None:
        # A new connection for each call: kept ones may all have gone to one of the two processes.
        for number in itertools.count(first):
            if time.monotonic() > end:
                return
            told.append(requests.get(f"{site}/row-{number % ROWS}", timeout=30).json())
            time.sleep(0.1)

    callers = [threading.Thread(target=call, args=(number,)) for number in range(CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return told


def test_each_row_has_one_login_at_a_time_and_nobody_an_old_token(
    salesforce_org: ConnectableOrg, request: pytest.FixtureRequest
) -> None:
    org = salesforce_org
    org.token_format, org.session_seconds = "jwt", LIFE_SECONDS
    for number in range(ROWS):
        user = org.add_user(f"row{number}@nordhafen.example")
        org.connect(f"row-{number}", username=user.username)
    site = request.getfixturevalue("site")

    told = call_for(SECONDS, site)

    assert not [answer["error"] for answer in told if "error" in answer]
    assert min(answer["left_seconds"] for answer in told) > 0
    assert len({answer["pid"] for answer in told}) == 2
    assert len(told) > SECONDS * CALLERS * 3

    logins = defaultdict(list)
    for asked in org.requests:
        if asked.path == "/services/oauth2/token":
            assert asked.status == 200
            logins[asked.user].append((asked.at, asked.at + asked.milliseconds / 1000))
    assert set(logins) == {f"row{number}@nordhafen.example" for number in range(ROWS)}
    for spans in logins.values():
        spans.sort()
        pauses = [later[0] - earlier[1] for earlier, later in itertools.pairwise(spans)]
        assert min(pauses) > EARLIEST_SECONDS
        assert len(spans) > SECONDS / LIFE_SECONDS

    versions = Counter(
        {row.username: row.version for row in AccessToken.objects.filter(connection__name__startswith="row-")}
    )
    assert versions == {username: len(spans) for username, spans in logins.items()}
