"""Messages on their way: a mail server and a webhook of the test's own, over sockets."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sf_integration.alarms import delivery, sending
from sf_integration.models import AlarmMessage
from tests.alarms.conftest import World, minutes

CANARY = "canary-f3b1c7"
TARGET = "mail:ann@acme.example"


class Mailbox(socketserver.ThreadingTCPServer):
    """Takes mail by the few words of SMTP that it needs (RFC 5321), or refuses recipients named `refused`."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Conversation)
        self.mails: list[Message] = []
        self.stalls = threading.Event()
        self.conversations = 0


class _Conversation(socketserver.StreamRequestHandler):
    server: Mailbox

    def handle(self) -> None:
        self.server.conversations += 1
        self.say("220 here")
        while words := self.rfile.readline().decode().strip():
            if words.upper().startswith("DATA"):
                self.say("354 go on")
                self.server.mails.append(message_from_bytes(b"".join(iter(self.rfile.readline, b".\r\n"))))
                if self.server.stalls.is_set():
                    time.sleep(30)
            refused = words.upper().startswith("RCPT") and "refused" in words
            self.say("550 no such box" if refused else "250 fine")
            if words.upper() == "QUIT":
                return

    def say(self, words: str) -> None:
        self.wfile.write(f"{words}\r\n".encode())


@contextmanager
def mailbox(port: int = 0) -> Iterator[Mailbox]:
    with Mailbox(port) as server:
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def smtp(settings: Any) -> Iterator[Mailbox]:
    with mailbox() as server:
        use(settings, server.server_address[1])
        yield server


def use(settings: Any, port: int) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """What Apprise calls by `json://`: its address, and what came."""
    came: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            came.append(body | {"path": self.path})
            self.send_response(500 if "broken" in self.path else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}", came
        server.shutdown()


def written(world: World, target: str = TARGET, **fields: Any) -> AlarmMessage:
    values = {
        "subject": "acme fails",
        "body": "Since noon.",
        "created_at": world.now,
        "next_try_at": world.now,
    }
    return AlarmMessage.objects.create(target=target, **values | fields)


@pytest.mark.once
def test_mail_arrives_whole_under_an_id_that_stays(world: World, smtp: Mailbox) -> None:
    first = written(world, body="Zeile: äöü\n" + "x" * 2000)
    written(world, in_reply_to=first.pk, next_try_at=world.now + minutes(1))
    assert world.send() == sending.Sent(sent=1)
    assert world.send() == sending.Sent()
    world.now += minutes(1)
    assert world.send() == sending.Sent(sent=1)
    mail, reply = smtp.mails
    assert mail["Subject"] == "acme fails"
    assert mail["To"] == "ann@acme.example"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert (
        mail["Message-ID"]
        == reply["In-Reply-To"]
        == reply["References"]
        == f"<{first.pk}@connections.example>"
    )
    payload = mail.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.decode().startswith("Zeile: äöü")
    first.refresh_from_db()
    assert (first.sent_at, first.next_try_at, first.attempts) == (world.now - minutes(1), None, 1)


@pytest.mark.once
def test_a_mail_server_that_is_down_is_asked_once_a_round_and_all_arrives_when_it_is_back(
    world: World, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_LOOK_FOR", 2)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    use(settings, port)
    for number in range(5):
        written(world, f"mail:c{number}@acme.example")
    with CaptureQueriesContext(connection) as asked:
        assert world.send() == sending.Sent(failed=1)
    assert sum(query["sql"].startswith("SELECT") for query in asked) == 2  # the others are not even read
    tried = AlarmMessage.objects.get(attempts=1)
    assert (tried.problem, tried.next_try_at) == ("ConnectionRefusedError", world.now + minutes(1))
    with mailbox(port) as server:
        assert world.send() == sending.Sent(sent=4)
        world.now += minutes(1)
        assert world.send() == sending.Sent(sent=1)
        assert len(server.mails) == 5
        assert server.conversations == 2


@pytest.mark.once
def test_a_refused_recipient_holds_up_nobody(world: World, smtp: Mailbox) -> None:
    written(world, "mail:refused@acme.example", next_try_at=world.now - minutes(1))
    written(world)
    assert world.send() == sending.Sent(sent=1, failed=1)
    assert AlarmMessage.objects.get(sent_at=None).problem == "SMTPRecipientsRefused 550"


@pytest.mark.once
def test_tries_become_rarer_and_end_after_a_day(
    world: World, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        use(settings, free.getsockname()[1])
    message, waits = written(world), []
    while message.next_try_at:
        tried_at = world.now = message.next_try_at
        world.send()
        message.refresh_from_db()
        if message.next_try_at:
            waits.append((message.next_try_at - tried_at) / minutes(1))
    assert waits[:5] == [1, 5, 15, 60, 60]
    assert dt.timedelta(hours=23) < minutes(sum(waits)) <= dt.timedelta(hours=24)
    assert caplog.records[-1].levelname == "ERROR"
    assert "given up" in caplog.records[-1].getMessage()


@pytest.mark.once
def test_what_stood_still_for_more_than_a_day_is_not_sent_and_said_so(world: World, smtp: Mailbox) -> None:
    """As in a copy of another database."""
    old = written(
        world, created_at=world.now - dt.timedelta(days=2), next_try_at=world.now - dt.timedelta(days=2)
    )
    written(world, created_at=world.now - dt.timedelta(hours=20))
    assert world.send() == sending.Sent(sent=1)
    old.refresh_from_db()
    assert (old.sent_at, old.next_try_at, old.problem) == (None, None, sending.TOO_OLD)


@pytest.mark.once
def test_channels_are_sent_to_and_their_urls_told_to_nobody(
    world: World, webhook: tuple[str, list[dict[str, Any]]], caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    """At DEBUG, with a channel that works, one that fails, one that is none, and one that is gone."""
    address, came = webhook
    world.configure(
        ALARM_CHANNELS={
            "chat": f"json://{CANARY}:{CANARY}@{address}/{CANARY}",
            "sick": f"json://{address}/broken/{CANARY}",
            "none": f"{CANARY}://{CANARY}",
        }
    )
    for name in ("chat", "sick", "none", "gone"):
        written(world, f"channel:{name}", body="1 < 2 & plain", tone="failure")
    with caplog.at_level(logging.DEBUG):
        assert world.send() == sending.Sent(sent=1, failed=3)
    assert [each["path"] for each in came if "broken" not in each["path"]] == [f"/{CANARY}"]
    assert came[0]["title"] == "acme fails"
    assert came[0]["message"] == "1 < 2 & plain"
    assert came[0]["type"] == "failure"
    problems = dict(AlarmMessage.objects.values_list("target", "problem"))
    assert problems == {
        "channel:chat": "",
        "channel:sick": "the channel did not take it",
        "channel:none": "its URL is none that Apprise knows",
        "channel:gone": "no channel of this name is configured any more",
    }
    told = caplog.text + "".join(capfd.readouterr()) + repr(list(AlarmMessage.objects.values()))
    assert "channel:sick" in told
    assert CANARY not in told


@pytest.mark.once
def test_no_text_calls_a_whole_room_or_hides_a_link_in_a_channel(
    world: World, webhook: tuple[str, list[dict[str, Any]]]
) -> None:
    address, came = webhook
    world.configure(ALARM_CHANNELS={"chat": f"json://{address}"})
    hostile = (
        "@everyone x@here <!channel> <@U123> <users/all> [log in](https://evil.example) <https://e.example|x>"
    )
    written(world, "channel:chat", subject=hostile, body=f"{hostile}\nfrom mia@acme.example")
    assert world.send() == sending.Sent(sent=1)
    for told in (came[0]["title"], came[0]["message"]):
        for call in ("@everyone", "@here", "<!", "<@", "<users", "](", "<https"):
            assert call not in told
    assert "mia@acme.example" in came[0]["message"]


@pytest.mark.once
def test_a_channel_that_hangs_is_ended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "CHANNEL_SECONDS", 1.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        world.configure(ALARM_CHANNELS={"chat": f"json://127.0.0.1:{silent.getsockname()[1]}/?rto=60&cto=60"})
        written(world, "channel:chat")
        began = time.monotonic()
        assert world.send() == sending.Sent(failed=1)
        assert time.monotonic() - began < 5
    assert AlarmMessage.objects.get().problem == "it did not answer in time"


KILLED = """
import django; django.setup()
from django.conf import settings
settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = "django.core.mail.backends.smtp.EmailBackend", "127.0.0.1", {port}
from sf_integration.alarms import sending
sending.send_due()
"""


@pytest.mark.django_db(transaction=True)
def test_whoever_is_killed_between_sending_and_writing_loses_nothing(
    world: World, smtp: Mailbox, process_environment: dict[str, str]
) -> None:
    world.now = timezone.now()
    message = written(world)
    smtp.stalls.set()
    program = KILLED.format(port=smtp.server_address[1])
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=process_environment | {"SITE_URL": "https://connections.example"}
    )
    try:
        deadline = time.monotonic() + 30
        while not smtp.mails and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.wait(10)
    smtp.stalls.clear()
    message.refresh_from_db()
    assert message.sent_at is None
    world.now = timezone.now()
    assert world.send() == sending.Sent()  # still claimed by who was killed
    world.now += sending.CLAIM
    assert world.send() == sending.Sent(sent=1)
    assert len({mail["Message-ID"] for mail in smtp.mails}) == 1
    assert len(smtp.mails) == 2


@pytest.mark.django_db(transaction=True)
def test_of_several_senders_one_sends(world: World, smtp: Mailbox) -> None:
    for number in range(20):
        written(world, f"mail:c{number}@acme.example")
    results: list[sending.Sent] = []

    def go() -> None:
        from django.db import connections

        try:
            results.append(sending.send_due(world.now))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(each.sent for each in results) == 20
    assert len(smtp.mails) == 20
