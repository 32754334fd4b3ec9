"""Who answers behind a connection, and which org that is: what is expected beside what was found. Stored facts only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.utils.translation import gettext as _

from .. import hosts
from ..models import ConnectedApp, normal_username
from ..salesforce import origin
from ..tokens.pin import REFRESHED_KINDS


@dataclass(frozen=True)
class Compared:
    """One line: what is expected, what was found, and whether that fits."""

    what: str
    expected: str
    found: str
    fits: bool | None = None
    """None where one of the two is not known, or anything will do."""
    is_code: bool = False

    @property
    def are_two(self) -> bool:
        """Whether both are to be shown; else one of them says it all."""
        return bool(self.expected and self.found) and self.expected != self.found


def compared(connection: ConnectedApp, *, scopes: str) -> list[Compared]:
    """`scopes`: of the stored token."""
    told, met = connection.told, connection.met
    return [
        _user(connection, met.get("username", "")),
        _org(connection, (connection.last_error or {}).get("organization_id") or met.get("org_id", "")),
        *_names(told),
        _kind(connection),
        _address(connection, told.get("my_domain", "")),
        Compared(_("Scopes"), "api", scopes, bool({"api", "full"} & set(scopes.split())) if scopes else None),
        _version(connection, met.get("newest_version", "")),
    ]


def _user(connection: ConnectedApp, found: str) -> Compared:
    fits = normal_username(found) == normal_username(connection.username) if found else None
    return Compared(_("User"), connection.username, connection.username if fits else found, fits)


def _org(connection: ConnectedApp, found: str) -> Compared:
    pinned = connection.expected_org_id
    fits = origin.same(found, pinned) if found and pinned else None
    return Compared(_("Org id"), pinned, pinned if fits else found, fits, is_code=True)


def _names(told: dict[str, str]) -> Iterator[Compared]:
    for what, found in (
        (_("Name"), told.get("name")),
        (_("Edition"), told.get("edition")),
        (_("Instance"), told.get("instance")),
    ):
        if found:
            yield Compared(what, "", found)


def _kind(connection: ConnectedApp) -> Compared:
    """A host tells sandboxes from the rest for certain; of the kinds of either, the org knows better."""
    expected, told = hosts.environment_told_by(connection.login_url), connection.told
    fits = (expected in REFRESHED_KINDS) == told["is_sandbox"] if expected and "is_sandbox" in told else None
    return Compared(_("Kind of org"), expected, told.get("environment", ""), fits)


def _address(connection: ConnectedApp, found: str) -> Compared:
    """A shared login host leads to every org, so another address is no contradiction."""
    return Compared(
        _("Address"), connection.login_url, found, True if found == connection.login_url else None
    )


def _version(connection: ConnectedApp, newest: str) -> Compared:
    chosen = connection.api_version
    fits = float(chosen) <= float(newest) if chosen and newest else None
    return Compared(_("API version"), chosen, _("up to %s") % newest if newest else "", fits)
