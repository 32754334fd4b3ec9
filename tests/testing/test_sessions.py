from __future__ import annotations

import jwt
import pytest

from sf_integration.testing import Org

from .conftest import Caller, refusal

EXPIRED = (401, "INVALID_SESSION_ID", "Session expired or invalid")


def pass_time(org: Org, seconds: float) -> None:
    for session in org.sessions:
        session.last_used -= seconds
        if session.fixed_end is not None:
            session.fixed_end -= seconds


def test_each_sign_in_gives_a_new_token_and_all_work(caller: Caller, org: Org):
    tokens = [caller.sign_in().json()["access_token"] for _ in range(3)]

    assert len(set(tokens)) == 3
    for caller.token in tokens:
        assert caller.get("limits").status_code == 200


def test_live_session_is_shared_when_told_so(caller: Caller, org: Org):
    org.reuse_sessions = True
    other = org.add_user("second@nordhafen.example")

    first, second = caller.sign_in().json(), caller.sign_in().json()
    foreign = caller.sign_in(sub=other.username).json()

    assert first["access_token"] == second["access_token"] != foreign["access_token"]
    org.end_sessions()
    assert caller.sign_in().json()["access_token"] != first["access_token"]


def test_use_keeps_a_session_alive_and_idleness_ends_it(signed_in: Caller, org: Org):
    org.session_seconds = 60
    for _ in range(4):
        pass_time(org, 25)
        assert signed_in.get("limits").status_code == 200

    pass_time(org, 80)
    assert refusal(signed_in.get("limits")) == EXPIRED


@pytest.mark.parametrize("token", ["", "00D5g000004FaKe!AQnonsense", "é"])
def test_unknown_token_is_refused(caller: Caller, token: str):
    caller.token = token.encode().decode("latin-1")

    assert refusal(caller.get("limits")) == EXPIRED


def test_ended_sessions_are_refused_without_limit_header(signed_in: Caller, org: Org):
    org.end_sessions()

    answer = signed_in.get("limits")

    assert refusal(answer) == EXPIRED
    assert "Sforce-Limit-Info" not in answer.headers
    assert "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize("state", ["active", "frozen"])
def test_sessions_end_with_their_user(signed_in: Caller, org: Org, state: str):
    setattr(org.user, state, state == "frozen")

    assert refusal(signed_in.get("limits")) == EXPIRED


def test_malformed_authorization_header_is_told(signed_in: Caller):
    answer = signed_in.call("GET", "limits", headers={"Authorization": f"Token {signed_in.token}"})

    assert refusal(answer) == (401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")


def test_oauth_scheme_is_accepted(signed_in: Caller):
    answer = signed_in.call("GET", "limits", headers={"Authorization": f"OAuth {signed_in.token}"})

    assert answer.status_code == 200


def test_token_without_the_api_scope_is_told_so(caller: Caller, org: Org):
    org.app.scopes = ("id", "refresh_token")
    caller.sign_in()

    expected = (401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API")
    assert refusal(caller.get("limits")) == expected
    assert caller.get(f"/id/{org.id}/{org.user.id}").status_code == 200


def test_revoked_token_is_dead(signed_in: Caller, org: Org):
    url = f"{org.url}/services/oauth2/revoke"

    first = signed_in.http.post(url, data={"token": signed_in.token}, timeout=10)
    second = signed_in.http.get(url, params={"token": signed_in.token}, timeout=10)

    assert (first.status_code, first.content) == (200, b"")
    assert (second.status_code, second.json()["error"]) == (400, "invalid_token")
    assert refusal(signed_in.get("limits")) == EXPIRED


def test_jwt_tokens_look_like_salesforces_and_have_a_fixed_end(caller: Caller, org: Org):
    org.token_format, org.session_seconds = "jwt", 60
    answer = caller.sign_in().json()

    header = jwt.get_unverified_header(answer["access_token"])
    payload = jwt.decode(answer["access_token"], options={"verify_signature": False})
    assert answer["token_format"] == "jwt"
    assert set(header) == {"tnk", "ver", "kid", "tty", "typ", "alg"}
    assert header["tty"] == "sfdc-core-token"
    assert payload["aud"] == [org.url]
    assert payload["sub"] == f"uid:{org.user.id}"
    assert payload["scp"] == "api refresh_token"
    assert len(answer["access_token"]) > 255
    assert caller.get("limits").status_code == 200
    pass_time(org, 40)
    assert caller.get("limits").status_code == 200
    pass_time(org, 40)
    assert refusal(caller.get("limits")) == EXPIRED
