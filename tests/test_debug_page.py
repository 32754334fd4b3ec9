"""Django's debug page shows the variables of every frame; so do error trackers. None of them may hold a secret of ours."""

from __future__ import annotations

import base64
import html

import pytest
from django.test import RequestFactory
from django.views.debug import ExceptionReporter

from sf_integration import crypto, fields, get_client, get_token
from sf_integration.models import SigningKey
from sf_integration.salesforce import keys, oauth, signin
from sf_integration.salesforce.errors import SalesforceError
from sf_integration.testing.django import ConnectableOrg

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


def debug_page(error: BaseException) -> str:
    """What a developer sees with DEBUG, and what a mail to ADMINS holds with `include_html`; without the test's own frame."""
    assert error.__traceback__ is not None
    error = error.with_traceback(error.__traceback__.tb_next)
    reporter = ExceptionReporter(RequestFactory().get("/"), type(error), error, error.__traceback__)
    return html.unescape(reporter.get_traceback_html()) + reporter.get_traceback_text()


@pytest.fixture
def assertions(monkeypatch):
    """Those signed during the test."""
    made: list[str] = []
    sign = signin.assertion.sign
    monkeypatch.setattr(
        signin.assertion, "sign", lambda *args, **more: made.append(sign(*args, **more)) or made[-1]
    )
    return made


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("close", {}),
        ("garbage", {}),
        ("html", {}),
        ("maintenance", {}),
        ("redirect", {}),
        ("refuse", {"error": "invalid_grant", "description": "invalid assertion"}),
        ("answer", {"body": '{"access_token": "00D5g000004FaKe!AQplanted", "instance_url": "nowhere"}'}),
        (
            "answer",
            {"body": '{"access_token": "00D5g000004FaKe!AQplanted", "instance_url": "https://evil.example"}'},
        ),
        ("answer", {"body": '{"access_token": "00D5g000004FaKe!AQplanted"'}),
    ],
    ids=str,
)
def test_a_failed_sign_in_shows_neither_assertion_nor_token(
    salesforce_org: ConnectableOrg, assertions, fault, options
):
    salesforce_org.connect("acme")
    salesforce_org.fail(fault, times=None, **options)
    with pytest.raises(SalesforceError) as caught:
        get_token("acme")
    page = debug_page(caught.value)
    assert assertions
    assert "get_token" in page
    for signed in assertions:
        assert signed not in page
        assert signed.rpartition(".")[2] not in page
    assert "AQplanted" not in page
    assert salesforce_org.app.private_key_pem[100:160] not in page


@pytest.mark.parametrize("fault", ["close", "cut", "maintenance", "redirect"])
def test_a_failed_call_shows_no_token(salesforce_org: ConnectableOrg, fault):
    salesforce_org.connect("acme")
    token = get_token("acme")
    with get_client("acme") as client:
        client.limits()
        salesforce_org.fail(fault, where="rest", times=None)
        with pytest.raises(SalesforceError) as caught:
            client.request("POST", "sobjects/Account", json={})
    page = debug_page(caught.value)
    assert "_send" in page
    assert token.value not in page


def raised_in(call) -> BaseException:
    try:
        call()
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is looked at
        return exc
    raise AssertionError("nothing was raised")


def test_a_bug_in_signing_shows_no_key(salesforce_org: ConnectableOrg):
    key = keys.read_private_key(salesforce_org.app.private_key_pem.encode())
    error = raised_in(lambda: signin.assertion.sign(None, key))
    page = debug_page(error)
    assert "sign" in page
    assert str(key.private_numbers().p)[:50] not in page
    assert salesforce_org.app.private_key_pem[100:160] not in page


def test_a_bug_below_exchange_shows_no_assertion(salesforce_org: ConnectableOrg, assertions, monkeypatch):
    salesforce_org.connect("acme")

    def broken(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(oauth, "read_token", broken)
    page = debug_page(raised_in(lambda: get_token("acme")))
    assert "ZeroDivisionError" in page
    assert assertions
    assert assertions[0] not in page


def test_a_secret_that_does_not_open_shows_no_encryption_key(settings):
    raw = bytes(range(0xE0, 0x100))
    mine = base64.urlsafe_b64encode(raw).decode()
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"ENCRYPTION_KEYS": [mine]}
    row = SigningKey(name="k", fingerprint="f", size=2048)
    secret = crypto.new_key().encode()
    sealed = fields.seal(SigningKey, "private_key", row.pk, secret)
    row.private_key = fields.Sealed(sealed.ciphertext[:-4] + "AAAA", sealed.key_id)
    page = debug_page(raised_in(row.private_key.open))
    assert "_decrypt" in page
    assert secret.decode() not in page
    assert mine.rstrip("=") not in page
    assert "\\xe0\\xe1\\xe2\\xe3" not in page  # long bytes are shown in groups of four


def test_the_search_finds_a_planted_secret():
    def leaks() -> None:
        token = "planted-on-purpose"
        raise ValueError(len(token))

    assert "planted-on-purpose" in debug_page(raised_in(leaks))
