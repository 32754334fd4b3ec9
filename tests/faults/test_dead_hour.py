"""The hour of tests/long/dead_hour.py with few connections."""

from __future__ import annotations

import pytest

from sf_integration.models import AccessToken
from sf_integration.testing.django import ConnectableOrg

from . import hour

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


@pytest.mark.parametrize("how", ["maintenance", "refused"])
@pytest.mark.long
def test_an_hour_without_the_login_host(
    salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    server, org = salesforce_org.server, salesforce_org
    assert server
    if how == "maintenance":
        kill, revive = (lambda: org.fail("maintenance", times=None)), org.heal
    else:
        kill, revive = server.stop, server.start
    seen = hour.run(org, monkeypatch, 16, kill=kill, revive=revive)
    print(seen)
    assert seen.unforeseen == {}
    assert 10 <= max(seen.requests) <= 20
    assert max(seen.recovered) <= 10
    assert seen.settled < 12
    assert seen.longest_wait <= 331
    assert AccessToken.objects.filter(failures=0, last_error__isnull=True).count() == 16
    assert not AccessToken.objects.exclude(claimed_by="").exists()
