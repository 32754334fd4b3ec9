"""Whose token it is, beside what is expected."""

from __future__ import annotations

from django.utils.translation import gettext as _

from ...models import ConnectedApp, normal_username
from ...salesforce import origin
from ...salesforce.oauth import Identity
from ..org import Compared


def compared(identity: Identity, connection: ConnectedApp) -> list[Compared]:
    user_fits = normal_username(identity.username) == normal_username(connection.username)
    pinned = connection.expected_org_id
    org_fits = origin.same(identity.organization_id, pinned)
    told = (
        (_("Name"), identity.display_name),
        (_("E-mail"), identity.email),
        (_("User type"), identity.user_type),
        (_("Active"), _("yes") if identity.active else _("no") if identity.active is False else ""),
        (_("My Domain"), identity.my_domain),
        (_("Time zone"), identity.timezone),
        (_("Language and locale"), " · ".join(filter(None, (identity.language, identity.locale)))),
    )
    lines = [
        Compared(_("Username"), connection.username, identity.username, user_fits),
        Compared(_("Org id"), pinned, identity.organization_id, org_fits, is_code=True),
        Compared(_("User id"), "", identity.user_id, is_code=True),
        *(Compared(what, "", found) for what, found in told),
    ]
    return [line for line in lines if line.found]
