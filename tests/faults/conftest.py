"""Two connections through a front that can be broken: one with a token in store, one that needs its first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sf_integration import get_token, tokens
from sf_integration.testing.django import ConnectableOrg

from .front import NAME, Front, resolver, trusted_file


@pytest.fixture
def front(
    salesforce_org: ConnectableOrg, settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Front]:
    front = Front(salesforce_org.url)
    resolver(front, monkeypatch)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", trusted_file(tmp_path))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, f"127.0.0.1,localhost,{NAME}")
    settings.SF_INTEGRATION["ALLOWED_HOSTS"].append(front.url.removeprefix("https://"))
    yield front
    tokens.current().http.close()
    front.close()


@pytest.fixture
def pair(front: Front, salesforce_org: ConnectableOrg) -> Front:
    """The connections “live”, which has a token, and “bare”, which has none."""
    values = {"login_url": front.url, "audience": "https://login.salesforce.com"}
    live = salesforce_org.connect("live", **values)
    salesforce_org.connect("bare", signing_key=live.signing_key, **values)
    get_token("live")
    return front
