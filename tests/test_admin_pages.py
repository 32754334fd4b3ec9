"""The admin as a place to work in: what its lists show and filter by, what can be done to many, what its forms say."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format

from sf_integration import keystore
from sf_integration.models import (
    AccessToken,
    AuditEvent,
    CheckDay,
    ConnectedApp,
    ConnectionCheck,
    ConnectionEvent,
    SigningKey,
    settings_fingerprint,
)
from sf_integration.presentation.paging import Newest
from sf_integration.testing.django import ConnectableOrg

from .test_admin import ADMIN, listed, opened, run, staff
from .test_views import text_of

pytestmark = pytest.mark.django_db(transaction=True)


def page(client: Client, path: str, **query: str) -> str:
    response = client.get(f"{ADMIN}/{path}", query)
    assert response.status_code == 200
    return text_of(response.content.decode())


def sealed_by(key: SigningKey, connection: ConnectedApp) -> AccessToken:
    """A row that looks like a token in force."""
    now = timezone.now()
    return AccessToken.objects.create(
        connection=connection,
        username=connection.username,
        value=key.private_key,
        issued_at=now,
        expected_expiry=now + dt.timedelta(minutes=43, seconds=20),
        settings_fingerprint=settings_fingerprint(connection, connection.username),
    )


# ---- list of connections --------------------------------------------------------------------------------------------


def test_a_row_tells_what_one_asks_every_day(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    connection = salesforce_org.connect(
        "acme",
        label="Acme Coffee",
        tags=["billing"],
        last_checked_at=timezone.now() - dt.timedelta(minutes=5),
    )
    sealed_by(connection.signing_key, connection)
    connection.organization = {"name": "Nordhafen GmbH"}
    connection.last_error = {"cause": "The org does not know this consumer key.", "code": "invalid_client_id"}
    connection.failing_since = timezone.now() - dt.timedelta(hours=3)
    connection.save()
    told = page(admin_client, "connectedapp/").partition("Last check")[2]
    for words in ("acme", "Acme Coffee", "Failing", "3 h ago", "does not know this consumer key", "Nordhafen GmbH",
                  connection.username, "billing", connection.signing_key.end_in_words(timezone.now()),
                  "expires in 43 min", "5 min ago"):  # fmt: skip
        assert words in told


def test_filters_narrow_the_list_and_combine(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    ending, other = keystore.make(name="ending"), keystore.make(name="other")
    SigningKey.objects.filter(pk=ending.pk).update(not_after=timezone.now() + dt.timedelta(days=10))
    salesforce_org.connect(
        "one", tags=["emea", "billing"], signing_key=ending, app_kind="external_client_app"
    )
    salesforce_org.connect("two", tags=["emea-2"], signing_key=other, app_kind="connected_app")
    salesforce_org.connect("three", signing_key=other, enabled=False, app_kind="")
    # Half an address is no other environment: what is not known counts as production.
    ConnectedApp.objects.filter(name="two").update(environment="sandbox")
    ConnectedApp.objects.filter(name="three").update(environment="sandbox", environment_for="another")
    for query, names in (
        ({"tag": "emea"}, ["one"]),
        ({"certificate": "14"}, ["one"]),
        ({"certificate": "ended"}, []),
        ({"environment": "sandbox"}, ["two"]),
        ({"environment": "production"}, ["one", "three"]),
        ({"kind": "connected_app"}, ["two"]),
        ({"kind": "unknown"}, ["three"]),
        ({"key": str(other.pk)}, ["three", "two"]),
        ({"key": str(other.pk), "state": "Paused"}, ["three"]),
        ({"key": str(other.pk), "state": "", "tag": ""}, ["three", "two"]),
        ({"key": "no-uuid"}, []),
        ({"state": "Nonsense"}, []),
    ):
        assert sorted(listed(admin_client, **query)) == names, query


def test_addresses_with_nul_lead_to_those_without(admin_client: Client) -> None:
    """PostgreSQL takes no NUL in a question, and Django's admin filters by any column of its own."""
    for name in ("auditevent", "connectedapp"):
        answer = admin_client.get(f"{ADMIN}/{name}/", {"username__startswith": "a\0"})
        assert (answer.status_code, answer["Location"]) == (302, f"{ADMIN}/{name}/?username__startswith=a")


def test_filters_offer_nothing_of_hidden_connections(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("open", tags=["seen"])
    hidden = salesforce_org.connect(
        "closed", tags=["secret-project"], signing_key=keystore.make(name="hidden-pair")
    )
    hidden.groups.add(Group.objects.create(name="others"))
    html = staff("mia", "view_health").get(f"{ADMIN}/connectedapp/").content.decode()
    assert "seen" in html
    assert "secret-project" not in html
    assert "hidden-pair" not in html


def test_pages_go_on_where_the_last_one_ended(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    key = keystore.make(name="shared")
    for number in range(28):
        salesforce_org.connect(f"c-{number:02}", signing_key=key, enabled=number != 26)
    first, second = listed(admin_client), listed(admin_client, p="2")
    assert first[0] == "c-26"  # Paused comes before Not checked yet
    assert first[1:] + second == [f"c-{number:02}" for number in range(28) if number != 26]


def test_tag_is_put_on_and_off_after_asking_for_it(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    one, two = salesforce_org.connect("one", tags=["old"]), salesforce_org.connect("two", tags=["new"])
    chosen = {"action": "add_tag", "_selected_action": [str(one.pk), str(two.pk)]}
    asked = admin_client.post(f"{ADMIN}/connectedapp/", chosen).content.decode()
    assert f'name="_selected_action" value="{one.pk}"' in asked
    assert "For 2 connections:" in asked
    told = admin_client.post(
        f"{ADMIN}/connectedapp/", chosen | {"tag": " new "}, follow=True
    ).content.decode()
    assert "1 connection was changed." in told
    one.refresh_from_db()
    assert one.tags == ["old", "new"]
    assert list(AuditEvent.objects.values_list("subject", "act", "fields")) == [("one", "changed", ["tags"])]
    admin_client.post(f"{ADMIN}/connectedapp/", chosen | {"action": "remove_tag", "tag": "new"})
    assert [each.tags for each in ConnectedApp.objects.order_by("name")] == [["old"], []]


def test_who_may_not_manage_tags_nothing(salesforce_org: ConnectableOrg) -> None:
    connection = salesforce_org.connect("one")
    chosen = {"action": "add_tag", "_selected_action": [str(connection.pk)], "tag": "new"}
    staff("otto", "view_health", "run_checks").post(f"{ADMIN}/connectedapp/", chosen)
    connection.refresh_from_db()
    assert connection.tags == []


def test_all_across_pages_are_chosen_without_naming_each(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    key = keystore.make(name="shared")
    first, *_ = (salesforce_org.connect(f"c-{number}", signing_key=key) for number in range(8))
    across = {"action": "add_tag", "_selected_action": [str(first.pk)], "select_across": "1"}
    asked = admin_client.post(f"{ADMIN}/connectedapp/", across).content.decode()
    assert asked.count('name="_selected_action"') == 1
    admin_client.post(f"{ADMIN}/connectedapp/", across | {"tag": "new"})
    assert {tuple(each.tags) for each in ConnectedApp.objects.all()} == {("new",)}


def test_many_are_checked_by_the_worker_and_paused_in_one_go(
    salesforce_org: ConnectableOrg, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr("sf_integration.tasks.begin_selected.delay", lambda *told: sent.append(told))
    key = keystore.make(name="shared")
    many = [salesforce_org.connect(f"c-{number}", signing_key=key) for number in range(8)]
    chosen = {"action": "check_now", "_selected_action": [str(each.pk) for each in many]}
    response = admin_client.post(f"{ADMIN}/connectedapp/", chosen)
    assert response["Location"].startswith(reverse("sf_integration:selected"))
    assert len(sent[0][1]) == 8
    assert not salesforce_org.requests
    assert "8 paused" in run(admin_client, "pause", *many)
    assert not ConnectedApp.objects.filter(enabled=True).exists()


# ---- form of a connection -------------------------------------------------------------------------------------------


def test_lists_are_edited_line_by_line(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    connection = salesforce_org.connect("acme", tags=["one", "two"])
    change = f"{ADMIN}/connectedapp/{connection.pk}/change/"
    edited = opened(admin_client, connection)
    assert edited["tags"] == ["one\r\ntwo"] or edited["tags"] == ["one\ntwo"]
    edited |= {"tags": ["two\r\n three \r\n\r\n"], "extra_usernames": ["ops@acme.example"]}
    assert admin_client.post(change, edited).status_code == 302
    connection.refresh_from_db()
    assert (connection.tags, connection.extra_usernames) == (["two", "three"], ["ops@acme.example"])


def test_the_form_asks_in_the_words_of_salesforce(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    told = page(admin_client, "connectedapp/add/")
    for place in (
        "Setup → My Domain → Current My Domain URL",
        "Settings → OAuth Settings → Consumer Key and Secret",
        "App Manager → the app → View → Manage Consumer Details",
        "Setup → Users → the integration user → Username",
        "Setup → Company Information → Organization ID",
    ):
        assert place in told


def test_state_and_remedy_stand_above_the_inputs(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    connection = salesforce_org.connect("acme", consumer_key="3MVG9nonsense")
    admin_client.post(f"{ADMIN}/connectedapp/{connection.pk}/check/")
    told, _, inputs = page(admin_client, f"connectedapp/{connection.pk}/change/").partition(
        "The handle in code"
    )
    for words in (
        "Failing",
        "The org does not know this consumer key",
        "What to do",
        "Health page",
        "Test connection",
    ):
        assert words in told
    assert (
        "Save and test connection"
        in admin_client.get(f"{ADMIN}/connectedapp/{connection.pk}/change/").content.decode()
    )
    assert "Private key" in inputs


# ---- what the app writes down ---------------------------------------------------------------------------------------


@pytest.fixture
def history(salesforce_org: ConnectableOrg) -> ConnectedApp:
    connection = salesforce_org.connect("acme")
    before = timezone.now() - dt.timedelta(days=3)
    common: dict[str, Any] = {"connection": connection}
    for light, state, at in ((True, "Healthy", timezone.now()), (False, "Failing", before)):
        ConnectionCheck.objects.create(
            asked_by="beat" if light else "carol", healthy=light, light=light, state=state, at=at, **common
        )
    ConnectionEvent.objects.create(kind="signed in", username=connection.username, milliseconds=210, **common)
    ConnectionEvent.objects.create(kind="sign-in failed", code="invalid_grant", at=before, **common)
    CheckDay.objects.create(
        day=before.date(), checks=24, healthy=20, worst_state="Failing", median_milliseconds=300,
        slowest_milliseconds=4000, **common,
    )  # fmt: skip
    for actor, act, at in (("carol", "paused", before), ("dave", "renewed", timezone.now())):
        AuditEvent.objects.create(actor=actor, act=act, subject="acme", subject_id=connection.pk, at=at)
    return connection


@pytest.mark.parametrize(
    ("path", "query", "seen", "gone"),
    [
        ("connectioncheck/", {"state": "Failing"}, "carol", "beat"),
        ("connectioncheck/", {"light": "1"}, "beat", "carol"),
        ("connectioncheck/", {"asked_by": "carol"}, "carol", "beat"),
        ("connectionevent/", {"kind": "sign-in failed"}, "invalid_grant", "210 ms"),
        ("auditevent/", {"actor": "carol"}, "paused", "dave"),
        ("auditevent/", {"act": "renewed"}, "dave", "carol"),
        ("auditevent/", {"subject": "nobody"}, "Nothing fits.", "dave"),
        ("checkday/", {"worst_state": "Failing"}, "20 of 24 checks", "Nothing fits."),
        ("checkday/", {"worst_state": "Healthy"}, "Nothing fits.", "20 of 24 checks"),
    ],
)
def test_history_is_filtered(
    history: ConnectedApp, admin_client: Client, path: str, query: dict[str, str], seen: str, gone: str
) -> None:
    html = admin_client.get(f"{ADMIN}/{path}", query).content.decode()
    rows = html.partition('id="changelist-form"')[2]
    assert seen in rows
    assert gone not in rows


def test_a_day_is_one_of_the_page_s_time_zone(history: ConnectedApp, admin_client: Client) -> None:
    at = ConnectionEvent.objects.get(code="invalid_grant").at
    told = page(admin_client, "connectionevent/", day=f"{at:%Y-%m-%d}")
    assert date_format(at, "j M Y, H:i:s") in told
    assert "210 ms" not in told
    assert "Nothing fits." in page(admin_client, "connectionevent/", day="yesterday")


def test_events_and_days_are_read_only_and_of_visible_connections(
    history: ConnectedApp, admin_client: Client
) -> None:
    history.groups.add(Group.objects.create(name="others"))
    outsider = staff("mia", "view_health", "manage_keys", "run_checks")
    for model, row in (
        ("connectionevent", ConnectionEvent.objects.first()),
        ("checkday", CheckDay.objects.first()),
    ):
        assert row is not None
        assert admin_client.get(f"{ADMIN}/{model}/{row.pk}/change/").status_code == 200
        assert admin_client.post(f"{ADMIN}/{model}/{row.pk}/delete/", {"post": "yes"}).status_code == 403
        assert outsider.get(f"{ADMIN}/{model}/{row.pk}/change/").status_code == 302
        assert "acme" not in outsider.get(f"{ADMIN}/{model}/").content.decode()


def test_long_histories_are_counted_no_further_than_anybody_pages(
    history: ConnectedApp, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Newest, "MOST", 1)
    assert "These are the newest 1." in page(admin_client, "connectioncheck/")


# ---- index ----------------------------------------------------------------------------------------------------------


def test_index_begins_with_connections_and_says_what_is_what(admin_client: Client) -> None:
    told = text_of(admin_client.get("/admin/").content.decode())
    places = [
        told.index(words) for words in ("A way into an org", "Key pairs and their", "Who did what", "Groups")
    ]
    assert places == sorted(places)
