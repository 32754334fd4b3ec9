"""What a check has found and a person may put right at a click: another org accepted, the org's own address taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from .. import access, audit, hosts
from ..access import Deed
from ..models import ConnectedApp
from ..salesforce import diagnosis
from ..salesforce.errors import NotAllowedHere, SalesforceError
from ..tokens import pin, rows
from . import operations, profiles
from .operations import Outcome

_AFTER_A_REFRESH = (
    gettext_noop("the integration user is active in the new sandbox"),
    gettext_noop("its username here ends with the sandbox's suffix, as in integration@acme.example.uat"),
    gettext_noop("the permission set is assigned to it"),
    gettext_noop("the app is there, with our certificate, and with the same consumer key as here"),
)


@dataclass(frozen=True)
class OtherOrg:
    """The org that the last sign-in led to, in place of the expected one."""

    expected: str
    found: str
    name: str
    """Of the expected org, as it said at the last check; empty when it never did."""
    was_refreshed: bool
    """Whether the same sandbox was made anew; else somebody has to know that this org is the one meant."""

    @property
    def checklist(self) -> Sequence[str]:
        """What a refresh changes: behind “check that”."""
        return [_(each) for each in _AFTER_A_REFRESH] if self.was_refreshed else ()


def other_org(connection: ConnectedApp) -> OtherOrg | None:
    """What there is to accept; None when the last sign-in led to no other org."""
    found = (connection.last_error or {}).get("organization_id", "")
    if not found or pin.fits(connection, found):
        return None
    return OtherOrg(
        expected=connection.expected_org_id,
        found=found,
        name=connection.organization.get("name", ""),
        was_refreshed=pin.was_refreshed(connection),
    )


def accept_org(connection: ConnectedApp, *, actor: Any, found: str, is_meant: bool = False) -> Outcome:
    """Expect the org `found` from now on, exactly the one that was shown, and check the connection.

    `is_meant`: somebody knows that it is the right org, which any but a refreshed sandbox needs.
    """
    access.require(actor, Deed.ACCEPT_ORG, connection)
    other = other_org(connection)
    if other is None or other.found != found:
        return _refused(connection, _("there is no such org to accept any more. Check it, and look again."))
    if not (other.was_refreshed or is_meant):
        return _refused(
            connection,
            _(
                "the org %(found)s is no refreshed sandbox, so somebody has to say that it is the one meant: on "
                "the connection's page, or with manage.py salesforce accept-org %(name)s."
            )
            % {"found": found, "name": connection.name},
        )
    if not _expect(connection, other):
        return _refused(connection, _("it was edited meanwhile, and nothing was accepted. Look again."))
    audit.record("accepted org", connection, actor=actor, fields=["expected_org_id"])
    rows.forgive_org(connection)
    checked = operations.prove(connection, actor=actor)
    return Outcome(
        True,
        _("Connection %(name)s: the org %(found)s is the expected one now. %(sentence)s")
        % {"name": connection.name, "found": found, "sentence": checked.sentence},
    )


def accept_refreshed(connection: ConnectedApp, *, actor: Any) -> Outcome:
    """Accept what the last sign-in led to, if it is the same sandbox made anew; for many at once."""
    other = other_org(connection)
    if other is None:
        return _refused(connection, _("there is no other org to accept."))
    return accept_org(connection, actor=actor, found=other.found)


def own_login_url(connection: ConnectedApp) -> str:
    """The org's own address, where it contradicts the login URL; empty when there is nothing to correct."""
    if not any(warning.get("code") == "environment_contradiction" for warning in connection.warnings):
        return ""
    url = str(connection.organization.get("my_domain", ""))
    return "" if url == connection.login_url else url


def use_own_login_url(connection: ConnectedApp, *, actor: Any, login_url: str) -> Outcome:
    """Take the org's own address, exactly the one that was shown, as login URL and audience, and check the connection."""
    access.require(actor, Deed.CORRECT, connection)
    if not login_url or login_url != own_login_url(connection):
        return _refused(connection, _("there is no such address to take any more. Check it, and look again."))
    kind = connection.organization.get("environment", "production")
    if not hosts.environment_allowed(kind):
        return _refused(connection, str(not_allowed(kind)))
    return take_address(connection, actor=actor, login_url=login_url, audience="")


def take_address(connection: ConnectedApp, *, actor: Any, login_url: str, audience: str) -> Outcome:
    """Save login URL and audience, and check the connection. `audience`: empty for the default."""
    access.require(actor, Deed.CORRECT, connection)
    try:
        saved = profiles.save(connection.name, {"login_url": login_url, "audience": audience}, actor=actor)
    except SalesforceError as error:
        return _refused(connection, _("nothing was changed. %(error)s") % {"error": error})
    checked = operations.prove(saved.connection, actor=actor)
    told = saved.connection.audience or _("the default")
    return Outcome(
        checked.done,
        _("Connection %(name)s: login URL %(login_url)s, audience %(told)s. %(sentence)s")
        % {
            "name": connection.name,
            "login_url": saved.connection.login_url,
            "told": told,
            "sentence": checked.sentence,
        },
    )


def not_allowed(environment: str) -> NotAllowedHere:
    return NotAllowedHere(
        _("This installation may not call %(environment)s orgs.") % {"environment": environment},
        remedy=_("If it should, add the kind to SF_ALLOWED_ENVIRONMENTS."),
        who=diagnosis.US,
    )


def _expect(connection: ConnectedApp, other: OtherOrg) -> bool:
    """Set the expected org, unless something else has been set or seen since. What was known of the old org is forgotten."""
    changes: dict[str, Any] = {"expected_org_id": other.found, "organization": {}, "warnings": []}
    if not other.was_refreshed:
        # It may be of another kind: until it says so itself, its host tells.
        changes |= {
            "environment": hosts.environment_of(connection.login_url),
            "environment_for": connection.environment_subject,
        }
    same = ConnectedApp.objects.filter(
        pk=connection.pk,
        login_url=connection.login_url,
        expected_org_id=other.expected,
        last_error__organization_id=other.found,
    )
    if not same.update(**changes):
        return False
    for name, value in changes.items():
        setattr(connection, name, value)
    return True


def _refused(connection: ConnectedApp, why: str) -> Outcome:
    return Outcome(False, _("Connection %(name)s: %(why)s") % {"name": connection.name, "why": why})
