"""Every known failure, made to happen at the stand-in, and told alike by page, admin and command line.

What is expected stands here in words of its own, not read from the catalogue: who must act, the code, and a piece of cause,
remedy and menu path, after Salesforce's documentation as docs/protocol.md has it.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from sf_integration import keystore
from sf_integration.models import ConnectedApp
from sf_integration.salesforce import keys
from sf_integration.testing.django import ConnectableOrg

from .test_admin import ADMIN, run
from .test_command_line import salesforce
from .test_forms import KEY

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

ORG_ADMIN = "Salesforce admin of the org"
SITE_ADMIN = "an administrator of this site"
US = "whoever runs this site"
SALESFORCE = "Salesforce"

CANARY = "CANARY"
TOKEN = f"00D5g000004FaKe!AREAQPr0TFake.{CANARY * 14}"
ASSERTION = f"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhYmMifQ.{CANARY * 57}"
EVIL_PAGE = (
    f"<html><head><script>alert(1)</script></head><body><h1>Oops</h1><p>{TOKEN} {ASSERTION}</p></body></html>"
)
"""What a host may send back of what it got."""

Arrange = Callable[[ConnectableOrg], dict[str, Any] | None]
"""Makes the org answer so; gives fields of the connection."""


@dataclass(frozen=True)
class Row:
    arrange: Arrange
    code: str
    who: str
    cause: str
    remedy: str
    where: str = ""
    state: str = "Failing"
    step: str = "sign_in"

    @property
    def status(self) -> str:
        return {"Failing": "failed", "Needs attention": "warning", "Healthy": "ok"}[self.state]


# ---- how it is made to happen ---------------------------------------------------------------------------------------


def changed(part: str, state: dict[str, Any]) -> Arrange:
    def arrange(org: ConnectableOrg) -> None:
        for name, value in state.items():
            setattr(getattr(org, part) if part else org, name, value)

    return arrange


def user(**state: Any) -> Arrange:
    return changed("user", state)


def app(**state: Any) -> Arrange:
    return changed("app", state)


def org(**state: Any) -> Arrange:
    return changed("", state)


def connected(**fields: Any) -> Arrange:
    return lambda org: fields


def refused(error: str, description: str, status: int = 400) -> Arrange:
    """For what the stand-in does not do of its own accord."""
    return lambda org: org.fail("refuse", error=error, description=description, status=status, times=None)


def fault(kind: str, **options: Any) -> Arrange:
    return lambda org: org.fail(kind, times=None, **{"where": "token"} | options)


def another_certificate(org: ConnectableOrg) -> dict[str, Any]:
    assert org.app.private_key_pem
    ours = keystore.take_in(org.app.private_key_pem.encode(), name="acme")
    org.app.certificate_pem = keys.make_certificate(KEY, common_name="another").pem
    return {"signing_key": ours}


def another_name_in_the_certificate(org: ConnectableOrg) -> dict[str, Any]:
    assert org.server
    assert org.server._certifier
    org.server._certifier.certify({"elsewhere.example"})
    return {"login_url": org.url.replace("127.0.0.1", "localhost")}


def no_such_name(org: ConnectableOrg) -> dict[str, Any]:
    return {"login_url": "https://nowhere.invalid"}


def hidden(*names: str, **fields: Any) -> Arrange:
    def arrange(org: ConnectableOrg) -> dict[str, Any]:
        org.user.hidden = set(names)
        return fields

    return arrange


# ---- the table ------------------------------------------------------------------------------------------------------

POLICIES, SETTINGS, MY_DOMAIN, HISTORY = (
    "OAuth Policies",
    "OAuth Settings",
    "Setup → My Domain",
    "Login History",
)

TABLE: dict[str, Row] = {
    # Salesforce's refusals in this flow.
    "not approved": Row(
        app(permitted_users="self_authorize"),
        "invalid_grant",
        ORG_ADMIN,
        "not approved for this user",
        "Admin approved users are pre-authorized",
        POLICIES,
    ),
    "no such user": Row(
        connected(username="nobody@nordhafen.example"),
        "invalid_grant",
        ORG_ADMIN,
        "there is no such user in this org",
        "check username, login URL and audience",
        POLICIES,
    ),
    "not attached": Row(
        user(approved=False),
        "invalid_app_access",
        ORG_ADMIN,
        "attached to it",
        "Attach the user's profile",
        POLICIES,
    ),
    "refresh scope missing": Row(
        app(scopes=("api",)),
        "invalid_request",
        ORG_ADMIN,
        "lacks the scope refresh_token",
        "Perform requests at any time (refresh_token, offline_access)",
        SETTINGS,
    ),
    "other certificate": Row(
        another_certificate,
        "invalid_grant",
        ORG_ADMIN,
        "signature does not fit the certificate",
        "SHA-256 fingerprint",
        SETTINGS,
    ),
    "audience": Row(
        connected(audience="https://test.salesforce.com"),
        "invalid_grant",
        US,
        "audience is not one this org accepts",
        "My Domain URL as audience",
        MY_DOMAIN,
    ),
    "audience, other wording": Row(
        refused("invalid_grant", "Audience validation failed"),
        "invalid_grant",
        US,
        "audience is not one this org accepts",
        "My Domain URL as audience",
        MY_DOMAIN,
    ),
    "expired": Row(
        refused("invalid_grant", "expired authorization code"),
        "invalid_grant",
        US,
        "clock of this machine is wrong",
        "Set the clock by NTP",
    ),
    "unknown consumer key": Row(
        connected(consumer_key="3MVG9nonsense"),
        "invalid_client_id",
        ORG_ADMIN,
        "does not know this consumer key",
        "Copy the consumer key again",
        SETTINGS,
    ),
    "young app": Row(
        app(known=False),
        "invalid_client_id",
        ORG_ADMIN,
        "younger than ten minutes",
        "wait up to ten minutes",
        SETTINGS,
    ),
    "client credentials": Row(
        refused("invalid_client", "invalid client credentials"),
        "invalid_client",
        US,
        "refuses these client credentials",
        "login URL and app belong to the same org",
        SETTINGS,
    ),
    "external app not installed": Row(
        app(kind="external", installed=False),
        "app_not_found",
        US,
        "External Client App is not known where it was asked for",
        "My Domain URL as login URL and as audience",
        MY_DOMAIN,
    ),
    "inactive user": Row(
        user(active=False),
        "invalid_grant",
        ORG_ADMIN,
        "deactivated",
        "Activate the user again",
        "Setup → Users",
    ),
    "frozen user": Row(
        user(frozen=True), "invalid_grant", ORG_ADMIN, "or frozen", "unfreeze it", "Setup → Users"
    ),
    "inactive user, other code": Row(
        refused("inactive_user", "user is inactive"),
        "inactive_user",
        ORG_ADMIN,
        "deactivated",
        "Activate the user",
        "Setup → Users",
    ),
    "inactive org": Row(
        org(active=False),
        "invalid_grant",
        SALESFORCE,
        "org is expired",
        "Salesforce Support",
        "Company Information",
    ),
    "inactive org, other code": Row(
        refused("inactive_org", "org is locked, closed, or suspended"),
        "inactive_org",
        SALESFORCE,
        "suspended, locked or closed",
        "Salesforce Support",
    ),
    "ip restricted": Row(
        user(ip_restricted=True),
        "invalid_grant",
        ORG_ADMIN,
        "not let this user in from our address",
        "Login IP Ranges",
        "Setup → Profiles",
    ),
    "ip restricted, older wording": Row(
        refused("invalid_grant", "ip restricted or invalid login hours"),
        "invalid_grant",
        ORG_ADMIN,
        "or not at this hour",
        "Login Hours",
        "Setup → Profiles",
    ),
    "login rate": Row(
        org(logins_per_hour=0),
        "invalid_grant",
        US,
        "more than 3,600 times within an hour",
        "share one token",
        HISTORY,
    ),
    "login rate, other code": Row(
        refused("rate_limit_exceeded", "number of logins exceeded"),
        "rate_limit_exceeded",
        US,
        "3,600 times within an hour",
        "share one token",
        HISTORY,
    ),
    "authentication failure": Row(
        refused("invalid_grant", "authentication failure"),
        "invalid_grant",
        ORG_ADMIN,
        "without a reason",
        "Check the username",
        HISTORY,
    ),
    "activation secret": Row(
        refused("invalid_grant", "activation secret invalid"),
        "invalid_grant",
        ORG_ADMIN,
        "verified first",
        "in a browser",
        HISTORY,
    ),
    "grant type": Row(
        refused("unsupported_grant_type", "grant type not supported"),
        "unsupported_grant_type",
        US,
        "something on the way changed it",
        "not redirected",
    ),
    "malformed request": Row(
        refused("invalid_request", "missing required parameter: assertion"),
        "invalid_request",
        US,
        "request malformed",
        "Check login URL and proxies",
    ),
    "unknown error": Row(
        fault("unknown_error"), "unknown_error", SALESFORCE, "A passing fault", "it is tried again"
    ),
    "server error": Row(
        refused("server_error", "", 500),
        "server_error",
        SALESFORCE,
        "A passing fault",
        "status.salesforce.com",
    ),
    "temporarily unavailable": Row(
        refused("temporarily_unavailable", "", 503),
        "temporarily_unavailable",
        SALESFORCE,
        "busy",
        "it is tried again",
    ),
    "scope not the app's": Row(
        refused("invalid_scope", "the requested scope is not allowed"),
        "invalid_scope",
        ORG_ADMIN,
        "scope",
        "Add the scope",
        SETTINGS,
    ),
    "unheard of": Row(
        refused("brand_new_error", "nobody has seen this one"),
        "brand_new_error",
        ORG_ADMIN,
        "not know",
        HISTORY,
        HISTORY,
    ),
    # What is no answer of Salesforce.
    "HTML 503": Row(
        fault("maintenance"), "http_503", SALESFORCE, "down for maintenance", "it is tried again"
    ),
    "HTML 502": Row(
        fault("bad_gateway"), "http_502", SALESFORCE, "got no answer from behind it", "it is tried again"
    ),
    "page that sends all back": Row(
        fault("answer", status=500, body=EVIL_PAGE, content_type="text/html"),
        "http_500",
        SALESFORCE,
        "in trouble",
        "it is tried again",
    ),
    "redirect to a foreign host": Row(
        fault("redirect"), "redirected", US, "The host redirects", "My Domain URL as login URL", MY_DOMAIN
    ),
    "empty body": Row(
        fault("answer", body=""), "not_json", US, "answered with nothing", "My Domain URL", MY_DOMAIN
    ),
    "page": Row(fault("html"), "not_json", US, "answered with a page", "My Domain URL", MY_DOMAIN),
    "half a token": Row(
        fault("garbage"), "not_json", US, "not as Salesforce's API", "My Domain URL", MY_DOMAIN
    ),
    "other JSON": Row(
        fault("answer", body={"all": "well"}),
        "malformed_answer",
        US,
        "not with Salesforce's",
        "My Domain URL",
        MY_DOMAIN,
    ),
    "cut off": Row(
        fault("cut"), "cut_off", US, "broke while the answer was on its way", "firewall and proxy"
    ),
    "no DNS": Row(
        no_such_name,
        "dns_failure",
        US,
        "name does not exist",
        "Compare the login URL",
        MY_DOMAIN,
        step="host",
    ),
    "TLS name mismatch": Row(
        another_name_in_the_certificate,
        "tls_failure",
        US,
        "certificate of another name",
        "letter by letter",
        MY_DOMAIN,
        step="host",
    ),
    # What our own steps find.
    "clock five minutes ahead": Row(
        org(clock_offset_seconds=-300),
        "clock_skew",
        US,
        "seconds ahead of Salesforce's",
        "NTP",
        state="Needs attention",
        step="clock",
    ),
    "clock five minutes behind": Row(
        org(clock_offset_seconds=300),
        "clock_skew",
        US,
        "seconds behind Salesforce's",
        "NTP",
        state="Needs attention",
        step="clock",
    ),
    "org swapped": Row(
        connected(expected_org_id="00D5g000004FaKeEAK"),
        "wrong_org",
        SITE_ADMIN,
        "pinned to 00D5g000004FaKeEAK",
        "Check login URL and consumer key",
    ),
    "sandbox refreshed": Row(
        connected(expected_org_id="00D5g000004FaKeEAK", environment="sandbox"),
        "sandbox_refreshed",
        SITE_ADMIN,
        "The sandbox was refreshed",
        "Accept the new org",
    ),
    "scope api missing": Row(
        app(scopes=("id", "refresh_token")),
        "INVALID_SESSION_ID",
        ORG_ADMIN,
        "scope “api” is missing",
        "Manage user data via APIs (api)",
        SETTINGS,
        step="environment",
    ),
    "API disabled for the user": Row(
        user(api_enabled=False),
        "API_CURRENTLY_DISABLED",
        ORG_ADMIN,
        "may not use the API",
        "API Enabled",
        "Setup → Permission Sets",
        step="environment",
    ),
    "limits refused": Row(
        org(limits_refused=True),
        "API_DISABLED_FOR_ORG",
        ORG_ADMIN,
        "may not read the org's limits",
        "View Setup and Configuration",
        "Setup → Permission Sets",
        state="Healthy",
        step="limits",
    ),
    "field not visible": Row(
        hidden("Account.Industry", sample_fields=["Name", "Industry"]),
        "INVALID_FIELD",
        ORG_ADMIN,
        "can't read Account.Industry. There is no such field, or the user may not see it.",
        "field permissions",
        "Field Permissions",
        state="Needs attention",
        step="sample_record",
    ),
    "object not visible": Row(
        hidden("Account"),
        "INVALID_TYPE",
        ORG_ADMIN,
        "can't read Account. There is no such object, or the user may not see it.",
        "object permissions",
        "Object Settings",
        state="Needs attention",
        step="sample_record",
    ),
}

MARKS = {
    "TLS name mismatch": pytest.mark.salesforce_org(tls=True),
    "sandbox refreshed": pytest.mark.salesforce_org(is_sandbox=True),
}


def read(page: str) -> str:
    """What a reader sees of a page."""
    return folded(html.unescape(re.sub(r"<[^>]+>", " ", page)))


def folded(text: str) -> str:
    return " ".join(text.split())


def connect(org: ConnectableOrg, row: Row, settings: Any) -> ConnectedApp:
    configured = settings.SF_INTEGRATION
    settings.SF_INTEGRATION = {
        **configured,
        "ALLOWED_HOSTS": [*configured["ALLOWED_HOSTS"], "nowhere.invalid", org.url.replace("https://127.0.0.1", "localhost")],
    }  # fmt: skip
    fields = row.arrange(org) or {}
    environment = fields.pop("environment", None)
    connection = org.connect("acme", **fields)
    if environment:
        ConnectedApp.objects.filter(pk=connection.pk).update(environment=environment)
    return connection


def told_everywhere(connection: ConnectedApp, client: Client) -> dict[str, str]:
    """Each face after a check of its own, as its reader sees it."""

    def try_again() -> None:
        """A person may try every ten seconds; this one is quicker."""
        connection.tokens.update(last_try_at=None)

    faces = {"page": read(client.post("/connections/acme/check/", follow=True).content.decode())}
    change = client.get(f"{ADMIN}/connectedapp/{connection.pk}/change/").content.decode()
    faces["admin"] = read(change)
    try_again()
    faces["action"] = html.unescape(run(client, "check_now", connection))
    try_again()
    faces["command"] = folded(salesforce("check", "acme").out)
    try_again()
    faces["json"] = salesforce("check", "acme", "--json").out
    return faces


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, ())) for name in TABLE])
def test_it_is_told_alike_everywhere(
    name: str, salesforce_org: ConnectableOrg, admin_client: Client, settings: Any
) -> None:
    row = TABLE[name]
    connection = connect(salesforce_org, row, settings)
    faces = told_everywhere(connection, admin_client)

    answer = json.loads(faces["json"])
    step = next(step for step in answer["steps"] if step["step"] == row.step)
    assert (answer["state"], step["status"], step["code"], step["who"]) == (
        row.state,
        row.status,
        row.code,
        row.who,
    )
    assert row.cause in f"{step['message']} {step['cause']}"
    assert row.remedy in step["remedy"]
    assert row.where in step["where"]
    for face in ("page", "admin", "command", *(["action"] if row.state != "Healthy" else [])):
        shown = faces[face].lower()
        for fact in ("cause", "remedy", "who", "where", "code"):
            assert folded(step[fact]).lower().rstrip(".") in shown, f"{fact} is missing in {face}"

    for face, shown in (faces | {"json": html.unescape(faces["json"])}).items():
        for forbidden in secrets_of(salesforce_org) | {"<html", "<h1", "<script", "alert(1)"}:
            assert forbidden not in shown, f"{forbidden[:8]}… in {face}"


def secrets_of(org: ConnectableOrg) -> set[str]:
    assert org.app.private_key_pem or org.app.certificate_pem
    pem = org.app.private_key_pem or ""
    tokens = {session.token for session in org.sessions}
    return {
        CANARY,
        "eyJhbGci",
        "PRIVATE KEY-----",
        *pem.splitlines()[1:-1],
        *tokens,
        *(token[16:40] for token in tokens),
    }


def test_the_scope_that_is_missing_is_told_before_it_hurts(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    """Beside the refusal of the REST API, which fails the check: the sign-in's own answer lacked the scope."""
    salesforce_org.app.scopes = ("id", "refresh_token")
    salesforce_org.connect("acme")
    step = next(
        step
        for step in json.loads(salesforce("check", "acme", "--json").out)["steps"]
        if step["step"] == "scopes"
    )
    assert (step["status"], step["code"], step["who"]) == ("warning", "scope_api_missing", ORG_ADMIN)
    page = read(admin_client.get("/connections/acme/").content.decode())
    for fact in ("message", "cause", "remedy", "code"):
        assert step[fact] in page


def test_a_page_that_answers_the_api_is_no_html_in_any_message(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    salesforce_org.fail(
        "answer", where="rest", times=None, status=500, body=EVIL_PAGE, content_type="text/html"
    )
    connection = salesforce_org.connect("acme")
    for face, shown in told_everywhere(connection, admin_client).items():
        for forbidden in (CANARY, "eyJhbGci", "<html", "<h1", "<script"):
            assert forbidden not in shown, face


@pytest.mark.parametrize(
    "name", ["not approved", "login rate", "inactive org", "org swapped", "HTML 503", "empty body", "page"]
)
def test_who_tries_too_soon_is_told_the_same(
    name: str, salesforce_org: ConnectableOrg, settings: Any
) -> None:
    """Within ten seconds the stored failure answers, and the org is not asked again."""
    connect(salesforce_org, TABLE[name], settings)
    first, second = (failed_step() for _ in range(2))
    assert salesforce_org.token_requests == 1
    assert {fact: first[fact] for fact in FACTS} == {fact: second[fact] for fact in FACTS}


FACTS = ("step", "status", "code", "cause", "remedy", "who", "where")


def failed_step() -> dict[str, str]:
    steps = json.loads(salesforce("check", "acme", "--json").out)["steps"]
    found: dict[str, str] = next(step for step in steps if step["status"] == "failed")
    return found
