"""Attacks that no other test makes."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest
from django.test import Client, RequestFactory, override_settings
from django.views.debug import ExceptionReporter, get_exception_reporter_filter

from sf_integration import conf, crypto, get_token
from sf_integration.management.commands.salesforce import Command
from sf_integration.salesforce.errors import SalesforceError
from sf_integration.services import api_keys
from sf_integration.testing.django import ConnectableOrg
from tests.access.places import all_patterns

pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice", password="right-password")


SIGN_IN = {"username": "alice", "password": "right-password"}


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "https:///evil.example"]
)  # fmt: skip
def test_a_sign_in_leads_to_no_other_site(client: Client, alice: User, target: str) -> None:
    answer = client.post("/login/", SIGN_IN | {"next": target})
    assert (answer.status_code, answer["Location"]) == (302, "/")


def test_a_session_that_was_planted_is_not_the_one_that_is_signed_in(client: Client, alice: User) -> None:
    session = client.session
    session["planted"] = True
    session.save()
    planted = session.session_key
    client.post("/login/", SIGN_IN)
    assert client.cookies[settings.SESSION_COOKIE_NAME].value != planted
    thief = Client()
    thief.cookies[settings.SESSION_COOKIE_NAME] = planted
    assert thief.get("/password/").status_code == 302


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(client: Client, alice: User) -> None:
    session = client.post("/login/", SIGN_IN).cookies[settings.SESSION_COOKIE_NAME]
    assert (session["httponly"], session["samesite"]) == (True, "Lax")


def test_a_password_change_ends_the_other_sessions(client: Client, alice: User) -> None:
    thief = Client()
    thief.post("/login/", SIGN_IN)
    client.post("/login/", SIGN_IN)
    passwords = {
        "old_password": "right-password",
        "new_password1": "moss-4-Lantern",
        "new_password2": "moss-4-Lantern",
    }
    assert client.post("/password/", passwords).status_code == 302
    assert client.get("/password/").status_code == 200
    assert thief.get("/password/").status_code == 302


def test_the_lock_can_not_be_dodged_by_naming_another_address(client: Client, alice: User) -> None:
    """Nor does it shut out the owner of the name, who comes from elsewhere."""
    for number in range(5):
        forged = {"X-Forwarded-For": f"10.0.0.{number}", "X-Real-IP": f"10.0.0.{number}"}
        client.post("/login/", {"username": "alice", "password": "wrong"}, headers=forged)
    assert client.post("/login/", SIGN_IN, headers={"X-Forwarded-For": "10.9.9.9"}).status_code == 429
    assert Client(REMOTE_ADDR="10.1.2.3").post("/login/", SIGN_IN).status_code == 302


@pytest.mark.parametrize("header", ["X-Forwarded-Host", "X-Forwarded-Server", "Forwarded"])
def test_a_forged_host_comes_into_no_page(client: Client, header: str) -> None:
    answer = client.get("/login/?next=/connections/", headers={header: "host=evil.example"})
    assert b"evil.example" not in answer.content + repr(answer.headers).encode()


@pytest.mark.parametrize("method", ["TRACE", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("address", ["/connections/", "/login/", "/healthz", "/connections/acme/check/"])
def test_other_methods_do_nothing(client: Client, address: str, method: str) -> None:
    answer = client.generic(method, address, "echoed-by-trace", content_type="text/plain")
    # Django's sign-in takes PUT for a form without inputs.
    assert answer.status_code in (302, 403, 405) or address in ("/healthz", "/login/")
    assert "_auth_user_id" not in client.session
    assert b"echoed-by-trace" not in answer.content


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..%2f..%2fetc%2fpasswd", "acme%00", "%ff%fe", "{{settings.SECRET_KEY}}", "a" * 5000]
)  # fmt: skip
def test_odd_names_are_not_found(admin_client: Client, name: str) -> None:
    answer = admin_client.get(f"/connections/{name}/")
    assert answer.status_code == 404
    assert settings.SECRET_KEY not in answer.content.decode()


def test_no_id_leads_to_the_name_of_a_hidden_connection(
    client: Client, alice: User, salesforce_org: ConnectableOrg
) -> None:
    """By the address that Django's admin has for “View on site”, open to all staff."""
    hidden = salesforce_org.connect("merger")
    User.objects.update(is_staff=True)
    client.force_login(alice, backend="django.contrib.auth.backends.ModelBackend")
    kind = ContentType.objects.get_for_model(hidden)
    answer = client.get(f"/admin/r/{kind.pk}/{hidden.pk}/")
    assert answer.status_code == 404
    assert "merger" not in f"{answer.headers}"


def test_headers_that_every_answer_has(client: Client, alice: User) -> None:
    client.force_login(alice)
    for address in ("/login/", "/nowhere/", "/connections/", "/healthz", "/password/"):
        told = client.get(address).headers
        assert told["X-Content-Type-Options"] == "nosniff", address
        assert told["X-Frame-Options"] == "DENY", address
        assert told["Referrer-Policy"] == "same-origin", address
        assert told["Cross-Origin-Opener-Policy"] == "same-origin", address


@pytest.mark.parametrize(
    "address", ["/login/", "/password/", "/connections/", "/connections/acme/", "/admin/", "/readyz"]
)
def test_no_cache_keeps_a_page(admin_client: Client, salesforce_org: ConnectableOrg, address: str) -> None:
    salesforce_org.connect("acme")
    assert "no-store" in admin_client.get(address).headers["Cache-Control"]


def test_only_the_api_takes_posts_without_the_token_of_a_form(salesforce_org: ConnectableOrg) -> None:
    """It knows neither sessions nor cookies. The explainer looks at the length first, then at the token."""
    open_to_all = {
        route for route, _, pattern in all_patterns() if getattr(pattern.callback, "csrf_exempt", False)
    }
    assert open_to_all
    assert {route for route in open_to_all if not route.startswith("api/")} == {"connections/explain/"}
    salesforce_org.connect("acme")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(
        User.objects.create_superuser("root"), backend="django.contrib.auth.backends.ModelBackend"
    )
    for address in ("/connections/acme/check/", "/connections/explain/"):
        assert strict.post(address).status_code == 403
    assert not salesforce_org.requests


def test_a_hostile_record_is_text_on_the_page(admin_client: Client, salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect(
        "acme", label="<script>alert(1)</script>{{ 7|add:7 }}", notes="<img src=x onerror=alert(1)>"
    )
    page = admin_client.get("/connections/acme/").content.decode()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page
    assert "<img src=x" not in page
    assert "{{ 7|add:7 }}" in page


@pytest.mark.parametrize(
    "instance",
    [
        "http://169.254.169.254",
        "https://169.254.169.254",
        "https://10.0.0.1",
        "https://acme.my.salesforce.com@evil.example",
        "https://evil.example/.salesforce.com",
        "https://evil.example#.my.salesforce.com",
        "https://salesforce.com.evil.example",
        "https://evilsalesforce.com",
        "https://acme.my.salesforce.com:8443",
        "file:///etc/passwd",
    ],
)
@pytest.mark.django_db(transaction=True)
def test_a_poisoned_answer_leads_nowhere(salesforce_org: ConnectableOrg, instance: str) -> None:
    salesforce_org.connect("acme")
    salesforce_org.fail(
        "answer", times=None, body=f'{{"access_token": "00D5g000004FaKe!AQplanted", "instance_url": "{instance}"}}'
    )  # fmt: skip
    with pytest.raises(SalesforceError) as refused:
        get_token("acme")
    assert "AQplanted" not in str(refused.value)


def test_no_nonce_is_used_twice_and_each_is_random(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = crypto.Keyring.from_text([crypto.new_key()])
    sealed = {ring.seal(b"same", "same").partition(".")[2][9:25] for _ in range(2_000)}
    assert len(sealed) == 2_000
    assert AESGCM.generate_key(256) != AESGCM.generate_key(256)


def test_api_keys_are_compared_in_constant_time() -> None:
    assert "hmac.compare_digest" in inspect.getsource(api_keys._fits)


def test_no_option_of_the_command_line_takes_a_secret() -> None:
    """Arguments are seen by everybody on the machine: secrets come in files, by standard input or in the environment."""
    parser = Command().create_parser("manage.py", "salesforce")
    verbs = next(action for action in parser._actions if action.dest == "verb").choices
    assert verbs
    taken = {
        option
        for verb in verbs.values()  # type: ignore[union-attr]
        for action in verb._actions
        if action.nargs != 0
        for option in action.option_strings
        if re.search("passphrase|password|secret|token|api-key", option) and not option.endswith("-file")
    }
    assert taken == set()


def report(request: HttpRequest) -> str:
    """Of a crash in a frame that has no variables."""
    namespace: dict[str, Any] = {}
    exec(compile("def crash():\n    raise ZeroDivisionError", "elsewhere.py", "exec"), namespace)
    with pytest.raises(ZeroDivisionError) as crashed:
        namespace["crash"]()
    trace = crashed.value.__traceback__
    assert trace is not None
    reporter = ExceptionReporter(request, ZeroDivisionError, crashed.value, trace.tb_next)
    return reporter.get_traceback_html() + reporter.get_traceback_text()


@pytest.mark.parametrize("debug", [True, False])
def test_reports_of_crashes_hide_what_was_posted_and_addresses_with_passwords(
    debug: bool, settings: Any
) -> None:
    holding_secrets = {
        "ALARM_CHANNELS": {"ops": "json://bot:in-the-channel@chat.example/"},
        "SIGNERS": {"hsm": {"BACKEND": "acme.Hsm", "OPTIONS": {"pin": "in-the-options"}}},
    }
    with override_settings(
        DEBUG=debug,
        CELERY_BROKER_URL="amqp://sf:in-the-broker@mq.example//",
        SF_INTEGRATION=settings.SF_INTEGRATION | holding_secrets,
    ):
        posted = {"pem": "in-the-form", "anything": "also-in-the-form"}
        told = report(
            RequestFactory().post("/x/", posted, headers={"Cookie": "sessionid=stolen-session-4711"})
        )
        assert "in-the-options" not in repr(conf.settings.SIGNERS)
    assert get_exception_reporter_filter(None).is_active(None)
    assert "pem" in told
    for secret in ("in-the-form", "in-the-channel", "in-the-broker", "in-the-options", "stolen-session-4711"):
        assert secret not in told
