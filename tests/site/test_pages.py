"""The site's own pages: sign-in, sign-out, password, errors, and the headers that every page has."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.db import connection as database
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice", password="right-password")


def test_root_leads_to_the_connections(client: Client) -> None:
    answer = client.get("/")
    assert (answer.status_code, answer["Location"]) == (302, "/connections/")


def test_anonymous_visitor_is_sent_to_sign_in(client: Client) -> None:
    answer = client.get("/connections/")
    assert (answer.status_code, answer["Location"]) == (302, "/login/?next=/connections/")


def test_sign_in_leads_where_one_wanted_to_go(client: Client, alice: User) -> None:
    form = {"username": "alice", "password": "right-password", "next": "/password/"}
    answer = client.post("/login/", form)
    assert (answer.status_code, answer["Location"]) == (302, "/password/")
    assert client.get("/password/").status_code == 200


def test_sign_out_by_post_alone(client: Client, alice: User) -> None:
    client.force_login(alice)
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/")["Location"] == "/login/"
    assert client.get("/password/").status_code == 302


def test_password_change(client: Client, alice: User) -> None:
    client.force_login(alice)
    form = {
        "old_password": "right-password",
        "new_password1": "moss-4-Lantern",
        "new_password2": "moss-4-Lantern",
    }
    assert client.post("/password/", form)["Location"] == "/password/done/"
    alice.refresh_from_db()
    assert alice.check_password("moss-4-Lantern")


def test_sixth_try_is_locked_out_even_with_the_right_password(client: Client, alice: User) -> None:
    for _ in range(5):
        client.post("/login/", {"username": "alice", "password": "wrong"})
    answer = client.post("/login/", {"username": "alice", "password": "right-password"})
    assert answer.status_code == 429
    assert "Too many wrong passwords" in answer.content.decode()
    other = User.objects.create_user("bob", password="right-password")
    assert (
        client.post("/login/", {"username": other.username, "password": "right-password"}).status_code == 302
    )


@pytest.mark.parametrize("address", ["/login/", "/admin/login/", "/nowhere/"])
def test_pages_obey_their_strict_policy(client: Client, address: str) -> None:
    answer = client.get(address)
    policy = dict(line.strip().split(" ", 1) for line in answer["Content-Security-Policy"].split(";"))
    assert policy == {
        "default-src": "'self'",  # so for scripts, styles, pictures and what scripts fetch
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "object-src": "'none'",
    }
    html = answer.content.decode()
    assert not re.search(r"<script(?![^>]*\ssrc=)[^>]*>\s*\S", html)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=", html)


def refuse(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied


def break_down(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a canary-4711 of the inside")


urlpatterns = [path("refused/", refuse), path("broken/", break_down), path("", include("sfjwt_site.urls"))]


@pytest.mark.urls(__name__)
@pytest.mark.parametrize(
    ("address", "host", "status", "said", "what_to_do"),
    [
        ("/nowhere/", "testserver", 404, "There is nothing here", "To the connections"),
        ("/refused/", "testserver", 403, "You may not do this", "An administrator of this site can grant it"),
        ("/broken/", "testserver", 500, "Something went wrong on our side", "trying once more does no harm"),
        ("/login/", "evil.example", 400, "can't answer this request", "Use the address that you were given"),
    ],
)
def test_errors_are_told_in_the_sites_own_words(
    client: Client, alice: User, address: str, host: str, status: int, said: str, what_to_do: str
) -> None:
    client.raise_request_exception = False
    for _ in ("anonymous", "signed in"):
        answer = client.get(address, headers={"host": host})
        html = answer.content.decode()
        assert answer.status_code == status
        assert said in html
        assert what_to_do in html
        assert "sf_integration/pages.css" in html
        assert "canary-4711" not in html
        client.force_login(alice)


@pytest.mark.django_db
@pytest.mark.parametrize(("charset", "status"), [("unicode_escape", 400), ("utf-16", 400), ("UTF8", 200)])
def test_forms_in_other_charsets_are_refused(client: Client, charset: str, status: int) -> None:
    """One of them gives half characters, which no database takes."""
    form = '--B\r\nContent-Disposition: form-data; name="username"\r\n\r\n\\ud800\r\n--B--\r\n'
    client.raise_request_exception = False
    answer = client.post(
        "/login/", data=form.encode(), content_type=f"multipart/form-data; boundary=B; charset={charset}"
    )
    assert answer.status_code == status


def test_a_database_that_is_down_still_gives_a_page(client: Client, alice: User) -> None:
    client.force_login(alice)
    client.raise_request_exception = False

    def fail(*_: object) -> None:
        raise OperationalError("could not connect to host 10.1.2.3, password canary-4711")

    with database.execute_wrapper(fail):
        answer = client.get("/connections/")
    assert answer.status_code == 500
    html = answer.content.decode()
    assert "Something went wrong on our side" in html
    assert "/readyz" in html
    assert "canary-4711" not in html


def test_form_without_its_token_is_explained(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    answer = client.post("/login/", {"username": "alice", "password": "right-password"})
    assert answer.status_code == 403
    html = answer.content.decode()
    assert "out of date" in html
    assert "send the form again" in html


def test_admin_works_and_shows_the_schedules(client: Client) -> None:
    client.force_login(User.objects.create_superuser("root"))
    answer = client.get("/admin/django_celery_beat/periodictask/")
    assert answer.status_code == 200
    assert "sf_integration: refresh due tokens" in answer.content.decode()
