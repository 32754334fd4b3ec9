"""Who may go on and who is cut off, by address and by API key. Over HTTP: `test_views.py`."""

from __future__ import annotations

import datetime as dt

import pytest
import time_machine
from django.test import RequestFactory
from django.utils import timezone

from sf_integration.access import SHELL
from sf_integration.models import ApiClient
from sf_integration.salesforce.errors import ApiKeyRefused
from sf_integration.services import api_clients, api_keys
from sf_integration.services.api_clients import IssuedKey
from sf_integration.token_api import callers
from sf_integration.token_api.answers import TooManyCalls

pytestmark = [pytest.mark.django_db, pytest.mark.once]

HERE, ELSEWHERE = "198.51.100.7", "203.0.113.9"
GUESS = f"sfk_{'0' * 12}_{'A' * 43}"
CUT_OFF = "More than 30 refused API keys from one address within a minute"


def call(api_key: str, address: str | None = HERE) -> ApiClient:
    request = RequestFactory().post("/api/jwtauth", headers={"Authorization": f"Bearer {api_key}"})
    if address is None:
        del request.META["REMOTE_ADDR"]  # as with a server that listens on a socket file
    else:
        request.META["REMOTE_ADDR"] = address
    return callers.caller(request)


def guess(times: int, address: str | None = HERE) -> None:
    for _ in range(times):
        with pytest.raises(ApiKeyRefused):
            call(GUESS, address)


def test_an_address_that_guesses_is_cut_off_and_others_are_not(shop: IssuedKey) -> None:
    with time_machine.travel(timezone.now().replace(second=1), tick=False):
        guess(30)
        for api_key in (GUESS, shop.api_key):  # not familiar here yet
            with pytest.raises(TooManyCalls, match=CUT_OFF):
                call(api_key)
        guess(1, ELSEWHERE)
        assert call(shop.api_key, ELSEWHERE) == shop.client
        assert call(shop.api_key) == shop.client  # familiar by now
        guess(30, None)
        with pytest.raises(TooManyCalls, match=CUT_OFF):
            call(GUESS, "")
    with time_machine.travel(timezone.now() + dt.timedelta(minutes=1)):
        guess(1)


def test_a_familiar_api_key_that_is_refused_counts_too(shop: IssuedKey) -> None:
    call(shop.api_key)
    with time_machine.travel(timezone.now().replace(second=1), tick=False):
        guess(29)
        api_keys._known[shop.client.prefix].client.revoked_at = timezone.now()
        with pytest.raises(ApiKeyRefused) as refused:
            call(shop.api_key)
        assert refused.value.code == "api_key_revoked"
        with pytest.raises(TooManyCalls, match=CUT_OFF):
            call(shop.api_key)


def test_a_refusal_is_logged_with_address_and_reason(caplog: pytest.LogCaptureFixture, acme: object) -> None:
    guess(1)
    assert caplog.messages == [f"refused an API key shown from {HERE}: api_key_unknown"]


def test_calls_are_counted_for_each_client(shop: IssuedKey, acme: object, settings: object) -> None:
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"TOKEN_API_CALLS_PER_MINUTE": 2}  # type: ignore[attr-defined]
    other = api_clients.make("other", connections=[acme], actor=SHELL)  # type: ignore[list-item]
    with time_machine.travel(timezone.now().replace(second=1), tick=False):
        assert [call(shop.api_key, address) for address in (HERE, ELSEWHERE)] == [shop.client] * 2
        with pytest.raises(TooManyCalls, match="More than 2 calls within a minute"):
            call(shop.api_key)
        assert call(other.api_key) == other.client
