"""The set-up guide walked by a newcomer in a real browser, from an empty database to green.

The test plays the admin of the org: takes the certificate that the page offers, makes the app, tells its consumer key.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.test import Client

from sf_integration.testing.apps import App
from sf_integration.testing.django import ConnectableOrg
from sf_integration.tokens import lifecycle
from tests.browser.watching import browser, watched

pytestmark = [pytest.mark.chromium, pytest.mark.django_db(transaction=True)]


IN_SIGHT = """element => {
    const box = element.getBoundingClientRect();
    return box.top >= 0 && box.bottom <= innerHeight;
}"""


@pytest.fixture
def cookie(admin_client: Client) -> str:
    return admin_client.cookies[settings.SESSION_COOKIE_NAME].value


def begin(page: Any, org: ConnectableOrg, name: str = "acme") -> None:
    page.goto("/connections/")
    page.get_by_role("link", name="Add the first connection").click()
    page.get_by_role("textbox", name="Address of the org").fill(f"{org.url}/")
    page.get_by_role("textbox", name="Name in code").fill(name)
    page.get_by_role("textbox", name="Name for people").fill("Acme Coffee")
    page.get_by_role("button", name="Begin").click()
    page.get_by_role("heading", name="Set up Acme Coffee").wait_for()


def admin_makes_app(page: Any, org: ConnectableOrg, **more: Any) -> App:
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the certificate").first.click()
    assert download.value.suggested_filename == "acme.crt"
    certificate = Path(download.value.path()).read_text()
    return org.add_app(**({"name": "Acme Coffee", "kind": "external", "certificate_pem": certificate} | more))


def give_values(page: Any, org: ConnectableOrg, app: App) -> None:
    page.get_by_role("textbox", name="Consumer key").fill(app.consumer_key)
    page.get_by_role("textbox", name="Username").fill(org.user.username)


def finish(page: Any) -> None:
    page.get_by_role("button", name="Save and check").click()
    page.wait_for_url("**/connections/acme/")
    page.get_by_text("Connection acme: Healthy.").wait_for()
    page.get_by_text("The set-up is finished.").wait_for()


@pytest.mark.parametrize("java_script", [True, False])
def test_from_nothing_to_green_with_a_key_made_here(
    live_server: Any, cookie: str, salesforce_org: ConnectableOrg, java_script: bool
) -> None:
    with watched(live_server, cookie, java_script_enabled=java_script) as page:
        begin(page, salesforce_org)
        page.get_by_role("button", name="Make a signing key here").click()
        app = admin_makes_app(page, salesforce_org)
        give_values(page, salesforce_org, app)
        finish(page)
        page.goto("/connections/new/")
        assert page.get_by_role("heading", name="Unfinished set-ups").count() == 0


def test_from_nothing_to_green_with_a_key_of_ones_own(
    live_server: Any, cookie: str, salesforce_org: ConnectableOrg, tmp_path: Path
) -> None:
    key, certificate = tmp_path / "server.key", tmp_path / "server.crt"
    key.write_text(str(salesforce_org.app.private_key_pem))
    certificate.write_text(salesforce_org.app.certificate_pem)
    with watched(live_server, cookie) as page:
        begin(page, salesforce_org)
        page.get_by_text("Use one that you have").click()
        page.locator("input[name=private_key_file]").set_input_files(key)
        page.locator("input[name=certificate_file]").set_input_files(certificate)
        page.get_by_role("button", name="Use this signing key").click()
        page.get_by_role("link", name="Download the certificate").first.wait_for()
        give_values(page, salesforce_org, salesforce_org.app)
        finish(page)


def test_abandoned_and_resumed_in_another_browser(
    live_server: Any, cookie: str, salesforce_org: ConnectableOrg
) -> None:
    with watched(live_server, cookie) as page:
        begin(page, salesforce_org)
        with page.expect_response("**/steps/"):
            page.get_by_role("checkbox", name="Done: See that a licence is free").check()
        page.get_by_role("button", name="Make a signing key here").click()
        app = admin_makes_app(page, salesforce_org)
        page.get_by_role("textbox", name="Consumer key").fill(app.consumer_key)
        page.get_by_role("button", name="Save for later").click()
        page.get_by_text("The list of connections leads back here.").wait_for()
    with watched(live_server, cookie) as page:
        page.goto("/connections/")
        page.get_by_text("1 set-up unfinished").wait_for()
        page.get_by_role("link", name="resume Acme Coffee").click()
        assert page.get_by_role("checkbox", name="Done: See that a licence is free").is_checked()
        assert page.get_by_role("textbox", name="Consumer key").input_value() == app.consumer_key
        page.get_by_role("textbox", name="Username").fill(salesforce_org.user.username)
        finish(page)


def test_step_left_out_is_found_done_and_checked_again(
    live_server: Any, cookie: str, salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "TRY_NOW_EVERY", dt.timedelta(0))  # nobody mends an org within ten seconds
    with watched(live_server, cookie) as page:
        begin(page, salesforce_org)
        page.get_by_role("button", name="Make a signing key here").click()
        app = admin_makes_app(page, salesforce_org, users=set())
        give_values(page, salesforce_org, app)
        page.get_by_role("button", name="Save and check").click()
        page.get_by_text("The guide has a step for this.").wait_for()
        page.get_by_role("link", name="Attach the profile or the permission set").click()
        step = page.locator("#step-attach")
        assert "when this step was left out" in step.inner_text()
        assert step.evaluate("element => element.getBoundingClientRect().top") < 600
        app.users = {salesforce_org.user.username}
        page.get_by_role("button", name="Check again").click()
        page.wait_for_url("**/connections/acme/")
        page.get_by_text("Connection acme: Healthy.").wait_for()


def test_refused_form_is_in_sight(live_server: Any, cookie: str, salesforce_org: ConnectableOrg) -> None:
    with browser(live_server.url, cookie, java_script_enabled=False) as page:
        begin(page, salesforce_org)
        page.get_by_text("Use one that you have").click()
        page.get_by_role("button", name="Use this signing key").click()
        mistake = page.get_by_text("Paste a private key or choose its file")
        assert mistake.evaluate(IN_SIGHT)
        page.get_by_role("button", name="Save and check").click()
        assert page.get_by_text("Copy it from the app in Salesforce.").evaluate(IN_SIGHT)


def test_ticks_address_and_values_answer_at_once(
    live_server: Any, cookie: str, salesforce_org: ConnectableOrg
) -> None:
    with watched(live_server, cookie, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.goto("/connections/new/")
        page.get_by_role("textbox", name="Address of the org").fill(
            "https://acme--uat.sandbox.lightning.force.com/x"
        )
        page.get_by_text(
            "Login URL https://acme--uat.sandbox.my.salesforce.com, audience the same, sandbox."
        ).wait_for()
        page.get_by_role("textbox", name="Address of the org").fill("https://login.salesforce.com")
        page.get_by_text("External Client Apps are not found through login.salesforce.com").wait_for()
        page.get_by_role("radio", name="Connected App").check()
        page.get_by_text("Login URL https://login.salesforce.com, audience the same, production.").wait_for()

        begin(page, salesforce_org)
        with page.expect_response("**/steps/"):
            page.get_by_role("checkbox", name="Done: See that a licence is free").check()
        page.get_by_text("1 of 6 done").first.wait_for()
        assert page.evaluate("document.querySelector('progress').value") == 1
        page.get_by_text("Look for “Minimum Access - API Only Integrations”").wait_for()  # the next one opens
        assert not page.get_by_role("button", name="Save what is done").first.is_visible()
        page.goto(f"{urlsplit(page.url).path}#step-oauth")  # opens the step
        step = page.locator("#step-oauth")
        step.get_by_role("button", name="Copy").click()
        step.get_by_role("button", name="Copied").click()
        step.get_by_role("button", name="Copy").wait_for()  # its own word comes back, also when pressed twice
        assert page.evaluate("navigator.clipboard.readText()") == "https://localhost/callback"
