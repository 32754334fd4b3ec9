from __future__ import annotations

import pytest

from sf_integration.testing.django import ConnectableOrg
from tests.browser.site import Site, build


@pytest.fixture
def site(salesforce_org: ConnectableOrg) -> Site:
    return build(salesforce_org)
