"""What is told, to whom and how often, on a clock that the test moves."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any

import pytest
from django.db import connection as database
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sf_integration import audit
from sf_integration.access import SHELL
from sf_integration.alarms import rounds
from sf_integration.alarms.matters import loudness
from sf_integration.fields import Sealed
from sf_integration.models import Alarm, AlarmMessage, AuditEvent, ConnectedApp, SigningKey
from sf_integration.signals import alarm_changed
from tests.alarms.conftest import REFUSAL, SILENCE, World, minutes

OPS = "mail:ops@here.example"
DAY = 24 * 60


# ---- one connection ----


def test_a_failure_is_told_once_with_all_that_is_needed_and_so_is_its_end(world: World) -> None:
    acme = world.connect("acme", label="Acme Coffee", our_contacts="ann@acme.example\nno address")
    event = audit.record("changed", acme, actor=SHELL, fields=["username", "consumer_key"])
    AuditEvent.objects.filter(pk=event.pk).update(at=world.now - minutes(20))
    world.fail("acme")
    assert world.after(1) == []
    assert world.after(1) == [("raised", "acme")]
    told = world.messages()
    assert list(told) == ["mail:ann@acme.example"]
    message = told["mail:ann@acme.example"]
    assert message.subject == "[Salesforce connections] acme fails"
    assert message.tone == "failure"
    for words in (
        "Since: 2026-06-01 12:00 UTC",
        "Cause: The user is not pre-authorised.",
        "Who must act: Salesforce admin of the org",
        "What to do: Assign the permission set.",
        "Where to click: Setup → Permission Sets",
        "Code: invalid_app_access",
        "- 11:40 command line: changed (consumer_key, username)",
        "Connection: Acme Coffee (acme)",
        "Org: acme.my.salesforce.com, production",
        "Salesforce user: integration@acme.example",
        "https://connections.example/connections/acme/",
    ):
        assert words in message.body.splitlines()
    assert world.after(1) == []
    world.mend("acme")
    assert world.after(1) == []
    assert world.after(2) == [("ended", "acme")]
    over = world.messages()["mail:ann@acme.example"]
    assert over.subject == "[Salesforce connections] Over: acme works again"
    assert "It began 2026-06-01 12:00 UTC and ended 2026-06-01 12:04 UTC." in over.body
    assert over.in_reply_to == message.pk
    assert over.tone == "success"
    assert Alarm.objects.get().ending == "recovered"
    assert world.after(5) == []


def test_what_passes_by_itself_is_told_to_nobody(world: World) -> None:
    world.connect("acme")
    for _ in range(5):
        world.fail("acme")
        assert world.after(0.5) == []
        world.mend("acme")
        assert world.after(0.5) == []
    assert not Alarm.objects.exists()


def test_an_outage_with_short_recoveries_is_one_alarm(world: World) -> None:
    world.connect("acme")
    world.fail("acme")
    assert world.after(3) == [("raised", "acme")]
    for _ in range(3):
        world.mend("acme")
        assert world.after(1) == []
        world.fail("acme")
        assert world.after(1) == []
    assert AlarmMessage.objects.count() == 1


def test_it_becomes_louder_by_the_days_it_lasts(world: World) -> None:
    world.connect("acme", our_contacts="ann@acme.example")
    world.fail("acme")
    world.after(5)
    assert list(world.messages()) == ["mail:ann@acme.example"]
    told = []
    begun = world.now - minutes(5)
    for day in (1, 2, 3, 6, 7, 8, 13, 14, 29, 30, 31, 59, 60, 61, 90):
        world.fail("acme")  # another try, which failed as well
        world.now = begun + minutes(day * DAY)
        if world.after(0):
            told.append(day)
            subjects = {target: message.subject for target, message in world.messages().items()}
            assert subjects.keys() == {"mail:ann@acme.example", OPS}
            assert subjects["mail:ann@acme.example"].endswith(f"for {day} day{'s' * (day > 1)} now")
    assert told == [1, 3, 7, 14, 30, 60, 90]


@pytest.mark.parametrize(
    ("days", "level"), [(0, 0), (1, 1), (2, 1), (3, 2), (29, 4), (30, 5), (59, 5), (60, 6), (400, 17)]
)
def test_loudness(days: int, level: int) -> None:
    assert loudness(dt.timedelta(days=days, hours=5)) == level


@pytest.mark.parametrize(
    ("change", "ending"),
    [
        ({"enabled": False}, "paused"),
        ({"environment": "sandbox", "environment_for": "subject"}, "paused"),
        (None, "deleted"),
    ],
)
def test_paused_barred_or_deleted_ends_without_a_word(
    world: World, change: dict[str, Any] | None, ending: str
) -> None:
    acme = world.connect("acme")
    world.fail("acme")
    world.after(3)
    world.messages()
    if change is None:
        acme.delete()
    else:
        world.configure(ALLOWED_ENVIRONMENTS=["production"])
        changes = {
            key: acme.environment_subject if value == "subject" else value for key, value in change.items()
        }
        ConnectedApp.objects.update(**changes)
    assert world.after(1) == [("ended", "acme")]
    assert world.messages() == {}
    assert Alarm.objects.get().ending == ending
    ConnectedApp.objects.update(enabled=True, environment="production")
    assert world.after(1) == ([] if change is None else [("raised", "acme")])


def test_a_paused_connection_alarms_nobody(world: World) -> None:
    world.connect("acme", enabled=False)
    world.fail("acme")
    assert world.after(10) == []


def test_a_renamed_connection_keeps_its_alarm(world: World) -> None:
    world.connect("acme")
    world.fail("acme")
    world.after(3)
    ConnectedApp.objects.update(name="globex")
    assert world.after(1) == []
    assert Alarm.objects.get().title == "globex"
    world.mend("globex")
    world.after(1)
    assert world.after(3) == [("ended", "globex")]


def test_a_new_app_is_given_the_time_it_needs(world: World) -> None:
    world.connect("acme", settings_since=world.now)
    world.fail("acme")
    assert world.after(5) == []
    assert world.after(6) == [("raised", "acme")]


# ---- hosts ----


def test_a_storm_is_one_alarm_and_one_message_each_by_few_queries(world: World) -> None:
    names = [f"c{number:04}" for number in range(1000)]
    world.connect_many(names[:500], our_contacts="ann@acme.example")
    world.connect_many(names[500:999], our_contacts="bob@globex.example")
    world.connect("c0999", our_contacts="eve@hidden.example", label="Secret customer")
    world.fail(*names, error=SILENCE)
    with CaptureQueriesContext(
        database,
    ) as raising:
        assert world.after(3) == [("raised", "acme.my.salesforce.com")]
    told = world.messages()
    assert told.keys() == {"mail:ann@acme.example", "mail:bob@globex.example", "mail:eve@hidden.example"}
    assert told["mail:ann@acme.example"].subject.endswith(
        "acme.my.salesforce.com does not answer: 500 connections"
    )
    assert "c0999" not in told["mail:ann@acme.example"].body
    assert "Connections: c0999" in told["mail:eve@hidden.example"].body
    assert "host=acme.my.salesforce.com" in told["mail:eve@hidden.example"].body
    with CaptureQueriesContext(database) as nothing_new:
        assert world.after(1) == []
    world.mend(*names)
    world.after(1)
    assert world.after(2) == [("ended", "acme.my.salesforce.com")]
    assert len(world.messages()) == 3
    assert Alarm.objects.get().count == 1000
    assert (len(raising), len(nothing_new)) <= (20, 15)


def test_who_joins_an_outage_is_told_then_and_the_others_hear_nothing(world: World) -> None:
    world.connect_many(["a", "b"], our_contacts="ann@acme.example")
    world.connect("late", our_contacts="bob@globex.example")
    world.fail("a", "b", error=SILENCE)
    world.after(3)
    assert list(world.messages()) == ["mail:ann@acme.example"]
    world.fail("late", error=SILENCE)
    assert world.after(1) == []
    assert list(world.messages()) == ["mail:bob@globex.example"]
    assert world.after(1) == []
    world.mend("a", "b")
    assert world.after(5) == []  # one still fails for it: no second alarm, no early all-clear
    world.mend("late")
    world.after(1)
    assert world.after(2) == [("ended", "acme.my.salesforce.com")]
    assert world.messages().keys() == {"mail:ann@acme.example", "mail:bob@globex.example"}


def test_one_connections_alarm_goes_on_as_its_hosts_without_being_told_again(world: World) -> None:
    world.connect("a", our_contacts="ann@acme.example")
    world.connect("b", our_contacts="bob@globex.example")
    world.fail("a", error=SILENCE)
    assert world.after(3) == [("raised", "a")]
    world.messages()
    world.fail("b", error=SILENCE)
    assert world.after(1) == [("ended", "a"), ("raised", "acme.my.salesforce.com")]
    assert list(world.messages()) == ["mail:bob@globex.example"]
    assert Alarm.objects.get(kind="connection").ending == "merged"
    world.mend("a", "b")
    world.after(1)
    world.after(2)
    assert world.messages().keys() == {"mail:ann@acme.example", "mail:bob@globex.example"}


def test_a_storm_of_refusals_is_one_mail_that_stays_short(world: World) -> None:
    names = [f"c{number:04}" for number in range(400)]
    world.connect_many(names)
    world.fail(*names)
    assert len(world.after(3)) == 400
    message = world.messages()[OPS]
    assert message.subject.startswith("[Salesforce connections] 400 alarms: c0000, c0001")
    assert message.body.count("Cause:") == 20
    assert "and 180 more" in message.body
    assert len(message.body) < 20_000


def test_several_matters_of_one_round_are_one_message(world: World) -> None:
    world.connect_many(["a", "b", "c"], tags=["emea"])
    world.configure(
        ALARM_CHANNELS={"chat": "json://127.0.0.1:1", "asia": {"URL": "json://x", "TAGS": ["APAC"]}}
    )
    world.fail("a", "b")
    assert len(world.after(3)) == 2
    told = world.messages()
    assert told.keys() == {OPS, "channel:chat"}
    assert told[OPS].subject == "[Salesforce connections] 2 alarms: a, b"
    assert told[OPS].body.count("Cause:") == 2


# ---- warnings, certificates, keys, the scheduler ----


def test_warnings_are_told_once_and_never_louder(world: World) -> None:
    warning = {"code": "limits_near", "step": "limits", "message": "81 % of the daily API calls are used."}
    world.connect("acme", warnings=[warning], our_contacts="ann@acme.example")
    assert world.after(1) == []
    assert world.after(2) == [("raised", "acme")]
    assert "Cause: 81 % of the daily API calls are used." in world.messages()["mail:ann@acme.example"].body
    assert world.after(40 * DAY) == []
    ConnectedApp.objects.update(warnings=[])
    world.after(1)
    assert world.after(2) == [("ended", "acme")]


def test_a_certificate_is_told_once_per_stage_for_all_its_connections(world: World) -> None:
    world.key = world.signing_key("packaged", days=70)
    world.connect_many(
        ["a", "b"], our_contacts="ann@acme.example", last_success_at=world.now + minutes(90 * DAY)
    )
    told, gone = {}, world.now
    for left in (61, 59.9, 58, 30.1, 29.9, 15, 13.9, 7.1, 6.9, 2, 0.9, 0.1, -0.1, -0.9, -1.1):
        world.now = gone + minutes((70 - left) * DAY)
        if world.after(0):
            told[left] = set(world.messages())
    assert list(told) == [59.9, 29.9, 13.9, 6.9, 0.9, -0.1, -1.1]
    assert told[59.9] == {"mail:ann@acme.example"}
    assert told[29.9] == {"mail:ann@acme.example", OPS}
    SigningKey.objects.update(not_after=world.now + minutes(400 * DAY))
    world.after(1)
    assert world.after(2) == [("ended", "packaged")]
    over = world.messages()[OPS]
    assert over.subject.endswith("The certificate of the signing key packaged is renewed or replaced")


def test_missing_encryption_keys_are_told_by_their_id(world: World) -> None:
    world.connect_many(["a", "b"], our_contacts="ann@acme.example")
    sealed = world.key.private_key.ciphertext
    SigningKey.objects.update(private_key=Sealed(f"v1.deadbeef{sealed[11:]}", "deadbeef"))
    assert world.after(1) == []
    assert world.after(2) == [("raised", "The encryption key deadbeef")]
    told = world.messages()
    assert told.keys() == {OPS, "mail:ann@acme.example"}
    assert told[OPS].subject.endswith("The encryption key deadbeef is missing: 2 connections")


def test_contacts_of_one_connection_are_no_mailing_list(world: World) -> None:
    contacts = "".join(f"someone-{number}@other.example\n" for number in range(1_000))
    world.connect("acme", our_contacts='"\x1b[2J"@other.example\n' + contacts)
    world.fail("acme")
    world.after(3)
    told = world.messages()
    assert len(told) == 20
    assert all(target.isprintable() for target in told)


def test_a_silent_scheduler_is_told_only_when_it_was_watched(world: World) -> None:
    """After a weekend switched off, the first minute is no alarm."""
    assert world.after(3 * DAY, beat=False) == []
    assert world.after(1) == []
    assert not Alarm.objects.exists()
    assert world.after(10, beat=False) == []
    assert world.after(2, beat=False) == [("raised", "The scheduler")]
    assert "The scheduler is silent" in world.messages()[OPS].subject
    world.after(1)
    assert world.after(2) == [("ended", "The scheduler")]
    assert "Over: The scheduler works again" in world.messages()[OPS].subject


# ---- at once, and once ----


@pytest.mark.django_db(transaction=True)
def test_rounds_side_by_side_tell_once(world: World) -> None:
    world.connect_many([f"c{number}" for number in range(30)], our_contacts="ann@acme.example")
    world.fail(*(f"c{number}" for number in range(30)))
    world.now += minutes(5)
    world.beat()
    now, start, results = world.now, threading.Barrier(6), []

    def go(number: int) -> None:
        try:
            start.wait()
            results.append(rounds.run(now + dt.timedelta(milliseconds=number % 3)))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=go, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(map(len, results)) == [0, 0, 0, 0, 0, 30]
    assert Alarm.objects.count() == 30
    assert AlarmMessage.objects.count() == 1


def test_a_round_that_looked_earlier_than_the_last_gives_way_and_a_wrong_clock_blocks_nobody(
    world: World,
) -> None:
    world.connect("acme")
    world.fail("acme")
    assert world.after(60) == [("raised", "acme")]
    world.mend("acme")
    assert rounds.run(world.now - minutes(1)) == []
    assert Alarm.objects.get().calm_since is None
    rounds.run(world.now - minutes(30))  # the last round's clock was an hour ahead
    assert Alarm.objects.get().calm_since is not None


def test_a_round_that_breaks_off_leaves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.connect("acme")
    world.fail("acme")

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(AlarmMessage.objects, "bulk_create", broken)
        with pytest.raises(RuntimeError):
            world.after(3)
    assert not Alarm.objects.exists()
    assert world.after(1) == [("raised", "acme")]


def test_listeners_are_told_of_each_change(world: World) -> None:
    told: list[tuple[str, str]] = []

    def hear(alarm: Alarm, change: str, **_: object) -> None:
        told.append((alarm.title, change))

    alarm_changed.connect(hear)
    try:
        world.connect("acme")
        world.fail("acme")
        for later in (3, DAY):
            world.after(later)
        world.mend("acme")
        for later in (1, 2):
            world.after(later)
    finally:
        alarm_changed.disconnect(hear)
    assert told == [("acme", "raised"), ("acme", "louder"), ("acme", "ended")]


def test_hostile_texts_stay_texts(world: World) -> None:
    world.connect("acme", label="Acme\r\nBcc: eve@evil.example\x1b[2J", our_contacts="a@b.example")
    hostile = REFUSAL | {"cause": "<script>alert(1)</script>\n" + "x" * 10_000, "where": "line\r\nline"}
    world.fail("acme", error=hostile)
    world.after(3)
    message = world.messages()["mail:a@b.example"]
    assert "\n" not in message.subject
    assert len(message.body) < 3000
    assert "\x1b" not in message.body
    assert "Connection: Acme Bcc: eve@evil.example [2J (acme)" in message.body.splitlines()
    assert "Where to click: line line" in message.body.splitlines()
    assert timezone.is_aware(message.created_at)
