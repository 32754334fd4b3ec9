"""The org that a connection is pinned to: what fits it, and why another one is refused."""

from __future__ import annotations

from ..models import ConnectedApp
from ..salesforce import diagnosis, origin
from ..salesforce.errors import WrongOrg

REFRESHED_KINDS = ("sandbox", "scratch")
"""Of which the same address may lead to a new org by nobody's mistake."""


def fits(connection: ConnectedApp, organization_id: str) -> bool:
    return not connection.expected_org_id or origin.same(organization_id, connection.expected_org_id)


def refusal(connection: ConnectedApp, found: str) -> WrongOrg:
    """The error for a token of the org `found`, empty when nothing tells which one it is."""
    pinned = connection.expected_org_id
    if not found:
        # The pin promises that nothing goes to another org, so a token that may be of any is none. No known answer of
        # Salesforce is like that, and the check's step “identity” could not be passed either.
        return _refused(
            "org_unknown", f"The org does not tell which one it is; this connection is pinned to {pinned}."
        )
    if was_refreshed(connection):
        cause = f"The sandbox was refreshed: the sign-in led to the new org {found}, this connection is pinned to {pinned}."
        return _refused("sandbox_refreshed", cause, found)
    return _refused(
        "wrong_org", f"The sign-in led to the org {found}, this connection is pinned to {pinned}.", found
    )


def was_refreshed(connection: ConnectedApp) -> bool:
    """Whether another org is the same sandbox anew: its address is the one at which the pinned org was met."""
    met_at = connection.organization.get("login_url", connection.login_url)
    return connection.known_environment in REFRESHED_KINDS and met_at == connection.login_url


def _refused(code: str, cause: str, organization_id: str = "") -> WrongOrg:
    found = diagnosis.explain(code)
    return WrongOrg(cause, remedy=found.remedy, who=found.who, code=code, organization_id=organization_id)
