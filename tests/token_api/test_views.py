"""Each answer of the API, by HTTP."""

from __future__ import annotations

import datetime as dt
import json
import logging
import subprocess
import sys
from contextlib import contextmanager
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.redis import RedisCache
from django.db import OperationalError, connection
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sf_integration import health, tokens
from sf_integration.access import SHELL
from sf_integration.models import AccessToken, ApiClient, AuditEvent, ConnectedApp
from sf_integration.services import api_clients, api_keys
from sf_integration.token_api import callers, taking, throttle, views

pytestmark = pytest.mark.django_db
SHAPE = {"error", "message", "cause", "remedy", "who", "retry_after"}
CHALLENGE = 'Bearer realm="Salesforce tokens"'


def told(response: Any) -> dict[str, Any]:
    """The body of an error, whose shape is always the same."""
    assert response.status_code >= 400
    body: dict[str, Any] = response.json()
    assert set(body) == SHAPE
    assert body["error"]
    assert body["message"]
    assert response.headers["Cache-Control"] == "no-store"
    return body


@contextmanager
def database_down():
    def refuse(*_: Any) -> None:
        raise OperationalError("canary: could not connect to 10.1.2.3")

    with connection.execute_wrapper(refuse):
        yield


@pytest.mark.parametrize("seen_before", [True, False])
def test_a_name_that_changes_hands_takes_no_right_along(acme, shop, post, salesforce_org, seen_before):
    salesforce_org.connect("secret", username=salesforce_org.add_user("secret@nordhafen.example").username)
    assert post(shop, {"connection": "acme"}).status_code == 200  # the grant is remembered for five seconds
    ConnectedApp.objects.filter(name="acme").update(name="old")
    ConnectedApp.objects.filter(name="secret").update(name="acme")
    tokens.reset()
    if seen_before:
        tokens.get("acme")
    body = told(post(shop, {"connection": "acme"}))
    assert body["error"] == "permission_missing"
    assert AuditEvent.objects.filter(act="took token").aggregate(Sum("count"))["count__sum"] == 1


# ---- tokens ---------------------------------------------------------------------------------------------------------


def test_it_answers_what_salesforce_answered_from_the_shared_store(acme, shop, post, salesforce_org):
    shared = tokens.get("acme")
    logins = salesforce_org.logins
    response = post(shop, {"connection": "acme"})
    body = response.json()
    assert response.status_code == 200
    assert body == {
        "access_token": shared.value,
        "instance_url": salesforce_org.url,
        "id": shared.identity_url,
        "token_type": "Bearer",
        "scope": " ".join(shared.scopes),
        "issued_at": body["issued_at"],
        "expected_expiry": body["expected_expiry"],
    }
    for name in ("issued_at", "expected_expiry"):
        told_at = dt.datetime.fromisoformat(body[name])
        assert abs(told_at - getattr(shared, name)) < dt.timedelta(milliseconds=1)
    assert salesforce_org.logins == logins


@pytest.mark.once
@pytest.mark.parametrize("field", ["connection", "sub", "{}"])
def test_a_secret_in_the_wrong_field_is_not_thrown_back(acme, shop, post, field):
    """Callers log what they are told."""
    for secret in (shop.api_key, tokens.get("acme").value):
        body = told(post(shop, {field.format(secret): secret}))
        assert secret[-20:] not in str(body)
        assert "hidden" in body["message"]


def test_the_only_connection_need_not_be_named(shop, post):
    assert post(shop, {}).status_code == 200
    assert post(shop, {"connection": None}).status_code == 200
    shop.client.connections.clear()
    api_keys._known.clear()
    assert told(post(shop, {}))["error"] == "permission_missing"


def test_which_of_several_has_to_be_said(shop, post, salesforce_org):
    shop.client.connections.add(salesforce_org.connect("other"))
    response = post(shop, {})
    assert (response.status_code, told(response)["error"]) == (400, "invalid_input")


def test_another_user_gets_a_token_of_their_own(acme, post, salesforce_org):
    ops = salesforce_org.add_user("ops@nordhafen.example")
    ConnectedApp.objects.update(extra_usernames=[ops.username])
    both = api_clients.make("both", connections=[acme], usernames=[ops.username], actor=SHELL)
    mine = post(both, {"sub": ops.username.upper()}).json()["access_token"]
    assert mine != post(both, {"sub": acme.username}).json()["access_token"]
    assert AuditEvent.objects.filter(act="took token", username=ops.username).count() == 1


def test_a_token_in_memory_costs_no_query(shop, post):
    post(shop)
    with CaptureQueriesContext(connection) as queries:
        assert post(shop).status_code == 200
    assert len(queries) == 0


def test_a_token_that_salesforce_refused_is_replaced_once_for_all(shop, post, salesforce_org):
    first = post(shop).json()["access_token"]
    salesforce_org.end_sessions()
    second = post(shop, {"refused": first}).json()["access_token"]
    assert second != first
    assert post(shop, {"refused": first}).json()["access_token"] == second  # who comes late
    assert post(shop).json()["access_token"] == second
    assert salesforce_org.logins == 2


def test_all_may_find_the_same_session_ended_in_whichever_process(shop, post, salesforce_org):
    with time_machine.travel(timezone.now().replace(second=0), tick=False):
        first = post(shop).json()["access_token"]
        remembered = {**tokens.current().copies}
        salesforce_org.end_sessions()
        found = []
        for _ in range(taking.RENEWALS_PER_MINUTE + 2):
            tokens.current().copies.update(remembered)  # as another process has them
            found.append(post(shop, {"refused": first}))
    assert {each.status_code for each in found} == {200}
    assert len({each.json()["access_token"] for each in found} - {first}) == 1
    assert salesforce_org.logins == 2


def test_who_calls_every_token_refused_does_not_use_up_the_sign_ins(shop, post, salesforce_org):
    with time_machine.travel(timezone.now().replace(second=0), tick=False):
        token = post(shop).json()["access_token"]
        for _ in range(taking.RENEWALS_PER_MINUTE):
            token = post(shop, {"refused": token}).json()["access_token"]
        response = post(shop, {"refused": token})
        again = post(shop, {"refused": token})
    assert {response.status_code, again.status_code} == {429}
    assert told(response)["message"] == "More than 2 refused tokens of one user within a minute."
    assert salesforce_org.logins == 1 + taking.RENEWALS_PER_MINUTE


def test_no_cookie_is_read_or_set_and_nobody_may_store_the_answer(shop, post):
    response = post(shop)
    assert response.headers["Cache-Control"] == "no-store"
    assert "Cookie" not in response.headers.get("Vary", "")
    assert not response.cookies


def test_it_is_not_there_while_it_is_off(shop, post, get, settings):
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"TOKEN_API": False}
    assert post(shop).status_code == 404
    for path in ("/api/connections", "/api/openapi.json", "/api/nothing"):
        assert get(shop, path).status_code == 404


# ---- refusals -------------------------------------------------------------------------------------------------------


def expired(client: ApiClient) -> None:
    ApiClient.objects.update(expires_at=timezone.now())


def revoked(client: ApiClient) -> None:
    api_clients.revoke(client, actor=SHELL)


@pytest.mark.parametrize(("make_it", "code"), [(expired, "api_key_expired"), (revoked, "api_key_revoked")])
def test_an_api_key_that_is_over_is_refused(shop, post, make_it, code):
    make_it(shop.client)
    response = post(shop)
    assert (response.status_code, told(response)["error"]) == (401, code)
    assert response.headers["WWW-Authenticate"] == f'{CHALLENGE}, error="invalid_token"'


def test_an_unknown_and_a_missing_api_key_are_refused(shop, post, client):
    response = post(shop.api_key[:-1] + "!")
    assert (response.status_code, told(response)["error"]) == (401, "api_key_unknown")
    for header in (
        {},
        {"Authorization": "Basic eDp5"},
        {"Authorization": "Bearer  "},
        {"Authorization": "Bearer"},
    ):
        response = client.post("/api/jwtauth", "{}", content_type="application/json", headers=header)
        assert (response.status_code, told(response)["error"]) == (401, "api_key_missing")
        assert response.headers["WWW-Authenticate"] == CHALLENGE


def test_a_connection_of_others_and_one_that_is_not_there_look_alike(shop, post, get, salesforce_org):
    salesforce_org.connect("secret")
    answers = set()
    for name in ("secret", "absent"):
        for response in (post(shop, {"connection": name}), get(shop, f"/api/connections/{name}/health")):
            assert response.status_code == 403
            answers.add(json.dumps(told(response)).replace(name, "NAME"))
    assert len(answers) == 1
    assert [each["name"] for each in get(shop, "/api/connections").json()] == ["acme"]


def paused(acme: ConnectedApp, settings: Any) -> None:
    ConnectedApp.objects.update(enabled=False)


def not_allowed_here(acme: ConnectedApp, settings: Any) -> None:
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"ALLOWED_ENVIRONMENTS": ["trailhead"]}


def key_missing(acme: ConnectedApp, settings: Any) -> None:
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"ENCRYPTION_KEYS": ["A" * 43]}


def not_listed(acme: ConnectedApp, settings: Any) -> None:
    ApiClient.objects.update(usernames=["ops@acme.example"])


@pytest.mark.parametrize(
    ("make_it", "code", "sentence", "remedy"),
    [
        (paused, "paused", "is paused", "Switch it on"),
        (not_allowed_here, "not_allowed_here", "may not call", "SF_ALLOWED_ENVIRONMENTS"),
        (key_missing, "encryption_key_missing", "encryption key", "SF_ENCRYPTION_KEYS"),
        (not_listed, "username_not_allowed", "does not list", "allowed extra usernames"),
    ],
)
def test_where_a_person_must_act_it_says_who_and_how(
    acme, shop, post, settings, make_it, code, sentence, remedy
):
    make_it(acme, settings)
    body = {"sub": "ops@acme.example"} if make_it is not_listed else {}
    response = post(shop, body)
    found = told(response)
    assert (response.status_code, found["error"]) == (409, code)
    assert sentence in found["message"]
    assert remedy in found["remedy"]
    assert found["who"]
    assert found["retry_after"] is None
    assert "Retry-After" not in response.headers


def test_a_refused_sign_in_is_told_in_the_words_of_the_page(acme, shop, post, salesforce_org):
    salesforce_org.user.approved = False
    response = post(shop)
    found = told(response)
    acme.refresh_from_db()
    assert (response.status_code, found["error"]) == (409, "invalid_app_access")
    for name in ("cause", "remedy", "who"):
        assert found[name]
        assert found[name] == acme.last_error[name]


def test_passing_trouble_says_when_to_come_back(shop, post, salesforce_org, caplog):
    salesforce_org.fail("maintenance")
    response = post(shop)
    found = told(response)
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) == found["retry_after"] > 0
    (logged,) = [each for each in caplog.records if each.name == "django.request"]
    assert logged.levelname == "WARNING"  # errors are mailed to the admins


def test_a_connection_deleted_a_moment_ago_is_as_one_that_was_never_there(acme, shop, post, get):
    post(shop)
    get(shop, "/api/connections/acme/health")
    acme.delete()
    tokens.reset()
    for response in (post(shop, {"connection": "acme"}), get(shop, "/api/connections/acme/health")):
        assert (response.status_code, told(response)["error"]) == (403, "permission_missing")


def test_without_the_database_it_is_to_be_tried_again(shop, post, caplog):
    with database_down():
        response = post(shop)
    found = told(response)
    assert (response.status_code, found["error"]) == (503, "database_unavailable")
    assert found["message"] == "The database of this site does not answer."
    assert response.headers["Retry-After"] == str(found["retry_after"])
    assert "canary" not in response.content.decode() + caplog.text


@pytest.mark.django_db(transaction=True)
def test_no_token_goes_out_that_the_audit_trail_does_not_know_of(shop, post):
    """Authenticated and in memory: only the event is missing."""
    tokens.get("acme")
    api_keys.grant(api_keys.authenticate(shop.api_key))
    with database_down():
        assert post(shop).status_code == 503
    assert post(shop).status_code == 200
    assert AuditEvent.objects.get(act="took token").count == 1


def test_a_fault_of_ours_is_told_in_json_too(shop, post, settings):
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"TOKEN_API_CALLS_PER_MINUTE": "many"}
    response = post(shop)
    assert (response.status_code, told(response)["error"]) == (500, "internal_error")


# ---- requests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{", "malformed_json"),
        ("[]", "malformed_json"),
        ("[" * 9_000, "malformed_json"),
        (b"\xff\xfe{}", "malformed_json"),
        ({"connection": 1}, "invalid_field"),
        ({"sub": ["a"]}, "invalid_field"),
        ({"username": "a"}, "unknown_field"),
    ],
)
def test_a_body_that_can_not_be_read_is_refused(shop, post, body, code):
    response = post(shop, body)
    assert (response.status_code, told(response)["error"]) == (400, code)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_only_json_is_taken(shop, post, kind):
    response = post(shop, "{}", content_type=kind)
    assert (response.status_code, told(response)["error"]) == (415, "unsupported_media_type")


def test_a_charset_may_be_told(shop, post):
    assert post(shop, "{}", content_type="application/json; charset=utf-8").status_code == 200


def test_a_huge_body_is_refused_unread(shop, post):
    response = post(shop, '{"connection": "' + "a" * 10_000 + '"}')
    assert (response.status_code, told(response)["error"]) == (413, "too_large")


def test_a_body_in_chunks_is_refused_rather_than_taken_for_an_empty_one(shop, post):
    response = post(
        shop,
        "{}",
        CONTENT_LENGTH="",
        headers={"Authorization": f"Bearer {shop.api_key}", "Transfer-Encoding": "chunked"},
    )
    assert (response.status_code, told(response)["error"]) == (411, "length_required")


@pytest.mark.parametrize(
    ("path", "allowed"), [("jwtauth", "POST, OPTIONS"), ("connections", "GET, HEAD, OPTIONS")]
)
def test_other_methods_are_told_which_are_answered(client, path, allowed):
    response = client.delete(f"/api/{path}")
    assert (response.status_code, told(response)["error"]) == (405, "method_not_allowed")
    assert response.headers["Allow"] == allowed
    response = client.options(f"/api/{path}")
    assert (response.status_code, response.content, response.headers["Allow"]) == (204, b"", allowed)


def test_an_unknown_address_is_told_in_json(client):
    response = client.get("/api/jwtauth/")
    assert (response.status_code, told(response)["error"]) == (404, "not_found")


@pytest.mark.parametrize(("header", "status"), [("Authorization", 200), ("X-None", 401)])
def test_head_tells_the_length_alone(shop, rf, header, status):
    """Asked of the view: Django's test client takes bodies off itself."""
    headers = {header: f"Bearer {shop.api_key}"}
    whole = views.connections(rf.get("/api/connections", headers=headers))
    head = views.connections(rf.head("/api/connections", headers=headers))
    assert (head.status_code, head.content) == (status, b"")
    assert head.headers["Content-Length"] == str(len(whole.content))


# ---- connections ----------------------------------------------------------------------------------------------------


def test_health_is_what_the_last_check_found_without_a_call(acme, shop, get, salesforce_org):
    found = health.check_connection(acme, asked_by="test")
    calls = len(salesforce_org.requests)
    body = get(shop, "/api/connections/acme/health").json()
    assert body["healthy"] is True
    assert body["steps"] == found.steps
    assert body["seconds_since_check"] >= 0
    assert get(shop, "/api/connections").json() == [acme.summary(timezone.now())]
    assert len(salesforce_org.requests) == calls


# ---- how often ------------------------------------------------------------------------------------------------------


def test_a_client_that_calls_too_often_is_told_when_to_come_back(shop, post, acme, settings):
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"TOKEN_API_CALLS_PER_MINUTE": 2}
    other = api_clients.make("other", connections=[acme], actor=SHELL)
    with time_machine.travel(timezone.now().replace(second=20, microsecond=0), tick=False):
        assert [post(shop).status_code for _ in range(3)] == [200, 200, 429]
        response = post(shop)
        assert post(other).status_code == 200
    assert (response.headers["Retry-After"], told(response)["retry_after"]) == ("40", 40)
    found = told(response)
    assert (found["error"], found["message"]) == ("too_many_calls", "More than 2 calls within a minute.")
    assert (found["cause"], found["who"]) == ("", "whoever wrote the calling program")
    with time_machine.travel(timezone.now() + dt.timedelta(minutes=1)):
        assert post(shop).status_code == 200


def test_guessing_is_cut_off_and_who_was_known_before_goes_on(shop, post, acme, caplog):
    late = api_clients.make("late", connections=[acme], actor=SHELL)
    with time_machine.travel(timezone.now().replace(second=1), tick=False):
        post(shop)
        guesses = [post(f"sfk_{number:012}_{'A' * 43}") for number in range(callers.REFUSALS_PER_MINUTE)]
        assert {each.status_code for each in guesses} == {401}
        with CaptureQueriesContext(connection) as queries:
            response = post(late)
        assert told(response)["message"] == "More than 30 refused API keys from one address within a minute."
        assert response.status_code == 429
        assert len(queries) == 0
        assert post(shop).status_code == 200


@pytest.mark.parametrize(
    "useless", [RedisCache("redis://127.0.0.1:1/0", {}), DummyCache("", {})], ids=["down", "dummy"]
)
def test_without_the_cache_each_process_counts_for_itself(shop, post, settings, caplog, monkeypatch, useless):
    monkeypatch.setattr(throttle, "cache", useless)
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"TOKEN_API_CALLS_PER_MINUTE": 1}
    assert [post(shop).status_code for _ in range(2)] == [200, 429]
    throttle._cache_asked_from = 0.0
    assert caplog.text.count("the cache did not count") == 1


# ---- the trail, and secrets -----------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_two_processes_hand_out_one_token_and_tell_of_all(shop, post, salesforce_org, process_environment):
    mine = post(shop).json()["access_token"]
    code = """
import os, django; django.setup()
from django.test import Client
key = os.environ["API_KEY"]
for _ in range(3):
    found = Client(SERVER_NAME='127.0.0.1').post("/api/jwtauth", "{}", content_type="application/json", headers={"Authorization": f"Bearer {key}"})
print(found.json()["access_token"])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=process_environment
        | {
            "SF_TOKEN_API": "on",
            "API_KEY": shop.api_key,
            "SF_ALLOWED_HOSTS": salesforce_org.url.split("://")[1],
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == mine, done.stderr
    assert salesforce_org.logins == 1
    events = AuditEvent.objects.filter(act="took token", actor="API client shop", subject="acme")
    assert events.aggregate(Sum("count"))["count__sum"] == 4
    assert len(events) <= 2  # as many as minutes
    assert events[0].username == AccessToken.objects.get().username
    assert AuditEvent.objects.filter(act="first used API key").count() == 1


def test_no_api_key_and_no_token_is_left_anywhere(shop, post, get, caplog, salesforce_org):
    caplog.set_level(logging.DEBUG)
    token = post(shop).json()["access_token"]
    post(shop, {"refused": token, "what": token})
    post(shop, {"connection": "absent", "refused": token})
    post(shop.api_key[:-1] + "-")
    get(shop, "/api/connections")
    stored = [*AuditEvent.objects.values(), *ApiClient.objects.values(), *AccessToken.objects.values()]
    places = {
        "logs": caplog.text + repr([record.__dict__ for record in caplog.records]),
        "database": repr(stored),
        "cache": repr(getattr(cache, "_cache", {})),
        "throttle": repr(throttle._own) + repr(api_keys._known),
    }
    planted = {**places, "planted": f"x {shop.api_key} {token}"}
    for secret in (shop.api_key[17:], token):
        assert [place for place, text in planted.items() if secret in text] == ["planted"]


def test_an_error_shows_no_secret_in_what_its_frames_hold(shop, post, settings, caplog):
    """Error trackers show the variables of each frame, as `repr` has them."""
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"TOKEN_API_CALLS_PER_MINUTE": "many"}
    post(shop)
    (record,) = [each for each in caplog.records if each.name == "sf_integration.token_api"]
    frames, at = [], record.exc_info[2]
    while at is not None:
        frames.append(repr(at.tb_frame.f_locals))
        at = at.tb_next
    assert len(frames) > 2
    assert shop.api_key[17:] not in "".join(frames)


def test_a_browser_of_another_site_gets_nothing(shop, post):
    """No CORS: an API key is no business of a page."""
    response = post(
        shop, headers={"Authorization": f"Bearer {shop.api_key}", "Origin": "https://evil.example"}
    )
    assert not [name for name in response.headers if name.startswith("Access-Control")]
