"""What the org is told at its local endpoint: the same names as in code and on the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from sf_integration.testing import Org, control
from sf_integration.testing.messages import Incoming

from .conftest import Caller


def show(org: Org, path: str = "") -> Any:
    answer = requests.get(f"{org.url}/stand-in{path}", timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()


def change(org: Org, **settings: Any) -> requests.Response:
    named = {name.replace("__", "."): value for name, value in settings.items()}
    return requests.patch(f"{org.url}/stand-in", json=named, timeout=10)


def act(org: Org, action: str, **arguments: Any) -> requests.Response:
    return requests.post(f"{org.url}/stand-in/{action}", json=arguments, timeout=10)


def test_settings_and_counters_are_shown(signed_in: Caller, org: Org):
    signed_in.get("limits")
    shown = show(org)
    assert shown["org"] == {"id": org.id, "name": org.name, "url": org.url, "instance_url": org.url}
    assert shown["counters"] == {"token_requests": 1, "logins": 1, "api_calls": 1, "sessions": 1}
    assert shown["settings"]["session_seconds"] == 7200
    assert shown["settings"]["user.active"] is True
    assert shown["settings"]["app.scopes"] == ["api", "refresh_token"]


def test_settings_are_changed_by_name(caller: Caller, org: Org):
    other = org.add_user("ops@nordhafen.example")
    further = org.add_app(name="Second", scopes=("full", "refresh_token"))
    answer = requests.patch(
        f"{org.url}/stand-in",
        json={
            "session_seconds": 900,
            "clock_offset_seconds": -3.5,
            "token_format": "jwt",
            "user.approved": False,
            "user.hidden": ["Account", "Contact.Email"],
            "users.ops@nordhafen.example.frozen": True,
            "app.session_seconds": 60,
            "app.scopes": ["api"],
            f"apps.{further.consumer_key}.kind": "external",
        },
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    assert (org.session_seconds, org.clock_offset_seconds, org.token_format) == (900, -3.5, "jwt")
    assert (org.user.approved, org.user.hidden, other.frozen) == (False, {"Account", "Contact.Email"}, True)
    assert (org.app.session_seconds, org.app.scopes, further.kind) == (60, ("api",), "external")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"session_secs": 900}, "There is no setting 'session_secs'. Known: active, session_seconds,"),
        ({"session_seconds": "900"}, 'session_seconds must be a number, not "900".'),
        ({"session_seconds": True}, "session_seconds must be a number, not true."),
        ({"api_limit": 1.5}, "api_limit must be a whole number, not 1.5."),
        ({"active": 1}, "active must be true or false, not 1."),
        ({"token_format": "saml"}, 'token_format must be "opaque" or "jwt", not "saml".'),
        ({"app.token_format": "saml"}, 'app.token_format must be "opaque" or "jwt" or null, not "saml".'),
        ({"app.scopes": "api"}, 'app.scopes must be a list of texts, not "api".'),
        ({"app.certificate_pem": "-----BEGIN"}, "must be a PEM certificate"),
        ({"app.consumer_key": "x"}, "There is no setting 'app.consumer_key'."),
        ({"users.nobody@x.active": True}, "is neither user, app, users.USERNAME nor apps.KEY."),
        ({"user.id": "x"}, "There is no setting 'user.id'."),
        ({"api_used": 3, "nonsense": 1}, "There is no setting 'nonsense'."),
    ],
)
def test_nonsense_is_told_and_changes_nothing(org: Org, settings: dict[str, Any], sentence: str):
    before = control.settings_of(org)
    answer = requests.patch(f"{org.url}/stand-in", json=settings, timeout=10)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]
    assert control.settings_of(org) == before


def test_certificate_is_swapped(caller: Caller, org: Org, other_key_pair: tuple[str, str]):
    key, certificate = other_key_pair
    assert change(org, app__certificate_pem=certificate).status_code == 200
    assert caller.sign_in(key=key).status_code == 200
    assert org.app.private_key_pem is None


def test_faults_are_told_shown_and_healed(caller: Caller, org: Org):
    assert act(org, "fail", kind="unknown_error", times=2).status_code == 200
    assert show(org)["faults"] == [{"kind": "unknown_error", "where": "token", "left": 2, "options": {}}]
    assert caller.sign_in().json()["error"] == "unknown_error"
    assert act(org, "heal").status_code == 200
    assert caller.sign_in().status_code == 200


def test_sessions_end_and_cursors_are_lost(signed_in: Caller, org: Org):
    more = signed_in.query("SELECT Id FROM Contact").json()["nextRecordsUrl"]
    act(org, "lose-cursors")
    assert signed_in.get(more).json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"
    act(org, "end-sessions")
    assert signed_in.get("limits").status_code == 401


def test_answers_and_records_are_given(signed_in: Caller, org: Org):
    act(org, "answer", soql="SELECT Sku__c FROM Stock__c", rows=[{"Sku__c": "A-1"}])
    assert signed_in.rows("select sku__c  from Stock__c") == [{"Sku__c": "A-1"}]
    act(org, "answer-path", path="/services/apexrest/stock", body={"left": 3}, status=203)
    assert signed_in.call("POST", "/services/apexrest/stock").json() == {"left": 3}
    before = signed_in.query("SELECT COUNT() FROM Case").json()["totalSize"]
    act(org, "add-records", sobject="Case", count=7)
    assert signed_in.query("SELECT COUNT() FROM Case").json()["totalSize"] == before + 7


@pytest.mark.parametrize(
    ("action", "arguments", "sentence"),
    [
        ("explode", {}, "There is no action 'explode'. Known: fail, heal,"),
        ("fail", {"kind": "fire"}, "unknown fault 'fire'"),
        ("fail", {"kind": "slow"}, "fail:"),
        ("fail", {}, "It takes kind, times, where, options."),
        ("fail", {"kind": "cut", "where": "moon"}, "unknown place 'moon'"),
        ("add-records", {"sobject": "Xyzzy", "count": 1}, "Xyzzy"),
        ("heal", {"now": True}, "It takes no arguments."),
    ],
)
def test_impossible_orders_are_told(org: Org, action: str, arguments: dict[str, Any], sentence: str):
    answer = act(org, action, **arguments)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"3"])
def test_body_must_be_a_json_object(org: Org, body: bytes):
    answer = requests.post(f"{org.url}/stand-in/heal", data=body, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_requests_are_logged_with_secrets_as_lengths(signed_in: Caller, org: Org):
    signed_in.query("SELECT Id FROM Account LIMIT 1")
    token, query = show(org, "/requests")
    assert (token["method"], token["path"], token["status"]) == ("POST", "/services/oauth2/token", 200)
    assert token["parameters"]["assertion"].endswith(" characters)")
    assert token["user"] == query["user"] == org.user.username
    assert query["parameters"] == {"q": "SELECT Id FROM Account LIMIT 1"}
    assert query["authorization"] == f"Bearer ({len(signed_in.token)} characters)"
    assert signed_in.token not in json.dumps([token, query])


def test_control_is_not_counted_and_met_by_no_fault(org: Org):
    org.fail("close", times=None, where="any")
    show(org)
    assert org.requests == []
    assert len(show(org)["faults"]) == 1


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}],
)
def test_web_pages_are_not_heard(org: Org, headers: dict[str, str]):
    answer = requests.post(f"{org.url}/stand-in/heal", headers=headers, timeout=10)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("address", "status"),
    [("127.0.0.1", 200), ("::1", 200), ("::ffff:127.0.0.1", 200), ("192.0.2.7", 403), ("2001:db8::7", 403)],
)
def test_only_this_machine_is_heard(org: Org, address: str, status: int):
    request = Incoming(
        method="GET", path="/stand-in", raw_path="/stand-in", query={}, headers={}, body=b"", host="", called_url=org.url
    )
    assert control.answer(org, request, address).status == status


def test_no_secret_is_shown(org: Org):
    shown = json.dumps(show(org))
    assert org.app.consumer_secret not in shown
    assert "PRIVATE KEY" not in shown


def test_unknown_path_tells_the_ways(org: Org):
    answer = requests.get(f"{org.url}/stand-in/nowhere", timeout=10)
    assert answer.status_code == 404
    assert "PATCH /stand-in" in answer.json()["error"]
