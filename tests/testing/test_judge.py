from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest

from sf_integration.testing import Org, StandIn

from .conftest import GRANT_TYPE, Caller


def verdict(answer: Any) -> tuple[int, str, str]:
    body = answer.json()
    assert set(body) == {"error", "error_description"}
    return answer.status_code, body["error"], body["error_description"]


INVALID_ASSERTION = (400, "invalid_grant", "invalid assertion")
EXPIRED = (400, "invalid_grant", "expired authorization code")
WRONG_AUDIENCE = (400, "invalid_grant", "audience is invalid")
UNKNOWN_APP = (400, "invalid_client_id", "client identifier invalid")
NOT_APPROVED = (400, "invalid_grant", "user hasn't approved this consumer")
NO_APP_IN_ORG = (400, "app_not_found", "External client app is not installed in this org")


def test_success_has_just_the_fields_of_this_flow(caller: Caller, org: Org):
    answer = caller.sign_in()

    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"access_token", "scope", "instance_url", "id", "token_type"}
    assert re.fullmatch(r"00D[A-Za-z0-9]{12}!AQ[A-Za-z0-9._]{94}", body["access_token"])
    assert body["access_token"].startswith(org.id[:15] + "!")
    assert body["instance_url"] == org.url
    assert body["id"] == f"{org.url}/id/{org.id}/{org.user.id}"
    assert body["token_type"] == "Bearer"
    assert set(body["scope"].split()) == {"api", "refresh_token"}


def test_success_has_the_headers_of_salesforce(caller: Caller):
    headers = caller.sign_in().headers

    assert headers["Content-Type"] == "application/json;charset=UTF-8"
    assert headers["Cache-Control"] == "no-cache,must-revalidate,max-age=0,no-store,private"
    assert headers["Set-Cookie"].startswith("BrowserId=")
    assert "Sforce-Limit-Info" not in headers


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"iss": "3MVG9NobodyKnowsThisKey"}, UNKNOWN_APP),
        ({"iss": None}, UNKNOWN_APP),
        ({"exp": 0}, EXPIRED),
        ({"exp": "1500000000"}, EXPIRED),
        ({"exp": None}, INVALID_ASSERTION),
        ({"exp": "soon"}, INVALID_ASSERTION),
        ({"aud": ["https://login.salesforce.com"]}, WRONG_AUDIENCE),
        ({"aud": "login.salesforce.com"}, WRONG_AUDIENCE),
        ({"aud": "https://na1.salesforce.com"}, WRONG_AUDIENCE),
        ({"aud": None}, WRONG_AUDIENCE),
        ({"sub": "nobody@nordhafen.example"}, NOT_APPROVED),
        ({"sub": None}, NOT_APPROVED),
        ({"prn": "nobody@nordhafen.example"}, NOT_APPROVED),
    ],
)
def test_bad_claims_are_refused(caller: Caller, changed: dict[str, Any], expected: tuple[int, str, str]):
    assert verdict(caller.sign_in(**changed)) == expected


@pytest.mark.parametrize("seconds_ago", [200, 600, 86_400])
def test_expiry_beyond_the_tolerance_is_refused(caller: Caller, seconds_ago: int):
    assert verdict(caller.sign_in(exp=int(time.time()) - seconds_ago)) == EXPIRED


@pytest.mark.parametrize(
    "expiry",
    [
        int,
        lambda now: str(int(now) + 180),
        lambda now: int(now * 1000) + 300,
    ],
    ids=["now", "text", "milliseconds"],
)
def test_expiries_that_salesforce_lets_pass_are_accepted(
    caller: Caller, expiry: Callable[[float], int | str]
):
    assert caller.sign_in(exp=expiry(time.time())).status_code == 200


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "https://login.salesforce.com"},
        {"aud": "https://login.salesforce.com/"},
        {"prn": "integration@nordhafen.example", "sub": "nobody@nordhafen.example"},
        {"sub": "INTEGRATION@nordhafen.example"},
        {"alg": "RS256", "iat": 12, "jti": "once", "colour": "blue"},
    ],
)
def test_claims_that_salesforce_lets_pass_are_accepted(caller: Caller, changed: dict[str, Any]):
    assert caller.sign_in(**changed).status_code == 200


def test_my_domain_with_a_trailing_slash_is_a_good_audience(caller: Caller, org: Org):
    assert caller.sign_in(aud=org.url + "/").status_code == 200


def test_clock_of_the_org_decides_about_expiry(caller: Caller, org: Org):
    org.clock_offset_seconds = 3600

    assert verdict(caller.sign_in()) == EXPIRED


def test_foreign_key_is_refused(caller: Caller, other_key_pair: tuple[str, str]):
    assert verdict(caller.sign_in(key=other_key_pair[0])) == INVALID_ASSERTION


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
def test_other_algorithms_are_refused(caller: Caller, algorithm: str):
    assert verdict(caller.sign_in(algorithm=algorithm)) == INVALID_ASSERTION


def test_unsigned_and_secret_signed_assertions_are_refused(caller: Caller, org: Org):
    unsigned = jwt.encode(caller.claims(), None, algorithm="none")
    by_secret = jwt.encode(caller.claims(), "certificate-as-secret-" * 3, algorithm="HS256")

    for assertion in (unsigned, by_secret):
        answer = caller.post_token({"grant_type": GRANT_TYPE, "assertion": assertion})
        assert verdict(answer) == INVALID_ASSERTION
    assert org.logins == 0


@pytest.mark.parametrize("assertion", ["nonsense", "a.b.c", "....", "-----BEGIN PRIVATE KEY-----", "é.è.ê"])
def test_malformed_assertions_are_refused(caller: Caller, assertion: str):
    answer = caller.post_token({"grant_type": GRANT_TYPE, "assertion": assertion})

    assert verdict(answer) == INVALID_ASSERTION


def test_changed_payload_breaks_the_signature(caller: Caller, org: Org):
    org.add_user("victim@nordhafen.example")
    header, _, signature = caller.sign().split(".")
    payload = caller.sign(sub="victim@nordhafen.example").split(".")[1]

    answer = caller.post_token({"grant_type": GRANT_TYPE, "assertion": f"{header}.{payload}.{signature}"})

    assert verdict(answer) == INVALID_ASSERTION


def test_form_is_required(caller: Caller):
    wrong_grant = caller.post_token({"grant_type": "jwt", "assertion": caller.sign()})
    as_json = caller.http.post(
        f"{caller.org.url}/services/oauth2/token",
        json={"grant_type": GRANT_TYPE, "assertion": caller.sign()},
        timeout=10,
    )
    without_assertion = caller.post_token({"grant_type": GRANT_TYPE})

    assert verdict(wrong_grant) == (400, "unsupported_grant_type", "grant type not supported")
    assert verdict(as_json) == (400, "unsupported_grant_type", "grant type not supported")
    assert verdict(without_assertion)[:2] == (400, "invalid_request")


def test_parameters_may_come_in_the_query(caller: Caller):
    answer = caller.post_token(None, params={"grant_type": GRANT_TYPE, "assertion": caller.sign()})

    assert answer.status_code == 200


def test_get_is_refused(caller: Caller, org: Org):
    answer = caller.http.get(f"{org.url}/services/oauth2/token", timeout=10)

    assert answer.status_code == 400
    assert org.token_requests == 0


def test_client_id_is_ignored_but_a_wrong_secret_is_not(caller: Caller):
    form = {"grant_type": GRANT_TYPE, "assertion": caller.sign(), "client_id": "whatever"}

    assert caller.post_token(form).status_code == 200
    refused = caller.post_token(form | {"client_secret": "wrong"})
    assert verdict(refused) == (400, "invalid_client", "invalid client credentials")


def test_answer_can_be_form_or_xml(caller: Caller):
    form = {"grant_type": GRANT_TYPE, "assertion": caller.sign()}

    urlencoded = caller.post_token(form | {"format": "urlencoded"})
    xml = caller.post_token(form, headers={"Accept": "application/xml"})

    assert parse_qs(urlencoded.text)["token_type"] == ["Bearer"]
    assert "<token_type>Bearer</token_type>" in xml.text


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"active": False}, (400, "invalid_grant", "inactive user")),
        ({"frozen": True}, (400, "invalid_grant", "inactive user")),
        ({"ip_restricted": True}, (400, "invalid_grant", "ip restricted")),
        (
            {"approved": False},
            (400, "invalid_app_access", "user is not admin approved to access this app"),
        ),
    ],
)
def test_state_of_the_user_decides(
    caller: Caller, org: Org, state: dict[str, bool], expected: tuple[int, str, str]
):
    user = org.add_user("second@nordhafen.example", **state)

    assert verdict(caller.sign_in(sub=user.username)) == expected


# Each step of the judge with what breaks it: a change of the claims, of the key, of the org, its user or its app.
STEPS: list[tuple[str, dict[str, Any], tuple[str, str]]] = [
    ("form", {"grant_type": "jwt"}, ("unsupported_grant_type", "grant type not supported")),
    ("form", {"assertion": ""}, ("invalid_request", "missing required parameter: assertion")),
    ("form", {"assertion": "nonsense"}, INVALID_ASSERTION[1:]),
    ("claims", {"iss": "3MVG9NobodyKnowsThisKey"}, UNKNOWN_APP[1:]),
    ("key", {}, INVALID_ASSERTION[1:]),
    ("claims", {"exp": 0}, EXPIRED[1:]),
    ("claims", {"aud": "https://na1.salesforce.com"}, WRONG_AUDIENCE[1:]),
    ("org", {"active": False}, ("invalid_grant", "inactive organization")),
    ("claims", {"sub": "nobody@nordhafen.example"}, NOT_APPROVED[1:]),
    ("user", {"frozen": True}, ("invalid_grant", "inactive user")),
    ("org", {"logins_per_hour": 0}, ("invalid_grant", "login rate exceeded")),
    ("user", {"ip_restricted": True}, ("invalid_grant", "ip restricted")),
    (
        "app",
        {"scopes": ("api",)},
        (
            "invalid_request",
            "refresh_token scope is required and the connected app should be installed and preauthorized.",
        ),
    ),
    ("user", {"approved": False}, ("invalid_app_access", "user is not admin approved to access this app")),
]


@pytest.mark.parametrize("first", range(len(STEPS) + 1))
def test_first_broken_step_decides(caller: Caller, org: Org, other_key_pair: tuple[str, str], first: int):
    """All that comes after the first broken step is broken, too, and doesn't show."""
    form: dict[str, str] = {}
    claims: dict[str, Any] = {}
    key = None
    for place, change, _ in reversed(STEPS[first:]):
        match place:
            case "form":
                form |= change
            case "claims":
                claims |= change
            case "key":
                key = other_key_pair[0]
            case _:
                for name, value in change.items():
                    setattr({"org": org, "user": org.user, "app": org.app}[place], name, value)

    answer = caller.post_token({"grant_type": GRANT_TYPE, "assertion": caller.sign(key=key, **claims)} | form)

    if first == len(STEPS):
        assert answer.status_code == 200
    else:
        assert verdict(answer) == (400, *STEPS[first][2])
        assert org.logins == 0


def test_connected_app_has_to_be_installed(caller: Caller, org: Org):
    org.app.installed = False

    assert verdict(caller.sign_in())[1:] == STEPS[12][2]


def test_instance_host_is_no_audience(caller: Caller, org: Org):
    org.move()
    caller_at_instance = f"{org.instance_url}/services/oauth2/token"
    form = {"grant_type": GRANT_TYPE, "assertion": caller.sign(aud=org.instance_url)}

    assert verdict(caller.http.post(caller_at_instance, data=form, timeout=10)) == WRONG_AUDIENCE
    assert caller.sign_in().status_code == 200


def test_self_authorisation_asks_for_an_earlier_approval(caller: Caller, org: Org):
    org.app.permitted_users = "self_authorize"
    assert verdict(caller.sign_in()) == NOT_APPROVED

    org.user.authorized = True
    assert caller.sign_in().status_code == 200


@pytest.mark.parametrize("scopes", [("api",), ("refresh_token",), ()])
def test_app_needs_the_refresh_scope_and_one_more(caller: Caller, org: Org, scopes: tuple[str, ...]):
    org.app.scopes = scopes

    status, error, description = verdict(caller.sign_in())

    assert (status, error) == (400, "invalid_request")
    assert description.startswith("refresh_token scope is required")


def test_org_out_of_use_is_told(caller: Caller, org: Org):
    org.active = False

    assert verdict(caller.sign_in()) == (400, "invalid_grant", "inactive organization")


def test_login_rate_is_limited_per_user(caller: Caller, org: Org):
    org.logins_per_hour = 2
    other = org.add_user("second@nordhafen.example")

    answers = [caller.sign_in() for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 400]
    assert verdict(answers[-1]) == (400, "invalid_grant", "login rate exceeded")
    assert caller.sign_in(sub=other.username).status_code == 200
    assert (org.token_requests, org.logins) == (4, 3)


@pytest.mark.parametrize("audience", ["https://login.salesforce.com", "https://test.salesforce.com/"])
def test_external_client_app_is_unknown_at_the_shared_login_hosts(caller: Caller, org: Org, audience: str):
    org.app.kind = "external"

    assert verdict(caller.sign_in(aud=audience)) == NO_APP_IN_ORG
    assert caller.sign_in(aud=org.url).status_code == 200


def test_external_client_app_has_to_be_installed(caller: Caller, org: Org):
    org.app.kind, org.app.installed = "external", False

    assert verdict(caller.sign_in()) == NO_APP_IN_ORG


def test_assertion_may_be_sent_twice_unless_replay_is_refused(caller: Caller, org: Org):
    form = {"grant_type": GRANT_TYPE, "assertion": caller.sign(jti="a")}
    assert [caller.post_token(form).status_code for _ in range(2)] == [200, 200]

    org.refuse_replayed_jti = True
    assert [caller.post_token(form).status_code for _ in range(2)] == [200, 400]


def test_replaced_certificate_counts_at_once(
    caller: Caller, org: Org, key_pair: tuple[str, str], other_key_pair: tuple[str, str]
):
    org.app.replace_certificate(other_key_pair[1])

    assert verdict(caller.sign_in(key=key_pair[0])) == INVALID_ASSERTION
    assert caller.sign_in(key=other_key_pair[0]).status_code == 200
    assert org.app.private_key_pem is None


def test_apps_of_an_org_are_told_apart(org: Org, other_key_pair: tuple[str, str]):
    private_key, certificate = other_key_pair
    second = org.add_app(
        certificate_pem=certificate, private_key_pem=private_key, scopes=("full", "refresh_token")
    )

    assert Caller(org, second).sign_in().json()["scope"] == "full refresh_token"
    assert verdict(Caller(org, second).sign_in(iss=org.app.consumer_key)) == INVALID_ASSERTION


def test_orgs_of_a_server_are_told_apart(server: StandIn):
    second = server.add_org(name="Second", is_sandbox=True)
    caller, other = Caller(server.org), Caller(second)

    assert second.url != server.url
    assert caller.sign_in().json()["instance_url"] == server.url
    assert other.sign_in().json()["instance_url"] == second.url
    assert other.rows("SELECT Id, IsSandbox FROM Organization") == [{"Id": second.id, "IsSandbox": True}]
    other.token = caller.token
    assert other.get("limits").status_code == 401


def test_new_app_is_not_known_for_some_minutes(caller: Caller, org: Org):
    org.app.known = False
    answer = caller.sign_in()
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_id")
    org.app.known = True
    assert caller.sign_in().status_code == 200
