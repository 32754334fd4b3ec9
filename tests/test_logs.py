"""What is logged, in which fields, and that nobody else's text makes a line of its own."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import path

from sf_integration import ActionNeeded, get_token, health, tokens
from sf_integration.models import ConnectedApp
from sf_integration.testing.django import ConnectableOrg
from sfjwt_site import logs, request_ids
from sfjwt_site.logs import request_id
from tests.site.test_settings import NEEDED, run, settings

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "logs.md").read_text()


@contextmanager
def written(name: str) -> Iterator[list[str]]:
    """Lines that the app and Django log meanwhile, in a format."""
    stream, lines = io.StringIO(), []  # type: ignore[var-annotated]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.formatter(name))
    loggers = [logging.getLogger(each) for each in ("sf_integration", "django", "tests")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.addHandler(handler)
        each.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.removeHandler(handler)
            each.setLevel(level)
        lines += stream.getvalue().splitlines()


# ---- Lines of the app -----------------------------------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.django_db(transaction=True)
def test_one_line_for_each_sign_in_check_and_sweep_with_documented_fields(
    salesforce_org: ConnectableOrg,
) -> None:
    acme = salesforce_org.connect("acme")
    salesforce_org.connect("shut", username="nobody@acme.example")
    with written("json") as lines:
        token = get_token("acme")
        with pytest.raises(ActionNeeded):
            get_token("shut")
        tokens.refresh_due()
        health.check_connection(acme, asked_by="beat", light=True, renew=False)
        health.check_connection(ConnectedApp.objects.get(name="shut"), asked_by="beat", renew=False)
        tokens.refresh("acme")
        ConnectedApp.objects.filter(name="acme").update(enabled=True)
        from sf_integration.models import AccessToken

        AccessToken.objects.filter(connection=acme).update(refresh_at=None)
        tokens.refresh_due()
    found = [json.loads(line) for line in lines]
    of = {
        event: [each for each in found if each.get("event") == event]
        for event in ("sign-in", "check", "sweep")
    }
    assert [(each["connection"], each["outcome"]) for each in of["sign-in"]] == [
        ("acme", "ok"),
        ("shut", "invalid_grant"),
        ("acme", "ok"),
        ("acme", "ok"),
    ]
    assert [(each["connection"], each["light"], each["step"], each["code"]) for each in of["check"]] == [
        ("acme", True, "", ""),
        ("shut", False, "sign_in", "invalid_grant"),
    ]
    assert [(each["renewed"], each["failed"], each["put_off"]) for each in of["sweep"]] == [(1, 0, 0)]
    for event, each in ((event, each) for event, all_of_it in of.items() for each in all_of_it):
        assert each["milliseconds"] >= 0, event
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", each["time"])
        assert each.keys() - {"threadName"} <= documented_fields(event), event
    text = "\n".join(lines)
    secrets = [token.value, acme.consumer_key, "eyJ", "expired authorization", "user hasn't approved"]
    assert [secret for secret in secrets if secret in text] == []
    assert "acme" in text


def documented_fields(event: str) -> set[str]:
    """Of every line, and of those with this event: from the tables of the document."""
    common = set(re.findall(r"^\| `(\w+)` \|", DOCUMENT, re.MULTILINE))
    row = re.search(rf"^\| `{event}` \|.*$", DOCUMENT, re.MULTILINE)
    assert row, event
    return common | set(re.findall(r"`([\w-]+)`", row[0])) | {"event"}


@pytest.mark.once
@pytest.mark.django_db(transaction=True)
def test_what_an_org_answers_in_place_of_a_code_stays_out_of_the_log(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    forged = "x\n2026-01-01 00:00:00,000 INFO sf_integration.tokens sign-in connection=acme outcome=ok"
    salesforce_org.fail("answer", status=400, body=json.dumps({"error": forged, "error_description": forged}))
    with written("line") as lines, pytest.raises(ActionNeeded):
        get_token("acme")
    assert "outcome=ok" not in "\n".join(lines)


# ---- Formats --------------------------------------------------------------------------------------------------------

FORGED = "x\n2026-01-01 00:00:00,000 INFO root all is well"


@pytest.mark.once
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize("name", ["line", "json"])
def test_no_text_makes_a_line_of_its_own(name: str, end: str) -> None:
    with written(name) as lines:
        logging.getLogger("tests").warning(
            "An org says: %s", f"x{end}2026-01-01 00:00:00,000 INFO root all is well"
        )
    assert len(lines) == 1
    assert "all is well" in lines[0]


@pytest.mark.once
def test_terminals_are_not_steered_and_writing_is_not_turned() -> None:
    # Formatted alone: pytest's own handler would keep the half character, and its processes can't tell each other of it.
    record = logging.makeLogRecord({"msg": "\x1b[2J\x9b \u202e \u200f \u061c \ud800"})
    assert logs.formatter("line").format(record).endswith(r"\x1b[2J\x9b \u202e \u200f \u061c \ud800")


@pytest.mark.once
@pytest.mark.parametrize("name", ["line", "json"])
def test_a_traceback_can_be_told_from_records(name: str) -> None:
    with written(name) as lines:
        try:
            raise ValueError(FORGED)
        except ValueError:
            logging.getLogger("tests").exception("A fault")
    if name == "json":
        (line,) = lines
        assert FORGED in json.loads(line)["traceback"]
    else:
        assert lines[0].endswith("ERROR tests A fault")
        assert {line[:4] for line in lines[1:]} == {"    "}


@pytest.mark.once
def test_fields_are_plain_values_and_none_replaces_what_every_line_has() -> None:
    extra = {
        "connection": "acme",
        "count": 2,
        "request": HttpRequest(),
        "data": {"args": "x"},
        "level": "low",
    }
    with written("json") as lines:
        logging.getLogger("tests").warning("told", extra=extra)
    found = json.loads(lines[0])
    assert (found["connection"], found["count"], found["level"]) == ("acme", 2, "WARNING")
    assert not {"request", "data"} & found.keys()


@pytest.mark.once
def test_an_unknown_format_is_refused_in_a_sentence(tmp_path: Path) -> None:
    done = run("manage.py", "check", var=tmp_path, **NEEDED, LOG_FORMAT="xml")
    assert done.returncode != 0
    assert "LOG_FORMAT=xml: write one of line, json." in done.stderr
    formatters = settings(tmp_path, "LOGGING", LOG_FORMAT="json")["LOGGING"]["formatters"]  # type: ignore[index]
    assert formatters["chosen"]["name"] == "json"


# ---- The id of the request ------------------------------------------------------------------------------------------


def view(request: HttpRequest) -> HttpResponse:
    logging.getLogger("tests").info("seen")
    return HttpResponse(request_id.get())


async def async_view(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0)
    logging.getLogger("tests").info("seen")
    return HttpResponse(request_id.get())


urlpatterns = [path("sync", view), path("async", async_view)]

IDS = [
    ("4bf92f3577b34da6a3ce929d0e0e4736", True),
    ("7b3bf470-9456-11e8-9eb6-529269fb1459", True),
    ("short", False),
    ("x" * 65, False),
    ("with blank and more", False),
    ("forged\\u000a2026", False),
    ("é" * 10, False),
    ("", False),
]


@pytest.mark.once
@override_settings(ROOT_URLCONF=__name__)
@pytest.mark.parametrize(("given", "kept"), IDS)
@pytest.mark.parametrize("page", ["/sync", "/async"])
def test_an_id_is_kept_if_it_is_one_and_comes_back(given: str, kept: bool, page: str) -> None:
    headers = {"X-Request-ID": given}
    with written("json") as lines:
        told = [Client().get(page, headers=headers)]
        told.append(asyncio.run(AsyncClient().get(page, headers=headers)))
    for answer, line in zip(told, lines, strict=True):
        known = answer["X-Request-ID"]
        assert known == answer.content.decode() == json.loads(line)["request_id"]
        assert (known == given) is kept
        assert re.fullmatch(r"[A-Za-z0-9_-]{8,64}", known)
    assert request_id.get() == ""


@pytest.mark.once
def test_tasks_inherit_the_id_and_others_get_their_own() -> None:
    headers: dict[str, Any] = {}
    request_ids.hand_on(headers=headers)
    assert headers == {}
    request_id.set("of-the-request")
    request_ids.hand_on(headers=headers)
    request_ids.forget()
    request_ids.take_over(task=SimpleNamespace(request=headers))
    assert request_id.get() == "of-the-request"
    request_ids.take_over(task=SimpleNamespace(request={}))
    assert request_id.get() not in ("", "of-the-request")
    request_ids.forget()
    assert request_id.get() == ""


@pytest.mark.once
def test_the_answer_has_the_id_when_something_fails(rf: RequestFactory) -> None:
    with written("json") as lines:
        answer = Client().get("/nowhere", headers={"X-Request-ID": "4bf92f3577b34da6"})
    assert (answer.status_code, answer["X-Request-ID"]) == (404, "4bf92f3577b34da6")
    assert [json.loads(line)["request_id"] for line in lines] == ["4bf92f3577b34da6"]


# ---- gunicorn and Celery --------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.once
@pytest.mark.django_db(transaction=True)
def test_gunicorn_and_the_worker_write_json_and_a_task_has_the_id_of_its_request(
    process_environment: dict[str, str], tmp_path: Path
) -> None:
    environment = process_environment | {
        "LOG_FORMAT": "json",
        "VAR_DIR": str(tmp_path),
        "CELERY_BROKER_URL": "filesystem://localhost",
    }
    port, given = free_port(), "4bf92f3577b34da6a3ce929d0e0e4736"
    publish = (
        "import django; django.setup(); from sfjwt_site.celery import app; from sfjwt_site.logs import request_id\n"
        f"request_id.set('{given}')\n"
        "from sf_integration.tasks import check_due_connections as task; task.delay()"
    )
    web = ("gunicorn", "sfjwt_site.wsgi", "--bind", f"127.0.0.1:{port}", "--no-control-socket")
    web += ("--access-logfile", "-", "--logger-class", "sfjwt_site.gunicorn_logger.Logger")
    worker = ("celery", "--app", "sfjwt_site", "--quiet", "worker", "--pool", "solo", "--loglevel", "info")
    subprocess.run([sys.executable, "-c", publish], check=True, env=environment, cwd=ROOT, timeout=60)
    with (
        program(*web, environment=environment) as web_lines,
        program(*worker, environment=environment) as work_lines,
    ):
        wait_for(lambda: answers(port, given))
        wait_for(lambda: any("succeeded" in line for line in work_lines()))
    asked = [each for each in map(json.loads, web_lines()) if each.get("event") == "request"]
    seen = {(each["method"], each["path"], each["status"], each["request_id"]) for each in asked}
    assert seen == {("GET", "/healthz", 200, given)}
    assert any(json.loads(line)["logger"] == "gunicorn.error" for line in web_lines())
    done = [each for each in map(json.loads, work_lines()) if "succeeded" in each["message"]]
    assert {each["request_id"] for each in done} == {given}


@contextmanager
def program(*arguments: str, environment: dict[str, str]) -> Iterator[Any]:
    """A running `python -m ARGUMENTS`, as a function that gives its lines."""
    output = Path(environment["VAR_DIR"]) / f"{arguments[0]}.log"
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], env=environment, cwd=ROOT, stdout=file, stderr=file
        )
    try:
        # Python itself warns of root, which is no log line.
        yield lambda: [line for line in output.read_text().splitlines() if line.startswith("{")]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def wait_for(is_so: Any) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def answers(port: int, given: str) -> bool:
    try:
        answer = requests.get(
            f"http://127.0.0.1:{port}/healthz?code=secret", headers={"X-Request-ID": given}, timeout=20
        )
    except requests.RequestException:
        return False
    return answer.headers["X-Request-ID"] == given


def free_port() -> int:
    from sfjwt_site.run.__main__ import free_port as free

    return free()
