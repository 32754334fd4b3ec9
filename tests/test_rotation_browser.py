"""The board in a real browser: whole, all its own, with and without JavaScript."""

from __future__ import annotations

from typing import Any

import pytest

from sf_integration import access, keystore
from sf_integration.models import ConnectedApp
from sf_integration.services import rotation
from sf_integration.testing.django import ConnectableOrg
from tests.test_browser import TOO_SMALL, browser
from tests.test_guide_browser import cookie, watched
from tests.test_rotation import app_of, connection, share, stages

__all__ = ["cookie"]

pytestmark = [pytest.mark.chromium, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def under_way(salesforce_org: ConnectableOrg) -> str:
    """Address of a board with a connection at each stage."""
    names = ("acme-prod", "acme-uat", "globex", "initech", "umbrella")
    shared = share(salesforce_org, *names)
    for each in shared[:4]:
        each.organization = {"name": f"{each.name.title()} Holding GmbH & Co. KG"}
        each.org_contacts = "ann.long-name@subsidiary.example\nbob@acme.example"
        each.save(update_fields=["organization", "org_contacts"])
    key = keystore.make(name="customers 2027")
    rotation.start(shared[:4], actor=access.SHELL, new_key=key)
    app_of(salesforce_org, "acme-uat").replace_certificate(key.certificate)
    user = salesforce_org.find_user(connection("globex").username)
    assert user
    user.approved = False
    app_of(salesforce_org, "globex").replace_certificate(key.certificate)
    rotation.try_all([connection(name) for name in names[:3]], actor=access.SHELL)
    assert stages() == {
        "acme-prod": "not uploaded yet",
        "acme-uat": "promoted",
        "globex": "failing",
        "initech": "staged",
        "umbrella": "nothing staged",
    }
    return f"/connections/keys/{shared[0].signing_key_id}/rotation/"


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_the_board_is_whole_and_all_its_own(
    live_server: Any, cookie: str, under_way: str, scheme: str, width: int
) -> None:
    with watched(live_server, cookie, color_scheme=scheme, viewport={"width": width, "height": 900}) as page:
        for path in ("/connections/keys/", under_way):
            assert page.goto(path).status == 200
            for summary in page.get_by_text("Text to send").all():
                summary.click()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate(TOO_SMALL) == []
        page.get_by_role("button", name="Copy", exact=True).first.wait_for()


def test_the_board_works_without_javascript(
    live_server: Any, cookie: str, under_way: str, salesforce_org: ConnectableOrg
) -> None:
    with browser(live_server.url, cookie, java_script_enabled=False) as page:
        page.goto("/connections/keys/")
        page.get_by_role("link", name="acme-prod", exact=True).click()  # type: ignore[attr-defined]
        page.get_by_role("button", name="Try initech").click()
        page.get_by_text("Connection initech: the org does not take").wait_for()
        page.get_by_role("button", name="Undo acme-uat").click()
        page.get_by_text("Connection acme-uat: it is back to “acme-prod”").wait_for()
        page.get_by_role("button", name="Stage it").click()
        page.get_by_text("is staged for").or_(page.get_by_text("is staged.")).first.wait_for()
    assert stages()["umbrella"] == "staged"
    assert ConnectedApp.objects.get(name="acme-uat").signing_key.name == "acme-prod"
