from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl
from xml.etree import ElementTree as ET

import pytest
import requests

from sf_integration.testing import App, Org

from .conftest import Caller, refusal


def test_identity_url_of_the_answer_tells_who_it_is(caller: Caller, org: Org):
    url = caller.sign_in().json()["id"]

    answer = caller.http.get(url, headers={"Authorization": f"Bearer {caller.token}"}, timeout=10)

    body = answer.json()
    assert body["user_id"] == org.user.id
    assert body["organization_id"] == org.id
    assert body["username"] == org.user.username
    assert body["id"] == url
    assert body["utcOffset"] == 3600000
    assert body["urls"]["rest"] == f"{org.url}/services/data/v{{version}}/"
    assert org.id[:15] in body["urls"]["partner"]
    assert org.id not in body["urls"]["partner"]


def test_identity_takes_the_token_and_the_version_from_the_query(signed_in: Caller, org: Org):
    answer = signed_in.http.get(
        f"{org.url}/id/{org.id}/{org.user.id}",
        params={"oauth_token": signed_in.token, "version": "latest", "format": "json"},
        timeout=10,
    )

    assert answer.json()["urls"]["query"] == f"{org.url}/services/data/v67.0/query/"


@pytest.mark.parametrize("path", ["/id/{org}/{user}", "/services/oauth2/userinfo"])
def test_bad_token_is_a_bare_word(signed_in: Caller, org: Org, path: str):
    org.end_sessions()

    answer = signed_in.get(path.format(org=org.id, user=org.user.id))

    assert (answer.status_code, answer.text) == (403, "Bad_OAuth_Token")


def test_refusals_are_bare_words(signed_in: Caller, org: Org):
    other = org.add_user("second@nordhafen.example")

    def word(org_id: str, user_id: str) -> tuple[int, str]:
        answer = signed_in.get(f"/id/{org_id}/{user_id}")
        return answer.status_code, answer.text

    assert word("00D5g000004FaKeEAK", org.user.id) == (403, "Wrong_Org")
    assert word(org.id, "0055g00000DemoUAAR") == (404, "Bad_Id")
    assert word(org.id, other.id) == (404, "No_Access")
    without = signed_in.http.get(f"{org.url}/id/{org.id}/{org.user.id}", timeout=10)
    assert (without.status_code, without.text) == (403, "Missing_OAuth_Token")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_userinfo_tells_the_username(signed_in: Caller, org: Org, method: str):
    body = signed_in.call(method, "/services/oauth2/userinfo").json()

    assert body["preferred_username"] == org.user.username
    assert body["organization_id"] == org.id
    assert body["sub"] == f"{org.url}/id/{org.id}/{org.user.id}"


def test_introspection_needs_the_secret_and_knows_the_end(signed_in: Caller, org: Org):
    url = f"{org.url}/services/oauth2/introspect"
    app = org.app
    form = {"token": signed_in.token, "client_id": app.consumer_key, "client_secret": app.consumer_secret}

    alive = signed_in.http.post(url, data=form, timeout=10).json()
    by_basic = signed_in.http.post(
        url, data={"token": "nonsense"}, auth=(app.consumer_key, app.consumer_secret), timeout=10
    )
    refused = signed_in.http.post(url, data=form | {"client_secret": "guess"}, timeout=10)

    assert alive["active"] is True
    assert alive["exp"] - alive["iat"] == pytest.approx(7200, abs=2)
    assert alive["username"] == org.user.username
    assert by_basic.json() == {"active": False}
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_client")


# Formats of the identity URL


def identity(caller: Caller, query: str = "", **headers: str) -> requests.Response:
    return caller.call("GET", f"/id/{caller.org.id}/{caller.org.user.id}{query}", headers=headers)


@pytest.mark.parametrize(
    ("query", "accept"), [("?format=xml", "*/*"), ("", "application/xml"), ("", "text/xml, application/json")]
)
def test_identity_comes_as_xml_when_asked(signed_in: Caller, org: Org, query: str, accept: str):
    answer = identity(signed_in, query, Accept=accept)

    root = ET.fromstring(answer.content)
    nothing = "{http://www.w3.org/2001/XMLSchema-instance}nil"
    assert answer.headers["Content-Type"] == "application/xml;charset=UTF-8"
    assert root.tag == "user"
    assert root.findtext("user_id") == org.user.id
    assert root.findtext("asserted_user") == "true"
    assert root.find("addr_street").attrib == {nothing: "true"}
    assert root.findtext("urls/custom_domain") == org.url
    assert [child.tag for child in root] == list(identity(signed_in).json())


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "application/json,application/xml", "image/png"]
)
def test_identity_comes_as_json_otherwise(signed_in: Caller, accept: str):
    assert identity(signed_in, Accept=accept).headers["Content-Type"] == "application/json;charset=UTF-8"


def test_unknown_format_is_refused_rather_than_guessed(signed_in: Caller):
    answer = identity(signed_in, "?format=urlencoded")

    assert answer.status_code == 406
    assert answer.text.startswith("This stand-in does not know format=urlencoded;")


def test_identity_is_laid_out_on_demand(signed_in: Caller):
    assert identity(signed_in, **{"X-PrettyPrint": "1"}).text.startswith('{\n  "id" : "http')


def test_identity_calls_a_function_back(signed_in: Caller, org: Org):
    answer = identity(signed_in, "?callback=app.greet")
    refused = identity(signed_in, "?callback=alert(1)//")

    assert answer.headers["Content-Type"].startswith("application/javascript")
    body = answer.text.removeprefix("app.greet(").removesuffix(");")
    assert json.loads(body)["user_id"] == org.user.id
    assert (refused.status_code, refused.text) == (406, "Invalid_Callback")


@pytest.mark.parametrize(("version", "shown"), [("latest", "67.0"), ("58", "58.0"), ("58.0", "58.0")])
def test_identity_urls_are_those_of_the_version(signed_in: Caller, org: Org, version: str, shown: str):
    urls = identity(signed_in, f"?version={version}").json()["urls"]

    assert urls["enterprise"] == f"{org.url}/services/Soap/c/{shown}/{org.id[:15]}"
    assert urls["rest"] == f"{org.url}/services/data/v{shown}/"


@pytest.mark.parametrize("version", ["12", "99.0", "newest", "58.5", ""])
def test_unknown_version_is_a_bare_word(signed_in: Caller, version: str):
    answer = identity(signed_in, f"?version={version}")

    assert (answer.status_code, answer.text) == (406, "Invalid_Version")


# Scopes


@pytest.mark.parametrize(
    ("scopes", "identity_status", "userinfo_status"),
    [
        (("api", "refresh_token"), 200, 200),
        (("id", "refresh_token"), 200, 200),
        (("full", "refresh_token"), 200, 200),
        (("openid", "refresh_token"), 404, 200),
        (("chatter_api", "refresh_token"), 404, 403),
    ],
)
def test_scopes_decide_who_may_read_them(
    caller: Caller, org: Org, scopes: tuple[str, ...], identity_status: int, userinfo_status: int
):
    org.app.scopes = scopes
    caller.sign_in()

    assert identity(caller).status_code == identity_status
    assert caller.get("/services/oauth2/userinfo").status_code == userinfo_status


# Introspection


def introspect(caller: Caller, token: str, app: App) -> dict[str, Any]:
    form = {"token": token, "client_id": app.consumer_key, "client_secret": app.consumer_secret}
    body: dict[str, Any] = caller.http.post(
        f"{caller.org.url}/services/oauth2/introspect", data=form, timeout=10
    ).json()
    return body


def test_tokens_of_other_apps_are_known_to_who_may_introspect_all(signed_in: Caller, org: Org):
    curious = org.add_app(name="Curious")
    assert introspect(signed_in, signed_in.token, curious) == {"active": False}

    curious.introspects_all = True

    assert introspect(signed_in, signed_in.token, curious)["client_id"] == org.app.consumer_key


def test_introspection_does_not_prolong_the_session(signed_in: Caller, org: Org):
    [session] = org.sessions
    session.last_used -= 600

    first, second = (introspect(signed_in, signed_in.token, org.app)["exp"] for _ in range(2))

    assert first == second == int(session.ends)


def test_introspection_wants_a_post(signed_in: Caller):
    answer = signed_in.get("/services/oauth2/introspect", token=signed_in.token)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


# The end of a token


def revoke(caller: Caller, method: str = "POST", **options: Any) -> requests.Response:
    return caller.http.request(method, f"{caller.org.url}/services/oauth2/revoke", timeout=10, **options)


@pytest.mark.parametrize(("method", "place"), [("POST", "data"), ("GET", "params"), ("POST", "params")])
def test_revoked_token_is_refused_from_then_on(signed_in: Caller, method: str, place: str):
    answer = revoke(signed_in, method, **{place: {"token": signed_in.token}})

    assert (answer.status_code, answer.content) == (200, b"")
    assert refusal(signed_in.get("limits")) == (401, "INVALID_SESSION_ID", "Session expired or invalid")


@pytest.mark.parametrize(
    ("token", "error"),
    [
        ("00D36000000arML!AQdead", "invalid_token"),
        ("nonsense", "unsupported_token_type"),
        ("", "unsupported_token_type"),
    ],
)
def test_what_can_not_be_revoked_is_told_in_either_form(signed_in: Caller, token: str, error: str):
    as_json = revoke(signed_in, data={"token": token})
    as_form = revoke(signed_in, data={"token": token, "format": "urlencoded"})

    assert (as_json.status_code, as_json.json()["error"]) == (400, error)
    assert set(as_json.json()) == {"error", "error_description"}
    assert (as_form.status_code, dict(parse_qsl(as_form.text))) == (400, as_json.json())


def test_session_that_has_ended_can_not_be_revoked(signed_in: Caller, org: Org):
    org.session_seconds = -1
    answer = signed_in.http.post(
        f"{org.url}/services/oauth2/revoke", data={"token": signed_in.token}, timeout=10
    )

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_token")


def test_revocation_may_come_from_a_script(signed_in: Caller):
    query = {"token": signed_in.token, "callback": "done"}

    answers = [revoke(signed_in, "GET", params=query) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.text for answer in answers] == ["done({});", 'done({"error":"invalid_token"});']
