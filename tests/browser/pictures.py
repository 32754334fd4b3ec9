"""The pictures of the documents: `make pictures` writes docs/images anew, each from a page of a site with a story.

Names, port and clock are fixed, so that a picture changes when its page does.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page

from sf_integration import access, keystore
from sf_integration.alarms import rounds
from sf_integration.health.scheduler import REFRESH
from sf_integration.models import (
    AlarmMessage,
    ConnectedApp,
    ConnectionCheck,
    ConnectionDraft,
    Heartbeat,
    SigningKey,
)
from sf_integration.services import rotation
from sf_integration.testing.django import ConnectableOrg, stand_in
from tests.browser.pages import fill_and_press, look_up, run, stay
from tests.browser.site import ACCOUNT, MY_DOMAIN, give_history, signed_in
from tests.browser.watching import browser

pytestmark = pytest.mark.django_db(transaction=True)

FOLDER = Path(__file__).parents[2] / "docs" / "images"
NOW = dt.datetime(2027, 3, 9, 9, 41, tzinfo=dt.UTC)
WIDTH = 1280
MILLISECONDS = (0, 1, 9, 3, 142, 0, 58, 41, 36, 33, 47)
"""What the steps of a check took; they take no time under a clock that stands."""
BOX = """of => {
    if (!of) return {x: 0, y: 0, width: innerWidth, height: innerHeight};
    const box = document.querySelector(of).getBoundingClientRect();
    return {x: box.x + scrollX, y: box.y + scrollY, width: box.width, height: box.height};
}"""
SOQL = "SELECT Name, Industry, BillingCity FROM Account WHERE BillingCountry = 'Germany' LIMIT 5"
REFUSAL = "invalid_grant: user hasn't approved this consumer"
CUSTOMERS = {
    "cafe-lindner": "Café Lindner",
    "fjord-roasters": "Fjord Roasters AS",
    "bean-and-leaf": "Bean & Leaf Ltd",
    "moulin-noir": "Moulin Noir SARL",
}
"""Their apps share one signing key."""


@dataclass(frozen=True)
class Picture:
    name: str
    path: str
    """With names of the story in braces."""
    height: int = 800
    of: str = ""
    """Selector of what is shown; empty: the page, as far as the height reaches."""
    act: Callable[[Page], object] = stay
    dark: bool = False

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.name}.webp"


PICTURES = (
    Picture("list", "/connections/", height=930),
    Picture("detail", "/connections/nordhafen/", height=790),
    Picture("failing-dark", "/connections/warehouse/", height=680, dark=True),
    Picture("check", "/connections/nordhafen/", of="section:has(#ladder)"),
    Picture("guide", "/connections/new/{draft}/", height=820),
    Picture("admin-form", "/admin/sf_integration/connectedapp/{nordhafen}/change/", height=1000),
    Picture("record", "/connections/nordhafen/record/", height=1000, act=look_up(ACCOUNT)),
    Picture("soql", "/connections/nordhafen/query/", height=940, act=run(SOQL)),
    Picture("explain", "/connections/explain/", height=490, act=fill_and_press("Explain", text=REFUSAL)),
    Picture("alarms", "/connections/alarms/", height=680),
    Picture("audit", "/connections/audit/", height=760),
    Picture("rotation", "/connections/keys/{key}/rotation/", height=1100),
    Picture("break-it", "/connections/nordhafen/break-it/"),
)


def test_pictures_are_taken(live_server: Any) -> None:
    FOLDER.mkdir(exist_ok=True)
    with (
        time_machine.travel(NOW - dt.timedelta(hours=5), tick=False) as clock,
        stand_in(port=8787, org_id="00DDn00009C3ajYMAR") as org,
    ):
        ids, session = tell(org, clock)
        options = {"reduced_motion": "reduce", "locale": "en-GB", "timezone_id": "UTC"}
        with browser(live_server.url, session, **options) as page:
            page.clock.set_fixed_time(NOW)
            for picture in PICTURES:
                picture.file.write_bytes(photograph(page, picture, ids))


def photograph(page: Page, picture: Picture, ids: dict[str, Any]) -> bytes:
    page.set_viewport_size({"width": WIDTH, "height": picture.height})
    page.emulate_media(color_scheme="dark" if picture.dark else "light")
    page.goto(picture.path.format_map(ids))
    picture.act(page)
    page.wait_for_load_state("networkidle")
    page.evaluate("document.activeElement.blur()")
    return as_webp(page, page.evaluate(BOX, picture.of) | {"scale": 1})


def as_webp(page: Page, clip: dict[str, float]) -> bytes:
    """A third of a PNG, and what Playwright itself does not write."""
    taken = page.context.new_cdp_session(page).send(
        "Page.captureScreenshot",
        {"format": "webp", "quality": 82, "clip": clip, "captureBeyondViewport": True},
    )
    return base64.b64decode(taken["data"])


# ---- the story ------------------------------------------------------------------------------------------------------


def tell(org: ConnectableOrg, clock: time_machine.Coordinates) -> tuple[dict[str, Any], str]:
    """What happened up to now: what addresses need, and the session of Ann, who may do all."""
    ann = User.objects.create_superuser("ann", password="pw-ann-12345")
    org.api_used = 4_211
    connections = connect(org)
    as_ann = Client()
    signed_in(as_ann, ann)

    def ask(act: str, *names: str) -> None:
        for name in names:
            as_ann.post(f"/connections/{name}/{act}/")
            clock.shift(dt.timedelta(seconds=20))

    ask("check", *connections)
    old, new = keystore.make(name="packaged-app"), keystore.make(name="packaged-app-2027")
    customers = connect_customers(org, old)
    ask("check", *CUSTOMERS)
    ask("pause", "partner-portal")
    clock.move_to(NOW - dt.timedelta(hours=4))
    org.apps[connections["warehouse"].consumer_key].users = set()
    ask("refresh", "warehouse")
    for _ in range(2):
        clock.shift(dt.timedelta(minutes=3))
        ask("check", "warehouse")
        raise_alarms()
    clock.move_to(NOW - dt.timedelta(minutes=25))
    rotate(org, customers, new)
    clock.move_to(NOW - dt.timedelta(minutes=4))
    ask("check", "nordhafen", "night-jobs", *CUSTOMERS)
    clock.move_to(NOW)
    give_history(connections["nordhafen"])
    give_history(connections["warehouse"], failing=range(1, 9))
    tell_milliseconds()
    Heartbeat.beat(REFRESH)
    draft = ConnectionDraft.objects.create(
        name="acme",
        label="Acme Coffee",
        made_by=ann,
        login_url=MY_DOMAIN,
        signing_key=keystore.make(name="acme"),
        steps_done=["licence", "profile"],
    )
    ids = {name: connection.pk for name, connection in connections.items()}
    return ids | {"key": old.pk, "draft": draft.pk}, signed_in(Client(), ann)


def connect(org: ConnectableOrg) -> dict[str, ConnectedApp]:
    of: dict[str, dict[str, Any]] = {
        "nordhafen": {
            "label": "Nordhafen, production",
            "tags": ["coffee"],
            "our_contacts": "ann@connections.example",
            "extra_usernames": ["ops@nordhafen.example"],
            "notes": "Orders come in by night.",
        },
        "night-jobs": {
            "label": "Night jobs",
            "signing_key": keystore.make(name="night-jobs", days=20),
            "tags": ["coffee"],
        },
        "partner-portal": {"label": "Partner portal", "tags": ["portal"]},
        "warehouse": {"label": "Warehouse", "tags": ["stock"]},
    }
    apps = {name: org.add_app(name=fields["label"], kind="external") for name, fields in of.items()}
    apps["nordhafen"] = org.app  # the one that can be broken
    apps["night-jobs"].replace_certificate(of["night-jobs"]["signing_key"].certificate)
    return {
        name: org.connect(
            name,
            consumer_key=apps[name].consumer_key,
            app=None if "signing_key" in fields else apps[name],
            **fields,
        )
        for name, fields in of.items()
    }


def connect_customers(org: ConnectableOrg, key: SigningKey) -> list[ConnectedApp]:
    made = []
    for name, label in CUSTOMERS.items():
        app = org.add_app(name=label, kind="external", certificate_pem=key.certificate)
        user = org.add_user(f"integration@{name}.example")
        fields = {"consumer_key": app.consumer_key, "username": user.username, "signing_key": key}
        made.append(org.connect(name, label=label, org_contacts=f"admin@{name}.example", **fields))
    return made


def rotate(org: ConnectableOrg, customers: list[ConnectedApp], new: SigningKey) -> None:
    """One customer took the new certificate, one did not yet, one was not tried, one not told."""
    rotation.start(customers[:3], actor=access.SHELL, new_key=new)
    org.apps[customers[0].consumer_key].replace_certificate(new.certificate)
    keys = ("signing_key", "staged_signing_key")
    told = ConnectedApp.objects.select_related(*keys).filter(name__in=[each.name for each in customers[:2]])
    rotation.try_all(list(told), actor=access.SHELL)


def raise_alarms() -> None:
    """As beat does, and the mail server took them."""
    Heartbeat.beat(REFRESH)
    settings.SF_INTEGRATION["ALARM_MAIL"] = ["ops@connections.example"]
    rounds.run(timezone.now())
    AlarmMessage.objects.filter(sent_at=None).update(sent_at=timezone.now(), next_try_at=None)


def tell_milliseconds() -> None:
    for check in ConnectionCheck.objects.exclude(steps=[]):
        for step, took in zip(check.steps, MILLISECONDS, strict=False):
            step["milliseconds"] = took if step["status"] in ("ok", "warning", "failed") else 0
        if check.asked_by != "beat":
            check.milliseconds = sum(step["milliseconds"] for step in check.steps)
        check.save(update_fields=["steps", "milliseconds"])
