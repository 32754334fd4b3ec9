"""The host's clock jumps while a token lives; the org keeps its own time."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress

import pytest
import time_machine
from django.utils import timezone

from sf_integration import LoginUnavailable, get_client, get_token, tokens
from sf_integration.models import AccessToken
from sf_integration.salesforce.errors import SalesforceError, TransportError
from sf_integration.testing.django import ConnectableOrg

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

HOUR = dt.timedelta(hours=1)
ROWS = "SELECT Id FROM Account LIMIT 1"


def open_gate() -> None:
    AccessToken.objects.update(next_try_at=None, last_try_at=None)


@pytest.mark.parametrize(("jump", "by"), [("ahead", HOUR), ("back", -HOUR)], ids=["ahead", "back"])
def test_a_jump_of_our_clock(salesforce_org: ConnectableOrg, jump: str, by: dt.timedelta) -> None:
    salesforce_org.connect("acme", api_version="67.0")
    stored = get_token("acme")
    with time_machine.travel(timezone.now() + by):
        salesforce_org.clock_offset_seconds = -by.total_seconds()
        assert get_token("acme") == stored
        tokens.reset()
        assert get_token("acme") == stored, "in another process too"
        tally = tokens.refresh_due()
        assert (tally.renewed, tally.failed) == ((1, 0) if jump == "ahead" else (0, 0))

        salesforce_org.end_sessions()
        with get_client("acme") as client:
            with suppress(
                SalesforceError
            ):  # a clock that is behind costs one refusal, which tells by how much
                client.query(ROWS)
            open_gate()
            assert len(client.query(ROWS)) == 1
        assert get_token("acme").value != stored.value
    salesforce_org.clock_offset_seconds = 0
    assert salesforce_org.token_requests == 3
    tokens.reset()
    with get_client("acme") as client:
        assert len(client.query(ROWS)) == 1, "and when the clock is right again"
    assert AccessToken.objects.get().failures == 0


def test_a_gate_that_was_shut_by_a_wrong_clock_opens(salesforce_org: ConnectableOrg) -> None:
    """Neither callers nor “Check now” wait for a time that no schedule tells."""
    salesforce_org.connect("acme")
    salesforce_org.fail("maintenance", times=None)
    with time_machine.travel(timezone.now() + HOUR), pytest.raises(TransportError):
        get_token("acme")
    with pytest.raises(TransportError):
        get_token("acme")
    assert salesforce_org.token_requests == 2
    with pytest.raises(LoginUnavailable) as caught:
        get_token("acme")
    assert caught.value.retry_after < 30, "the gate is shut by the right clock now"
    assert salesforce_org.token_requests == 2

    with time_machine.travel(timezone.now() + HOUR), pytest.raises(TransportError):
        tokens.refresh("acme")
    salesforce_org.heal()
    assert tokens.refresh("acme").value
