"""What this app finds itself, in its own words: refusals before any call, and what a check notices."""

from __future__ import annotations

from .entry import ADMIN_HERE, CONNECTION, MY_DOMAIN, ORG_ADMIN, SALESFORCE, SETTINGS, US, USERS, Diagnosis

_SIGNING_KEYS = "Admin → Signing keys"

ENTRIES: tuple[Diagnosis, ...] = (
    Diagnosis(
        "wrong_org",
        "",
        "The sign-in leads to another org than the one this connection is pinned to: a wrong login URL or consumer key, or "
        "the org was replaced.",
        ADMIN_HERE,
        "Check login URL and consumer key against the org you mean. If it really is another org now, accept it: on the "
        "connection's page, or with manage.py salesforce accept-org NAME.",
        f"{CONNECTION}; Setup → Company Information shows the org's id",
        wordings=("the connection is pinned to",),
    ),
    Diagnosis(
        "sandbox_refreshed",
        "",
        "The sandbox was refreshed: same address, new org.",
        ADMIN_HERE,
        "Check in the new sandbox: the integration user is active, its username here has the sandbox's suffix, the "
        "permission set is assigned to it, and the app is there with our certificate and the same consumer key. Accept the "
        "new org: on the connection's page, for many in the admin, or with manage.py salesforce accept-org NAME.",
        f"In the sandbox: {USERS}, External Client App Manager or App Manager. Here: {CONNECTION}",
    ),
    Diagnosis(
        "tried_a_moment_ago",
        "",
        "The staged signing key was tried a moment ago; the org is asked once in ten seconds.",
        ADMIN_HERE,
        "Wait a few seconds, then try again.",
        kind="passing",
    ),
    Diagnosis(
        "previous_key_serves",
        "",
        "The org took the signing key before the present one: its app still has, or has again, that one's certificate.",
        ADMIN_HERE,
        "Upload the certificate of the present signing key to the app again, or undo the promotion.",
        _SIGNING_KEYS,
    ),
    Diagnosis(
        "org_unknown",
        "",
        "Neither the token nor its answer tells which org it is of, and the org did not say when asked. This connection is "
        "pinned to one org, so the token is not used.",
        ADMIN_HERE,
        "Check that the login URL is Salesforce's own. To take tokens of any org, empty the connection's expected org id.",
        CONNECTION,
    ),
    Diagnosis(
        "environment_contradiction",
        "",
        "Host and org contradict each other: the address is that of a sandbox, the org says it is none, or the other way "
        "round.",
        ADMIN_HERE,
        "Check that the login URL is that of the org you mean.",
        MY_DOMAIN,
    ),
    Diagnosis(
        "wrong_user",
        "",
        "The token belongs to another user than the connection's.",
        ADMIN_HERE,
        "Check username and consumer key; was the user renamed in Salesforce?",
        CONNECTION,
    ),
    Diagnosis(
        "clock_skew",
        "",
        "The clock of this machine differs from Salesforce's. If it lags by minutes, sign-ins are refused as “expired "
        "authorization code”.",
        US,
        "Set the clock of this machine by NTP.",
    ),
    Diagnosis(
        "scope_api_missing",
        "",
        "The token lacks the scope “api”, so that the REST API will refuse it.",
        ORG_ADMIN,
        "Add the scope “Manage user data via APIs (api)” to the app, and wait up to ten minutes.",
        SETTINGS,
    ),
    Diagnosis(
        "certificate_ending",
        "",
        "The certificate of the signing key ends soon or has ended. Salesforce does not enforce it in this flow, but "
        "reviews and audits do.",
        ADMIN_HERE,
        "Make a new key pair and upload its certificate to the app.",
        _SIGNING_KEYS,
    ),
    Diagnosis(
        "api_limit_near",
        "",
        "The org has nearly used up its API calls of 24 hours.",
        ORG_ADMIN,
        "Find which program calls so often, or buy more calls.",
        "Setup → System Overview → API Usage",
    ),
    Diagnosis(
        "api_version_not_served",
        "",
        "The org does not serve the API version that the connection asks for.",
        ADMIN_HERE,
        "Change or empty the connection's API version: empty, the next check takes the newest.",
        f"{CONNECTION} → API version",
    ),
    Diagnosis(
        "not_allowed_here",
        "",
        "This installation may not talk to that host, or to that kind of org.",
        US,
        "If it should: add the host to SF_ALLOWED_HOSTS or the kind to SF_ALLOWED_ENVIRONMENTS, and restart.",
    ),
    Diagnosis(
        "encryption_key_missing",
        "",
        "A secret was sealed with an encryption key that is not in this process's list.",
        US,
        "Add that key to SF_ENCRYPTION_KEYS and restart; or import the signing key again.",
    ),
    Diagnosis(
        "secret_damaged",
        "",
        "A stored secret is damaged, or was copied from another row.",
        ADMIN_HERE,
        "Replace it: import the signing key again.",
        _SIGNING_KEYS,
    ),
    Diagnosis(
        "invalid_private_key",
        "",
        "What was given is no usable RSA private key: a certificate, a public key, an EC key, fewer than 2048 bits, or cut "
        "off.",
        ADMIN_HERE,
        "Give the private key as PEM or DER, RSA with 2048 bits or more, with its passphrase if it has one.",
        _SIGNING_KEYS,
    ),
    Diagnosis(
        "paused",
        "",
        "The connection is paused: nothing is called.",
        ADMIN_HERE,
        "Press Resume on the connection's page when it may be called again.",
        "Connections → the connection → Resume",
    ),
    Diagnosis(
        "username_not_allowed",
        "",
        "A token was asked for another Salesforce user than the connection's, and the connection does not list it.",
        ADMIN_HERE,
        "Add the username to the connection's allowed extra usernames, if programs here may act as that user.",
        f"{CONNECTION} → Allowed extra usernames",
    ),
    Diagnosis(
        "permission_missing",
        "",
        "Whoever is signed in here may not do this.",
        ADMIN_HERE,
        "Give the person the permission, or a group of the connection.",
        "Admin → Users; Admin → Groups",
    ),
    Diagnosis(
        "api_key_refused",
        "",
        "The API key of the calling program is unknown, expired or revoked.",
        ADMIN_HERE,
        "Make the program a new API key.",
    ),
    Diagnosis(
        "unknown_connection",
        "",
        "There is no connection of that name here, or the caller may not see it.",
        US,
        "See “manage.py salesforce list” for the names there are.",
        wordings=("there is no connection “",),
    ),
    Diagnosis(
        "invalid_input",
        "",
        "What was typed in was refused before any call.",
        US,
        "The message says what is wrong with it.",
    ),
    Diagnosis(
        "login_unavailable",
        "",
        "No token can be had at this moment, though nothing is known to be wrong with the connection.",
        SALESFORCE,
        "Nothing to do: it is tried again.",
        kind="passing",
    ),
    Diagnosis(
        "sign_in_under_way",
        "",
        "Another process here is still signing in for this connection.",
        US,
        "Nothing to do: try again in a few seconds.",
        kind="passing",
    ),
    Diagnosis(
        "fuse_blown",
        "",
        "The user signed in so often within the hour that this app stops, well before Salesforce locks the user out.",
        US,
        "Find what ends its sessions, or asks for tokens that don't last. Other programs with the same user count too.",
        "Connections → the connection → Access token",
        kind="passing",
    ),
    Diagnosis(
        "revoke_failed",
        "",
        "The org did not end the session.",
        US,
        "Try again; if it stays, let the org's admin end it.",
        "Setup → Session Management",
        kind="passing",
    ),
)
