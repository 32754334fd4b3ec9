"""The steps of the check, in order: from the stored settings to a sample record.

Each needs the ones before it. What works with a warning needs attention.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from django.utils import timezone

from .. import hosts, tokens
from ..models import UNDO_FOR, ConnectedApp, normal_username
from ..salesforce import answers, keys, rest, signin
from ..salesforce.errors import ActionNeeded, ApiError, InvalidInput, NotAllowedHere, TransportError
from ..salesforce.http import NoAuth, as_told
from ..tokens import lifecycle, pin, renewal
from .steps import Action, Remark, Run, Warn

USAGE_WARNING_SHARE = 0.8
_MOST_CALLS = 2**31 - 1
"""A day. What is more can't be right, nor be stored."""


def _settings(run: Run) -> str:
    connection = run.connection
    renewal.guard(connection, connection.username)
    own = "" if connection.effective_audience == connection.login_url else connection.effective_audience
    kind = hosts.environment_told_by(connection.login_url) or connection.told.get("environment")
    return f"{connection.login_url}, audience {own or 'the same'}, {kind or 'kind of org not known yet'}"


def _signing_key(run: Run) -> str:
    signing_key = run.connection.signing_key
    key = run.login.private_key()
    held = f" held outside by {signing_key.signer}," if signing_key.signer else ""
    if not signing_key.certificate or signing_key.not_after is None:
        return f"{signing_key.name}, {signing_key.size} bits; certificate's end date unknown: add the certificate"
    certificate = keys.read_certificate(signing_key.certificate.encode())
    if isinstance(key, RSAPrivateKey):
        keys.require_match(key, certificate)
    elif run.login.is_real:  # beat asks the signer for assertions alone: calls of it may cost money
        keys.require_signs_for(key, certificate)
    now = timezone.now()
    if signing_key.ending_stage(now) is not None:
        ends = f"{signing_key.not_after:%Y-%m-%d}"
        raise Warn("certificate_ending", f"The certificate {signing_key.end_in_words(now)}, on {ends}.")
    return (
        f"{signing_key.name},{held} {signing_key.size} bits, certificate to {signing_key.not_after:%Y-%m-%d}"
    )


def _host(run: Run) -> str:
    """Name, TCP and TLS. Any answer will do: login.salesforce.com has no API of its own."""
    url = run.connection.login_url
    try:
        response = tokens.current().http.request(
            "GET", f"{url}/services/data", auth=NoAuth(), timeout_seconds=lifecycle.CALL_SECONDS
        )
        run.skew_seconds = answers.clock_skew_seconds(response, time.time())
        tokens.current().note_clock(url, run.skew_seconds)
    except TransportError as error:
        if error.status_code is None:
            raise
    return "answers over TLS" if url.startswith("https") else "answers without TLS (this machine itself)"


def _clock(run: Run) -> str:
    skew = run.skew_seconds
    if skew is None:
        return "the host told no time"
    if abs(skew) >= lifecycle.CLOCK_WARNING_SECONDS:
        corrected = " Sign-ins allow for it." if signin.corrected_skew(skew) else ""
        raise Warn(
            "clock_skew",
            f"Our clock is {abs(skew):.0f} seconds {'ahead of' if skew > 0 else 'behind'} Salesforce's.{corrected}",
        )
    return f"within {max(abs(skew), 1):.0f} s of the host's"


def _sign_in(run: Run) -> str:
    seen = f"instance {run.login.sign_in().instance_url}"
    previous = run.connection.previous_signing_key
    if previous is not None and run.login.key_fingerprint == previous.fingerprint:
        raise Remark(
            "previous_key_serves",
            f"{seen}, with the key {previous.name}, which is tried for {UNDO_FOR.days} days after a promotion only.",
        )
    return seen


def _scopes(run: Run) -> str:
    scopes = run.login.source.get().scopes
    if scopes and not {"api", "full"} & set(scopes):
        raise Warn("scope_api_missing", f"The token has the scopes {' '.join(scopes)}, not “api”.")
    return " ".join(scopes) or "the org named none"


def _identity(run: Run) -> str:
    run.identity = run.client.identity()
    if not pin.fits(run.connection, run.identity.organization_id):
        raise pin.refusal(run.connection, run.identity.organization_id)
    if normal_username(run.identity.username) != normal_username(run.connection.username):
        raise ActionNeeded(
            f"The token belongs to {run.identity.username}, not to {run.connection.username}.",
            remedy="Check username and consumer key.",
            code="wrong_user",
        )
    return f"{run.identity.username} in org {run.identity.organization_id}"


def _environment(run: Run) -> str:
    """The org's own word on what it is; the host's name stands when the user may not ask."""
    try:
        page = run.client.query(
            "SELECT Id, Name, OrganizationType, IsSandbox, InstanceName, TrialExpirationDate FROM Organization LIMIT 1"
        )
        row = page.records[0]
    except (ApiError, IndexError) as exc:
        if isinstance(exc, ApiError) and _is_about_the_api(exc, has_answered=False):
            raise
        return (
            f"{run.connection.known_environment}, by its host; the user may not read the Organization record"
        )
    run.organization = {
        "name": as_told(row.get("Name") or ""),
        "edition": as_told(row.get("OrganizationType") or ""),
        "instance": as_told(row.get("InstanceName") or ""),
        "is_sandbox": bool(row.get("IsSandbox")),
        "login_url": run.connection.login_url,
        "my_domain": (run.identity.my_domain if run.identity else "") or run.login.source.get().instance_url,
    }
    return _judge_environment(run, trial=bool(row.get("TrialExpirationDate")))


def _own_address(connection: ConnectedApp, my_domain: str) -> str:
    """What to do about a login URL of another kind than the org."""
    if not my_domain or my_domain == connection.login_url:
        return "Check that the login URL is that of the org you mean."
    return (
        f"If this is the org you mean, use its own address: the button “Use {my_domain} as login URL” on the connection's "
        f"page, or manage.py salesforce import {connection.name} --login-url {my_domain}. If not, correct the login URL."
    )


def _judge_environment(run: Run, *, trial: bool) -> str:
    connection, organization = run.connection, run.organization
    found = hosts.environment_of_org(
        is_sandbox=organization["is_sandbox"],
        organization_type=organization["edition"],
        trial=trial,
        login_url=connection.login_url,
    )
    organization["environment"] = found
    if not hosts.environment_allowed(found):
        raise NotAllowedHere(
            f"The org says it is a {found} org, which this installation may not call.",
            remedy="If it should, add the kind to SF_ALLOWED_ENVIRONMENTS.",
            who="whoever runs this site",
        )
    told = hosts.environment_told_by(connection.login_url)
    if told and (told in pin.REFRESHED_KINDS) != organization["is_sandbox"]:
        raise Warn(
            "environment_contradiction",
            f"The host of the login URL says {told}, the org says {found}.",
            _own_address(connection, organization["my_domain"]),
        )
    return f"{found}, {organization['name']} ({organization['edition']}, {organization['instance']})"


def _api_version(run: Run) -> str:
    served = run.client.versions()
    wanted = run.connection.api_version
    run.api_version = wanted or rest.newest_common_version(served)
    run.newest_version = served[-1].version if served else ""
    if wanted and wanted not in {version.version for version in served}:
        raise ActionNeeded(
            f"The org does not serve API version {wanted}; it serves {', '.join(version.version for version in served) or 'none'}.",
            remedy="Change or empty the connection's API version.",
            who="an administrator of this site",
            code="api_version_not_served",
        )
    return f"{run.api_version}; the org serves up to {run.newest_version or 'none'}"


def _limits(run: Run) -> str:
    """Daily API calls. An integration user often may not read the limits: then the answers' own header tells."""
    refused: ApiError | None = None
    told: rest.ApiUsage | None = None
    run.usage = _believed(run.client.api_usage)
    try:
        daily = run.client.limits().get("DailyApiRequests") or {}
        told = _believed(rest.ApiUsage(int(daily["Max"]) - int(daily["Remaining"]), int(daily["Max"])))
    except ApiError as exc:
        if _is_about_the_api(exc, has_answered=run.usage is not None):
            raise
        refused = exc
    except (KeyError, TypeError, ValueError, OverflowError):
        pass
    run.usage = told or _believed(run.client.api_usage)
    seen = _usage(run.usage)
    if refused is not None:
        source = ", says the answers' header." if run.usage else "."
        raise Remark(refused.code, f"{seen}{source}", description=refused.message)
    return seen


def _believed(usage: rest.ApiUsage | None) -> rest.ApiUsage | None:
    """None for numbers that can't be."""
    return usage if usage and 0 <= usage.used <= _MOST_CALLS and 0 < usage.limit <= _MOST_CALLS else None


def _usage(usage: rest.ApiUsage | None) -> str:
    if usage is None:
        return "the org tells no limits"
    share = usage.used / usage.limit
    sentence = f"{usage.used:,} of {usage.limit:,} API calls used in 24 hours"
    if share >= USAGE_WARNING_SHARE:
        raise Warn("api_limit_near", f"{sentence} ({share:.0%}).")
    return sentence


def _is_about_the_api(error: ApiError, *, has_answered: bool) -> bool:
    """Whether the org refuses every call, so that the connection is of no use; not only what was asked for just now."""
    if error.status_code == 401 or error.status_code >= 500:
        return True
    if error.code == "API_DISABLED_FOR_ORG":  # said of single resources, too
        return not has_answered
    return error.code in ("API_CURRENTLY_DISABLED", "REQUEST_LIMIT_EXCEEDED")


def _sample_record(run: Run) -> str:
    """A refusal here is a warning: the connection works, its user just may not see this object."""
    sobject, wanted = run.connection.sample_sobject, run.connection.sample_fields
    if not sobject:
        return "none asked for"
    fields = ", ".join(dict.fromkeys(["Id", *wanted]))
    try:
        page = run.client.query(f"SELECT {fields} FROM {sobject} LIMIT 1")  # noqa: S608 - names were checked when saved
    except ApiError as exc:
        if _is_about_the_api(exc, has_answered=run.client.api_usage is not None):
            raise
        meant = _named_in(exc.message, wanted) if exc.code == "INVALID_FIELD" else ""
        raise Warn(
            exc.code, f"The user can't read {sobject}{meant and f'.{meant}'}.", description=exc.message
        ) from exc
    except InvalidInput as exc:
        raise Warn(exc.code, str(exc)) from exc
    return (
        f"{sobject} {as_told(page.records[0].get('Id'))}" if page.records else f"{sobject}: no record visible"
    )


def _named_in(message: str, fields: Sequence[str]) -> str:
    """The field that a refusal is about: Salesforce names the last part of it, in quotes."""
    return next((field for field in fields if f"'{field.rpartition('.')[2]}'" in message), "")


LIGHT_LADDER: Sequence[tuple[str, Action]] = (
    ("settings", _settings),
    ("signing_key", _signing_key),
    ("sign_in", _sign_in),
    ("identity", _identity),
)
LADDER: Sequence[tuple[str, Action]] = (
    ("settings", _settings),
    ("signing_key", _signing_key),
    ("host", _host),
    ("clock", _clock),
    ("sign_in", _sign_in),
    ("scopes", _scopes),
    ("identity", _identity),
    ("environment", _environment),
    ("api_version", _api_version),
    ("limits", _limits),
    ("sample_record", _sample_record),
)
