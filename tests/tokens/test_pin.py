"""Which orgs fit a pinned connection, and what is told of those that don't. That none gets in by any way: `test_orgs.py`."""

from __future__ import annotations

import pytest

from sf_integration.models import ConnectedApp
from sf_integration.salesforce import diagnosis
from sf_integration.tokens import pin

pytestmark = pytest.mark.once

PINNED, FOUND = "00D000000000001EAA", "00D000000000002EAA"
ADDRESS = "https://acme--uat.sandbox.my.salesforce.com"


def connection(environment: str = "production", met_at: str = ADDRESS, pinned: str = PINNED) -> ConnectedApp:
    """Not stored."""
    made = ConnectedApp(name="acme", login_url=ADDRESS, username="ops@acme.example", expected_org_id=pinned)
    made.organization = {"login_url": met_at} if met_at else {}
    made.environment, made.environment_for = environment, made.environment_subject
    return made


@pytest.mark.parametrize(
    ("pinned", "found", "fits"),
    [
        (PINNED, PINNED, True),
        (PINNED, PINNED[:15], True),
        (PINNED, FOUND, False),
        (PINNED, "", False),
        ("", FOUND, True),
        ("", "", True),
    ],
)
def test_the_pinned_org_fits_and_any_where_none_is_pinned(pinned: str, found: str, fits: bool) -> None:
    assert pin.fits(connection(pinned=pinned), found) is fits


@pytest.mark.parametrize(
    ("environment", "met_at", "found", "code", "cause"),
    [
        (
            "production",
            ADDRESS,
            FOUND,
            "wrong_org",
            f"to the org {FOUND}, this connection is pinned to {PINNED}",
        ),
        (
            "production",
            ADDRESS,
            "",
            "org_unknown",
            f"not tell which one it is; this connection is pinned to {PINNED}",
        ),
        (
            "sandbox",
            ADDRESS,
            FOUND,
            "sandbox_refreshed",
            f"the new org {FOUND}, this connection is pinned to {PINNED}",
        ),
        (
            "scratch",
            "",
            FOUND,
            "sandbox_refreshed",
            f"the new org {FOUND}, this connection is pinned to {PINNED}",
        ),
        ("sandbox", "https://other.my.salesforce.com", FOUND, "wrong_org", f"to the org {FOUND}, "),
        ("sandbox", ADDRESS, "", "org_unknown", f"pinned to {PINNED}"),
    ],
)
def test_a_refusal_tells_both_orgs_and_what_to_do(
    environment: str, met_at: str, found: str, code: str, cause: str
) -> None:
    told = pin.refusal(connection(environment, met_at), found)
    entry = diagnosis.explain(code)
    assert (told.code, told.remedy, told.who) == (code, entry.remedy, entry.who)
    assert cause in told.cause
    assert told.organization_id == found
