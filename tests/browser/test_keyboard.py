"""The pages without a mouse, and for who wants no motion."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Response

from tests.browser.inspection import SHIFTS_MOST
from tests.browser.site import Site
from tests.browser.watching import watched

pytestmark = [pytest.mark.chromium, pytest.mark.django_db(transaction=True)]

# Where the focus is: an id of its own for each element, and whether anything shows that it is there.
FOCUSED = """() => {
    const element = document.activeElement, style = getComputedStyle(element), box = element.getBoundingClientRect();
    element.dataset.place ??= String(document.querySelectorAll('[data-place]').length);
    const seen = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 && box.width > 1 && box.bottom > 0;
    return [element === document.body ? '' : element.dataset.place, seen, element.outerHTML.slice(0, 120)];
}"""
CONTROLS = """() => [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]')]
    .filter(element => element.checkVisibility({visibilityProperty: true}) && !element.disabled && element.tabIndex >= 0)
    .filter(element => !element.dataset.place).map(element => element.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("path", ["/connections/", "/connections/acme/"])
@pytest.mark.long
def test_tab_reaches_every_control_and_shows_where_it_is(live_server: Any, site: Site, path: str) -> None:
    with watched(live_server, site.sessions["admin"]) as page:
        page.goto(path)
        page.keyboard.press("Tab")
        assert page.locator(".sf-skip").evaluate("element => element === document.activeElement")
        places: list[str] = []
        unseen: list[str] = []
        while True:
            place, seen, element = page.evaluate(FOCUSED)
            if not place or place in places:
                break
            places.append(place)
            unseen += [] if seen else [element]
            page.keyboard.press("Tab")
        assert not unseen, "\n".join(unseen)
        assert page.evaluate(CONTROLS) == []


def test_the_skip_link_leads_past_the_navigation(live_server: Any, site: Site) -> None:
    with watched(live_server, site.sessions["admin"]) as page:
        page.goto("/connections/acme/")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("document.querySelector('main').contains(document.activeElement)")


def is_refresh(answer: Response) -> bool:
    return answer.request.resource_type == "fetch"


@pytest.mark.parametrize("path", ["/connections/", "/connections/acme/"])
@pytest.mark.long
def test_a_live_refresh_moves_nothing(live_server: Any, site: Site, path: str) -> None:
    with watched(live_server, site.sessions["admin"], reduced_motion="reduce") as page:
        page.clock.install()
        with page.expect_response(is_refresh):  # the first comes at once, with the times of the reader's zone
            page.goto(path)
        page.wait_for_load_state("networkidle")
        with page.expect_response(is_refresh):
            page.clock.fast_forward(16_000)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.sfShift") <= SHIFTS_MOST
        moving = page.evaluate("document.getAnimations().filter(each => each.playState === 'running').length")
        assert moving == 0
