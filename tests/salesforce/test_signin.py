from __future__ import annotations

import datetime as dt
import json
import threading
import time
from functools import cache

import pytest

from sf_integration.salesforce import keys, signin
from sf_integration.salesforce.errors import AuthenticationError, RetryableError, TransportError
from sf_integration.salesforce.http import Answer
from sf_integration.salesforce.signin import Outcome

from .conftest import sign_in_request, token_for
from .raw_server import Visit


def test_a_sign_in_brings_a_token(org, http):
    outcome = signin.run(sign_in_request(org, session=dt.timedelta(minutes=15)), http)
    token = outcome.require()
    assert token.instance_url == org.url
    assert token.expected_expiry - token.issued_at == dt.timedelta(minutes=15)
    assert outcome.error is None
    assert abs(outcome.clock_skew_seconds) < 5


def test_a_refusal_comes_back_in_the_outcome(org, http):
    org.user.approved = False
    outcome = signin.run(sign_in_request(org), http)
    assert isinstance(outcome.error, AuthenticationError)
    assert outcome.token is None
    with pytest.raises(AuthenticationError):
        outcome.require()
    assert org.token_requests == 1


def test_unknown_error_is_tried_once_more(org, http):
    org.fail("unknown_error")
    started = time.monotonic()
    assert signin.run(sign_in_request(org), http).token
    assert org.token_requests == 2
    assert time.monotonic() - started >= 1


def test_a_second_unknown_error_is_the_end(org, http):
    org.fail("unknown_error", times=None)
    outcome = signin.run(sign_in_request(org), http)
    assert outcome.error.code == "unknown_error"
    assert org.token_requests == 2


@pytest.mark.parametrize(
    "fault", ["maintenance", "bad_gateway", "html", "garbage", "cut", "close", "redirect"]
)
def test_other_trouble_is_not_tried_again(org, http, fault):
    org.fail(fault, times=None)
    assert isinstance(signin.run(sign_in_request(org), http).error, TransportError)
    assert org.token_requests == 1


def test_nothing_listening_is_told_at_once(http, raw_server):
    server = raw_server(lambda visit: None)
    server.close()
    started = time.monotonic()
    outcome = signin.run(sign_in_request_for(server.url), http)
    assert outcome.error.code == "connection_refused"
    assert time.monotonic() - started < 0.9


def sign_in_request_for(url: str) -> signin.SignIn:
    from .conftest import app_key

    return signin.SignIn(login_url=url, audience=url, consumer_key="k", username="u", key=app_key())


TOKEN_ANSWER = json.dumps(
    {"access_token": "00D5g000004FaKe!AQx", "instance_url": "https://acme.my.salesforce.com"}
).encode()


def test_a_pooled_connection_that_died_is_replaced_once(http, raw_server):
    def closes_at_the_second_request(visit: Visit) -> None:
        visit.read_request()
        visit.answer(TOKEN_ANSWER)
        visit.read_request()

    server = raw_server(closes_at_the_second_request)
    assert signin.run(sign_in_request_for(server.url), http).token
    assert signin.run(sign_in_request_for(server.url), http).token
    assert (server.visits, len(server.requests)) == (2, 3)


def test_both_posts_together_keep_to_the_call_time(http, raw_server, monkeypatch):
    monkeypatch.setattr(signin, "CALL_SECONDS", 2.5)

    def unknown_then_silent(visit: Visit) -> None:
        visit.read_request()
        visit.answer(
            b'{"error":"unknown_error","error_description":"retry your request"}', status="400 Bad Request"
        )
        visit.read_request()
        visit.drip(b"", 30)
        visit.connection.recv(1)

    started = time.monotonic()
    outcome = signin.run(sign_in_request_for(raw_server(unknown_then_silent).url), http)
    assert outcome.error.code == "timeout"
    assert time.monotonic() - started < 3


def test_no_second_post_when_there_is_no_time_left(org, http, monkeypatch):
    monkeypatch.setattr(signin, "CALL_SECONDS", 1.5)
    org.fail("unknown_error", times=None)
    assert signin.run(sign_in_request(org), http).error.code == "unknown_error"
    assert org.token_requests == 1


@pytest.mark.parametrize("offset", [-600, 600])
def test_the_skew_is_measured_from_the_answer(org, http, offset):
    org.clock_offset_seconds = offset
    outcome = signin.run(sign_in_request(org), http)
    assert outcome.clock_skew_seconds == pytest.approx(-offset, abs=5)


def test_many_sign_ins_at_once_get_a_token_each(org, http):
    values = []
    threads = [
        threading.Thread(target=lambda: values.append(signin.run(sign_in_request(org), http).require().value))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(set(values)) == 16


@pytest.mark.parametrize("exception", [ValueError("bug"), KeyError("bug")])
def test_a_bug_is_raised_not_hidden(http, exception):
    class Broken:
        def post_form(self, *args: object, **kwargs: object) -> None:
            raise exception

    with pytest.raises(type(exception)):
        signin.run(sign_in_request_for("https://acme.my.salesforce.com"), Broken())


# The org of the token


OTHER_ORG = "00D5g000004FaKeEAK"


def expecting(org, expected: str, **changes: object) -> signin.SignIn:
    return sign_in_request(org, expected_org_id=expected, **changes)


@pytest.mark.parametrize("token_format", ["opaque", "jwt"])
def test_the_expected_org_is_recognised_without_a_further_call(org, http, token_format):
    org.token_format = token_format
    outcome = signin.run(expecting(org, org.id), http)
    assert outcome.organization_id == org.id
    assert len(org.requests) == 1


def test_the_session_of_another_org_is_ended(org, http):
    outcome = signin.run(expecting(org, OTHER_ORG), http)
    assert outcome.organization_id == org.id
    assert org.find_session(outcome.require().value) is None


def test_an_org_that_its_token_does_not_tell_is_asked(org, http):
    token = hide_org(org)
    assert signin.run(expecting(org, org.id), http).organization_id == org.id
    assert [request.path for request in org.requests][-1] == "/services/oauth2/userinfo"
    assert org.find_session(token) is not None


def test_nobody_is_asked_where_any_org_will_do(org, http):
    hide_org(org)
    assert signin.run(sign_in_request(org), http).token
    assert len(org.requests) == 1


def test_the_token_is_not_sent_where_it_must_not_go(org, http):
    hide_org(org)
    outcome = signin.run(expecting(org, org.id, may_call=lambda url: False), http)
    assert (outcome.organization_id, len(org.requests)) == ("", 1)


def test_an_org_that_will_not_say_which_it_is_stays_unknown_and_its_session_is_ended(org, http):
    token = hide_org(org)
    org.fail(
        "answer",
        status=403,
        body="Missing_Scope",
        content_type="text/plain",
        where="/services/oauth2/userinfo",
    )
    outcome = signin.run(expecting(org, org.id), http)
    assert (outcome.organization_id, outcome.error) == ("", None)
    assert org.find_session(token) is None


@pytest.mark.parametrize("fault", ["maintenance", "close"])
def test_trouble_while_asking_for_the_org_is_passing_trouble(org, http, fault):
    hide_org(org)
    org.fail(fault, where="/services/oauth2/userinfo", times=None)
    outcome = signin.run(expecting(org, org.id), http)
    assert outcome.token is None
    assert isinstance(outcome.error, RetryableError)


def test_asking_for_the_org_keeps_to_the_time_of_the_sign_in(org, http, monkeypatch):
    monkeypatch.setattr(signin, "CALL_SECONDS", 1.0)
    hide_org(org)
    org.fail("slow", where="/services/oauth2/userinfo", seconds=20)
    started = time.monotonic()
    assert signin.run(expecting(org, org.id), http).error.code == "timeout"
    assert time.monotonic() - started < 2


def hide_org(org) -> str:
    """Let the next sign-in bring a good token that, like its answer, does not tell the org."""
    session = org.start_session(org.user, org.app)
    hidden = "opaque-in-another-way"
    session.token = hidden
    org.sessions.add(session)
    org.fail("answer", body={"access_token": hidden, "instance_url": org.url, "scope": "api refresh_token"})
    return hidden


def test_an_outcome_shows_neither_token_nor_answer():
    outcome = Outcome(
        token=token_for("https://acme.my.salesforce.com", "planted"),
        error=RetryableError("x"),
        seconds=0.1,
        answer=Answer(200, {}, b"planted"),
    )
    assert "planted" not in repr(outcome)


# ---- a spare key ----------------------------------------------------------------------------------------------------


@cache
def spare_key() -> signin.SpareKey:
    key = keys.make_key()
    return signin.SpareKey(key, keys.fingerprint(key))


def know_spare_key(org):
    org.app.replace_certificate(keys.make_certificate(spare_key().key, common_name="next").pem)


def test_spare_key_is_used_where_the_org_knows_only_that(org, http):
    know_spare_key(org)
    outcome = signin.run(sign_in_request(org, key_fingerprint="present", spare=spare_key()), http)
    assert outcome.token
    assert outcome.key_fingerprint == spare_key().fingerprint
    assert org.token_requests == 2


def test_spare_key_is_left_alone_while_the_other_is_known(org, http):
    outcome = signin.run(sign_in_request(org, key_fingerprint="present", spare=spare_key()), http)
    assert outcome.token
    assert outcome.key_fingerprint == "present"
    org.user.approved = False
    assert signin.run(sign_in_request(org, spare=spare_key()), http).error.code == "invalid_app_access"
    assert org.token_requests == 2


def test_where_neither_key_is_known_the_first_refusal_is_told(org, http):
    org.app.replace_certificate(keys.make_certificate(keys.make_key(), common_name="third").pem)
    outcome = signin.run(sign_in_request(org, key_fingerprint="present", spare=spare_key()), http)
    assert outcome.error.description == "invalid assertion"
    assert outcome.key_fingerprint == "present"
    assert org.token_requests == 2


def test_what_stands_behind_the_signature_is_told(org, http):
    know_spare_key(org)
    org.user.approved = False
    outcome = signin.run(sign_in_request(org, spare=spare_key()), http)
    assert "invalid assertion" not in outcome.error.description


def test_spare_key_keeps_to_the_time_of_the_call(org, http, monkeypatch):
    know_spare_key(org)
    monkeypatch.setattr(signin, "CALL_SECONDS", 1.2)
    org.fail("slow", seconds=0.5)
    assert signin.run(sign_in_request(org, spare=spare_key()), http).error.description == "invalid assertion"
    assert org.token_requests == 1
    monkeypatch.setattr(signin, "CALL_SECONDS", 3.0)
    org.fail("slow", seconds=0.5, times=2)
    assert signin.run(sign_in_request(org, spare=spare_key()), http).token


def test_neither_key_shows_in_a_text_form(org):
    assert "RSAPrivateKey" not in repr(sign_in_request(org, spare=spare_key()))
