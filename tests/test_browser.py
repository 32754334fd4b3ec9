"""The pages in a real browser: nothing blocked, nothing from elsewhere, nothing cut off, all of it without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.test import Client

from sf_integration.models import ConnectedApp
from sf_integration.testing.django import ConnectableOrg

pytestmark = [pytest.mark.chromium, pytest.mark.django_db(transaction=True)]

ACCOUNT = "001Dn00000Gi7HJIAZ"
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
ADMIN = "/admin/sf_integration"
PATHS = (
    "/connections/",
    "/connections/?q=nothing",
    "/connections/guide/",
    "/connections/guide/?connection=acme",
    "/connections/new/",
    "/connections/explain/",
    "/connections/explain/?q=audience",
    "/connections/acme/",
    "/connections/sick/",
    "/connections/moved/accept-org/",
    "/connections/acme/identity/",
    "/connections/acme/record/",
    "/connections/acme/query/",
    "/connections/acme/revoke/",
    f"{ADMIN}/connectedapp/",
    f"{ADMIN}/connectedapp/add/",
    f"{ADMIN}/connectedapp/import/",
    f"{ADMIN}/signingkey/add/",
)
TOO_SMALL = """() => [...document.querySelectorAll('a, button, input:not([type=hidden]), textarea')]
    .filter(element => element.checkVisibility() && !element.closest('p, .sf-hidden, .sf-skip'))
    .filter(element => { const box = element.getBoundingClientRect(); return box.height < 24 || box.width < 24 })
    .map(element => element.outerHTML)"""


@pytest.fixture
def cookie(salesforce_org: ConnectableOrg, admin_client: Client) -> str:
    """Session of an administrator who sees a connection that works and one that doesn't."""
    salesforce_org.connect("acme", label="Acme Coffee")
    salesforce_org.connect("sick", consumer_key="3MVG9nonsense")
    salesforce_org.connect("moved", expected_org_id="00D5g000004FaKeEAK")
    for name in ("acme", "sick", "moved"):
        admin_client.post(f"/connections/{name}/check/")
    return admin_client.cookies[settings.SESSION_COOKIE_NAME].value


@contextmanager
def browser(url: str, cookie: str, **options: object) -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=OPTIONS)
        context = chromium.new_context(base_url=url, **options)  # type: ignore[arg-type]
        context.set_default_timeout(15_000)
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": url}])
        yield context.new_page()
        chromium.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_pages_are_whole_and_all_their_own(live_server: object, cookie: str, scheme: str, width: int) -> None:
    url: str = live_server.url  # type: ignore[attr-defined]
    complaints: list[str] = []
    loaded: list[tuple[str, int]] = []
    with browser(url, cookie, color_scheme=scheme, viewport={"width": width, "height": 800}) as page:
        page.on(
            "console",
            lambda message: message.type in ("error", "warning") and complaints.append(message.text),
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "requestfinished",
            lambda request: loaded.append((request.url, request.sizes()["responseBodySize"])),
        )
        for path in PATHS:
            assert page.goto(path).status == 200
            wide = page.evaluate("document.documentElement.scrollWidth")
            ours = path.startswith("/connections/")
            if ours and wide > width:
                complaints.append(f"{path} is {wide} wide")
            if ours:
                complaints += [f"{path} too small: {html}" for html in page.evaluate(TOO_SMALL)]
    assert not complaints
    assert {urlsplit(address).netloc for address, _ in loaded} == {urlsplit(url).netloc}
    first = [
        size for address, size in loaded if "/connections/" in address or "/static/sf_integration/" in address
    ]
    assert 0 < sum(first[:4]) < 100_000


def test_everything_works_without_javascript(live_server: object, cookie: str) -> None:
    with browser(live_server.url, cookie, java_script_enabled=False) as page:  # type: ignore[attr-defined]
        page.goto("/connections/")
        page.get_by_role("link", name="Acme Coffee").click()
        page.get_by_role("button", name="Check now").click()
        page.get_by_text("Connection acme: Healthy.").wait_for()
        page.get_by_role("link", name="Identity").click()
        page.get_by_role("button", name="Ask the org").click()
        page.get_by_text("as expected").first.wait_for()
        page.get_by_role("link", name="Record").click()
        page.get_by_role("textbox", name="Record id").fill(ACCOUNT)
        page.get_by_role("button", name="Look up").click()
        page.get_by_text("NH-10000").wait_for()
        page.get_by_role("link", name="SOQL").click()
        page.get_by_role("textbox", name="SOQL").fill("SELECT Name FROM Account LIMIT 3")
        page.get_by_role("button", name="Run").click()
        page.get_by_role("heading", name="3 rows").wait_for()
        page.get_by_role("link", name="Health").click()
        page.get_by_role("link", name="Revoke").click()
        page.get_by_role("button", name="Revoke").click()
        page.get_by_text("was ended and its token dropped").wait_for()
        page.get_by_role("button", name="Pause").click()
        page.get_by_role("button", name="Resume").click()
        page.get_by_text("Connection acme is resumed.").wait_for()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("heading", name="Sign in").wait_for()


def fill_in(page: object, org: ConnectableOrg) -> None:
    """The admin's form for a new connection that works."""
    page.goto(f"{ADMIN}/connectedapp/add/")  # type: ignore[attr-defined]
    for name, value in {
        "name": "tried",
        "login_url": org.url,
        "consumer_key": org.app.consumer_key,
        "username": org.user.username,
        "private_key": org.app.private_key_pem,
    }.items():
        page.locator(f"#id_{name}").fill(value)  # type: ignore[attr-defined]


def test_values_are_tested_without_losing_what_was_typed(
    live_server: object, cookie: str, salesforce_org: ConnectableOrg
) -> None:
    complaints: list[str] = []
    with browser(live_server.url, cookie) as page:  # type: ignore[attr-defined]
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
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
    assert not complaints
    assert ConnectedApp.objects.filter(name="tried").exists()


def test_values_are_tested_without_javascript_too(
    live_server: object, cookie: str, salesforce_org: ConnectableOrg
) -> None:
    with browser(live_server.url, cookie, java_script_enabled=False) as page:  # type: ignore[attr-defined]
        fill_in(page, salesforce_org)
        page.get_by_role("button", name="Test without saving").click()
        page.get_by_text("These values work.").wait_for()
        page.get_by_text("Give the private key again before you save").wait_for()
        assert page.url.endswith("#sf-trial")
        assert page.locator("#id_username").input_value() == salesforce_org.user.username
        assert page.locator("#id_private_key").input_value() == ""
    assert not ConnectedApp.objects.filter(name="tried").exists()


def test_the_trace_unfolds_and_is_saved_as_a_file(live_server: object, cookie: str) -> None:
    with browser(live_server.url, cookie) as page:  # type: ignore[attr-defined]
        page.goto("/connections/sick/")
        page.get_by_text("The sign-in, as a script would print it").click()
        page.get_by_text("client identifier invalid").last.wait_for()
        with page.expect_download() as download:
            page.get_by_role("link", name="Save as text").click()
        assert download.value.suggested_filename.startswith("sick-")
        page.get_by_role("link", name="invalid_client_id").first.click()
        page.wait_for_url("**/connections/explain/#invalid_client_id*")
