"""Every page, in light and dark, wide and on a phone, with and without JavaScript: whole, quiet, light, and for everyone.

With SF_TEST_PICTURES=1 what it saw lies in var/screenshots, a picture for each face of each page.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import Error, Page

from sf_integration.models import ConnectedApp, SigningKey
from tests.browser import buttons, pages
from tests.browser.inspection import inaccessible, misbehaved, misshapen
from tests.browser.known import KNOWN
from tests.browser.pages import Visit
from tests.browser.site import Site
from tests.browser.watching import Watch, browser, forget_all_files

pytestmark = [pytest.mark.chromium, pytest.mark.django_db(transaction=True)]

WIDE, TABLET, PHONE = ({"width": width, "height": 800} for width in (1280, 768, 390))
PICTURES = settings.BASE_DIR / "var" / "screenshots"
WANTS_PICTURES = os.environ.get("SF_TEST_PICTURES", "") not in ("", "0")
"""Taking them takes a seventh of the walk's time."""
BEYOND_THEIR_BOX = """() => [...document.querySelectorAll('fieldset :is(input, select, textarea)')]
    .filter(field => field.checkVisibility() &&
        field.getBoundingClientRect().right > field.closest('.form-row').getBoundingClientRect().right + 1)
    .map(field => field.name)"""
ROUNDS = {
    "connections": pages.OF_MANY,
    "states": pages.IN_EACH_STATE,
    "connection": pages.OF_ONE,
    "set-up": pages.SET_UP,
    "site": pages.OF_THE_SITE,
    "admin": tuple(pages.of_the_admin()),
}


def test_every_page_and_button_is_in_the_tables() -> None:
    visited = {visit.page for round_ in ROUNDS.values() for visit in round_}
    pressed = {name.partition(" ")[0] for name in buttons.PRESSED}
    assert pages.all_urls() - visited - pressed - buttons.DOWNLOADS - buttons.ASKED_BY_SCRIPTS == set()


@pytest.mark.parametrize("of", ROUNDS)
@pytest.mark.long
def test_every_face_is_whole(live_server: Any, site: Site, of: str) -> None:
    complaints: list[str] = []
    unpressed: set[str] = set()
    for visit, page in faces(live_server, site, ROUNDS[of], viewport=WIDE):
        complaints += [f"{visit.name}: {each}" for each in tried(looked_at, page, visit, site)]
        if visit.is_ours:
            unpressed |= buttons.on(page) - buttons.PRESSED
    assert not complaints, "\n".join(complaints)
    assert not unpressed, unpressed


@pytest.mark.parametrize("of", [of for of in ROUNDS if of != "admin"])
@pytest.mark.long
def test_every_face_is_there_without_javascript(live_server: Any, site: Site, of: str) -> None:
    complaints: list[str] = []
    for visit, page in faces(live_server, site, ROUNDS[of], viewport=PHONE, java_script_enabled=False):
        complaints += [f"{visit.name}: {each}" for each in tried(seen_without_script, page, visit, site)]
    assert not complaints, "\n".join(complaints)


def test_fields_of_the_admin_fit_a_tablet(live_server: Any, site: Site) -> None:
    with browser(live_server.url, site.sessions["admin"], viewport=TABLET) as page:
        for model in ("connectedapp", "signingkey", "apiclient"):
            page.goto(f"/admin/sf_integration/{model}/add/")
            assert page.evaluate(BEYOND_THEIR_BOX) == []


def test_long_names_leave_room_in_lists_of_the_admin(live_server: Any, site: Site) -> None:
    ConnectedApp.objects.filter(name="acme").update(label="W" * 100)
    with browser(live_server.url, site.sessions["admin"], viewport=WIDE) as page:
        for model in ("accesstoken", "connectioncheck", "connectionevent"):
            page.goto(f"/admin/sf_integration/{model}/")
            assert page.locator(".results").evaluate("one => one.scrollWidth === one.clientWidth"), model


def test_long_names_fit_a_phone(live_server: Any, site: Site) -> None:
    name = "n" * 60
    ConnectedApp.objects.filter(name="sick").update(name=name)
    SigningKey.objects.filter(pk=site.ids["key"]).update(name="k" * 60)
    of_connection = ("{name}/", "{name}/timeline/", "{name}/record/", "guide/?connection={name}")
    with browser(live_server.url, site.sessions["admin"], viewport=PHONE) as page:
        for path in (*of_connection, "keys/{key}/rotation/"):
            page.goto(f"/connections/{path}".format(name=name, key=site.ids["key"]))
            assert [*misshapen(page)] == [], path


def faces(
    live_server: Any, site: Site, visits: tuple[Visit, ...], **options: Any
) -> Iterator[tuple[Visit, Page]]:
    """Each with a page of the right person, in one browser per person."""
    for who, theirs in groupby(sorted(visits, key=lambda visit: visit.who), key=lambda visit: visit.who):
        with browser(live_server.url, site.sessions.get(who, ""), **options) as page:
            forget_all_files(page)
            for visit in theirs:
                yield visit, page


def tried(look: Callable[..., Iterator[str]], page: Page, *given: Any) -> Iterator[str]:
    """What a look finds; a page on which it fails is a finding too, and the walk goes on."""
    watch = Watch(page)
    try:
        yield from look(page, *given)
    except Error as error:
        yield f"{type(error).__name__}: {error.message[:300]}"
    yield from watch.end()


def seen_without_script(page: Page, visit: Visit, site: Site) -> Iterator[str]:
    status = visit.open(page, site)
    if status != visit.status:
        yield f"status {status}"
    yield from misshapen(page)
    photograph(page, visit, "no-script")


def looked_at(page: Page, visit: Visit, site: Site) -> Iterator[str]:
    """All that is wrong with one face, which is opened once and seen in four ways, or in two."""
    known = {rule for name, rules in KNOWN.items() if name in ("", visit.page) for rule in rules}
    page.set_viewport_size(WIDE)
    page.emulate_media(color_scheme="light")
    status = visit.open(page, site)
    if status != visit.status:
        yield f"status {status}"
    yield from misbehaved(page, measured=visit.is_ours and visit.act is not pages.unfold)
    for size, schemes in ((WIDE, ("light", "dark")), (TABLET, ()), (PHONE, ("light", "dark"))):
        page.set_viewport_size(size)
        if visit.is_ours:
            yield from (f"{each} ({size['width']} px)" for each in misshapen(page))
        for scheme in schemes:
            way = (scheme, size["width"])
            if visit.brief and way not in (("light", 1280), ("dark", 390)):
                continue
            page.emulate_media(color_scheme=scheme)
            page.evaluate("document.getAnimations().forEach(each => each.finish())")  # colours on their way
            photograph(page, visit, f"{scheme}-{size['width']}")
            if way == ("light", 1280) and not visit.brief:
                yield from inaccessible(page, without=known)
            if way == ("dark", 390):
                rules = () if visit.brief else {"color-contrast", "target-size"} - known
                yield from inaccessible(page, rules=rules, without=known if visit.brief else ())


def photograph(page: Page, visit: Visit, how: str) -> None:
    if not WANTS_PICTURES:
        return
    PICTURES.mkdir(parents=True, exist_ok=True)
    size = page.evaluate("[innerWidth, Math.min(document.documentElement.scrollHeight, 5000)]")
    page.screenshot(
        path=PICTURES / f"{visit.name}.{how}.jpg",
        type="jpeg",  # half the time of a PNG
        quality=80,
        full_page=True,
        clip={"x": 0, "y": 0, "width": size[0], "height": size[1]},
        animations="disabled",
    )
