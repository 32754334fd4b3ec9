from __future__ import annotations

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from sf_integration.salesforce import assertion, signin

from .conftest import app_key, sign_in_request

CLAIMS = {
    "consumer_key": "3MVG9key",
    "username": "ops@acme.example",
    "audience": "https://acme.my.salesforce.com",
}


def decoded(text: str) -> dict:
    return jwt.decode(
        text,
        app_key().public_key(),
        algorithms=["RS256"],
        audience=CLAIMS["audience"],
        options={"verify_exp": False, "require": ["iss", "sub", "aud", "exp"]},
    )


def test_the_claims_are_what_salesforce_documents():
    text = assertion.sign(assertion.claims(**CLAIMS, now=1_000.9), app_key())
    assert decoded(text) == {
        "iss": "3MVG9key",
        "sub": "ops@acme.example",
        "aud": "https://acme.my.salesforce.com",
        "exp": 1_180,
    }
    assert jwt.get_unverified_header(text) == {"alg": "RS256", "typ": "JWT"}


def test_the_expiry_is_a_whole_number_within_three_minutes():
    assert assertion.claims(**CLAIMS, now=0.99).expires_at == 180


@pytest.mark.parametrize("audience", ["https://acme.my.salesforce.com/", "https://acme.my.salesforce.com"])
def test_the_audience_has_no_trailing_slash(audience):
    claims = assertion.claims(**(CLAIMS | {"audience": audience}), now=0)
    assert claims.audience == "https://acme.my.salesforce.com"


def test_nothing_but_slashes_is_taken_off_the_audience():
    claims = assertion.claims(**(CLAIMS | {"audience": "https://acme.my.salesforce.com/siteX//"}), now=0)
    assert claims.audience == "https://acme.my.salesforce.com/siteX"


def test_the_assertion_is_compact_and_unpadded():
    text = assertion.sign(assertion.claims(**CLAIMS, now=0), app_key())
    assert text.count(".") == 2
    assert "=" not in text


def test_the_assertion_is_not_shown_by_accident():
    text = assertion.sign(assertion.claims(**CLAIMS, now=0), app_key())
    assert str(text).startswith("eyJ")
    assert "eyJ" not in repr([text])


class HeldElsewhere:
    """Signs with the app's key, as somebody outside would."""

    def sign(self, message: bytes, *, timeout_seconds: float) -> bytes:
        self.seconds = timeout_seconds
        return app_key().sign(message, padding.PKCS1v15(), hashes.SHA256())


def test_assertion_signed_outside_is_the_same_to_the_letter():
    claims, held = assertion.claims(**CLAIMS, now=1_000), HeldElsewhere()
    signed = assertion.sign(claims, held, timeout_seconds=2.5)
    assert signed == assertion.sign(claims, app_key())
    assert held.seconds == 2.5
    assert repr(signed).startswith("<secret of ")


def test_what_is_signed_outside_counts_into_the_time_of_a_sign_in(org, http, monkeypatch):
    monkeypatch.setattr(signin, "CALL_SECONDS", 1.5)
    held = HeldElsewhere()
    assert signin.run(sign_in_request(org, key=held), http).token
    assert 1 < held.seconds <= 1.5
