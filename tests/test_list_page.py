"""The list of connections: what it tells, narrows down, sorts, and does to many at once."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from celery import current_app
from django.contrib.auth.models import Group, Permission, User
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.formats import date_format
from kombu.exceptions import OperationalError

from sf_integration import get_token, tasks, tokens
from sf_integration.fields import seal
from sf_integration.models import (
    AccessToken,
    AuditEvent,
    ConnectedApp,
    ConnectionCheck,
    GroupAccess,
    SigningKey,
)
from sf_integration.presentation.strips import Check, Strip, start_of_day
from sf_integration.services import selected
from sf_integration.state import ConnectionState
from sf_integration.testing.django import ConnectableOrg
from tests.test_views import many, text_of

pytestmark = pytest.mark.django_db(transaction=True)

PAGE, SELECTED = "/connections/", "/connections/selected/"
MINUTE = dt.timedelta(minutes=1)
GONE = {
    "step": "sign_in",
    "code": "timeout",
    "cause": "No answer came in time.",
    "who": "Salesforce",
    "remedy": "Wait.",
}


@pytest.fixture
def alice(client: Client) -> Client:
    """May look and operate."""
    user = User.objects.create_user("alice")
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_health", "run_checks"]))
    client.force_login(user)
    return client


@pytest.fixture
def eager() -> Iterator[None]:
    """Tasks run where they are sent."""
    current_app.conf.task_always_eager = True
    yield
    current_app.conf.task_always_eager = False


def page(client: Client, query: str = "") -> str:
    return text_of(html(client, query))


def html(client: Client, query: str = "") -> str:
    response = client.get(PAGE + query)
    assert response.status_code == 200
    return str(response.content.decode())


def names(client: Client, query: str = "") -> list[str]:
    """In the order of the page."""
    return re.findall(r'class="sf-name" href="/connections/([^/]+)/"', html(client, query))


def well(**more: Any) -> dict[str, Any]:
    now = timezone.now()
    return {"last_checked_at": now, "last_success_at": now, **more}


def ids(*names: str) -> list[str]:
    return [str(ConnectedApp.objects.get(name=name).pk) for name in names]


# ---- what it tells ----


def test_each_row_tells_org_token_certificate_usage_and_its_day(
    salesforce_org: ConnectableOrg, alice: Client
) -> None:
    usage = {"used": 850, "limit": 1000, "at": timezone.now().isoformat()}
    acme = salesforce_org.connect("acme", **well(organization={"name": "Acme Inc", "api_usage": usage}))
    get_token("acme")
    for minutes, state in ((300, "Healthy"), (200, "Failing"), (100, "Healthy")):
        ConnectionCheck.objects.create(
            connection=acme,
            at=timezone.now() - minutes * MINUTE,
            asked_by="beat",
            healthy=state == "Healthy",
            state=state,
        )
    told = page(alice)
    assert "Acme Inc" in told
    assert re.search(r"h of 2 h of the session left|\d+ min of 2 h of the session left", told)
    assert "850 of 1,000 API calls in 24 hours" in told
    assert re.search(r"ends in \d+ days", told)
    assert re.search(r"24 h: 2 of 3 checks found it working; failing \d\d:\d\d-\d\d:\d\d", told)


def test_counts_tell_what_works_and_what_does_not(salesforce_org: ConnectableOrg, alice: Client) -> None:
    key = salesforce_org.connect("well", **well()).signing_key
    for name in ("sick", "ill"):
        salesforce_org.connect(name, signing_key=key, failing_since=timezone.now(), last_error={"cause": "x"})
    salesforce_org.connect("paused", signing_key=key, enabled=False)
    told = page(alice)
    assert "2 not working Failing 2" in told
    assert "1 working Healthy 1" in told
    assert "1 at rest Paused 1" in told


def test_an_old_token_is_no_token(salesforce_org: ConnectableOrg, alice: Client) -> None:
    salesforce_org.connect("acme", **well())
    get_token("acme")
    assert "session left" in page(alice)
    ConnectedApp.objects.update(consumer_key="another")
    assert "session left" not in page(alice)


# ---- one host's outage ----


def test_the_outage_of_a_host_is_told_once(salesforce_org: ConnectableOrg, alice: Client) -> None:
    now = timezone.now()
    key = salesforce_org.connect(
        "other", failing_since=now, last_error={"cause": "Something else."}
    ).signing_key
    began = now - 30 * MINUTE
    for number, (since, success) in enumerate(
        # The first failed for weeks, for another reason at first.
        [(now - dt.timedelta(days=20), None), (began, began - MINUTE), (began + MINUTE, began - 2 * MINUTE)]
    ):
        salesforce_org.connect(
            f"gone-{number}",
            signing_key=key,
            login_url="https://gone.my.salesforce.com",
            failing_since=since,
            last_success_at=success,
            last_error=GONE,
        )
    told = page(alice)
    at = date_format(timezone.localtime(began - MINUTE), "j M, H:i")
    assert (
        f"gone.my.salesforce.com has not answered since {at}: 3 connections No answer came in time." in told
    )
    assert told.count("No answer came in time.") == 1
    assert told.count("gone.my.salesforce.com does not answer: see above.") == 3
    assert "Something else." in told
    [href] = re.findall(r'href="([^"]+)">3 connections', html(alice))
    assert sorted(
        re.findall(r"/connections/(gone-\d)/", alice.get(href.replace("&amp;", "&")).content.decode())
    )


@pytest.mark.parametrize("change", [{"code": "invalid_grant"}, {"step": "limits"}])
def test_what_is_no_silence_of_the_login_host_is_no_outage(
    salesforce_org: ConnectableOrg, alice: Client, change: dict[str, str]
) -> None:
    key = None
    for name in ("one", "two"):
        more = {"signing_key": key} if key else {}
        key = salesforce_org.connect(
            name, failing_since=timezone.now(), last_error=GONE | change, **more
        ).signing_key
    assert "has not answered" not in page(alice)


# ---- narrowed down, sorted ----


@pytest.fixture
def three(salesforce_org: ConnectableOrg) -> None:
    now = timezone.now()
    key = salesforce_org.connect("anna", **well(tags=["emea", "crm"])).signing_key
    salesforce_org.connect(
        "bert", signing_key=key, tags=["emea%"], failing_since=now, last_error={"cause": "x"}
    )
    salesforce_org.connect("carl", **well(login_url="https://carl.my.salesforce.com"))
    ConnectedApp.objects.filter(name="anna").update(environment="sandbox")
    near = SigningKey(name="near", fingerprint="f", size=2048, not_after=now + dt.timedelta(days=20))
    near.private_key = seal(SigningKey, "private_key", near.pk, b"x")
    near.save()
    ConnectedApp.objects.filter(name="carl").update(signing_key=near)


FOUND = {
    "": ["bert", "carl", "anna"],
    "?state=failing": ["bert"],
    "?environment=sandbox": ["anna"],
    "?environment=production": ["bert", "carl"],
    "?tag=emea": ["anna"],
    "?tag=emea&q=bert": [],
    "?certificate=30": ["carl"],
    "?certificate=14": [],
    "?host=carl.my.salesforce.com": ["carl"],
    "?host=my.salesforce.com": [],
    "?sort=name": ["anna", "bert", "carl"],
    "?sort=-name": ["carl", "bert", "anna"],
    "?sort=certificate": ["carl", "anna", "bert"],
    "?state=nonsense&environment=x&certificate=x&sort=password&page=x": ["bert", "carl", "anna"],
    "?q=an%00n&tag=%00&host=%00": ["anna"],
}


def test_filters_combine_and_columns_sort(three: None, alice: Client) -> None:
    assert {query: names(alice, query) for query in FOUND} == FOUND


def test_each_filter_is_shown_and_can_be_taken_off(three: None, alice: Client) -> None:
    shown = html(alice, "?q=anna&tag=emea&state=healthy")
    hrefs = re.findall(r'class="sf-chip sf-dot-plain" href="([^"]+)"', shown)
    assert [href.replace("&amp;", "&") for href in hrefs] == [
        "/connections/?state=healthy&tag=emea",
        "/connections/?q=anna&tag=emea",
        "/connections/?q=anna&state=healthy",
    ]
    assert "Nothing found" in page(alice, "?q=nobody")


def test_sorted_columns_say_so(three: None, alice: Client) -> None:
    assert 'aria-sort="ascending"><a href="/connections/?sort=-name"' in html(alice, "?sort=name")


# ---- speed ----


def test_a_page_with_everything_on_it_is_few_queries(salesforce_org: ConnectableOrg, alice: Client) -> None:
    many(salesforce_org, 60)
    now = timezone.now()
    rows = list(ConnectedApp.objects.all())
    for number, row in enumerate(rows):
        row.failing_since, row.last_error, row.tags = now, GONE, ["emea"]
        row.login_url = f"https://host-{number % 5}.my.salesforce.com"
    ConnectedApp.objects.bulk_update(rows, ["failing_since", "last_error", "tags", "login_url"])
    with CaptureQueriesContext(database) as captured:
        told = page(alice, "?tag=emea&environment=production&state=failing")
    assert told.count("has not answered since") == 3
    assert len(captured) <= 15


# ---- the strip ----


def test_the_worst_check_of_a_half_hour_is_drawn() -> None:
    now = dt.datetime(2026, 11, 22, 12, 10, tzinfo=dt.UTC)
    start = start_of_day(now)
    assert start == dt.datetime(2026, 11, 21, 12, 30, tzinfo=dt.UTC)
    healthy, failing = ConnectionState.HEALTHY, ConnectionState.FAILING
    checks = [
        *(Check(start, healthy), Check(start + 60 * MINUTE, failing), Check(start + 61 * MINUTE, healthy)),
        Check(now, failing),
    ]
    strip = Strip.of(checks, now)
    assert strip.paths == [("good", "M1 6v9"), ("bad", "M7 1v14m135-14v14")]
    assert strip.words.startswith("24 h: 2 of 4 checks found it working; failing ")
    assert "since " in strip.words
    assert Strip.of([], now).paths == []


def test_one_is_told_as_one() -> None:
    now = dt.datetime(2026, 11, 22, 12, 10, tzinfo=dt.UTC)
    healthy, failing = ConnectionState.HEALTHY, ConnectionState.FAILING
    assert Strip.of([Check(now, healthy)], now).words == "24 h: 1 of 1 check found it working"
    ups_and_downs = [
        Check(now - (8 - number) * MINUTE, failing if number % 2 else healthy) for number in range(9)
    ]
    assert Strip.of(ups_and_downs, now).words.endswith(", and 1 time more")


# ---- many at once ----


def test_many_are_checked_by_the_worker_and_the_page_tells_how_far(
    salesforce_org: ConnectableOrg, alice: Client, eager: None
) -> None:
    many(salesforce_org, 7)
    ConnectedApp.objects.exclude(name="c-0000").update(consumer_key="wrong")
    ConnectedApp.objects.filter(name="c-0006").update(enabled=False)
    chosen = {"act": "check", "chosen": ids(*(f"c-000{number}" for number in range(7)))}
    answer = alice.post(SELECTED, chosen, follow=True)
    told = text_of(answer.content.decode())
    assert "1 was left out: it is paused" in told
    assert "Checking: 6 connections" in told
    assert "6 of 6 done" in told
    assert "Failing 5" in told.replace("  ", " ")
    assert ConnectionCheck.objects.filter(asked_by="alice").count() == 6
    assert AuditEvent.objects.filter(actor="alice", act="checked").count() == 6


def test_many_sign_in_anew(salesforce_org: ConnectableOrg, alice: Client, eager: None) -> None:
    salesforce_org.connect("acme", **well())
    before = get_token("acme")
    AccessToken.objects.update(last_try_at=None)
    answer = alice.post(SELECTED, {"act": "renew", "all": "yes", "sure": "1"}, follow=True)
    assert "1 of 1 done" in text_of(answer.content.decode())
    tokens.reset()
    assert get_token("acme").value != before.value


def test_what_is_not_done_yet_is_told_from_the_trail(salesforce_org: ConnectableOrg, alice: Client) -> None:
    salesforce_org.connect("one")
    salesforce_org.connect("two")
    sent: list[Any] = []
    actor = User.objects.get()
    asked = selected.ask(
        "check", ConnectedApp.objects.all(), actor=actor, send=lambda *args: sent.append(args)
    )
    address = f"{SELECTED}?began={asked.began.isoformat().replace('+', '%2B')}"
    assert "0 of 2 done" in text_of(alice.get(address).content.decode())
    act, asked_ids, asked_by, began = sent[0]
    selected.work(act, asked_ids[:1], asked_by, dt.datetime.fromisoformat(began))
    selected.work(act, asked_ids[:1], asked_by, dt.datetime.fromisoformat(began))  # delivered twice
    assert ConnectionCheck.objects.count() == 1
    assert "1 of 2 done" in text_of(alice.get(address).content.decode())
    AuditEvent.objects.update(at=asked.began)
    other = Client()
    other.force_login(User.objects.create_superuser("other"))
    assert other.get(address).status_code == 302  # theirs is none of that moment


def test_what_a_dead_worker_held_is_asked_for_anew(
    salesforce_org: ConnectableOrg, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    salesforce_org.connect("one")
    salesforce_org.connect("two")
    actor, sent = User.objects.get(), []
    selected.ask("check", ConnectedApp.objects.all(), actor=actor, send=lambda *args: None)
    began = timezone.now() - dt.timedelta(minutes=5)
    AuditEvent.objects.update(at=began)
    selected.work("check", ids("one"), str(actor.pk), began)
    AuditEvent.objects.filter(act="checked").update(at=began + dt.timedelta(seconds=1))
    told = text_of(alice.get(SELECTED, {"began": began.isoformat()}).content.decode())
    assert "Ask anew for the 1 left" in told
    monkeypatch.setattr(tasks.begin_selected, "delay", lambda *args: sent.append(args))
    alice.post(SELECTED, {"act": "check", "rest_of": began.isoformat()})
    assert [each[1] for each in sent] == [ids("two")]
    alice.post(SELECTED, {"act": "check", "rest_of": "no moment"})
    assert len(sent) == 1


def test_what_no_worker_takes_up_is_dropped_after_a_while() -> None:
    assert tasks.begin_selected.expires == tasks.selected_lane.expires == 600


def test_a_dead_broker_is_told_and_nothing_is_done(
    salesforce_org: ConnectableOrg, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> None:
        assert len(database.savepoint_ids) == outside  # no lock is held while the broker is silent
        raise OperationalError("no broker")

    outside = len(database.savepoint_ids)

    monkeypatch.setattr(tasks.begin_selected, "delay", refuse)
    salesforce_org.connect("acme")
    answer = alice.post(SELECTED, {"act": "check", "chosen": ids("acme")}, follow=True)
    assert "Nothing was done: the message broker" in text_of(answer.content.decode())
    assert not ConnectionCheck.objects.exists()
    assert [event.act for event in AuditEvent.objects.all()] == ["asked for a check"]


def test_many_are_paused_and_resumed_with_a_trail(salesforce_org: ConnectableOrg, alice: Client) -> None:
    many(salesforce_org, 3)
    answer = alice.post(SELECTED, {"act": "pause", "chosen": ids("c-0000", "c-0002")}, follow=True)
    assert "2 paused" in text_of(answer.content.decode())
    assert set(ConnectedApp.objects.filter(enabled=False).values_list("name", "told_state")) == {
        ("c-0000", "Paused"),
        ("c-0002", "Paused"),
    }
    assert AuditEvent.objects.filter(actor="alice", act="paused").count() == 2
    answer = alice.post(SELECTED, {"act": "pause", "chosen": ids("c-0001")}, follow=True)
    assert "1 paused: nothing is called for it until it is resumed." in text_of(answer.content.decode())
    alice.post(SELECTED, {"act": "resume", "all": "yes", "sure": "3"})
    assert not ConnectedApp.objects.filter(enabled=False).exists()
    assert AuditEvent.objects.filter(actor="alice", act="resumed").count() == 3


def test_all_found_are_asked_about_first(three: None, alice: Client) -> None:
    answer = alice.post(SELECTED, {"act": "pause", "all": "yes", "query": "tag=emea"})
    told = text_of(answer.content.decode())
    assert "Pause: 1 connection?" in told
    assert "anna" in told
    assert not ConnectedApp.objects.filter(enabled=False).exists()
    sure = {"act": "pause", "all": "yes", "query": "tag=emea", "sure": answer.context["count"]}
    ConnectedApp.objects.filter(name="bert").update(tags=["emea"])  # meanwhile
    assert "Pause: 2 connections?" in text_of(alice.post(SELECTED, sure).content.decode())
    ConnectedApp.objects.filter(name="bert").update(tags=[])
    alice.post(SELECTED, sure)
    assert ConnectedApp.objects.get(enabled=False).name == "anna"


def test_hidden_connections_are_never_among_the_chosen(salesforce_org: ConnectableOrg, alice: Client) -> None:
    hidden = salesforce_org.connect("hidden")
    salesforce_org.connect("open")
    GroupAccess.objects.create(connection=hidden, group=Group.objects.create(name="others"))
    chosen = [*ids("hidden"), str(uuid4()), "no id"]
    answer = alice.post(SELECTED, {"act": "pause", "chosen": chosen}, follow=True)
    assert "Nothing was chosen" in text_of(answer.content.decode())
    alice.post(SELECTED, {"act": "pause", "all": "yes", "sure": "1"})
    assert list(ConnectedApp.objects.filter(enabled=False).values_list("name", flat=True)) == ["open"]
    # Hidden after it was asked for, before the worker came to it.
    asked_by = str(User.objects.get(username="alice").pk)
    selected.work("check", ids("hidden"), asked_by, timezone.now())
    assert not ConnectionCheck.objects.exists()


def test_who_may_only_look_sees_no_buttons_and_may_not_press(
    salesforce_org: ConnectableOrg, alice: Client
) -> None:
    salesforce_org.connect("acme")
    assert "Sign in anew" in page(alice)
    User.objects.get().user_permissions.set(Permission.objects.filter(codename="view_health"))
    assert "Sign in anew" not in page(alice)
    assert alice.post(SELECTED, {"act": "pause", "chosen": ids("acme")}).status_code == 403
    assert ConnectedApp.objects.get().enabled


def test_too_many_at_once_are_refused_whole(
    three: None, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selected, "MOST", 2)
    answer = alice.post(SELECTED, {"act": "pause", "all": "yes", "sure": "3"}, follow=True)
    assert "3 connections are more than the 2 that go at once" in text_of(answer.content.decode())
    assert not ConnectedApp.objects.filter(enabled=False).exists()


@pytest.mark.parametrize("moment", ["", "x", "2026-11-22T03:12:00", "9999-12-31T23:59:59-23:00"])
def test_a_moment_at_which_nothing_was_asked_for_leads_to_the_list(alice: Client, moment: str) -> None:
    answer = alice.get(SELECTED, {"began": moment, "query": "tag=emea"})
    assert (answer.status_code, answer["Location"]) == (302, f"{PAGE}?tag=emea")


def test_lanes_take_everything_once() -> None:
    everything = [str(number) for number in range(23)]
    lanes = list(selected.lanes(everything))
    assert len(lanes) == selected.LANES
    assert sorted(each for lane in lanes for each in lane) == sorted(everything)
    assert list(selected.lanes(["1"])) == [["1"]]
