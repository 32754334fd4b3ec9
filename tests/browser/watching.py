"""A Chromium that tells of everything that a page should not do: errors, blocked things, requests to other hosts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from playwright.sync_api import ConsoleMessage, Page, Request, sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
FROM_THE_START = """
window.sfReports = [];
window.sfShift = 0;
addEventListener('securitypolicyviolation', event =>
    sfReports.push(`${event.violatedDirective} blocked ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
new PerformanceObserver(list => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) sfShift += entry.value;
}).observe({type: 'layout-shift', buffered: true});
"""
"""Runs in each page before anything of its own."""


@contextmanager
def browser(url: str, session: str, **options: Any) -> Iterator[Page]:
    """A page of somebody signed in, at the site `url`. Nothing of Django's database may be used meanwhile: its loop forbids."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        context = chromium.new_context(base_url=url, **options)
        context.set_default_timeout(15_000)
        if session:
            context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": url}])
        context.add_init_script(FROM_THE_START)
        yield context.new_page()
        chromium.close()


def forget_all_files(page: Page) -> None:
    """From now on every visit is a first one."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})


class Watch:
    """What a page did that it should not have done, from now to `end`."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._complaints: list[str] = []
        self._host = ""
        self._heard: dict[Any, Any] = {
            "console": self._console,
            "pageerror": lambda error: self._complaints.append(f"error: {error}"),
            "request": self._request,
        }
        for event, listener in self._heard.items():
            page.on(event, listener)

    def end(self) -> list[str]:
        for event, listener in self._heard.items():
            self._page.remove_listener(event, listener)
        return self._complaints

    def _console(self, message: ConsoleMessage) -> None:
        # That a page of ours answers 403 or 404 is what was asked for.
        refused = message.text.startswith("Failed to load resource") and message.location["url"].endswith("/")
        if message.type in ("error", "warning") and not refused:
            self._complaints.append(f"console: {message.text} ({message.location['url']})")

    def _request(self, request: Request) -> None:
        address = urlsplit(request.url)
        self._host = self._host or address.netloc
        if address.scheme not in ("data", "blob") and address.netloc != self._host:
            self._complaints.append(f"asks {request.url}")


@contextmanager
def watched(live_server: Any, session: str, **options: Any) -> Iterator[Page]:
    """As `browser`, for a page that must do nothing wrong."""
    with browser(live_server.url, session, **options) as page:
        watch = Watch(page)
        yield page
        assert watch.end() == []
