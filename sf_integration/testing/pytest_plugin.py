"""The fixture `salesforce_org`, for everyone who has the app installed: `def test_sync(salesforce_org): …`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .django import ConnectableOrg


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "salesforce_org(**options): arguments of StandIn for the fixture salesforce_org, such as tls=True",
    )


@pytest.fixture
def salesforce_org(request: pytest.FixtureRequest) -> Iterator[ConnectableOrg]:
    """A running stand-in org; `salesforce_org.connect("acme")` stores a connection to it. Needs a test database for that.

    `@pytest.mark.salesforce_org(tls=True, is_sandbox=True)` makes another one than the usual.
    """
    # Imported late: pytest loads plugins before Django's settings.
    from .django import stand_in

    mark = request.node.get_closest_marker("salesforce_org")
    with stand_in(**(mark.kwargs if mark else {})) as org:
        yield org
