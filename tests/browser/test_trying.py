"""Values tested in the admin before they are saved, and what a check leaves to read."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Page

from sf_integration.models import ConnectedApp
from sf_integration.testing.django import ConnectableOrg
from tests.browser.watching import watched

pytestmark = [pytest.mark.chromium, pytest.mark.django_db(transaction=True)]

ADMIN = "/admin/sf_integration"


@pytest.fixture
def cookie(salesforce_org: ConnectableOrg, admin_client: Client) -> str:
    """Session of an administrator who sees a connection that doesn't work."""
    salesforce_org.connect("sick", consumer_key="3MVG9nonsense")
    admin_client.post("/connections/sick/check/")
    return admin_client.cookies[settings.SESSION_COOKIE_NAME].value


def fill_in(page: Page, org: ConnectableOrg) -> None:
    """The admin's form for a new connection that works."""
    page.goto(f"{ADMIN}/connectedapp/add/")
    for name, value in {
        "name": "tried",
        "login_url": org.url,
        "consumer_key": org.app.consumer_key,
        "username": org.user.username,
        "private_key": org.app.private_key_pem,
    }.items():
        page.locator(f"#id_{name}").fill(value)


def test_values_are_tested_without_losing_what_was_typed(
    live_server: Any, cookie: str, salesforce_org: ConnectableOrg
) -> None:
    with watched(live_server, cookie) as page:
        fill_in(page, salesforce_org)
        page.get_by_role("button", name="Test without saving").click()
        page.get_by_text("These values work.").wait_for()
        assert page.locator("#id_private_key").input_value() == salesforce_org.app.private_key_pem
        page.locator("#id_consumer_key").fill("3MVG9nonsense")
        page.get_by_role("button", name="Test without saving").click()
        page.get_by_text("These values don't work.").wait_for()
        page.locator("#sf-trial").get_by_role("link", name="invalid_client_id").wait_for()
        page.locator("#id_consumer_key").fill(salesforce_org.app.consumer_key)
        page.get_by_role("button", name="Save", exact=True).click()
        page.get_by_text("was added successfully").wait_for()
    assert ConnectedApp.objects.filter(name="tried").exists()


def test_values_are_tested_without_javascript_too(
    live_server: Any, cookie: str, salesforce_org: ConnectableOrg
) -> None:
    with watched(live_server, cookie, java_script_enabled=False) as page:
        fill_in(page, salesforce_org)
        page.get_by_role("button", name="Test without saving").click()
        page.get_by_text("These values work.").wait_for()
        page.get_by_text("Give the private key again before you save").wait_for()
        assert page.url.endswith("#sf-trial")
        assert page.locator("#id_username").input_value() == salesforce_org.user.username
        assert page.locator("#id_private_key").input_value() == ""
    assert not ConnectedApp.objects.filter(name="tried").exists()


def test_the_trace_unfolds_and_is_saved_as_a_file(live_server: Any, cookie: str) -> None:
    with watched(live_server, cookie) as page:
        page.goto("/connections/sick/")
        page.get_by_text("The sign-in, as a script would print it").click()
        page.get_by_text("client identifier invalid").last.wait_for()
        with page.expect_download() as download:
            page.get_by_role("link", name="Save as text").click()
        assert download.value.suggested_filename.startswith("sick-")
        page.get_by_role("link", name="invalid_client_id").first.click()
        page.wait_for_url("**/connections/explain/#invalid_client_id*")
