"""What an entry of the catalogue is, and the words that many of them share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["passing", "set-up", "rate"]

ORG_ADMIN = "Salesforce admin of the org"
ADMIN_HERE = "an administrator of this site"
US = "whoever runs this site"
CALLER = "whoever wrote the calling program"
SALESFORCE = "Salesforce"

LOGIN_HISTORY = "Setup → Users → the integration user → Login History often names the reason more exactly."
HISTORY = "Setup → Users → the integration user → Login History"
_HISTORY_HINT = "Login History of this user (Setup → Users) often says more."

POLICIES = (
    "External Client App Manager → the app → Policies → OAuth Policies "
    "(Connected App: App Manager → the app → Manage → Edit Policies)"
)
SETTINGS = (
    "External Client App Manager → the app → Settings → OAuth Settings "
    "(Connected App: App Manager → the app → View, Edit)"
)
MY_DOMAIN = "Setup → My Domain"
USERS = "Setup → Users"
PERMISSION_SETS = "Setup → Permission Sets"
OBJECTS = "Setup → Permission Sets → Object Settings"
USAGE = "Setup → Connected Apps OAuth Usage"
CONNECTION = "Admin → Connected App profiles → the connection"


@dataclass(frozen=True)
class Diagnosis:
    code: str
    """Salesforce's error code, or ours."""
    fragment: str
    """Lower-case part of the description; empty fits any."""
    cause: str
    """The most probable first, where there are several."""
    who: str
    """Who must act."""
    remedy: str
    where: str = ""
    """Menu path to click."""
    kind: Kind = "set-up"
    """How the next try is timed: `passing` goes away by itself, `set-up` needs a person, `rate` needs an hour."""
    wordings: tuple[str, ...] = ()
    """How logs and other programs tell the same, lower-case. For pasted texts only: no answer is judged by them."""

    @property
    def retryable(self) -> bool:
        return self.kind != "set-up"

    @property
    def anchor(self) -> str:
        """Its address within the page of the catalogue, as in `invalid_grant-user-hasnt-approved`."""
        words = re.findall(r"\w+", self.fragment.replace("'", ""))
        return "-".join([self.code or "unknown", *words])


def refused(
    code: str,
    fragment: str,
    cause: str,
    who: str,
    remedy: str,
    where: str = "",
    *,
    kind: Kind = "set-up",
    wordings: tuple[str, ...] = (),
) -> Diagnosis:
    """The entry of a sign-in that the org refused and wrote down: Login History tells most of them more exactly."""
    return Diagnosis(code, fragment, cause, who, f"{remedy} {_HISTORY_HINT}", where, kind, wordings)
