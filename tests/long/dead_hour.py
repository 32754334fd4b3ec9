"""An hour without the login host, for 1,000 connections on a clock that is turned: `make chaos` runs it too."""

from __future__ import annotations

import time

import pytest

from sf_integration.models import AccessToken
from sf_integration.testing.django import ConnectableOrg
from tests.faults import hour

pytestmark = pytest.mark.django_db(transaction=True)

CONNECTIONS = 1000


def test_an_hour_without_the_login_host_of_a_thousand(
    salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = time.monotonic()
    before: list[int] = []

    def kill() -> None:
        before.append(salesforce_org.token_requests)
        salesforce_org.fail("maintenance", times=None)

    def revive() -> None:
        before.append(salesforce_org.token_requests)
        salesforce_org.heal()

    seen = hour.run(salesforce_org, monkeypatch, CONNECTIONS, kill=kill, revive=revive)
    print(f"\nAn hour without the login host, in {time.monotonic() - started:.0f} s. {seen}.")
    assert seen.unforeseen == {}
    assert sum(seen.requests) == before[1] - before[0], "the org counted as many"
    assert max(seen.requests) <= 20
    assert max(seen.recovered) <= 10
    assert seen.settled < 12
    assert AccessToken.objects.filter(failures=0).count() == CONNECTIONS
    assert not AccessToken.objects.exclude(claimed_by="").exists()
