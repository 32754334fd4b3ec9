"""The audit trail on its page, as a file and on the command line; and what the pages of users and groups leave in it."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sf_integration import audit, keystore
from sf_integration.access import SHELL
from sf_integration.models import AuditEvent, ConnectedApp
from sf_integration.services import rights, trail
from tests.access.test_matrix import salesforce

pytestmark = pytest.mark.django_db
PAGE = "/connections/audit/"
NOON = dt.datetime(2026, 3, 10, 12, tzinfo=dt.UTC)


@pytest.fixture
def connections() -> dict[str, ConnectedApp]:
    """One for everybody, one that a group hides."""
    key = keystore.make(name="key")
    made = {
        name: ConnectedApp.objects.create(
            name=name, login_url="https://a.my.salesforce.com", username=f"{name}@x.example", signing_key=key
        )
        for name in ("open", "concealed")
    }
    made["concealed"].groups.add(Group.objects.create(name="Sales"))
    return made


@pytest.fixture
def events(connections: dict[str, ConnectedApp]) -> None:
    for hours, (actor, act, name, username) in enumerate(
        [
            ("alice", "checked", "open", ""),
            ("alice", "took token", "open", "ops@x.example"),
            ("bob", "checked", "concealed", ""),
            ("=cmd()", "changed", "open", ""),
        ]
    ):
        event = audit.record(act, connections[name], actor=actor, username=username, fields=["login_url"])
        AuditEvent.objects.filter(pk=event.pk).update(at=NOON + dt.timedelta(hours=6 * hours))


@pytest.fixture
def manager() -> Client:
    user = User.objects.create_user("manager")
    user.groups.add(Group.objects.get(name="Salesforce: manage keys"))
    browser = Client()
    browser.force_login(user)
    return browser


def told(answer: Any) -> list[tuple[str, str, str]]:
    return [(row.event.actor, row.event.act, row.event.subject) for row in answer.context["rows"]]


ALICES = [("alice", "took token", "open"), ("alice", "checked", "open")]
CMD, BOB = ("=cmd()", "changed", "open"), ("bob", "checked", "concealed")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("", [CMD, BOB, *ALICES]),
        ("?actor=alice", ALICES),
        ("?act=checked", [BOB, ALICES[1]]),
        ("?connection=concealed", [BOB]),
        ("?connection=Hidden", []),
        ("?username=ops@x.example", ALICES[:1]),
        ("?since=2026-03-11", [CMD, BOB]),
        ("?until=2026-03-10", ALICES),
        ("?since=2026-03-10&until=2026-03-10&actor=alice&act=took token", ALICES[:1]),
    ],
)
def test_the_page_shows_what_its_filters_let_through(
    events: None, admin_client: Client, asked: str, found: list[Any]
) -> None:
    assert told(admin_client.get(PAGE + asked)) == found


def test_rows_of_hidden_connections_are_shown_to_superusers_alone(events: None, manager: Client) -> None:
    answer = manager.get(PAGE)
    assert told(answer) == [CMD, *ALICES]
    assert "concealed" not in answer.content.decode()
    assert told(manager.get(f"{PAGE}?connection=concealed")) == []


@pytest.mark.parametrize(
    "asked", ["?since=yesterday", "?act=flew", "?before=nowhere", "?until=0001-01-01", "?actor=%00"]
)
def test_what_can_not_be_asked_is_told(events: None, admin_client: Client, asked: str) -> None:
    answer = admin_client.get(PAGE + asked)
    assert 'role="alert"' in answer.content.decode()
    assert told(answer) == []


def test_a_renamed_connection_keeps_its_trail_and_a_deleted_one_is_found_by_name(
    events: None, connections: dict[str, ConnectedApp], admin_client: Client
) -> None:
    ConnectedApp.objects.filter(name="open").update(name="renamed")
    assert len(told(admin_client.get(f"{PAGE}?connection=renamed"))) == 3
    connections["concealed"].delete()
    assert told(admin_client.get(f"{PAGE}?connection=concealed")) == [BOB]


def test_pages_lead_on_and_back_without_a_gap_at_equal_moments(
    connections: dict[str, ConnectedApp], admin_client: Client
) -> None:
    audit.record_many("checked", [connections["open"]] * 120, actor="alice")
    seen: list[Any] = []
    href = ""
    for _ in range(3):
        answer = admin_client.get(PAGE + href)
        seen += [row.event.pk for row in answer.context["rows"]]
        href = answer.context["older"]
    assert href == ""
    assert len(set(seen)) == len(seen) == 120
    back = admin_client.get(PAGE + answer.context["newer"])
    assert [row.event.pk for row in back.context["rows"]] == seen[50:100]
    first = admin_client.get(PAGE + back.context["newer"])
    assert [row.event.pk for row in first.context["rows"]] == seen[:50]
    assert first.context["newer"] == ""


def test_the_page_takes_few_queries_whatever_the_number_of_rows(
    connections: dict[str, ConnectedApp], admin_client: Client
) -> None:
    counts = []
    for more in (1, 60):
        audit.record_many("checked", [connections["open"]] * more, actor="alice")
        with CaptureQueriesContext(database) as queries:
            admin_client.get(PAGE)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 8


# ---- as a file ------------------------------------------------------------------------------------------------------


def test_the_files_hold_all_that_the_filters_let_through_and_leave_a_trace(
    events: None, admin_client: Client
) -> None:
    answer = admin_client.post(f"{PAGE}events.csv", {"connection": "open"})
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [row["actor"] for row in rows] == ["'=cmd()", "alice", "alice"]
    assert rows[1] == {
        "at": "2026-03-10T18:00:00.000000Z",
        "actor": "alice",
        "act": "took token",
        "subject": "open",
        "subject_id": str(ConnectedApp.objects.get(name="open").pk),
        "username": "ops@x.example",
        "fields": "login_url",
        "count": "1",
    }
    answer = admin_client.post(f"{PAGE}events.json", {"actor": "=cmd()"})
    (row,) = json.loads(b"".join(answer.streaming_content))
    assert (row["actor"], row["fields"]) == ("=cmd()", ["login_url"])
    traces = AuditEvent.objects.filter(act="exported audit trail").order_by("at")
    assert [(trace.actor, trace.fields) for trace in traces] == [
        ("admin", ["connection"]),
        ("admin", ["actor"]),
    ]


def test_a_get_exports_nothing(events: None, admin_client: Client) -> None:
    answer = admin_client.get(f"{PAGE}events.csv?actor=alice")
    assert (answer.status_code, answer.url) == (302, f"{PAGE}?actor=alice")
    assert admin_client.get(f"{PAGE}events.pdf").status_code == 404
    assert not AuditEvent.objects.filter(act="exported audit trail").exists()


def test_a_file_of_many_rows_is_made_of_many_short_queries(
    connections: dict[str, ConnectedApp], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail, "ROWS_AT_ONCE", 10)
    audit.record_many("checked", [connections["open"]] * 35, actor="alice")
    batches = trail.export(trail.Question(actor="alice"), actor=SHELL)
    sizes = []
    for events in batches:
        sizes.append(len(events))
        audit.record("checked", connections["open"], actor="alice")  # what comes meanwhile is not part of it
    assert sizes == [1, 10, 10, 10, 4]
    assert json.loads(b"".join(trail.write_json(iter([])))) == []


def test_the_verb_prints_a_table_a_sheet_or_json(events: None) -> None:
    assert "took token" in salesforce("audit", "--actor", "alice").told
    assert json.loads(
        salesforce("audit", "--json", "--since", "2026-03-11T00:00", "--until", "2026-03-11T01:00").told
    ) == [
        {
            "at": "2026-03-11T00:00:00.000000Z",
            "actor": "bob",
            "act": "checked",
            "subject": "concealed",
            "subject_id": str(ConnectedApp.objects.get(name="concealed").pk),
            "username": "",
            "fields": ["login_url"],
            "count": 1,
        }
    ]
    assert salesforce("audit", "--csv", "--until", "2026-03-10").told.count("\n") == 3
    assert "1 newest" in salesforce("audit", "--last", "1").told
    for wrong in (("--csv", "--json"), ("--since", "then"), ("--until", "2026-13-01"), ("--last", "0")):
        ran = salesforce("audit", *wrong)
        assert ran.status == 1
        assert "takes" in ran.told or "choose one" in ran.told


# ---- rights -----------------------------------------------------------------------------------------------------------


def acts() -> list[tuple[str, str, str, list[str]]]:
    return [
        (each.actor, each.act, each.subject, each.fields) for each in AuditEvent.objects.order_by("at", "pk")
    ]


def user_form(user: User, **more: Any) -> dict[str, Any]:
    joined = timezone.localtime(user.date_joined)
    return {
        "username": user.username,
        "date_joined_0": f"{joined:%Y-%m-%d}",
        "date_joined_1": f"{joined:%H:%M:%S}",
        "is_active": "on",
    } | more


def test_rights_given_and_taken_on_the_pages_of_users_are_in_the_trail(admin_client: Client) -> None:
    alice, manage = User.objects.create_user("alice"), Group.objects.get(name="Salesforce: manage keys")
    plain = Group.objects.create(name="choir")
    takes = Permission.objects.get(codename="take_tokens")
    other = Permission.objects.get(codename="add_user")
    page = f"/admin/auth/user/{alice.pk}/change/"
    given = {"groups": [manage.pk, plain.pk], "user_permissions": [takes.pk, other.pk], "is_superuser": "on"}
    assert admin_client.post(page, user_form(alice, **given)).status_code == 302
    gave = [
        ("admin", "changed user", "alice", ["is_superuser"]),
        ("admin", "put into group", "alice", ["Salesforce: manage keys"]),
        ("admin", "gave permission", "alice", ["take_tokens"]),
    ]
    assert sorted(acts()) == sorted(gave)
    AuditEvent.objects.all().delete()
    assert admin_client.post(page, user_form(alice)).status_code == 302
    words = {
        "changed user": "changed user",
        "put into group": "took out of group",
        "gave permission": "took permission",
    }
    assert sorted(acts()) == sorted((actor, words[act], name, fields) for actor, act, name, fields in gave)


def test_a_password_that_one_gives_another_is_in_the_trail(admin_client: Client) -> None:
    alice = User.objects.create_superuser("alice")
    new = {"password1": "quite-another-1", "password2": "quite-another-1", "usable_password": "true"}
    assert admin_client.post(f"/admin/auth/user/{alice.pk}/password/", new).status_code == 302
    assert acts() == [("admin", "changed user", "alice", ["password"])]


def test_users_of_a_sites_own_model_may_lack_the_flags(admin_user: User, rf: Any) -> None:
    class Person:
        """A model without columns of these names, as where `is_staff` is a property."""

        _meta = Group._meta
        _default_manager = Group.objects
        is_staff = True

    request, saved = rf.post("/"), Person()
    saved.pk = Group.objects.get(name="Salesforce: look").pk  # type: ignore[attr-defined]
    request.user = admin_user
    audit.middleware(lambda _: rights._flags_of(saved, raw=False, update_fields=None))(request)  # type: ignore[arg-type,func-returns-value]
    assert acts() == []


def test_permissions_of_a_group_and_its_end_are_in_the_trail(admin_client: Client) -> None:
    group = Group.objects.create(name="Sales")
    view = Permission.objects.get(codename="view_health")
    address = f"/admin/auth/group/{group.pk}/"
    admin_client.post(f"{address}change/", {"name": "Sales", "permissions": [view.pk]})
    admin_client.post(f"{address}delete/", {"post": "yes"})
    assert acts() == [
        ("admin", "gave permission", "Sales", ["view_health"]),
        ("admin", "deleted group", "Sales", ["Sales"]),
    ]


def test_what_has_nothing_to_do_with_our_rights_is_not_in_the_trail(admin_client: Client) -> None:
    alice, plain = User.objects.create_user("alice"), Group.objects.create(name="choir")
    admin_client.post(
        f"/admin/auth/user/{alice.pk}/change/", user_form(alice, groups=[plain.pk], first_name="A")
    )
    admin_client.post(f"/admin/auth/group/{plain.pk}/change/", {"name": "band"})
    alice.groups.clear()
    alice.user_permissions.add(Permission.objects.get(codename="take_tokens"))  # by code: nobody is signed in
    assert acts() == []


def test_who_a_connection_is_limited_to_is_in_the_trail(
    connections: dict[str, ConnectedApp], rf: Any, admin_user: User
) -> None:
    support, alice = Group.objects.create(name="Support"), User.objects.create_user("alice")

    def change(request: Any) -> Any:
        connections["open"].groups.set([support])
        connections["open"].groups.clear()
        Group.objects.get(name="Salesforce: look").user_set.add(alice)

    request = rf.post("/")
    request.user = admin_user
    audit.middleware(change)(request)
    assert [each[1:] for each in acts()] == [
        ("limited to group", "open", ["Support"]),
        ("no longer limited to group", "open", ["Support"]),
        ("put into group", "alice", ["Salesforce: look"]),
    ]
    assert audit.acting() is None
