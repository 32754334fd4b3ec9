"""The page of one connection: what its checks found over time, what is expected of the org, and its timeline."""

from __future__ import annotations

import datetime as dt
import re
from itertools import pairwise
from pathlib import Path

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import sf_integration
from sf_integration import health, keystore, tokens
from sf_integration.models import (
    AccessToken,
    AuditEvent,
    CheckDay,
    ConnectedApp,
    ConnectionCheck,
    ConnectionEvent,
)
from sf_integration.presentation import charts, timeline
from sf_integration.presentation.timeline import entries
from sf_integration.testing.django import ConnectableOrg
from tests.test_views import alice, groups, page, text_of

__all__ = ["alice", "groups"]  # fixtures
pytestmark = pytest.mark.django_db(transaction=True)

HOUR = dt.timedelta(hours=1)
ACME, TIMELINE = "/connections/acme/", "/connections/acme/timeline/"
THREE = dt.datetime(2026, 11, 20, 3, tzinfo=dt.UTC)
"""Of the night in question."""


def check(
    connection: ConnectedApp, at: dt.datetime, state: str = "Healthy", **more: object
) -> ConnectionCheck:
    facts = {"asked_by": "beat", "light": True, "healthy": state == "Healthy", "milliseconds": 30} | more
    return ConnectionCheck.objects.create(connection=connection, at=at, state=state, **facts)


def event(connection: ConnectedApp, at: dt.datetime, kind: str, code: str = "") -> ConnectionEvent:
    return ConnectionEvent.objects.create(
        connection=connection, at=at, kind=kind, code=code, username=connection.username
    )


def act(connection: ConnectedApp, at: dt.datetime, act: str, **more: object) -> AuditEvent:
    return AuditEvent.objects.create(actor="bob", act=act, subject_id=connection.pk, at=at, **more)


@pytest.fixture
def night(salesforce_org: ConnectableOrg) -> ConnectedApp:
    """All well each ten minutes from 02:00 on, with one renewal; trouble at 03:12, an edit, and a whole check that heals."""
    acme = salesforce_org.connect("acme")
    for minutes in range(0, 80, 10):
        check(acme, THREE - HOUR + dt.timedelta(minutes=minutes))
    event(acme, THREE - HOUR / 2 + dt.timedelta(seconds=5), "signed in")
    event(acme, THREE + dt.timedelta(minutes=12, seconds=1), "sign-in failed", "invalid_grant")
    check(acme, THREE + dt.timedelta(minutes=12, seconds=2), "Failing", light=False)
    event(acme, THREE + dt.timedelta(minutes=12, seconds=3), "state changed", "Failing")
    act(acme, THREE + dt.timedelta(minutes=20), "changed", fields=["session_minutes", "username"])
    act(acme, THREE + dt.timedelta(minutes=20), "checked")
    check(acme, THREE + dt.timedelta(minutes=21), light=False, asked_by="bob")
    act(acme, THREE + dt.timedelta(minutes=30), "looked up", fields=["Account"])
    return acme


# ---- the checks over time -------------------------------------------------------------------------------------------


def test_share_of_each_period_is_told_also_where_single_checks_are_gone(
    salesforce_org: ConnectableOrg, alice: Client
) -> None:
    acme, now = salesforce_org.connect("acme"), timezone.now()
    for hours in range(1, 23):
        check(acme, now - hours * HOUR)
    check(acme, now - HOUR / 2, "Failing", milliseconds=1234)
    check(acme, now - 30 * HOUR, "Failing")
    gone = {"worst_state": "Healthy", "median_milliseconds": 30, "slowest_milliseconds": 90}
    for days in (8, 29, 31):
        CheckDay.objects.create(
            connection=acme, day=now.date() - dt.timedelta(days=days), checks=100, healthy=100, **gone
        )
    told = page(alice, ACME)
    assert "24 hours 95.7 % 7 days 91.7 % 30 days 99.1 %" in told
    assert "22 of 23 checks found it working" in told
    assert "22 of 23 found it working (95.7 %). The slowest took 1234 ms." in told
    assert "222 of 224 found it working" in page(alice, f"{ACME}?period=30d")


def test_a_day_is_counted_once_when_its_single_checks_are_still_there(salesforce_org: ConnectableOrg) -> None:
    acme, now = salesforce_org.connect("acme"), timezone.now()
    yesterday = now.replace(hour=1) - dt.timedelta(days=1)
    for minutes in range(3):
        check(acme, yesterday + dt.timedelta(minutes=minutes))
    CheckDay.objects.create(
        connection=acme,
        day=yesterday.date(),
        checks=3,
        healthy=3,
        worst_state="Healthy",
        median_milliseconds=30,
        slowest_milliseconds=30,
    )
    assert [chart.checks for chart in charts.of_connection(acme, now)[1:]] == [3, 3]


def test_it_tells_how_often_the_token_was_handed_out(salesforce_org: ConnectableOrg, alice: Client) -> None:
    salesforce_org.connect("acme")
    tokens.get("acme", counts_as_use=False)
    assert "Handed out" not in page(alice, ACME)
    tokens.reset()
    tokens.get("acme")
    assert "Handed out 1 time, last just now" in page(alice, ACME)
    AccessToken.objects.update(uses=4711)
    assert "Handed out 4711 times, last just now" in page(alice, ACME)


def test_only_all_is_a_hundred_percent() -> None:
    assert [charts.share_in_words(*each) for each in ((9999, 10_000), (1, 10_000), (4, 4), (0, 3))] == [
        "99.9 %",
        "0.1 %",
        "100 %",
        "0 %",
    ]
    assert [charts.nice_ceiling(each) for each in (0, 10, 11, 569, 30_000)] == [10, 10, 20, 1000, 50_000]


@pytest.mark.parametrize("path", [ACME, TIMELINE])
def test_queries_don_t_grow_with_history_and_load_steps_of_the_shown_check_alone(
    night: ConnectedApp, alice: Client, path: str
) -> None:
    def queries() -> list[str]:
        with CaptureQueriesContext(database) as captured:
            assert alice.get(path).status_code == 200
        return [query["sql"] for query in captured]

    # The dearest there is: failing, with a next try, a staged key and one before it, and a light check as the last one.
    keys = {"staged_signing_key": keystore.make(name="next"), "previous_signing_key": night.signing_key}
    ConnectedApp.objects.update(consumer_key="3MVG9nonsense", **keys)
    alice.post(f"{ACME}check/")
    check(night, timezone.now())
    few = queries()
    for minutes in range(200):
        check(night, timezone.now() - dt.timedelta(minutes=minutes))
        event(night, timezone.now() - dt.timedelta(minutes=minutes), "signed in")
    many = queries()
    assert len(many) == len(few) <= 16
    assert sum('"steps"' in sql for sql in many) == (path == ACME)


# ---- who and which org ----------------------------------------------------------------------------------------------


def test_another_org_than_the_pinned_one_is_marked_in_words(
    salesforce_org: ConnectableOrg, alice: Client
) -> None:
    salesforce_org.connect("acme", expected_org_id="00D5g000004FaKeEAK")
    alice.post(f"{ACME}check/")
    told = page(alice, ACME)
    assert f"Org id 00D5g000004FaKeEAK differs: {salesforce_org.id}" in told
    assert "User as expected: integration@nordhafen.example" in told or "User integration" in told


def test_what_was_found_is_told_until_the_settings_are_others(
    salesforce_org: ConnectableOrg, alice: Client
) -> None:
    salesforce_org.connect("acme")
    alice.post(f"{ACME}check/")
    told = page(alice, ACME)
    for fact in (
        f"User as expected: {salesforce_org.user.username}",
        f"Org id as expected: {salesforce_org.id}",
        "Edition Developer Edition",
        "Scopes api as expected: api",
        "API version 67.0 as expected: up to 67.0",
    ):
        assert fact in told
    ConnectedApp.objects.update(username="another@nordhafen.example")
    told = page(alice, ACME)
    assert "User another@nordhafen.example is expected" in told
    assert "Developer Edition" not in re.split("Who and which org", told)[1]


def test_settings_say_that_the_kind_of_org_is_not_known_before_the_first_check(
    salesforce_org: ConnectableOrg,
) -> None:
    acme = salesforce_org.connect("acme")
    first, second = (health.check_connection(acme, asked_by="test").steps[0]["message"] for _ in range(2))
    assert first.endswith("audience the same, kind of org not known yet")
    assert second.endswith("audience the same, developer")


def test_an_old_certificate_uploaded_again_is_a_remark_of_the_check(salesforce_org: ConnectableOrg) -> None:
    acme = salesforce_org.connect("acme")
    old, new = acme.signing_key, keystore.make(name="next")
    ConnectedApp.objects.update(signing_key=new, previous_signing_key=old, promoted_at=timezone.now())
    ran = health.check_connection(ConnectedApp.objects.get(), asked_by="test")
    step = next(step for step in ran.steps if step["step"] == "sign_in")
    assert (ran.state, step["status"], step["code"]) == ("Healthy", "ok", "previous_key_serves")
    assert "with the key acme, which is tried for 7 days" in step["message"]
    assert "The org took the signing key before the present one" in step["cause"]
    assert "undo the promotion" in step["remedy"]


def test_what_the_org_told_under_other_settings_is_not_shown(
    salesforce_org: ConnectableOrg, alice: Client
) -> None:
    acme = salesforce_org.connect("acme")
    assert "kind unknown" in page(alice, ACME)
    health.check_connection(acme, asked_by="test")
    told = page(alice, ACME)
    assert "kind unknown" not in told
    assert re.search(r"API calls, 24 hours \d+ of 15,000", told)
    ConnectedApp.objects.update(username="other@acme.example")
    told = page(alice, ACME)
    assert "kind unknown" in told
    assert "API calls, 24 hours not known" in told


# ---- the timeline ---------------------------------------------------------------------------------------------------


def test_no_renewal_is_promised_while_paused(salesforce_org: ConnectableOrg, alice: Client) -> None:
    acme = salesforce_org.connect("acme")
    health.check_connection(acme, asked_by="test")
    assert "renewed in " in page(alice, ACME)
    ConnectedApp.objects.update(enabled=False)
    told = page(alice, ACME)
    assert "not renewed while paused" in told
    assert "renewed in " not in told
    assert "Next renewal none while paused" in told


def test_every_act_of_the_trail_has_its_words_in_the_timeline() -> None:
    app = Path(sf_integration.__file__).parent
    acts = set(
        re.findall(
            r'audit\.record(?:_many)?\(\s*"([^"]+)"', "".join(each.read_text() for each in app.rglob("*.py"))
        )
    )
    of_nothing_that_has_a_timeline = {
        "deleted",
        "deleted key",
        "discarded set-up",
        "exported connections",
        "exported audit trail",
        "made schedule",
        "tested alarms",
        "re-encrypted",
        "made API client",
        "changed API client",
        "replaced API key",
        "revoked API client",
        "deleted API client",
        "first used API key",
    }
    assert {"changed", "broke stand-in", "made key"} < acts
    assert acts - of_nothing_that_has_a_timeline - {"checked"} <= entries.ACTS.keys()


def test_what_is_done_to_the_signing_key_is_told_apart(
    salesforce_org: ConnectableOrg, alice: Client, admin_client: Client
) -> None:
    acme = salesforce_org.connect("acme")
    admin_client.post(f"/admin/sf_integration/signingkey/{acme.signing_key_id}/change/", {"name": "renamed"})
    assert "Signing key edited by admin · name" in page(alice, TIMELINE)


def test_timeline_tells_in_one_line_what_happened_and_folds_what_tells_nothing(
    night: ConnectedApp, alice: Client
) -> None:
    told = page(alice, TIMELINE)
    in_order = [
        "Friday, 20 November 2026",
        "03:30:00 Records looked up by bob · Account",
        "03:21:00 Check Healthy by bob",
        "03:20:00 Edited by bob · session length, username",
        "03:12:03 State changed Failing",
        "03:12:02 Check Failing by beat",
        "03:12:01 Sign-in failed invalid_grant",
        "02:00&ndash;03:10 8 light checks and 1 sign-in, all well",
    ]
    places = [told.index(words) for words in in_order]
    assert places == sorted(places)
    assert "Checked" not in told  # the check itself tells who asked for it


@pytest.mark.parametrize(
    ("kind", "has", "has_not"),
    [
        ("checks", "8 light checks, all well", "Edited"),
        ("sign-ins", "invalid_grant", "State changed"),
        ("states", "State changed", "invalid_grant"),
        ("changes", "Edited", "Records looked up"),
        ("uses", "Records looked up", "Edited"),
    ],
)
def test_timeline_is_narrowed_to_a_kind(
    night: ConnectedApp, alice: Client, kind: str, has: str, has_not: str
) -> None:
    told = text_of(alice.get(TIMELINE, {"kind": kind}).content.decode())
    assert has in told
    assert has_not not in told


def test_a_moment_can_be_asked_for(night: ConnectedApp, alice: Client) -> None:
    html = alice.get(TIMELINE, {"at": "2026-11-20T03:12"}).content.decode()
    assert html.count("sf-line-asked") == 3
    assert "Edited" not in html
    assert "Newer" in html
    assert "Nothing is kept of 20 Nov 2026, 02:45" in text_of(
        alice.get(TIMELINE, {"at": "2026-11-20T02:45"}).content.decode()
    )


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"at": "at night"}, "Give a day and a time, as 2026-11-22T03:12."),
        ({"at": "9999-12-31T23:59"}, "Give a day and a time, as 2026-11-22T03:12."),
        ({"before": "nonsense"}, "The address leads to no place in the timeline."),
        ({"after": "20261120T031200.000000-xyz"}, "The address leads to no place in the timeline."),
        ({"kind": "secrets"}, "Select a valid choice."),
    ],
)
def test_what_can_t_be_read_is_said_above_the_newest(
    night: ConnectedApp, alice: Client, asked: dict[str, str], sentence: str
) -> None:
    told = text_of(alice.get(TIMELINE, asked).content.decode())
    assert sentence in told
    assert "Records looked up" in told


def test_pages_have_each_entry_once_in_both_directions_also_of_one_moment(
    salesforce_org: ConnectableOrg,
) -> None:
    acme, now = salesforce_org.connect("acme"), timezone.now()
    for number in range(20):
        at = now - dt.timedelta(minutes=number // 5)
        check(acme, at, light=False)
        event(acme, at, "signed in")
    whole = _places(timeline.page_of(acme, timeline.Window()))
    assert len(set(whole)) == 40
    assert all(newer > older for newer, older in pairwise(whole))

    page = timeline.page_of(acme, timeline.Window(size=7))
    walked = [_places(page)]
    while page.older:
        page = timeline.page_of(acme, timeline.Window(before=timeline.Place.read(page.older), size=7))
        walked.append(_places(page))
    assert [place for places in walked for place in places] == whole
    for before in reversed(walked[1:-1]):
        page = timeline.page_of(acme, timeline.Window(after=timeline.Place.read(page.newer), size=7))
        assert _places(page) == before


def _places(page: timeline.Page) -> list[timeline.Place]:
    return [
        entry.place
        for day in page.days
        for item in day.items
        for entry in (item.entries if isinstance(item, timeline.Run) else [item])
    ]


def test_a_state_of_another_release_breaks_no_page(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    """A newer release wrote it, before it was taken back."""
    acme, now = salesforce_org.connect("acme"), timezone.now()
    check(acme, now - HOUR, "Haunted")
    CheckDay.objects.create(
        connection=acme,
        day=(now - 3 * 24 * HOUR).date(),
        checks=1,
        healthy=0,
        worst_state="Haunted",
        median_milliseconds=30,
        slowest_milliseconds=30,
    )
    admin = "/admin/sf_integration"
    for path in ("/connections/", ACME, TIMELINE, f"{admin}/connectioncheck/", f"{admin}/checkday/"):
        answer = admin_client.get(path)
        assert answer.status_code == 200, path
    assert "Haunted" in admin_client.get(TIMELINE).content.decode()
