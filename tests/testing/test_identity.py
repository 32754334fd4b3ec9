from __future__ import annotations

import pytest

from sf_integration.testing import Org

from .conftest import Caller


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
