"""Whose token it is, beside what is expected."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _

from ...models import ConnectedApp, normal_username
from ...salesforce.oauth import Identity


@dataclass(frozen=True)
class Compared:
    """One line of an identity: what the org says beside what the connection expects."""

    what: str
    found: str
    expected: str = ""
    """Empty: nothing is expected."""
    fits: bool = True
    is_id: bool = False


def compared(identity: Identity, connection: ConnectedApp) -> list[Compared]:
    user_fits = normal_username(identity.username) == normal_username(connection.username)
    pinned = connection.expected_org_id
    org_fits = identity.organization_id[:15] == pinned[:15]
    lines = [
        Compared(_("Username"), identity.username, connection.username, user_fits),
        Compared(_("Org id"), identity.organization_id, pinned, org_fits, is_id=True),
        Compared(_("User id"), identity.user_id, is_id=True),
        Compared(_("Name"), identity.display_name),
        Compared(_("E-mail"), identity.email),
        Compared(_("User type"), identity.user_type),
        Compared(_("Active"), _("yes") if identity.active else _("no") if identity.active is False else ""),
        Compared(_("My Domain"), identity.my_domain),
        Compared(_("Time zone"), identity.timezone),
        Compared(_("Language and locale"), " · ".join(filter(None, (identity.language, identity.locale)))),
    ]
    return [line for line in lines if line.found]
