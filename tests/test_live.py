"""What live.js and progress.js do to a page, on a site of two pages that changes when the test says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template import engines
from django.urls import include, path
from playwright.sync_api import expect, sync_playwright

from tests.browser.watching import ARGUMENTS

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.once,
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls(__name__),
]

REGION = """
{% extends "sf_integration/base.html" %}
{% block title %}{{ state }}{% endblock %}
{% block content %}<h1>Page</h1>
<div id="state" data-live="0.1">
  <p data-live-say>It is {{ state }}</p>
  {% if state != "well" %}<details><summary>New above</summary>nothing</details>{% endif %}
  <form>{% csrf_token %}<label><input type="checkbox" name="row" value="b"> b</label></form>
  <details><summary>More</summary>more of {{ state }}</details>
  <details><summary>More</summary>a second one</details>
  <a href="/nowhere/">elsewhere</a>
</div>
<form method="post" action="/slow/" data-progress="Working …">{% csrf_token %}
  <button class="sf-button">Go</button><button class="sf-button" formaction="/file/" data-plain>File</button>
</form>{% endblock %}"""
AFTER = """
{% extends "sf_integration/base.html" %}
{% load static %}
{% block title %}After{% endblock %}
{% block head %}<link rel="stylesheet" href="{% static 'sf_integration/guide.css' %}">{% endblock %}
{% block content %}<h1>After</h1><p class="sf-lead">Lead</p>{% endblock %}"""
world = SimpleNamespace()


def page(request: HttpRequest) -> HttpResponse:
    world.asked += 1
    state = world.state
    if state == "gone":
        return redirect("/login/")
    if state == "broken":
        return HttpResponse(status=503)
    return HttpResponse(engines["django"].from_string(REGION).render({"state": state}, request))


def slow(request: HttpRequest) -> HttpResponse:
    world.sent += 1
    world.go_on.wait(10)
    messages.success(request, "It is done.")
    return redirect("/after/")


def after(request: HttpRequest) -> HttpResponse:
    return HttpResponse(engines["django"].from_string(AFTER).render({}, request))


def file(request: HttpRequest) -> HttpResponse:
    return HttpResponse("a,b", headers={"Content-Disposition": 'attachment; filename="rows.csv"'})


urlpatterns = [
    path("page/", page),
    path("slow/", slow),
    path("after/", after),
    path("file/", file),
    path("login/", lambda request: HttpResponse("Sign in")),
    path("connections/", include("sf_integration.urls")),
]


@contextmanager
def opened(live_server: Any) -> Iterator[Any]:
    world.__dict__.update(state="well", asked=0, sent=0, go_on=threading.Event())
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        page = chromium.new_page(base_url=live_server.url)
        page.set_default_timeout(5_000)
        page.goto("/page/")
        yield page
        world.go_on.set()
        chromium.close()


def test_a_region_follows_and_leaves_alone_what_its_reader_did(live_server: Any) -> None:
    with opened(live_server) as page:
        page.evaluate("said = []; new MutationObserver(() => said.push(document.querySelector('#sf-said').textContent))"
                      ".observe(document.querySelector('#sf-said'), {childList: true})")  # fmt: skip
        page.evaluate("kept = document.querySelector('#state p')")
        seen = world.asked
        page.wait_for_timeout(400)
        assert world.asked > seen + 1
        assert page.evaluate("kept.isConnected"), "what has not changed is not touched"
        page.get_by_role("checkbox").check()
        page.get_by_text("More", exact=True).first.click()
        page.get_by_role("link", name="elsewhere").focus()
        world.state = "sick"
        page.get_by_text("more of sick").wait_for()
        assert page.get_by_role("checkbox").is_checked()
        opened_ones = page.evaluate("[...document.querySelectorAll('#state details')].map(one => one.open)")
        assert opened_ones == [False, True, False], (
            "a new one above, and of two that look alike the one it was"
        )
        assert page.evaluate("document.activeElement.textContent") == "elsewhere"
        assert page.evaluate("said") == ["It is sick"]
        page.get_by_text("It is sick").first.select_text()
        world.state = "well"
        page.wait_for_timeout(400)
        assert page.get_by_text("more of sick").is_visible(), "a selection is not taken away"
        page.evaluate("getSelection().empty()")
        page.get_by_text("more of well").wait_for()


def test_a_site_that_fails_is_asked_less_and_a_signed_out_reader_not_at_all(live_server: Any) -> None:
    with opened(live_server) as page:
        world.state = "broken"
        page.get_by_text("The site doesn't answer.").wait_for()
        world.asked = 0
        page.wait_for_timeout(1000)
        assert 1 <= world.asked <= 4, "after 0.1, 0.2, 0.4, 0.8 s and so on"
        assert page.get_by_text("more of well").count() == 1
        world.state = "sick"
        page.get_by_text("more of sick").wait_for(state="attached")
        expect(page.locator("#sf-told")).to_be_empty()
        world.state = "gone"
        page.get_by_text("You are signed out").wait_for()
        world.asked = 0
        page.wait_for_timeout(500)
        assert world.asked == 0


def test_a_slow_form_leaves_the_page_usable_and_its_answer_takes_the_place(live_server: Any) -> None:
    with opened(live_server) as page:
        cookie = {one["name"]: one for one in page.context.cookies()}["sf_timezone"]
        assert (cookie["sameSite"], cookie["path"], cookie["secure"]) == ("Lax", "/", False)
        assert cookie["value"] == page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone")
        page.evaluate("same = true")
        go = page.get_by_role("button", name="Go")
        go.click()
        expect(page.locator("#sf-told")).to_have_text("Working … 1 s")
        assert go.get_attribute("aria-busy") == "true"
        go.click(force=True)
        page.get_by_text("More", exact=True).first.click()
        page.get_by_text("more of well").wait_for()
        world.go_on.set()
        page.get_by_role("heading", name="After").wait_for()
        assert world.sent == 1, "pressed twice, sent once"
        assert page.evaluate("document.activeElement.textContent.trim()") == "It is done."
        assert page.evaluate("[same, document.title.split(' ')[0], location.pathname]") == [
            True,
            "After",
            "/after/",
        ]
        assert page.locator(".sf-lead").evaluate("one => getComputedStyle(one).maxWidth") != "none"
        expect(page.locator("#sf-told")).to_be_empty()
        page.go_back()
        page.get_by_role("heading", name="Page").wait_for()
        with page.expect_download() as download:
            page.get_by_role("button", name="File").click()
        assert download.value.suggested_filename == "rows.csv"
        page.route("**/slow/", lambda route: route.abort())
        page.get_by_role("button", name="Go").click()
        page.get_by_text("No answer came.").wait_for()
        assert go.get_attribute("aria-busy") is None
