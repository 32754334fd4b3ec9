"""The site's own pages: sign-in, sign-out, password, errors, and the headers that every page has."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

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


@pytest.mark.parametrize("path", ["/login/", "/admin/login/", "/nowhere/"])
def test_pages_obey_their_strict_policy(client: Client, path: str) -> None:
    answer = client.get(path)
    policy = answer["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    html = answer.content.decode()
    assert not re.search(r"<script(?![^>]*\ssrc=)[^>]*>\s*\S", html)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=", html)


def test_unknown_page_says_so_in_the_sites_own_words(client: Client) -> None:
    answer = client.get("/nowhere/")
    assert answer.status_code == 404
    assert "There is nothing here" in answer.content.decode()


def test_form_without_its_token_is_explained(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    answer = client.post("/login/", {"username": "alice", "password": "right-password"})
    assert answer.status_code == 403
    assert "out of date" in answer.content.decode()


def test_admin_works_and_shows_the_schedules(client: Client) -> None:
    client.force_login(User.objects.create_superuser("root"))
    answer = client.get("/admin/django_celery_beat/periodictask/")
    assert answer.status_code == 200
    assert "sf_integration: refresh due tokens" in answer.content.decode()
