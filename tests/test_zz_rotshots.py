from tests.test_browser import browser
from tests.test_rotation_browser import *
from tests.test_rotation_browser import under_way, cookie
import pytest
pytestmark = [pytest.mark.django_db(transaction=True)]
def test_shots(live_server, cookie, under_way):
    for name, scheme, width in (("wide","light",1280),("dark","dark",1280),("phone","light",390)):
        with browser(live_server.url, cookie, color_scheme=scheme, viewport={"width": width, "height": 900}) as page:
            page.goto(under_way)
            page.get_by_text("Text to send").first.click()
            page.screenshot(path=f"/tmp/rot/{name}.png", full_page=True)
            page.goto("/connections/keys/")
            page.screenshot(path=f"/tmp/rot/{name}-keys.png", full_page=True)
    with browser(live_server.url, cookie, viewport={"width": 1280, "height": 900}) as page:
        page.goto("/connections/acme-prod/")
        page.screenshot(path="/tmp/rot/detail.png", full_page=True)
