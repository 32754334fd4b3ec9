"""Keys and connections that go while somebody uses them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import InterfaceError, InternalError, OperationalError
from django.db import connection as database
from django.utils import timezone

from sf_integration import (
    AuthenticationError,
    EncryptionKeyMissing,
    UnknownConnection,
    get_token,
    keystore,
    tokens,
)
from sf_integration.crypto import new_key
from sf_integration.models import AccessToken, ConnectedApp
from sf_integration.testing.django import ConnectableOrg
from sf_integration.token_api import answers
from tests.test_command_line import salesforce

pytestmark = pytest.mark.django_db(transaction=True)


def meanwhile(org: ConnectableOrg, act: Callable[[], object]) -> object:
    """What a caller of “acme” gets when `act` is done while the org thinks: the token, or the error."""

    def call() -> object:
        try:
            return get_token("acme")
        except Exception as exc:  # noqa: BLE001
            return exc
        finally:
            database.close()

    org.fail("slow", seconds=0.4)
    with ThreadPoolExecutor(1) as pool:
        called = pool.submit(call)
        while not AccessToken.objects.exclude(claimed_by="").exists():
            assert not called.done()
        act()
        return called.result()


@pytest.mark.once
def test_an_encryption_key_that_goes_and_comes_back(salesforce_org: ConnectableOrg, settings: Any) -> None:
    salesforce_org.connect("acme")
    stored, right = get_token("acme"), settings.SF_INTEGRATION
    before = [*AccessToken.objects.values("value", "version"), *ConnectedApp.objects.values("signing_key")]

    settings.SF_INTEGRATION = {**right, "ENCRYPTION_KEYS": [new_key()]}
    tokens.reset()
    with pytest.raises(EncryptionKeyMissing):
        get_token("acme")
    answer = json.loads(salesforce("check", "acme", "--json").out)
    assert (answer["state"], answer["healthy"]) == ("Encryption key missing", False)
    AccessToken.objects.update(refresh_at=timezone.now() - dt.timedelta(seconds=1))
    assert (tokens.refresh_due().renewed, salesforce_org.token_requests) == (0, 1)

    settings.SF_INTEGRATION = right
    tokens.reset()
    assert get_token("acme") == stored
    after = [*AccessToken.objects.values("value", "version"), *ConnectedApp.objects.values("signing_key")]
    assert after == before
    assert salesforce("check", "acme").status == 0


def test_a_signing_key_that_is_replaced_in_the_middle(salesforce_org: ConnectableOrg) -> None:
    """The sign-in under way ends as it began; nobody after it is served a token of the old settings."""
    connection = salesforce_org.connect("acme")
    known, other = connection.signing_key, keystore.make(name="another", common_name="another")

    got = meanwhile(salesforce_org, lambda: ConnectedApp.objects.update(signing_key=other))
    assert not isinstance(got, Exception), got
    tokens.reset()
    with pytest.raises(AuthenticationError, match="invalid assertion"):
        get_token("acme")

    ConnectedApp.objects.update(signing_key=known)
    tokens.reset()
    assert get_token("acme").value
    assert salesforce_org.token_requests == 3
    row = AccessToken.objects.get()
    assert (row.failures, row.claimed_by) == (0, "")


def test_a_connection_that_is_deleted_in_the_middle(salesforce_org: ConnectableOrg) -> None:
    connection = salesforce_org.connect("acme")
    salesforce_org.connect("other", signing_key=connection.signing_key)

    got = meanwhile(salesforce_org, lambda: ConnectedApp.objects.filter(name="acme").delete())
    assert isinstance(got, UnknownConnection) or not isinstance(got, Exception), got
    tokens.reset()
    with pytest.raises(UnknownConnection):
        get_token("acme")
    assert not AccessToken.objects.exists()
    assert get_token("other").value
    assert tokens.refresh_due().failed == 0


@pytest.mark.once
@pytest.mark.parametrize("kind", [OperationalError, InterfaceError, InternalError])
def test_the_token_api_asks_to_come_again_when_the_database_fails(kind: type[Exception]) -> None:
    answer = answers.of_error(kind("cannot execute UPDATE in a read-only transaction"))
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert b"database_unavailable" in answer.content
    assert b"UPDATE" not in answer.content
