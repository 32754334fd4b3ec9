"""Alarms on the page, on the command line, in the admin; tests of the way; what the system checks say."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core import mail
from django.test import Client
from django.utils import timezone

from sf_integration import health, tasks
from sf_integration.checks import settings as settings_checks
from sf_integration.fields import Sealed
from sf_integration.models import Alarm, AlarmMessage, AuditEvent, ConnectedApp, GroupAccess, SigningKey
from tests.alarms.conftest import SILENCE, World, minutes
from tests.test_command_line import salesforce

PAGE = "/connections/alarms/"


@pytest.fixture
def troubled(world: World) -> World:
    """Two hosts of which one is down, one refusal, and one certificate; all told."""
    world.connect_many(["down-1", "down-2"], our_contacts="ann@acme.example\nAnn <ann@acme.example>")
    world.connect("refused", label="<b>Refused</b>")
    world.connect("well")
    world.fail("down-1", "down-2", error=SILENCE)
    world.fail("refused", "well")
    world.after(3)
    world.mend("well")
    world.after(1)
    world.after(2)
    return world


def person(*permissions: str, groups: tuple[Group, ...] = ()) -> Client:
    user = User.objects.create_user(f"user-{User.objects.count()}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    user.groups.set(groups)
    client = Client()
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    return client


def text(client: Client, path: str = PAGE) -> str:
    html = client.get(path).content.decode().partition("<main")[2]
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_the_page_tells_open_ones_and_those_over(troubled: World, admin_client: Client) -> None:
    told = text(admin_client)
    assert "acme.my.salesforce.com does not answer: 2 connections" in told
    assert "The login host did not answer in time." in told
    assert "refused fails" in told
    assert "well works again" in told
    assert "ops@here.example" in told
    assert "[Salesforce connections] 2 alarms: refused, well ops@here.example" in told
    assert "down-1 “Ann &lt;ann@acme.example&gt;”" in told
    assert "not yet" in told


def test_who_does_not_see_a_connection_does_not_see_its_alarm(troubled: World) -> None:
    inside, outside = Group.objects.create(name="inside"), Group.objects.create(name="outside")
    hidden = ConnectedApp.objects.exclude(name="down-1")
    GroupAccess.objects.bulk_create(GroupAccess(connection=each, group=inside) for each in hidden)
    insider = person("view_health", "manage_keys", groups=(inside,))
    outsider = person("view_health", "manage_keys", groups=(outside,))
    assert "refused fails" in text(insider)
    assert "Messages" in text(insider)
    seen = text(outsider)
    assert "acme.my.salesforce.com does not answer: 1 connection" in seen
    for word in ("refused", "down-2", "well works", "Messages", "2 connections"):
        assert word not in seen
    listed = text(outsider, "/admin/sf_integration/alarm/")
    assert "acme.my.salesforce.com" in listed
    for word in ("refused", "2 connections", "ann@acme.example"):
        assert word not in listed
    changed = text(
        outsider, f"/admin/sf_integration/alarm/{Alarm.objects.get(kind=Alarm.Kind.HOST).pk}/change/"
    )
    assert "acme.my.salesforce.com" in changed
    for word in ("2 connections", "Count", "ann@acme.example"):
        assert word not in changed
    assert "refused connection fails" in text(insider, "/admin/sf_integration/alarm/")
    assert "refused" not in text(outsider, "/admin/sf_integration/alarmmessage/")
    assert person("run_checks").get(PAGE).status_code == 403


def test_a_missing_key_of_hidden_connections_alone_is_not_told(world: World) -> None:
    inside = Group.objects.create(name="inside")
    GroupAccess.objects.create(connection=world.connect("acme"), group=inside)
    SigningKey.objects.update(
        private_key=Sealed(f"v1.deadbeef{world.key.private_key.ciphertext[11:]}", "deadbeef")
    )
    world.after(1)
    assert world.after(2) == [("raised", "The encryption key deadbeef")]
    assert "deadbeef is missing: 1 connection" in text(person("view_health", groups=(inside,)))
    assert "deadbeef" not in text(person("view_health"))


def test_who_may_only_look_sees_neither_recipients_nor_messages_and_sends_no_test(troubled: World) -> None:
    looker = person("view_health")
    told = text(looker)
    assert "refused fails" in told
    assert "ops@here.example" not in told
    assert "Send a test" not in told
    assert looker.post(f"{PAGE}test/").status_code == 403
    assert mail.outbox == []
    assert looker.get("/admin/sf_integration/alarmmessage/").status_code == 403


def test_a_test_is_sent_at_a_click_and_its_outcome_told(world: World, admin_client: Client) -> None:
    world.configure(ALARM_CHANNELS={"chat": "nonsense://x"})
    answer = admin_client.post(f"{PAGE}test/", follow=True).content.decode()
    assert "ops@here.example: sent." in answer
    assert "chat: not sent, its URL is none that Apprise knows." in answer
    assert mail.outbox[0].to == ["ops@here.example"]
    assert "sent by admin from https://connections.example" in mail.outbox[0].body
    event = AuditEvent.objects.get()
    assert (event.actor, event.act, event.count) == ("admin", "tested alarms", 2)


def test_tests_are_no_way_to_fill_a_mailbox(world: World, admin_client: Client) -> None:
    for _ in range(6):
        answer = admin_client.post(f"{PAGE}test/", follow=True).content.decode()
    assert "5 tests were sent within 10 minutes: wait a few minutes." in answer
    assert len(mail.outbox) == 5
    AuditEvent.objects.update(at=timezone.now() - minutes(11))
    admin_client.post(f"{PAGE}test/")
    assert len(mail.outbox) == 6


def test_nobody_to_tell_is_told(world: World, admin_client: Client) -> None:
    world.configure(ALARM_MAIL=[])
    assert "The site has no contacts of its own." in text(admin_client)
    assert (
        "Nobody is to be told of alarms." in admin_client.post(f"{PAGE}test/", follow=True).content.decode()
    )


@pytest.mark.django_db(transaction=True)
def test_the_command_line_lists_and_sends(troubled: World) -> None:
    printed = json.loads(salesforce("alarms", "--json").out)
    assert [(each["kind"], each["title"]) for each in printed if each["kind"] == "connection"] == [
        ("connection", "refused fails")
    ]
    assert {"since", "who", "remedy", "connections", "level"} <= printed[0].keys()
    assert mail.outbox == []
    salesforce("alarms", "--send")
    assert {message.to[0] for message in mail.outbox} == {"ann@acme.example", "ops@here.example"}
    assert not AlarmMessage.objects.filter(next_try_at__isnull=False).exists()


@pytest.mark.django_db(transaction=True)
def test_the_command_line_sends_tests(world: World) -> None:
    assert "ops@here.example: sent." in salesforce("test-alarm").out
    assert "eve@x.example: sent." in salesforce("test-alarm", "--to", "eve@x.example").out
    refused = salesforce("test-alarm", "--to", "nobody")
    assert refused.status == 1
    assert "“nobody” is neither an e-mail address nor the name of a channel" in refused.err


@pytest.mark.once
def test_the_task_looks_and_sends(world: World) -> None:
    world.now = timezone.now() - minutes(3)
    world.key = world.signing_key("present")  # the world's own is as old as its clock
    world.connect("acme")
    world.fail("acme")
    world.beat()
    tasks.tell_alarms()
    assert [message.subject for message in mail.outbox] == ["[Salesforce connections] acme fails"]


def test_what_is_long_over_is_pruned(troubled: World) -> None:
    AlarmMessage.objects.update(next_try_at=None, sent_at=troubled.now)
    health.tidy(troubled.now + minutes(20 * 24 * 60))
    assert set(Alarm.objects.values_list("ended_at", flat=True)) == {None}
    assert not AlarmMessage.objects.exists()


@pytest.mark.once
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"ALARM_MAIL": ["Ann <ann@x.example>"]}, "sf_integration.E006"),
        ({"ALARM_MAIL": ["ann@x.example"]}, "sf_integration.W005"),
        ({"ALARM_CHANNELS": {"https://canary": ""}}, "sf_integration.E007"),
        ({"ALARM_CHANNELS": {"chat": "canary"}}, "sf_integration.E007"),
        ({"ALARM_CHANNELS": {"chat": "slack://canary/b/c"}}, ""),
        ({}, ""),
    ],
)
def test_malformed_settings_are_found_at_start(settings: Any, given: dict[str, Any], expected: str) -> None:
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, **given}
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    found = [*settings_checks.check_alarm_mail(), *settings_checks.check_alarm_channels()]
    assert expected in [*(each.id for each in found), *([""] if not found else [])]
    assert "canary" not in repr(found)


@pytest.mark.once
def test_channels_without_apprise_are_found_at_start(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "ALARM_CHANNELS": {"chat": "slack://a/b/c"}}
    monkeypatch.setattr(settings_checks, "find_spec", lambda name: None)
    [found] = settings_checks.check_alarm_channels()
    assert found.id == "sf_integration.W006"
    assert "extra notify" in found.hint
