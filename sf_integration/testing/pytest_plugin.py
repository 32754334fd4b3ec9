"""The fixture `salesforce_org`, for everyone who has the app installed: `def test_sync(salesforce_org): …`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .django import ConnectableOrg


@pytest.fixture
def salesforce_org() -> Iterator[ConnectableOrg]:
    """A running stand-in org; `salesforce_org.connect("acme")` stores a connection to it. Needs a test database for that."""
    # Imported late: pytest loads plugins before Django's settings.
    from .django import stand_in

    with stand_in() as org:
        yield org
