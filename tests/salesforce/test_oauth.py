from __future__ import annotations

import base64
import datetime as dt
import json

import pytest

from sf_integration.salesforce import assertion, oauth
from sf_integration.salesforce.errors import (
    ApiError,
    AuthenticationError,
    LoginUnavailable,
    SessionExpired,
    TransportError,
)
from sf_integration.salesforce.http import Answer
from sf_integration.salesforce.oauth import Identity, Token

from .conftest import app_key, token_for

NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)
GOOD = {
    "access_token": "00D5g000004FaKe!AQplanted.token",
    "instance_url": "https://acme.my.salesforce.com/",
    "id": "https://login.salesforce.com/id/00D5g000004FaKeEAK/0055g00000DemoUAAR",
    "scope": "api refresh_token",
    "token_type": "Bearer",
}


def assertion_for(org, **changes) -> str:
    values = {
        "consumer_key": org.app.consumer_key,
        "username": org.user.username,
        "audience": org.url,
        "now": dt.datetime.now(dt.UTC).timestamp(),
    }
    return assertion.sign(assertion.claims(**(values | changes)), app_key())


def exchange(org, http, **changes) -> Token:
    return oauth.exchange(
        assertion_for(org, **changes), token_url=oauth.token_url(org.url), timeout_seconds=5.0, http=http
    )


def read(**changes) -> Token:
    data = {name: value for name, value in (GOOD | changes).items() if value is not ...}
    return Token.from_json(data, now=NOW)


def test_an_assertion_is_traded_for_a_token(org, http):
    token = exchange(org, http)
    assert token.instance_url == org.url
    assert token.scopes == ("api", "refresh_token")
    assert token.expected_expiry - token.issued_at == dt.timedelta(hours=2)
    assert org.logins == 1


def test_exchange_needs_no_pools_of_the_caller(org):
    assert exchange(org, None).value


@pytest.mark.parametrize(
    ("prepare", "changes", "error", "word"),
    [
        (lambda org: None, {"consumer_key": "3MVG9nobody"}, "invalid_client_id", "consumer key"),
        (lambda org: None, {"username": "nobody@acme.example"}, "invalid_grant", "approved"),
        (lambda org: None, {"audience": "acme.example"}, "invalid_grant", "audience"),
        (lambda org: None, {"now": 1_000_000_000.0}, "invalid_grant", "clock"),
        (lambda org: setattr(org.user, "active", False), {}, "invalid_grant", "deactivated"),
        (lambda org: setattr(org.user, "approved", False), {}, "invalid_app_access", "admin-approved"),
        (lambda org: setattr(org.user, "ip_restricted", True), {}, "invalid_grant", "address"),
        (lambda org: setattr(org.app, "scopes", ("api",)), {}, "invalid_request", "refresh_token"),
        (lambda org: setattr(org, "active", False), {}, "invalid_grant", "suspended"),
    ],
)
def test_a_refusal_says_who_must_do_what(org, http, prepare, changes, error, word):
    prepare(org)
    with pytest.raises(AuthenticationError) as caught:
        exchange(org, http, **changes)
    refusal = caught.value
    assert (refusal.error, refusal.code, refusal.status_code) == (error, error, 400)
    assert word in refusal.cause + refusal.remedy
    assert refusal.who
    assert refusal.description in str(refusal)
    assert org.token_requests == 1


@pytest.mark.parametrize(
    ("fault", "options", "kind", "code"),
    [
        ("unknown_error", {}, LoginUnavailable, "unknown_error"),
        ("maintenance", {}, TransportError, "http_503"),
        ("bad_gateway", {}, TransportError, "http_502"),
        ("html", {}, TransportError, "not_json"),
        ("garbage", {}, TransportError, "not_json"),
        ("redirect", {}, TransportError, "redirected"),
        ("cut", {}, TransportError, "cut_off"),
        ("close", {}, TransportError, "cut_off"),
        ("huge", {}, TransportError, "too_large"),
        ("refuse", {"error": "server_error", "description": "oops"}, LoginUnavailable, "server_error"),
        ("refuse", {"error": "other", "description": "", "status": 500}, LoginUnavailable, "other"),
        ("refuse", {"error": "other", "description": "", "status": 429}, LoginUnavailable, "other"),
        (
            "refuse",
            {"error": "invalid_grant", "description": "login rate exceeded"},
            LoginUnavailable,
            "invalid_grant",
        ),
        (
            "refuse",
            {"error": "rate_limit_exceeded", "description": "x"},
            LoginUnavailable,
            "rate_limit_exceeded",
        ),
        ("refuse", {"error": "never_heard_of", "description": "x"}, AuthenticationError, "never_heard_of"),
        ("answer", {"status": 400, "body": "[]"}, AuthenticationError, "http_400"),
        ("answer", {"status": 400, "body": "null"}, AuthenticationError, "http_400"),
        ("answer", {"status": 200, "body": "[]"}, TransportError, "malformed_answer"),
        ("answer", {"status": 200, "body": "null"}, TransportError, "malformed_answer"),
        ("answer", {"status": 200, "body": "{}"}, TransportError, "malformed_answer"),
        ("answer", {"status": 200, "body": "[" * 50_000}, TransportError, "not_json"),
        ("answer", {"status": 200, "body": b"\xff\xfe\x00"}, TransportError, "not_json"),
    ],
)
def test_each_kind_of_no_token_has_its_class_and_code(org, http, fault, options, kind, code):
    org.fail(fault, **options)
    with pytest.raises(kind) as caught:
        exchange(org, http)
    assert caught.value.code == code
    assert org.token_requests == 1


def test_reaching_the_login_limit_asks_for_a_long_wait(org, http):
    org.logins_per_hour = 0
    with pytest.raises(LoginUnavailable) as caught:
        exchange(org, http)
    assert caught.value.retry_after >= 900


@pytest.mark.parametrize(
    "changes",
    [
        {"access_token": ...},
        {"access_token": ""},
        {"access_token": None},
        {"access_token": 5},
        {"access_token": ["x"]},
        {"access_token": "planted\nX-Evil: 1"},
        {"access_token": "planted\r\n"},
        {"access_token": "planted token"},
        {"access_token": "plänted"},
        {"access_token": "planted\x00"},
        {"instance_url": ...},
        {"instance_url": ""},
        {"instance_url": None},
        {"instance_url": 5},
        {"instance_url": "acme.my.salesforce.com"},
        {"instance_url": "ftp://acme.my.salesforce.com"},
        {"instance_url": "https://"},
        {"instance_url": "https://["},
        {"instance_url": "https://evil.example\\@acme.my.salesforce.com"},
        {"instance_url": "https://u:p@acme.my.salesforce.com"},
        {"instance_url": "https://acme.my.salesforce.com\n"},
    ],
    ids=str,
)
def test_an_answer_without_usable_token_or_instance_is_refused(changes):
    with pytest.raises(TransportError) as caught:
        read(**changes)
    assert caught.value.code == "malformed_answer"
    assert "planted" not in str(caught.value)


def test_everything_but_token_and_instance_may_be_missing():
    token = Token.from_json({name: GOOD[name] for name in ("access_token", "instance_url")}, now=NOW)
    assert (token.identity_url, token.scopes) == ("", ())
    assert token.instance_url == "https://acme.my.salesforce.com"


@pytest.mark.parametrize(
    "strange", [5, None, [], {}, "no address", "https://[", "javascript:alert(1)", "https://x/\x00"]
)
def test_a_strange_identity_url_is_dropped(strange):
    assert read(id=strange).identity_url == ""


def test_the_session_length_decides_the_expected_expiry():
    token = Token.from_json(GOOD, now=NOW, session=dt.timedelta(minutes=15))
    assert token.expected_expiry == NOW + dt.timedelta(minutes=15)


# Tokens of the JWT format


def jwt_token(claims: object) -> str:
    def part(data: object) -> str:
        text = data if isinstance(data, str) else json.dumps(data)
        return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'RS256', 'typ': 'JWT'})}.{part(claims)}.c2ln"


@pytest.mark.parametrize(
    ("seconds", "believed"),
    [
        (60, True),
        (1800, True),
        (25 * 3600, True),
        (25 * 3600 + 1, False),
        (0, False),
        (-1, False),
        (-3600, False),
    ],
)
def test_the_expiry_of_a_jwt_token_is_believed_within_25_hours(seconds, believed):
    expiry = NOW + dt.timedelta(seconds=seconds)
    found = oauth.jwt_expiry(jwt_token({"exp": int(expiry.timestamp())}), NOW)
    assert found == (expiry if believed else None)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 1e300},
        {"exp": -1e300},
        {"exp": [1]},
        {"exp": 10**400},
        [],
        "null",
        "{",
        '{"exp": NaN}',
        '{"exp": Infinity}',
        "[" * 20_000,
    ],
    ids=lambda claims: str(claims)[:20],
)
def test_a_jwt_token_with_nonsense_in_it_is_taken_as_opaque(claims):
    token = read(access_token=jwt_token(claims))
    assert token.expected_expiry == NOW + oauth.DEFAULT_SESSION


def test_a_jwt_token_of_the_org_ends_when_it_says(org, http):
    org.token_format = "jwt"
    org.session_seconds = 900
    token = exchange(org, http)
    assert oauth.is_jwt(token.value)
    assert abs(token.expected_expiry - token.issued_at - dt.timedelta(seconds=900)) < dt.timedelta(seconds=5)


# Identity


def test_identity_tells_whose_token_it_is(org, http, token):
    who = oauth.identity(token, http=http)
    assert (who.username, who.organization_id, who.active) == (org.user.username, org.id, True)


def test_userinfo_tells_the_same(org, http, token):
    assert oauth.userinfo(token, http=http).user_id == oauth.identity(token, http=http).user_id


def test_the_identity_url_is_asked_at_the_instance_only(org, http, raw_server):
    """The bearer must not follow an identity URL to another host."""
    foreign = raw_server(lambda visit: visit.read_request())
    token = Token.from_json(
        GOOD | {"instance_url": org.url, "id": f"{foreign.url}/id/{org.id}/{org.user.id}"}, now=NOW
    )
    with pytest.raises(SessionExpired):
        oauth.identity(token, http=http)
    assert foreign.visits == 0
    assert org.requests[-1].path == f"/id/{org.id}/{org.user.id}"


def test_an_odd_identity_url_leads_to_userinfo(org, http, token):
    odd = Token(
        token.value,
        token.instance_url,
        token.issued_at,
        token.expected_expiry,
        identity_url=f"{org.url}/other",
    )
    assert oauth.identity(odd, http=http).username == org.user.username
    assert org.requests[-1].path == "/services/oauth2/userinfo"


def test_a_dead_token_at_the_identity_url_is_an_expired_session(org, http, token):
    org.end_sessions()
    with pytest.raises(SessionExpired) as caught:
        oauth.identity(token, http=http)
    assert (caught.value.status_code, caught.value.code) == (403, "Bad_OAuth_Token")


@pytest.mark.parametrize("word", ["Wrong_Org", "Missing_OAuth_Token", "HTTPS_Required"])
def test_other_words_of_the_identity_url_are_refusals(org, http, token, word):
    org.fail("answer", where="identity", status=403, body=word, content_type="text/plain")
    with pytest.raises(ApiError, match=word) as caught:
        oauth.identity(token, http=http)
    assert not isinstance(caught.value, SessionExpired)


@pytest.mark.parametrize(
    "body", ["[]", "{}", "null", '{"user_id": "005"}', '{"user_id":"5","organization_id":"6"}']
)
def test_an_identity_without_its_three_facts_is_refused(org, http, token, body):
    org.fail("answer", where="identity", body=body)
    with pytest.raises(TransportError) as caught:
        oauth.identity(token, http=http)
    assert caught.value.code == "malformed_answer"


def test_an_identity_is_no_larger_than_a_token(org, http, token):
    who = {"user_id": "005", "organization_id": "00D", "username": "u", "photos": "x" * 1_000_000}
    org.fail("answer", where="identity", body=who)
    with pytest.raises(TransportError) as caught:
        oauth.identity(token, http=http)
    assert caught.value.code == "too_large"


def test_scopes_fit_where_they_are_stored():
    answer = {"access_token": "t", "instance_url": "https://acme.my.salesforce.com", "scope": "api " * 900}
    found = Token.from_json(answer, now=dt.datetime.now(dt.UTC))
    assert len(" ".join(found.scopes)) < 1_000


def test_an_identity_fits_where_it_is_stored():
    who = Identity.from_json({"user_id": "\0" * 900, "organization_id": {"a": 900}, "username": "u\0" * 900})
    assert [len(told) for told in (who.user_id, who.organization_id, who.username)] == [18, 10, 255]
    assert "\0" not in f"{who}"


@pytest.mark.parametrize("odd", [None, 5, [], {}, "yes"])
def test_identity_survives_fields_of_other_types(odd):
    facts = {"user_id": "005", "organization_id": "00D", "username": "u"}
    who = Identity.from_json(facts | {"email": odd, "active": odd, "timezone": odd, "display_name": odd})
    assert who.active is None


# The end of a token


def test_revoking_ends_the_session(org, http, token):
    oauth.revoke(token, http=http)
    with pytest.raises(SessionExpired):
        oauth.identity(token, http=http)


def test_revoking_twice_is_no_error(org, http, token):
    oauth.revoke(token, http=http)
    oauth.revoke(token, http=http)


def test_a_token_that_can_not_be_revoked_is_told(raw_server, http):
    def refuses(visit) -> None:
        visit.read_request()
        visit.answer(b"error=unsupported_token_type", status="400 Bad Request")

    with pytest.raises(ApiError):
        oauth.revoke(token_for(raw_server(refuses).url), http=http)


# What refusals say


def test_what_the_org_echoes_of_our_secrets_is_masked():
    secret = str(
        assertion.sign(assertion.claims(consumer_key="k", username="u", audience="a", now=0), app_key())
    )
    refusal = oauth.refusal(
        400, {"error": "invalid_grant", "error_description": f"bad {secret} for {GOOD['access_token']}"}
    )
    assert secret not in str(refusal)
    assert "planted" not in f"{refusal} {refusal.description} {vars(refusal)}"


@pytest.mark.parametrize(
    "data", [None, [], "x", {"error": None}, {"error": {}}, {"error": 5, "error_description": []}]
)
def test_a_refusal_of_any_shape_makes_a_sentence(data):
    assert str(oauth.refusal(400, data)).startswith("Salesforce refused the sign-in (")


def test_a_refusal_is_cut_to_a_readable_length():
    long = oauth.refusal(
        400,
        Answer(400, {}, json.dumps({"error": "e" * 9999, "error_description": "d" * 9999}).encode()).json(),
    )
    assert len(str(long)) < 1000


def test_what_upsets_databases_does_not_come_through():
    refusal = oauth.refusal(400, {"error": "invalid_grant", "error_description": "a\x00b\ud800c"})
    assert refusal.description == "a\ufffdb\ufffdc"
