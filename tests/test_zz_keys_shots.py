from __future__ import annotations
import datetime as dt
import pytest
from django.utils import timezone
from sf_integration import keystore
from sf_integration.models import SigningKey, ConnectedApp
from .test_browser import browser, cookie, ADMIN  # noqa
from .test_forms import KEY, OTHER_KEY, CERTIFICATE, pem
pytestmark = [pytest.mark.chromium, pytest.mark.django_db(transaction=True)]

def test_shots(live_server, cookie, salesforce_org):
    row = keystore.take_in(pem(KEY).encode(), name="no-certificate")
    ConnectedApp.objects.filter(name="sick").update(signing_key=row)
    end = keystore.make(name="ending", days=12)
    ConnectedApp.objects.filter(name="acme").update(signing_key=end)
    for scheme, width in (("light", 1280), ("dark", 390)):
        with browser(live_server.url, cookie, color_scheme=scheme, viewport={"width": width, "height": 800}) as page:
            errors = []
            page.on("console", lambda m: m.type in ("error","warning") and errors.append(m.text))
            def shot(name): page.screenshot(path=f"/tmp/kin/{name}-{width}.png", full_page=True)
            page.goto(f"{ADMIN}/signingkey/add/"); shot("add")
            page.get_by_label("Name", exact=False).first.fill(f"made-{width}")
            page.get_by_label("Make a key pair here").check()
            page.get_by_role("button", name="Save and continue").click(); shot("made")
            page.goto(f"{ADMIN}/signingkey/add/")
            page.locator("#id_name").fill("bad"); page.locator("#id_private_key").fill("-----BEGIN PUBLIC KEY-----\nAAAA"); 
            page.get_by_role("button", name="Save", exact=True).click(); shot("bad")
            page.goto(f"{ADMIN}/signingkey/"); shot("list")
            page.goto(f"{ADMIN}/signingkey/{end.pk}/change/"); shot("ending")
            page.goto(f"{ADMIN}/signingkey/{row.pk}/change/"); shot("nocert")
            page.goto("/connections/"); shot("connections")
            page.goto("/connections/acme/"); shot("detail")
            page.goto(f"{ADMIN}/connectedapp/"); shot("apps")
            print(width, errors)
