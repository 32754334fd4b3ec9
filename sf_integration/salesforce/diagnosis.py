"""What Salesforce said, and what it means: the one catalogue behind pages, admin, command line and exceptions.

The facts come from Salesforce's help pages and many user reports; docs/protocol.md tells how sure each is.
Entries are matched on the error code and a lower-case fragment of the description; the first that fits wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["passing", "set-up", "rate"]

ORG_ADMIN = "Salesforce admin of the org"
US = "whoever runs this site"
SALESFORCE = "Salesforce"

LOGIN_HISTORY = "Setup → Users → the integration user → Login History often names the reason more exactly."


@dataclass(frozen=True)
class Diagnosis:
    code: str
    """Salesforce's error code, or ours."""
    fragment: str
    """Lower-case part of the description; empty fits any."""
    cause: str
    who: str
    """Who must act."""
    remedy: str
    where: str = ""
    """Menu path to click."""
    kind: Kind = "set-up"
    """How the next try is timed: `passing` goes away by itself, `set-up` needs a person, `rate` needs an hour."""

    @property
    def retryable(self) -> bool:
        return self.kind != "set-up"


_POLICIES = (
    "External Client App Manager → the app → Policies → OAuth Policies "
    "(Connected App: App Manager → Manage → Edit Policies)"
)
_SETTINGS = "External Client App Manager → the app → Settings → OAuth Settings (Connected App: App Manager → View, Edit)"

CATALOGUE: tuple[Diagnosis, ...] = (
    Diagnosis(
        "invalid_grant",
        "hasn't approved this consumer",
        "The app is not approved for this user, or there is no such user in this org.",
        ORG_ADMIN,
        "Set Permitted Users to “Admin approved users are pre-authorized” and attach a profile or permission set of the "
        "user. Check username, login URL and audience: production and sandbox are easily mixed up. "
        "After a change wait up to ten minutes.",
        _POLICIES,
    ),
    Diagnosis(
        "invalid_app_access",
        "",
        "The app takes admin-approved users only, and this user's profile or permission sets are not attached to it.",
        ORG_ADMIN,
        "Attach the user's profile to the app, or assign the app's permission set to the user.",
        _POLICIES,
    ),
    Diagnosis(
        "invalid_request",
        "refresh_token scope is required",
        "The app lacks the scope refresh_token, or it is not installed and pre-authorized.",
        ORG_ADMIN,
        "Add the scope “Perform requests at any time (refresh_token, offline_access)” beside “api”, check Permitted "
        "Users, and wait up to ten minutes.",
        _SETTINGS,
    ),
    Diagnosis(
        "invalid_grant",
        "invalid assertion",
        "The signature does not fit the certificate that the app knows, or key and app belong to different orgs.",
        ORG_ADMIN,
        "Compare the certificate's fingerprint with the one uploaded to the app and upload ours again. "
        "For a new app wait up to ten minutes.",
        _SETTINGS,
    ),
    Diagnosis(
        "invalid_grant",
        "audience",
        "The audience is not one this org accepts.",
        US,
        "Use the org's My Domain URL as audience (whole URL, https, no path). For an Experience Cloud user add the "
        "site's path. https://login.salesforce.com and https://test.salesforce.com work for Connected Apps only.",
        "Setup → My Domain shows the URL",
    ),
    Diagnosis(
        "invalid_grant",
        "expired authorization code",
        "Salesforce took the assertion for expired: the clock of this machine is wrong.",
        US,
        "Set the clock by NTP. No authorization code is involved, whatever the wording says.",
    ),
    Diagnosis(
        "invalid_client_id",
        "",
        "The org does not know this consumer key.",
        ORG_ADMIN,
        "Copy the consumer key again, whole. Check that the login URL is the org the app was made in. "
        "For a new app wait up to ten minutes.",
        _SETTINGS,
    ),
    Diagnosis(
        "invalid_client",
        "",
        "The org refuses these client credentials: often an app of production called at a sandbox's host.",
        US,
        "Check that login URL and app belong to the same org. This flow needs no consumer secret.",
        _SETTINGS,
    ),
    Diagnosis(
        "app_not_found",
        "",
        "The External Client App is not known where it was asked for. Since Spring '26 such apps are not found through "
        "login.salesforce.com or test.salesforce.com.",
        US,
        "Use the org's My Domain URL as login URL and as audience; make or install the app in that very org.",
        "Setup → My Domain; External Client App Manager",
    ),
    Diagnosis(
        "invalid_grant",
        "inactive user",
        "The Salesforce user is deactivated or frozen.",
        ORG_ADMIN,
        "Activate the user again, or give the connection another user.",
        "Setup → Users",
    ),
    Diagnosis(
        "inactive_user",
        "",
        "The Salesforce user is deactivated or frozen.",
        ORG_ADMIN,
        "Activate the user again, or give the connection another user.",
        "Setup → Users",
    ),
    Diagnosis(
        "invalid_grant",
        "inactive organization",
        "The org is expired, suspended or closed.",
        SALESFORCE,
        "Ask Salesforce Support, or point the connection at another org.",
    ),
    Diagnosis(
        "inactive_org",
        "",
        "The org is locked, closed or suspended.",
        SALESFORCE,
        "Ask Salesforce Support, or point the connection at another org.",
    ),
    Diagnosis(
        "invalid_grant",
        "ip restricted",
        "The org does not let this user in from our address or at this hour.",
        ORG_ADMIN,
        "Add our address to the profile's login IP ranges, widen the login hours, or relax the app's IP policy.",
        "Setup → Profiles → the user's profile → Login IP Ranges, Login Hours; " + _POLICIES,
    ),
    Diagnosis(
        "invalid_grant",
        "login rate exceeded",
        "The user signed in more than 3,600 times within an hour; Salesforce refuses it for up to an hour.",
        US,
        "Find what signs in for each request: every program that uses this user should share one token.",
        LOGIN_HISTORY,
        kind="rate",
    ),
    Diagnosis(
        "rate_limit_exceeded",
        "",
        "The user signed in too often; Salesforce refuses it for up to an hour.",
        US,
        "Find what signs in for each request: every program that uses this user should share one token.",
        LOGIN_HISTORY,
        kind="rate",
    ),
    Diagnosis(
        "invalid_grant",
        "activation secret invalid",
        "Salesforce wants this user or org verified first.",
        ORG_ADMIN,
        "Look at the user's Login History; if it says nothing, ask Salesforce Support.",
        LOGIN_HISTORY,
    ),
    Diagnosis(
        "invalid_grant",
        "authentication failure",
        "Salesforce refused the sign-in without a reason: the user may not exist or may not sign in.",
        ORG_ADMIN,
        "Look at the user's Login History and check the username.",
        LOGIN_HISTORY,
    ),
    Diagnosis(
        "unsupported_grant_type",
        "",
        "Salesforce did not understand the request as a sign-in; something on the way changed it.",
        US,
        "Check that the login URL is https and not redirected, and that no proxy rewrites the request.",
    ),
    Diagnosis(
        "unknown_error",
        "",
        "A passing fault at Salesforce; sometimes a wrong login URL.",
        SALESFORCE,
        "Nothing to do: it is tried again. If it stays, check the login URL.",
        kind="passing",
    ),
    Diagnosis(
        "server_error",
        "",
        "A passing fault at Salesforce.",
        SALESFORCE,
        "Nothing to do: it is tried again. status.salesforce.com tells of known trouble.",
        kind="passing",
    ),
    Diagnosis(
        "temporarily_unavailable",
        "",
        "Salesforce is busy or in maintenance.",
        SALESFORCE,
        "Nothing to do: it is tried again. status.salesforce.com tells of known trouble.",
        kind="passing",
    ),
    Diagnosis(
        "invalid_scope",
        "",
        "A scope was asked for that the app does not have.",
        ORG_ADMIN,
        "Add the scope to the app.",
        _SETTINGS,
    ),
    Diagnosis(
        "invalid_request",
        "",
        "Salesforce found the request malformed.",
        US,
        "Check login URL and proxies; if they are right, report a bug in this app.",
    ),
    Diagnosis(
        "invalid_grant",
        "",
        "Salesforce refused the sign-in.",
        ORG_ADMIN,
        "Look at the user's Login History.",
        LOGIN_HISTORY,
    ),
    # What came instead of an answer of Salesforce.
    Diagnosis(
        "dns_failure",
        "",
        "The login host's name does not exist (a typing mistake in the My Domain, a deleted sandbox) or DNS is down here.",
        US,
        "Compare the login URL with Setup → My Domain.",
        "Setup → My Domain",
        kind="passing",
    ),
    Diagnosis(
        "connection_refused",
        "",
        "Nothing listens at that host and port.",
        US,
        "Check the login URL; for the stand-in org: start it (`make run` or `manage.py fake_salesforce`).",
        kind="passing",
    ),
    Diagnosis(
        "tls_failure",
        "",
        "The host's TLS certificate is not trusted here, or something between us and Salesforce replaces it.",
        US,
        "Check the host name; behind a proxy that opens TLS, give its certificate in REQUESTS_CA_BUNDLE.",
        kind="passing",
    ),
    Diagnosis(
        "proxy_failure",
        "",
        "The proxy of the environment could not be used.",
        US,
        "Check HTTPS_PROXY and NO_PROXY of this process.",
        kind="passing",
    ),
    Diagnosis(
        "timeout",
        "",
        "The host did not answer in time: trouble at Salesforce, or a firewall drops our packets.",
        US,
        "Nothing to do if it passes. If it stays: may this machine reach the host on port 443?",
        kind="passing",
    ),
    Diagnosis(
        "redirected",
        "",
        "The host redirects: an old instance name, a Lightning address, or http instead of https.",
        US,
        "Use the org's My Domain URL as login URL.",
        "Setup → My Domain",
    ),
    Diagnosis(
        "not_json",
        "",
        "The host answered, but not as Salesforce's API: a deleted sandbox, a page host, or something in between.",
        US,
        "Check that the login URL is the My Domain URL (…my.salesforce.com).",
        "Setup → My Domain",
        kind="passing",
    ),
    Diagnosis(
        "http_503",
        "",
        "Salesforce is down for maintenance, or the My Domain is not ready yet.",
        SALESFORCE,
        "Nothing to do: it is tried again. status.salesforce.com tells of known trouble.",
        kind="passing",
    ),
    Diagnosis(
        "http_5",
        "",
        "Salesforce or its edge is in trouble.",
        SALESFORCE,
        "Nothing to do: it is tried again. status.salesforce.com tells of known trouble.",
        kind="passing",
    ),
    Diagnosis(
        "http_4",
        "",
        "The host answered, but not as Salesforce's API: a deleted sandbox, or no Salesforce host at all.",
        US,
        "Check the login URL.",
        "Setup → My Domain",
    ),
    # The REST API.
    Diagnosis(
        "INVALID_SESSION_ID",
        "not valid for use with the",
        "The token is alive, but the app or user may not use the REST API: the scope “api” is missing, or API Access "
        "Control or a session policy forbids it.",
        ORG_ADMIN,
        "Add the scope “Manage user data via APIs (api)” to the app; check API Access Control.",
        _SETTINGS,
    ),
    Diagnosis(
        "INVALID_SESSION_ID",
        "session expired or invalid",
        "The session has ended: it expired or somebody ended it.",
        US,
        "Nothing to do: the next call signs in anew.",
        kind="passing",
    ),
    Diagnosis(
        "INVALID_SESSION_ID",
        "",
        "The org does not accept the session: it has ended, or the app or user may not use this API.",
        ORG_ADMIN,
        "If a new sign-in does not help, check the app's scope “api” and API Access Control.",
        _SETTINGS,
    ),
    Diagnosis(
        "Bad_OAuth_Token",
        "",
        "The session has ended: it expired or somebody ended it.",
        US,
        "Nothing to do: the next call signs in anew.",
        kind="passing",
    ),
    Diagnosis(
        "REQUEST_LIMIT_EXCEEDED",
        "concurrent",
        "Too many long calls run at once in this org.",
        US,
        "Run fewer calls at a time; make slow queries selective.",
        kind="passing",
    ),
    Diagnosis(
        "REQUEST_LIMIT_EXCEEDED",
        "",
        "The org has used up its API calls of the last 24 hours.",
        ORG_ADMIN,
        "Find which program calls so often, or buy more calls. It frees up hour by hour.",
        "Setup → System Overview → API Usage",
        kind="rate",
    ),
    Diagnosis(
        "API_DISABLED_FOR_ORG",
        "",
        "The org's edition has no API, or the user lacks the permission for this resource.",
        ORG_ADMIN,
        "Give the user “API Enabled”; for the limits also “View Setup and Configuration”.",
        "Setup → Permission Sets",
    ),
    Diagnosis(
        "API_CURRENTLY_DISABLED",
        "",
        "The user may not use the API.",
        ORG_ADMIN,
        "Give the user the permission “API Enabled”, or the permission set licence “Salesforce API Integration”.",
        "Setup → Permission Sets",
    ),
    Diagnosis(
        "INSUFFICIENT_ACCESS",
        "",
        "The user may not see or change this record.",
        ORG_ADMIN,
        "Give the user's permission set access to the object and share the record.",
        "Setup → Permission Sets → Object Settings",
    ),
    Diagnosis(
        "INVALID_FIELD",
        "",
        "There is no such field, or the user may not see it. Salesforce does not tell the two apart.",
        ORG_ADMIN,
        "Check the spelling (custom fields end in __c), then the field permissions of the user's permission set.",
        "Setup → Permission Sets → Object Settings → Field Permissions",
    ),
    Diagnosis(
        "INVALID_TYPE",
        "",
        "There is no such object, or the user may not see it. Salesforce does not tell the two apart.",
        ORG_ADMIN,
        "Check the spelling (custom objects end in __c), then the object permissions of the user's permission set.",
        "Setup → Permission Sets → Object Settings",
    ),
    Diagnosis(
        "MALFORMED_QUERY",
        "",
        "The SOQL is malformed.",
        US,
        "The message names row and column.",
    ),
    Diagnosis(
        "INVALID_QUERY_LOCATOR",
        "",
        "The rest of this query can no longer be fetched; its cursor belongs to an older session.",
        US,
        "Start the query again.",
    ),
    Diagnosis(
        "NOT_FOUND",
        "",
        "There is no such record or resource, or the user may not see it.",
        ORG_ADMIN,
        "Check id, object and API version; then the user's access to the object.",
        "Setup → Permission Sets → Object Settings",
    ),
    Diagnosis(
        "UNABLE_TO_LOCK_ROW",
        "",
        "Another change holds the record at this moment.",
        US,
        "Try again in a few seconds.",
        kind="passing",
    ),
    Diagnosis(
        "SERVER_UNAVAILABLE",
        "",
        "Salesforce is too busy.",
        SALESFORCE,
        "Nothing to do: try again later.",
        kind="passing",
    ),
)


def session_has_ended(status: int, code: str, message: str) -> bool:
    """Whether a REST refusal means a dead token. Its look-alikes (scope, policy) must never lead to a new sign-in."""
    if status not in (401, 403):
        return False
    return explain(code, message) in (_SESSION_ENDED, _IDENTITY_SESSION_ENDED)


_SESSION_ENDED, _IDENTITY_SESSION_ENDED = (
    next(entry for entry in CATALOGUE if (entry.code, entry.kind) == (code, "passing"))
    for code in ("INVALID_SESSION_ID", "Bad_OAuth_Token")
)

_FAMILIES = ("http_4", "http_5", "INSUFFICIENT_ACCESS")
"""Beginnings that many codes share."""

_UNKNOWN = Diagnosis(
    "",
    "",
    "Salesforce gave an answer that this app does not know.",
    ORG_ADMIN,
    "Look at the user's Login History, and tell us the error so that it can be explained here.",
    LOGIN_HISTORY,
)
_NO_ANSWER = Diagnosis(
    "",
    "",
    "No usable answer came.",
    US,
    "Nothing to do if it passes; it is tried again.",
    kind="passing",
)


def explain(code: str, description: str = "") -> Diagnosis:
    """The catalogue's entry for an error code and its description; a general one when nothing fits."""
    described = description.lower()
    for entry in CATALOGUE:
        family = entry.code in _FAMILIES and code.startswith(entry.code)
        if (entry.code == code or family) and entry.fragment in described:
            return entry
    return _UNKNOWN


def explain_transport(code: str) -> Diagnosis:
    """As `explain`, for the codes of TransportError: what no entry names goes away by itself or not at all."""
    entry = explain(code)
    return _NO_ANSWER if entry is _UNKNOWN else entry


def explain_text(text: str) -> Diagnosis | None:
    """The entry for any pasted error message, or None. Looks for codes and wordings anywhere in it."""
    lowered = text.lower()
    for entry in CATALOGUE:
        if entry.fragment and entry.fragment in lowered and entry.code.lower() in lowered:
            return entry
    for entry in CATALOGUE:
        if entry.fragment and len(entry.fragment) >= 8 and entry.fragment in lowered:
            return entry
    for entry in CATALOGUE:
        if not entry.fragment and len(entry.code) > 6 and entry.code.lower() in lowered:
            return entry
    return None
