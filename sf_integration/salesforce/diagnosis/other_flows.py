"""Errors of Salesforce's other sign-in flows and OAuth endpoints: people paste them too.

Source: reports, and Salesforce's notice on uninstalled connected apps (September 2025); see docs/protocol.md.
"""

from __future__ import annotations

from .entry import HISTORY, ORG_ADMIN, POLICIES, US, USAGE, Diagnosis, refused

_INSTALL = (
    "Install it (Connected Apps OAuth Usage → Install), or give the user the permission “Approve Uninstalled Connected "
    "Apps”. An app that was made in this very org needs neither: is it the right org?"
)

ENTRIES: tuple[Diagnosis, ...] = (
    Diagnosis(
        "invalid_client",
        "app must be installed into org",
        "The Connected App is not installed in this org. Since September 2025 Salesforce blocks such apps for users "
        "without a special permission.",
        ORG_ADMIN,
        _INSTALL,
        USAGE,
    ),
    Diagnosis(
        "OAUTH_APP_BLOCKED",
        "",
        "An admin of the org has blocked this app.",
        ORG_ADMIN,
        "Unblock the app, if it may be used.",
        USAGE,
        wordings=("this app is blocked by admin",),
    ),
    refused(
        "OAUTH_APP_ACCESS_DENIED",
        "",
        "This user may not use the app.",
        ORG_ADMIN,
        "Attach the user's profile or a permission set of the user to the app.",
        POLICIES,
    ),
    Diagnosis(
        "OAUTH_APPROVAL_ERROR_GENERIC",
        "",
        "The org refused to approve the app and gives no reason; often because the app is not installed there.",
        ORG_ADMIN,
        _INSTALL,
        USAGE,
    ),
    Diagnosis(
        "OAUTH_EC_APP_NOT_FOUND",
        "",
        "The External Client App is not known in the org where it was asked for.",
        US,
        "Begin at the org's My Domain URL, not at login.salesforce.com or test.salesforce.com. Make or install the app in "
        "that very org.",
        "Setup → My Domain; External Client App Manager",
    ),
    refused(
        "invalid_grant",
        "expired access/refresh token",
        "The refresh token of another flow has expired or was revoked. The JWT Bearer flow has none.",
        US,
        "In the program that uses it, sign in anew in the browser; or let it take its tokens from a connection here.",
        POLICIES,
    ),
    Diagnosis(
        "invalid_grant",
        "no client credentials user enabled",
        "The client credentials flow was used, and the app names no user to run as. The JWT Bearer flow needs none.",
        ORG_ADMIN,
        "Name the user under Client Credentials Flow → Run As; or use the JWT Bearer flow.",
        POLICIES,
    ),
    refused(
        "INVALID_LOGIN",
        "",
        "A sign-in with username and password was refused: wrong password or security token, or a locked user. This "
        "app uses neither.",
        US,
        "Let the program take its tokens from a connection here: sign-ins with a password are on their way out.",
        HISTORY,
        wordings=("invalid username, password, security token",),
    ),
    Diagnosis(
        "invalid_token",
        "",
        "The token that was to be revoked or looked up is not known, or has ended already.",
        US,
        "Nothing to do, if it was to be ended.",
        kind="passing",
    ),
    Diagnosis(
        "unsupported_token_type",
        "",
        "What was to be revoked is no access or refresh token.",
        US,
        "Check which value the program sends as “token”.",
    ),
)
