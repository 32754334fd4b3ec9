"""What the org is told at its local endpoint: the same names as in code and on the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from sf_integration.testing import App, Org, StandIn, control
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


def test_record_is_made_and_looked_at(org: Org):
    made = act(org, "add-record", sobject="Contact", LastName="Doe", Email="doe@x.example")
    assert made.status_code == 200, made.text
    soql = "SELECT Id, LastName FROM Contact WHERE Email = 'doe@x.example'"
    assert act(org, "query", soql=soql).json() == [{"Id": made.json(), "LastName": "Doe"}]


def test_user_is_added_with_its_states(caller: Caller, org: Org):
    assert act(org, "add-user", username="new@x.example", hidden=["Case"], active=False).status_code == 200
    assert (org.users["new@x.example"].hidden, org.users["new@x.example"].active) == ({"Case"}, False)


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


def test_faults_of_one_kind_are_healed(org: Org):
    for kind in ("cut", "garbage", "cut"):
        act(org, "fail", kind=kind)
    act(org, "heal", kind="cut")
    assert [fault["kind"] for fault in show(org)["faults"]] == ["garbage"]


def test_another_org_answers_at_the_same_address(signed_in: Caller, org: Org):
    before = org.id
    act(org, "replace")
    assert signed_in.get("limits").status_code == 401
    assert signed_in.sign_in().json()["access_token"].startswith(org.id[:15])
    assert org.query("SELECT Id FROM Organization") == [{"Id": org.id}]
    assert org.id != before
    act(org, "replace", org_id=before)
    assert show(org)["org"]["id"] == before


def test_org_moves_and_comes_back(caller: Caller, org: Org):
    act(org, "move")
    moved = caller.sign_in().json()["instance_url"]
    act(org, "move-back")
    assert caller.sign_in().json()["instance_url"] == org.url != moved


def test_answer_of_a_fault_may_be_json(caller: Caller, org: Org):
    act(org, "fail", kind="answer", status=429, body={"error": "slow_down"})
    answer = caller.sign_in()
    assert (answer.status_code, answer.json()) == (429, {"error": "slow_down"})


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
        ("fail", {}, "It takes kind, times, where."),
        (
            "fail",
            {"kind": "slow"},
            "missing a required argument: 'seconds'. It takes kind, times, where, seconds.",
        ),
        ("fail", {"kind": "slow", "seconds": "soon"}, 'fail: seconds must be a number, not "soon".'),
        ("fail", {"kind": "drip", "seconds": 1, "part": "tail"}, 'must be "both" or "headers" or "body"'),
        ("fail", {"kind": "cut", "times": "two"}, 'fail: times must be a whole number or null, not "two".'),
        ("fail", {"kind": "cut", "times": 0}, "times must be at least 1"),
        ("fail", {"kind": "cut", "where": 5}, "fail: where must be a text or null, not 5."),
        ("fail", {"kind": "answer", "headers": {"X": 1}}, "fail: headers must be an object or null"),
        ("fail", {"kind": ["cut"]}, 'fail: kind must be a text, not ["cut"].'),
        (
            "answer",
            {"soql": "SELECT Id FROM X__c", "rows": 5},
            "answer: rows must be a list of objects, not 5.",
        ),
        ("add-user", {"username": "x@y", "active": "no"}, 'active must be true or false, not "no".'),
        ("add-user", {"username": "x@y", "id": "005"}, "unexpected keyword argument 'id'"),
        ("fail", {"kind": "cut", "where": "moon"}, "unknown place 'moon'"),
        ("add-records", {"sobject": "Xyzzy", "count": 1}, "Xyzzy"),
        ("end-sessions", {"now": True}, "It takes no arguments."),
        ("replace", {"org_id": "001"}, "is no org id"),
        ("heal", {"kind": "fire"}, "heal: unknown fault 'fire'; known: unknown_error,"),
        ("add-record", {"sobject": "Lead"}, "This stand-in does not know Lead"),
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
    ("host", "status"),
    [
        ("evil.example", 403),
        ("127.0.0.1.evil.example:80", 403),
        ("localhost:1", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
    ],
)
def test_name_that_was_made_to_lead_here_is_not_heard(org: Org, host: str, status: int):
    for path in ("", "/requests"):
        answer = requests.get(f"{org.url}/stand-in{path}", headers={"Host": host}, timeout=10)
        assert answer.status_code == status


def test_org_with_a_host_name_is_told_by_it(server: StandIn, key_pair: tuple[str, str]):
    named = server.add_org(host_name="acme.my.salesforce.com", app=App(certificate_pem=key_pair[1]))
    answer = requests.get(
        f"{server.url}/stand-in", headers={"Host": named.url.partition("//")[2]}, timeout=10
    )
    assert answer.json()["org"]["id"] == named.id


def test_numbers_no_clock_can_take_are_told(org: Org):
    for number in (1e300, float("inf"), float("nan"), 10**400, -1e10):
        answer = requests.patch(
            f"{org.url}/stand-in", data=json.dumps({"clock_offset_seconds": number}), timeout=10
        )
        assert answer.status_code == 400
    assert show(org)["settings"]["clock_offset_seconds"] == 0


def test_what_json_cannot_hold_is_shown_all_the_same(org: Org):
    org.fail("answer", body=b"\xff")
    assert show(org)["faults"][0]["options"] == {"body": "b'\\xff'"}


@pytest.mark.parametrize(
    ("address", "status"),
    [("127.0.0.1", 200), ("::1", 200), ("::ffff:127.0.0.1", 200), ("192.0.2.7", 403), ("2001:db8::7", 403)],
)
def test_only_this_machine_is_heard(org: Org, address: str, status: int):
    request = Incoming(
        method="GET",
        path="/stand-in",
        raw_path="/stand-in",
        query={},
        headers={},
        body=b"",
        host="",
        called_url=org.url,
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
