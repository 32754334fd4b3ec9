"""Refusals of the token endpoint in the JWT Bearer flow.

Source: Salesforce Help, "OAuth 2.0 JWT Bearer Flow" and "OAuth 2.0 Errors", and many reports; see docs/protocol.md.
"""

from __future__ import annotations

from dataclasses import replace

from .entry import (
    HISTORY,
    MY_DOMAIN,
    ORG_ADMIN,
    POLICIES,
    SALESFORCE,
    SETTINGS,
    US,
    USERS,
    Diagnosis,
    refused,
)

_INACTIVE = Diagnosis(
    "invalid_grant",
    "inactive user",
    "The Salesforce user is deactivated; or frozen, which Salesforce may tell in the same words.",
    ORG_ADMIN,
    "Activate the user again (Edit → Active) or unfreeze it (Unfreeze, on the user's page), or give the connection "
    "another user. After the refresh of a sandbox its users must be activated anew.",
    USERS,
)
_INACTIVE_ORG = Diagnosis(
    "invalid_grant",
    "inactive organization",
    "The org is expired, suspended, locked or closed.",
    SALESFORCE,
    "Ask Salesforce Support, or point the connection at another org. Trials, scratch orgs and Developer Editions that "
    "nobody used end for good.",
    "Setup → Company Information",
)
_LOGIN_RATE = Diagnosis(
    "invalid_grant",
    "login rate exceeded",
    "The user signed in more than 3,600 times within an hour; Salesforce refuses it for up to an hour.",
    US,
    "Find what signs in for each request: every program that uses this user should share one token. "
    "Login History of this user names the programs.",
    HISTORY,
    kind="rate",
)

ENTRIES: tuple[Diagnosis, ...] = (
    refused(
        "invalid_grant",
        "user hasn't approved",
        "The app is not approved for this user, or there is no such user in this org.",
        ORG_ADMIN,
        "Set Permitted Users to “Admin approved users are pre-authorized” and attach a profile or permission set of the "
        "user; wait up to ten minutes. If it stays, check username, login URL and audience: production and sandbox are "
        "easily mixed up, and the refresh of a sandbox takes approvals away.",
        POLICIES,
        wordings=("user has not approved this consumer",),
    ),
    refused(
        "invalid_app_access",
        "",
        "The app takes admin-approved users only, and neither this user's profile nor a permission set of the user is "
        "attached to it.",
        ORG_ADMIN,
        "Attach the user's profile to the app, or assign the user a permission set that is attached.",
        POLICIES,
        wordings=("user is not admin approved",),
    ),
    refused(
        "invalid_request",
        "refresh_token scope is required",
        "The app lacks the scope refresh_token; or it is not installed and pre-authorized in this org.",
        ORG_ADMIN,
        "Add the scope “Perform requests at any time (refresh_token, offline_access)” beside “api”, and wait up to ten "
        "minutes. If it is there, check that the JWT Bearer flow is enabled and Permitted Users is set to "
        "“Admin approved users are pre-authorized”.",
        SETTINGS,
    ),
    refused(
        "invalid_grant",
        "invalid assertion",
        "The signature does not fit the certificate that the app knows. Less often: key and app belong to different "
        "orgs, the app is younger than ten minutes, or the assertion is no JWT signed with RS256.",
        ORG_ADMIN,
        "Compare the certificate's SHA-256 fingerprint with the one uploaded to the app, and upload ours again if they "
        "differ. If they are the same, check that consumer key and login URL are of the same org.",
        SETTINGS,
    ),
    Diagnosis(
        "invalid_grant",
        "audience",
        "The audience is not one this org accepts: another host, no whole URL, or a site's path is missing.",
        US,
        "Use the org's My Domain URL as audience (whole URL, https, no path). For an Experience Cloud user add the "
        "site's path. https://login.salesforce.com and https://test.salesforce.com work for Connected Apps only.",
        MY_DOMAIN,
        wordings=("audience is invalid", "invalid audience", "audience validation failed"),
    ),
    Diagnosis(
        "invalid_grant",
        "expired authorization code",
        "Salesforce took the assertion for expired: the clock of this machine is wrong, or another program took local "
        "time for UTC.",
        US,
        "Set the clock by NTP. No authorization code is involved, whatever the wording says.",
    ),
    Diagnosis(
        "invalid_client_id",
        "",
        "The org does not know this consumer key: it is incomplete, of another org, of a deleted app, or of an app "
        "younger than ten minutes.",
        ORG_ADMIN,
        "Copy the consumer key again, whole, and not in the field of the username. Check that the login URL is the org "
        "the app was made in. For a new app wait up to ten minutes.",
        SETTINGS,
        wordings=("client identifier invalid",),
    ),
    Diagnosis(
        "invalid_client",
        "",
        "The org refuses these client credentials: often an app of production called at a sandbox's host, or a wrong "
        "consumer secret.",
        US,
        "Check that login URL and app belong to the same org. This flow needs no consumer secret: send none.",
        SETTINGS,
        wordings=("invalid client credentials",),
    ),
    Diagnosis(
        "app_not_found",
        "",
        "The External Client App is not known where it was asked for. Since Spring '26 such apps are not found through "
        "login.salesforce.com or test.salesforce.com.",
        US,
        "Use the org's My Domain URL as login URL and as audience. If it is so already, make or install the app in that "
        "very org, and see that it is enabled there.",
        f"{MY_DOMAIN}; External Client App Manager",
        wordings=("external client app is not installed in this org",),
    ),
    _INACTIVE,
    replace(_INACTIVE, fragment="user is inactive"),
    replace(_INACTIVE, code="inactive_user", fragment="", wordings=("user is inactive",)),
    _INACTIVE_ORG,
    replace(
        _INACTIVE_ORG, code="inactive_org", fragment="", wordings=("org is locked, closed, or suspended",)
    ),
    refused(
        "invalid_grant",
        "ip restricted",
        "The org does not let this user in from our address; by the older wording, or not at this hour.",
        ORG_ADMIN,
        "Add our address to the profile's Login IP Ranges, widen its Login Hours, or relax the app's IP policy.",
        f"Setup → Profiles → the user's profile → Login IP Ranges, Login Hours; {POLICIES}",
        wordings=("ip restricted or invalid login hours",),
    ),
    _LOGIN_RATE,
    replace(_LOGIN_RATE, code="rate_limit_exceeded", fragment="", wordings=("number of logins exceeded",)),
    refused(
        "invalid_grant",
        "activation secret invalid",
        "Salesforce wants this user or org verified first.",
        ORG_ADMIN,
        "Sign in once as a user of that org in a browser and answer what Salesforce asks. If that changes nothing, ask "
        "Salesforce Support.",
        HISTORY,
    ),
    refused(
        "invalid_grant",
        "authentication failure",
        "Salesforce refused the sign-in without a reason: the user may not exist in this org, or may not sign in.",
        ORG_ADMIN,
        "Check the username; in a sandbox it ends with the sandbox's name.",
        HISTORY,
    ),
    Diagnosis(
        "unsupported_grant_type",
        "",
        "Salesforce did not understand the request as a sign-in; something on the way changed it, as a redirect does, "
        "which loses the form.",
        US,
        "Check that the login URL is https and not redirected, and that no proxy rewrites the request. Another program "
        "must send a form, not JSON, and grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer.",
        MY_DOMAIN,
        wordings=("grant type not supported",),
    ),
    Diagnosis(
        "unknown_error",
        "",
        "A passing fault at Salesforce, as when one user signs in several times at once; sometimes a wrong login URL.",
        SALESFORCE,
        "Nothing to do: it is tried again. If it stays, check the login URL.",
        MY_DOMAIN,
        kind="passing",
        wordings=("retry your request",),
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
        "Add the scope to the app, or ask for none: in this flow the app's own scopes apply.",
        SETTINGS,
    ),
    Diagnosis(
        "invalid_request",
        "",
        "Salesforce found the request malformed: a parameter such as the assertion is missing or damaged.",
        US,
        "Check login URL and proxies; if they are right, report a bug in this app.",
        MY_DOMAIN,
    ),
    refused(
        "invalid_grant",
        "",
        "Salesforce refused the sign-in.",
        ORG_ADMIN,
        "Check username, consumer key and login URL, and whether the app is approved for this user.",
        HISTORY,
    ),
)
