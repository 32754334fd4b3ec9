"""The SOQL page as its scripts make it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.pages import run
from tests.browser.site import Site
from tests.browser.watching import watched

pytestmark = [pytest.mark.chromium, pytest.mark.django_db(transaction=True)]


def test_the_query_outlives_a_reload_of_its_answer(live_server: Any, site: Site) -> None:
    with watched(live_server, site.sessions["admin"]) as page:
        page.goto("/connections/acme/query/")
        box = page.locator("textarea[name=soql]")
        box.fill("SELECT Name FROM Account LIMIT 3")
        box.press("Control+Enter")
        page.locator("#found").wait_for()
        page.reload()
        assert box.input_value() == "SELECT Name FROM Account LIMIT 3"


def test_all_rows_are_printed(live_server: Any, site: Site) -> None:
    with watched(live_server, site.sessions["admin"]) as page:
        page.goto("/connections/acme/query/")
        run("SELECT Id, Name FROM Account LIMIT 60")(page)
        page.emulate_media(media="print")
        assert page.locator(".sf-scroll").evaluate("one => one.scrollHeight === one.clientHeight")
        assert not page.get_by_role("banner").is_visible()
