"""The panel that breaks the stand-in org: what each button leads to, that healing heals, and that it reaches nothing else.

What is expected stands here in words of its own, not read from the panel or the catalogue of errors.
"""

from __future__ import annotations

import html
import re
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
import requests
from django.contrib.auth.models import Permission, User
from django.test import Client

from sf_integration import get_token
from sf_integration.models import AuditEvent, ConnectedApp
from sf_integration.services import breakages
from sf_integration.testing.django import ConnectableOrg

pytestmark = [pytest.mark.django_db, pytest.mark.once]

PANEL, HEAL = "/connections/demo/break-it/", "/connections/demo/break-it/heal/"
ORG_ADMIN = "Salesforce admin of the org"
US = "Whoever runs this site"


@dataclass(frozen=True)
class Row:
    state: str
    step: str = ""
    code: str = ""
    cause: str = ""
    remedy: str = ""
    who: str = ORG_ADMIN


TABLE = {
    "certificate": Row("Failing", "sign_in", "invalid_grant", "does not fit the certificate", "fingerprint"),
    "app": Row(
        "Failing", "sign_in", "invalid_client_id", "not know this consumer key", "Copy the consumer key"
    ),
    "approval": Row(
        "Failing", "sign_in", "invalid_app_access", "takes admin-approved users only", "permission set"
    ),
    "scope": Row("Failing", "environment", "INVALID_SESSION_ID", "scope “api” is missing", "Add the scope"),
    "refresh": Row(
        "Failing",
        "sign_in",
        "invalid_request",
        "lacks the scope refresh_token",
        "Perform requests at any time",
    ),
    "audience": Row("Failing", "sign_in", "invalid_grant", "audience is not one", "My Domain URL", US),
    "user": Row("Failing", "sign_in", "invalid_grant", "deactivated", "Activate the user again"),
    "address": Row("Failing", "sign_in", "invalid_grant", "from our address", "Login IP Ranges"),
    "api": Row("Failing", "environment", "API_CURRENTLY_DISABLED", "may not use the API", "API Enabled"),
    "objects": Row(
        "Needs attention", "sample_record", "INVALID_TYPE", "can't read Account", "permission set"
    ),
    "limits": Row("Healthy"),
    "logins": Row("Failing", "sign_in", "invalid_grant", "more than 3,600 times", "share one token", US),
    "sessions": Row("Healthy"),
    "closed": Row(
        "Failing", "sign_in", "invalid_grant", "expired, suspended", "Ask Salesforce Support", "Salesforce"
    ),
    "instance": Row(
        "Failing", "sign_in", "not_allowed_here", "names a foreign instance", "add 127.0.0.1:", US
    ),
    "org": Row(
        "Failing", "sign_in", "wrong_org", "is pinned to", "accept it", "An administrator of this site"
    ),
    "limit_near": Row("Needs attention", "limits", "api_limit_near", "of 1,000 API calls", "buy more calls"),
    "limit": Row(
        "Failing", "environment", "REQUEST_LIMIT_EXCEEDED", "used up its API calls", "which program calls"
    ),
    "maintenance": Row(
        "Failing", "sign_in", "http_503", "down for maintenance", "it is tried again", "Salesforce"
    ),
    "proxy": Row("Failing", "sign_in", "not_json", "sign-in page of a proxy", "whose page is it", US),
    "renamed": Row(
        "Failing", "sign_in", "redirected", "The host redirects", "Redirects are not followed", US
    ),
    "cut": Row("Failing", "host", "cut_off", "connection broke", "firewall and proxy", US),
    "slow": Row("Healthy"),
    "clock": Row("Needs attention", "clock", "clock_skew", "behind Salesforce's", "by NTP", US),
}


@pytest.fixture
def org(salesforce_org: ConnectableOrg, admin_client: Client) -> ConnectableOrg:
    """With a healthy connection; as with `make run`, only its first address is allowed."""
    salesforce_org.connect("demo")
    assert salesforce_org.server
    salesforce_org.server._on_open = lambda address: None
    admin_client.post("/connections/demo/check/")
    assert state() == "Healthy"
    return salesforce_org


def demo() -> ConnectedApp:
    return ConnectedApp.objects.select_related("signing_key").get(name="demo")


def state() -> str:
    return demo().connection_state().value


def words(answer: Any) -> str:
    """What a page says."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def broken(browser: Client) -> list[str]:
    return browser.get(PANEL).context["broken_keys"]


@pytest.mark.parametrize("key", TABLE)
def test_each_thing_breaks_is_told_and_is_healed(org: ConnectableOrg, admin_client: Client, key: str) -> None:
    row, title = TABLE[key], breakages.find(demo(), key).title
    started = time.monotonic()

    page = admin_client.post(PANEL, {"what": key}, follow=True)

    assert time.monotonic() - started < 5
    assert page.redirect_chain == [("/connections/demo/", 302)]
    said = words(page)
    assert f"“{title}” is done." in said
    assert state() == row.state == breakages.find(demo(), key).state.value
    ill = [step for step in demo().checks.first().steps if step["status"] in ("failed", "warning")]
    if row.step:
        assert (ill[-1]["step"], ill[-1]["code"]) == (row.step, row.code)
        for piece in (row.state, row.code, row.cause, row.remedy, row.who):
            assert piece in said, piece
    else:
        assert ill == []
    assert broken(admin_client) == [key] * (key != "sessions")

    healed = admin_client.post(HEAL, follow=True)

    assert state() == "Healthy"
    assert "The stand-in org is healed. Connection demo: Healthy." in words(healed)
    assert healed.context["broken_keys"] == []


def test_the_panel_has_all_that_is_tested_here(org: ConnectableOrg, admin_client: Client) -> None:
    found = [breakage.key for group in breakages.catalogue(demo()) for breakage in group.breakages]
    assert found == list(TABLE)
    page = admin_client.get(PANEL).content.decode()
    assert page.count('name="what"') == len(TABLE)
    assert "Heal everything" not in page


def test_slowness_and_ended_sessions_leave_their_marks(
    org: ConnectableOrg, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breakages, "SLOW_SECONDS", 0.3)
    admin_client.post(PANEL, {"what": "slow"})
    took = {step["step"]: step["milliseconds"] for step in demo().checks.first().steps}
    assert 300 <= took["sign_in"] < 1500
    admin_client.post(HEAL)

    before = org.token_requests
    admin_client.post(PANEL, {"what": "sessions"})
    assert [asked.error for asked in org.requests if asked.path.startswith("/id/")][-2:] == [
        "Bad_OAuth_Token",
        None,
    ]
    assert org.token_requests == before + 1


def test_breaking_one_thing_heals_the_one_before(org: ConnectableOrg, admin_client: Client) -> None:
    """Also what shut the gate for an hour, and a fault that would have come first."""
    for key in ("logins", "maintenance", "user"):
        admin_client.post(PANEL, {"what": key})
        assert broken(admin_client) == [key]
    assert demo().last_error["words"] == "invalid_grant: inactive user"
    admin_client.post(HEAL)
    get_token("demo")


def test_what_was_ordered_by_other_ways_is_shown_and_healed(
    org: ConnectableOrg, admin_client: Client
) -> None:
    told = f"{org.url}/stand-in"
    requests.patch(told, json={"user.active": False}, timeout=5)
    requests.post(f"{told}/fail", json={"kind": "huge", "times": None}, timeout=5)
    assert "Broken at present: “Deactivate the user”" in words(admin_client.get(PANEL))
    requests.patch(told, json={"user.active": True}, timeout=5)
    assert "A fault was ordered by another way" in words(admin_client.get(PANEL))
    admin_client.post(HEAL)
    assert (org.faults.waiting(), state()) == ([], "Healthy")


def test_who_broke_it_stands_in_the_trail(org: ConnectableOrg, admin_client: Client) -> None:
    admin_client.get(HEAL)
    assert admin_client.post(PANEL, {"what": "nonsense"}).status_code == 404
    assert not AuditEvent.objects.filter(act__contains="stand-in").exists()
    admin_client.post(PANEL, {"what": "user"})
    admin_client.post(HEAL)
    trail = AuditEvent.objects.filter(act__contains="stand-in").order_by("at")
    assert [(event.actor, event.act, event.fields) for event in trail] == [
        ("admin", "broke stand-in", ["user"]),
        ("admin", "healed stand-in", []),
    ]


# ---- Nothing else is reached --------------------------------------------------------------------------------------------


class Asked(HTTPServer):
    """A program on this machine that is no stand-in, and notes what it is asked."""

    def __init__(self, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.body = body
        self.asked: list[str] = []


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.body)  # type: ignore[attr-defined]

    do_POST = do_PATCH = do_GET  # noqa: N815

    def log_message(self, *arguments: object) -> None:
        pass


ORG = b'"org": {"id": "00D", "url": "", "instance_url": ""}'


@pytest.mark.parametrize(
    ("listed", "body"),
    [
        (True, b'{"org": {"id": "00D"}, "settings": 1}'),
        (True, b"{" + ORG + b', "settings": {}, "faults": ["x"]}'),
        (True, b"[" * 100_000),
        (False, b""),
    ],
    ids=["other JSON", "nearly the same", "deep", "not listed"],
)
def test_other_programs_get_no_order(
    org: ConnectableOrg, admin_client: Client, settings: Any, listed: bool, body: bytes
) -> None:
    with Asked(body) as other:
        Thread(target=other.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{other.server_address[1]}"
        if listed:
            settings.SF_INTEGRATION["ALLOWED_HOSTS"].append(address)
        ConnectedApp.objects.update(login_url=f"http://{address}")
        answers = [
            admin_client.get(PANEL),
            admin_client.post(PANEL, {"what": "user"}),
            admin_client.post(HEAL),
        ]
        other.shutdown()
    assert [answer.status_code for answer in answers] == ([404, 404, 404] if listed else [200, 424, 424])
    assert other.asked == ["GET /stand-in"] * 3 * listed


def test_real_orgs_have_no_panel(org: ConnectableOrg, admin_client: Client) -> None:
    assert PANEL in admin_client.get("/connections/demo/").content.decode()
    ConnectedApp.objects.update(login_url="https://acme.my.salesforce.com")
    assert PANEL not in admin_client.get("/connections/demo/").content.decode()
    for answer in (
        admin_client.get(PANEL),
        admin_client.post(PANEL, {"what": "user"}),
        admin_client.post(HEAL),
    ):
        assert answer.status_code == 404
    assert org.user.active


def test_who_may_not_run_checks_may_not_break(org: ConnectableOrg, client: Client) -> None:
    looker = User.objects.create_user("looker")
    looker.user_permissions.add(Permission.objects.get(codename="view_health"))
    client.force_login(looker)
    assert PANEL not in client.get("/connections/demo/").content.decode()
    for answer in (client.get(PANEL), client.post(PANEL, {"what": "user"}), client.post(HEAL)):
        assert answer.status_code == 403
    assert org.user.active


def test_a_dead_stand_in_is_told(org: ConnectableOrg, admin_client: Client) -> None:
    assert org.server
    org.server.stop()
    answers = [admin_client.get(PANEL), admin_client.post(PANEL, {"what": "user"}), admin_client.post(HEAL)]
    assert [answer.status_code for answer in answers] == [200, 424, 424]
    for answer in answers:
        assert "Nothing answers at 127.0.0.1:" in words(answer)
        assert "make run" in words(answer)
