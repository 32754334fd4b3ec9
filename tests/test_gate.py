"""What every page has from its gate and frame: the reader's time zone, and the way to the other pages."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from sf_integration.models import ConnectedApp
from sf_integration.testing.django import ConnectableOrg
from sf_integration.views.gate import TIMEZONE_COOKIE

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def bob(client: Client) -> Client:
    """May look."""
    user = User.objects.create_user("bob")
    user.user_permissions.add(Permission.objects.get(codename="view_health"))
    client.force_login(user)
    return client


def times_shown(client: Client, zone: str) -> set[str]:
    client.cookies[TIMEZONE_COOKIE] = zone
    html = client.get("/connections/acme/").content.decode()
    assert timezone.get_current_timezone_name() == "UTC", "the zone does not outlive the page"
    return set(re.findall(r"\d+ \w+ \d{4}, \d\d:\d\d:\d\d \w+", html))


@pytest.mark.parametrize(
    ("zone", "winter", "summer"),
    [
        ("Europe/Berlin", "15 Jan 2026, 13:00:00 CET", "15 Jul 2026, 14:00:00 CEST"),
        ("Asia/Kolkata", "15 Jan 2026, 17:30:00 IST", "15 Jul 2026, 17:30:00 IST"),
        *[
            (garbage, "15 Jan 2026, 12:00:00 UTC", "15 Jul 2026, 12:00:00 UTC")
            for garbage in ("", "Europe", "Mars/Olympus", "../../etc/passwd", "zone.tab", "A" * 3000)
        ],
    ],
)
def test_times_are_in_the_zone_of_the_reader(
    salesforce_org: ConnectableOrg, bob: Client, zone: str, winter: str, summer: str
) -> None:
    salesforce_org.connect("acme")
    for month, shown in ((1, winter), (7, summer)):
        ConnectedApp.objects.update(last_success_at=dt.datetime(2026, month, 15, 12, tzinfo=dt.UTC))
        assert shown in times_shown(bob, zone)


def links(client: Client, path: str) -> dict[str, str | None]:
    """The navigation's words, each with its aria-current."""
    html = client.get(path).content.decode()
    navigation = re.search(r'<nav class="sf-site".*?</nav>', html, re.DOTALL)
    found = re.findall(
        r'<a href="[^"]+"(?: aria-current="(\w+)")?>([^<]+)', navigation[0] if navigation else ""
    )
    return {words: current or None for current, words in found}


def test_navigation_says_where_one_is(salesforce_org: ConnectableOrg, bob: Client) -> None:
    salesforce_org.connect("acme")
    rest = {"Alarms": None, "Signing keys": None, "Explain an error": None, "Guide": None}
    assert links(bob, "/connections/") == {"Connections": "page", **rest}
    assert links(bob, "/connections/acme/") == {"Connections": "true", **rest}
    assert links(bob, "/connections/keys/") == {"Connections": None, **rest, "Signing keys": "page"}
    User.objects.update(is_staff=True)
    assert links(bob, "/connections/")["Admin"] is None


def test_a_refusal_of_the_list_does_not_lead_to_the_list(client: Client) -> None:
    client.force_login(User.objects.create_user("nobody"))
    html = client.get("/connections/").content.decode()
    assert "You may not see connections." in html
    assert "All connections" not in html


def test_navigation_leads_nobody_where_they_may_not_go(client: Client) -> None:
    assert links(client, "/login/") == {}
    client.force_login(User.objects.create_user("charlie"))
    for path in ("/password/", "/connections/", "/nowhere/"):
        assert links(client, path) == {}
