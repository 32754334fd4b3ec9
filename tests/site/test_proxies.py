from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings

from sfjwt_site.proxies import networks, visitor

OURS = networks(["192.0.2.10", "10.1.0.0/16", "2001:db8::/32"])


@pytest.mark.parametrize(
    ("remote", "forwarded_for", "expected"),
    [
        ("198.51.100.7", "", "198.51.100.7"),
        ("198.51.100.7", "203.0.113.9", "198.51.100.7"),  # no proxy of ours: what it says is its own
        ("192.0.2.10", "203.0.113.9", "203.0.113.9"),
        ("::ffff:192.0.2.10", " 203.0.113.9 ", "203.0.113.9"),
        ("2001:db8::1", "2001:DB9::7", "2001:db9::7"),
        ("192.0.2.10", "203.0.113.9, 10.1.2.3", "203.0.113.9"),  # through two of ours
        ("192.0.2.10", "203.0.113.66, 203.0.113.9", "203.0.113.9"),  # the first is what the visitor wrote
        ("192.0.2.10", "203.0.113.9, unknown", "192.0.2.10"),
        ("192.0.2.10", "", "192.0.2.10"),
        ("192.0.2.10", "10.1.2.3", "10.1.2.3"),  # a probe of the proxy's own
        ("", "203.0.113.9", ""),  # a socket file
    ],
)
def test_a_visitor_is_whom_the_last_of_our_proxies_saw(
    remote: str, forwarded_for: str, expected: str
) -> None:
    assert visitor(remote, forwarded_for, OURS) == expected


@pytest.mark.django_db
@override_settings(TRUSTED_PROXIES=networks(["192.0.2.10"]))
def test_visitors_behind_a_proxy_lock_out_themselves_only() -> None:
    User.objects.create_user("alice", password="right")
    proxy = Client(REMOTE_ADDR="192.0.2.10")

    def sign_in(visitor: str, password: str) -> int:
        given = {"username": "alice", "password": password}
        return proxy.post("/login/", given, headers={"X-Forwarded-For": visitor}).status_code

    for number in range(5):
        sign_in(f"10.0.0.{number}, 203.0.113.66", "wrong")
    assert sign_in("203.0.113.66", "right") == 429
    assert sign_in("203.0.113.9", "right") == 302
