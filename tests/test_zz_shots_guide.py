from tests.test_guide_browser import *
@pytest.mark.parametrize(("scheme","width"),[("dark",390),("light",1280)])
def test_shots(live_server, cookie, salesforce_org, scheme, width):
    with browser(live_server.url, cookie, color_scheme=scheme, viewport={"width": width, "height": 900}) as page:
        begin(page, salesforce_org)
        page.get_by_text("Use one that you have").click()
        page.locator("#signing-key").screenshot(path=f"/tmp/shots/key-{scheme}{width}.png")
        page.locator("#values-form").screenshot(path=f"/tmp/shots/values-{scheme}{width}.png")
