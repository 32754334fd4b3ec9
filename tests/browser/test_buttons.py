"""Every button pressed, with and without JavaScript, and what its answer says."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from playwright.sync_api import Error

from sf_integration.services import fault_finder
from sf_integration.tokens import lifecycle
from tests.browser import buttons
from tests.browser.inspection import misbehaved
from tests.browser.site import Site
from tests.browser.watching import Watch, browser

pytestmark = [pytest.mark.chromium, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "TRY_NOW_EVERY", dt.timedelta(0))
    monkeypatch.setattr(fault_finder, "PAUSE_SECONDS", 0.0)


@pytest.mark.parametrize("java_script", [True, False])
@pytest.mark.long
def test_every_button_does_what_it_says(live_server: Any, site: Site, java_script: bool) -> None:
    complaints: list[str] = []
    with browser(live_server.url, site.sessions["admin"], java_script_enabled=java_script) as page:
        page.set_default_timeout(8_000)
        for button in buttons.PRESSES:
            if button.scripted and java_script:
                continue
            watch = Watch(page)
            try:
                page.goto(button.start.format_map(site.ids))
                button.press(page)
                found = list(misbehaved(page, measured=False))
            except Error as error:
                found = [error.message[:400]]
            complaints += [f"{button.name}: {each}" for each in (*found, *watch.end())]
        page.goto("/connections/")
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("heading", name="Sign in").wait_for()
    assert not complaints, "\n".join(complaints)
