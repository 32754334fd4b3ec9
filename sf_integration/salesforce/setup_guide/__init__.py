"""The set-up guide as data: what has to be clicked in the org, why, and what one hears when it was left out.

The page, docs/set-up-guide.md and the diagnosis of a new connection all come from here. Menu paths are those of
Salesforce's help pages and of guides of 2026; nobody here has clicked through them, and labels vary by release.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .. import diagnosis
from ..diagnosis import Diagnosis

Kind = Literal["external_client_app", "connected_app"]
Copied = Literal[
    "login_url", "username", "app_name", "callback_url", "scopes", "certificate", "permission_set", "profile"
]
Sure = Literal["documented", "reported", "unverified"]

EXTERNAL: Kind = "external_client_app"
CONNECTED: Kind = "connected_app"
KIND_WORDS: dict[Kind, str] = {EXTERNAL: "External Client App", CONNECTED: "Connected App"}

FIXED_VALUES: dict[Copied, str] = {
    "callback_url": "https://localhost/callback",
    "scopes": "api refresh_token",
    "profile": "Minimum Access - API Only Integrations",
}
"""What is the same for everybody; the page fills in the rest from the set-up at hand."""

DISCLAIMER = (
    "Menu paths are from Salesforce's documentation and from guides of 2026; labels vary by release, and we have not "
    "clicked through them ourselves."
)


@dataclass(frozen=True)
class Way:
    """Where to click and what to choose, in one kind of app."""

    menu: str
    """From Setup on: `Setup → Users → New User`."""
    choose: tuple[str, ...]
    """In this order, a sentence each."""
    setup_path: str = ""
    """Of the page in the org's Setup, from the first slash; empty when there is none to begin at."""


@dataclass(frozen=True)
class Refusal:
    """What Salesforce, or the check, says when a step was left out."""

    code: str
    description: str = ""
    """In Salesforce's words."""

    @property
    def said(self) -> str:
        return f"{self.code}: {self.description}" if self.description else self.code

    @property
    def entry(self) -> Diagnosis:
        return diagnosis.explain(self.code, self.description)


@dataclass(frozen=True)
class Step:
    id: str
    title: str
    external: Way
    connected: Way
    skipped: tuple[Refusal, ...] = ()
    """The most telling first."""
    without: str = ""
    """What happens without it, where no error of the sign-in tells."""
    copies: tuple[Copied, ...] = ()
    sure: Sure = "documented"

    def way(self, kind: Kind) -> Way:
        return self.external if kind == EXTERNAL else self.connected


@dataclass(frozen=True)
class Room:
    id: str
    title: str
    purpose: str
    steps: tuple[Step, ...]


def _same(step_id: str, title: str, way: Way, **more: object) -> Step:
    """A step whose way does not depend on the kind of app."""
    return Step(step_id, title, external=way, connected=way, **more)  # type: ignore[arg-type]


_APPS = "/lightning/setup/ManageExternalClientApplication/home"
_APP_MANAGER = "/lightning/setup/NavigationMenus/home"
_USERS = "/lightning/setup/ManageUsers/home"
_PERMISSION_SETS = "/lightning/setup/PermSets/home"

_NOT_APPROVED = Refusal("invalid_grant", "user hasn't approved this consumer")
_NOT_ATTACHED = Refusal("invalid_app_access", "user is not admin approved to access this app")
_UNKNOWN_APP = Refusal("invalid_client_id", "client identifier invalid")
_BAD_SIGNATURE = Refusal("invalid_grant", "invalid assertion")
_NO_REFRESH = Refusal(
    "invalid_request",
    "refresh_token scope is required and the connected app should be installed and preauthorized.",
)
_NO_API = Refusal("INVALID_SESSION_ID", "This session is not valid for use with the REST API")
_NO_OBJECT = Refusal("INVALID_TYPE", "sObject type 'Account' is not supported.")
_NO_FIELD = Refusal("INVALID_FIELD", "No such column 'Rating' on entity 'Account'.")
_NO_API_RIGHT = Refusal("API_CURRENTLY_DISABLED", "API is disabled for this User")
_APP_NOT_HERE = Refusal("app_not_found", "External client app is not installed in this org")

USER = Room(
    "user",
    "The integration user",
    "A user of its own for this program: it can't sign in to Salesforce's pages, and it sees what its permission set "
    "opens and nothing else.",
    (
        _same(
            "licence",
            "See that a licence is free",
            Way(
                "Setup → Company Information → User Licenses",
                (
                    "Look for “Salesforce Integration” with some left: Enterprise, Unlimited and Performance Edition "
                    "include five, Developer Edition one.",
                ),
                "/lightning/setup/CompanyProfileInfo/home",
            ),
            without="The licence can't be chosen for the new user.",
        ),
        _same(
            "profile",
            "Find the profile's name in this org",
            Way(
                "Setup → Profiles",
                (
                    "Look for “Minimum Access - API Only Integrations”. Older orgs have it as “Salesforce API Only "
                    "System Integrations”.",
                ),
                "/lightning/setup/EnhancedProfiles/home",
            ),
            skipped=(
                _NO_API_RIGHT,
                Refusal("API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization."),
            ),
            copies=("profile",),
        ),
        _same(
            "permission-set",
            "Make a permission set",
            Way(
                "Setup → Permission Sets → New",
                ("License: “Salesforce API Integration”.", "Save."),
                _PERMISSION_SETS,
            ),
            skipped=(_NOT_ATTACHED, _NO_API_RIGHT),
            copies=("permission_set",),
        ),
        _same(
            "object-access",
            "Open the objects and fields it needs",
            Way(
                "Setup → Permission Sets → the permission set → Object Settings → an object → Edit",
                (
                    "Tick Read, and Create or Edit where the program writes.",
                    "Tick the fields under Field Permissions: each one counts by itself.",
                    "For the limits in our check, System Permissions → “View Setup and Configuration”; without it the "
                    "check reads the usage from the answers' header.",
                ),
                _PERMISSION_SETS,
            ),
            skipped=(_NO_OBJECT, _NO_FIELD),
        ),
        _same(
            "new-user",
            "Make the user",
            Way(
                "Setup → Users → New User",
                (
                    "User License: “Salesforce Integration”. Profile: the one found above.",
                    "Username: in the form of an e-mail address, which it need not be. In a sandbox it ends in a dot "
                    "and the sandbox's name.",
                    "Active: ticked.",
                ),
                _USERS,
            ),
            skipped=(Refusal("invalid_grant", "inactive user"), _NOT_APPROVED),
            copies=("username",),
        ),
        _same(
            "assignment",
            "Assign the permission set to the user",
            Way(
                "Setup → Users → the user → Permission Set License Assignments, then Permission Set Assignments",
                (
                    "Under Permission Set License Assignments → Edit Assignments: “Salesforce API Integration”.",
                    "Under Permission Set Assignments → Edit Assignments: the permission set made above.",
                ),
                _USERS,
            ),
            skipped=(_NOT_ATTACHED, _NO_OBJECT),
            copies=("permission_set",),
            sure="reported",
        ),
    ),
)

APP = Room(
    "app",
    "The app",
    "What the org knows of this program: a consumer key, two scopes, and the certificate that goes with the signing key.",
    (
        Step(
            "new-app",
            "Make the app",
            external=Way(
                "Setup → External Client App Manager → New External Client App",
                ("Name and contact e-mail: yours. Distribution State: Local.",),
                _APPS,
            ),
            connected=Way(
                "Setup → App Manager → the app → Edit, or New Connected App",
                (
                    "Existing Connected Apps go on working. Making new ones is off in new orgs since Winter '26 and goes "
                    "through Salesforce Support everywhere since Spring '26: then make an External Client App.",
                ),
                _APP_MANAGER,
            ),
            skipped=(_UNKNOWN_APP, _APP_NOT_HERE),
            copies=("app_name",),
            sure="reported",
        ),
        Step(
            "oauth",
            "Enable OAuth",
            external=Way(
                "the app → API (Enable OAuth Settings)",
                (
                    "Enable OAuth: ticked.",
                    "Callback URL: the one below. It is needed, and never used by this flow.",
                ),
            ),
            connected=Way(
                "the app → API (Enable OAuth Settings)",
                (
                    "Enable OAuth Settings: ticked.",
                    "Callback URL: the one below. It is needed, and never used by this flow.",
                ),
            ),
            without="The app can't be saved, or has no consumer key.",
            copies=("callback_url",),
            sure="reported",
        ),
        _same(
            "scopes",
            "Select two scopes",
            Way(
                "the app → API (Enable OAuth Settings) → OAuth Scopes",
                (
                    "“Manage user data via APIs (api)”; formerly “Access and manage your data (api)”.",
                    "“Perform requests at any time (refresh_token, offline_access)”; formerly “Perform requests on your "
                    "behalf at any time (refresh_token, offline_access)”.",
                    "Both are needed. The word in brackets decides, whatever stands before it.",
                ),
            ),
            skipped=(_NO_REFRESH, _NO_API),
            copies=("scopes",),
        ),
        Step(
            "certificate",
            "Upload the certificate",
            external=Way(
                "the app → Flow Enablement → Enable JWT Bearer Flow",
                (
                    "Upload the certificate, not the private key. Then press Create.",
                    "If saving shows an error, choose the certificate again.",
                ),
            ),
            connected=Way(
                "the app → API (Enable OAuth Settings) → Use digital signatures",
                (
                    "Choose File: the certificate, not the private key. Then press Save.",
                    "If saving shows an error, choose the certificate again.",
                ),
            ),
            skipped=(_BAD_SIGNATURE,),
            copies=("certificate",),
            sure="reported",
        ),
    ),
)

GRANT = Room(
    "grant",
    "The grant",
    "This flow never shows a page that asks for consent, so an admin says beforehand who may use the app.",
    (
        Step(
            "permitted-users",
            "Let admins decide who may use it",
            external=Way(
                "Setup → External Client App Manager → the app → Policies → Edit → OAuth Policies",
                ("Permitted Users: “Admin approved users are pre-authorized”. Save.",),
                _APPS,
            ),
            connected=Way(
                "Setup → App Manager → the app → Manage → Edit Policies",
                ("Permitted Users: “Admin approved users are pre-authorized”. Save.",),
                _APP_MANAGER,
            ),
            skipped=(_NOT_APPROVED,),
        ),
        Step(
            "attach",
            "Attach the profile or the permission set",
            external=Way(
                "Setup → External Client App Manager → the app → Policies → Edit → App Policies",
                (
                    "Select the permission set made above, or the user's profile. Save.",
                    "Attach it here: doing so on the permission set's own page is reported to have no effect.",
                ),
                _APPS,
            ),
            connected=Way(
                "Setup → App Manager → the app → Manage → Manage Permission Sets, or Manage Profiles",
                ("Tick the permission set made above, or the user's profile. Save.",),
                _APP_MANAGER,
            ),
            skipped=(_NOT_ATTACHED,),
            copies=("permission_set",),
        ),
    ),
)

VALUES = Room(
    "values",
    "The values back",
    "Three values name the app and the user here. None of them is a secret.",
    (
        _same(
            "login-url",
            "Compare the login URL",
            Way(
                "Setup → My Domain",
                (
                    "It shows the address that belongs here, ending in .my.salesforce.com.",
                    "login.salesforce.com and test.salesforce.com work for Connected Apps only.",
                ),
                "/lightning/setup/OrgDomain/home",
            ),
            skipped=(
                _APP_NOT_HERE,
                Refusal("invalid_grant", "audience is invalid"),
                Refusal("invalid_client", "invalid client credentials"),
                Refusal("dns_failure"),
                Refusal("redirected"),
                Refusal("not_json"),
            ),
            copies=("login_url",),
        ),
        Step(
            "consumer-key",
            "Copy the consumer key",
            external=Way(
                "Setup → External Client App Manager → the app → Settings → OAuth Settings → Consumer Key and Secret",
                (
                    "Salesforce asks for a code that it sends you by e-mail.",
                    "Copy the consumer key, whole. The consumer secret is not used: leave it there.",
                ),
                _APPS,
            ),
            connected=Way(
                "Setup → App Manager → the app → View → Manage Consumer Details",
                (
                    "Salesforce asks for a code that it sends you by e-mail.",
                    "Copy the consumer key, whole. The consumer secret is not used: leave it there.",
                ),
                _APP_MANAGER,
            ),
            skipped=(_UNKNOWN_APP,),
            sure="reported",
        ),
        _same(
            "copy-username",
            "Copy the username",
            Way(
                "Setup → Users → the integration user → Username",
                ("The username, not the e-mail address: they look alike and often differ.",),
                _USERS,
            ),
            skipped=(Refusal("invalid_grant", "authentication failure"), _NOT_APPROVED),
        ),
        _same(
            "wait",
            "Wait two to ten minutes",
            Way(
                "nothing to click",
                ("Salesforce needs that long to know a new app, or a new certificate of an old one.",),
            ),
            skipped=(_UNKNOWN_APP, _BAD_SIGNATURE),
        ),
    ),
)

ROOMS: tuple[Room, ...] = (USER, APP, GRANT, VALUES)
STEPS: tuple[Step, ...] = tuple(step for room in ROOMS for step in room.steps)
STEP_IDS = frozenset(step.id for step in STEPS)

_BY_CODE = {
    "scope_api_missing": "scopes",
    "wrong_user": "copy-username",
    "http_404": "login-url",
    "http_420": "login-url",
    "not_json": "login-url",
}
"""What tells of one step, however it is worded: codes of the check itself, and answers of a host that is none to sign in at."""


def steps_explaining(code: str, description: str = "") -> list[Step]:
    """The steps that, left out, lead to this error; the likeliest first. Empty when the guide has no answer."""
    if code in _BY_CODE:
        return [step for step in STEPS if step.id == _BY_CODE[code]]
    entry = diagnosis.explain(code, description)
    if not entry.code:
        return []
    places = [
        (place, step)
        for step in STEPS
        for place, refusal in enumerate(step.skipped)
        if refusal.entry.cause == entry.cause  # of which there may be several wordings
    ]
    # First those whose most telling error this is; of these the later step, which is quicker to look at.
    order = {step.id: number for number, step in enumerate(STEPS)}
    places.sort(key=lambda found: (found[0], found[1].id == "wait", -order[found[1].id]))
    return [step for _, step in places]
