"""The diagnosis: one ladder of steps from the stored settings to a sample record.

Each step needs the ones before it; after a failure the rest is “not reached”. Works with warnings: Needs attention.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import F
from django.utils import timezone

from . import hosts, tokens
from .conf import settings
from .models import ConnectedApp, ConnectionCheck, normal_username, settings_fingerprint
from .salesforce import diagnosis, keys, rest, signin
from .salesforce.errors import (
    ActionNeeded,
    ApiError,
    InvalidInput,
    NotAllowedHere,
    SalesforceError,
    TransportError,
    WrongOrg,
)
from .salesforce.http import NoAuth
from .salesforce.oauth import Identity
from .state import CERTIFICATE_WARNING, ConnectionState
from .tokens import lifecycle, renewal
from .tokens.renewal import Observer

LIGHT_EVERY = dt.timedelta(minutes=60)
FULL_EVERY = dt.timedelta(hours=24)
USAGE_WARNING_SHARE = 0.8
CALLS_PER_DAY = 24 + 6
"""What the checks of one connection by beat cost of the org's API calls: a light one an hour, a full one a day."""

_FORBIDDING = (
    ConnectionState.PAUSED,
    ConnectionState.NOT_ALLOWED_HERE,
    ConnectionState.ENCRYPTION_KEY_MISSING,
)
RECHECK_FAILING_AFTER = dt.timedelta(minutes=10)

OK, WARNING, FAILED, NOT_REACHED = "ok", "warning", "failed", "not_reached"


@dataclass(frozen=True)
class Step:
    """The outcome of one step, as stored and printed."""

    step: str
    status: str
    code: str = ""
    """What Salesforce said, or our word for it."""
    message: str = ""
    remedy: str = ""
    milliseconds: int = 0


@dataclass
class _Run:
    """What the steps hand on to each other."""

    connection: ConnectedApp
    light: bool
    renew: bool
    observe: Observer | None
    client: rest.Client
    identity: Identity | None = None
    organization: dict[str, Any] = field(default_factory=dict)
    api_version: str = ""
    usage: rest.ApiUsage | None = None
    skew_seconds: float | None = None


class _Warn(Exception):
    def __init__(self, code: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.remedy = code, message, remedy


def check_connection(
    connection: ConnectedApp,
    *,
    asked_by: str,
    light: bool = False,
    renew: bool = True,
    observe: Observer | None = None,
) -> ConnectionCheck:
    """Run the ladder, store it and what it found. Never raises for what is wrong with the connection.

    `renew` makes it a real sign-in whose token becomes the stored one; else the stored token serves. `light` asks the org
    for one thing only. `observe` is shown the sign-in.
    """
    client = rest.Client(
        tokens.Source(connection.name), api_version=connection.api_version, http=tokens.current().http
    )
    run = _Run(connection, light, renew, observe, client)
    started = time.monotonic()
    steps: list[Step] = []
    error: SalesforceError | None = None
    for name, action in _LIGHT_LADDER if light else _LADDER:
        if error is None:
            step, error = _take(name, action, run)
        else:
            step = Step(name, NOT_REACHED)
        steps.append(step)
    if _store_facts(run, steps, error):
        _store_outcome(run, steps, error)
    state = connection.connection_state()
    return ConnectionCheck.objects.create(
        connection=connection,
        asked_by=asked_by,
        healthy=error is None and state.is_healthy,
        light=light,
        state=state.value,
        steps=[asdict(step) for step in steps],
        milliseconds=round((time.monotonic() - started) * 1000),
        api_used=run.usage.used if run.usage else None,
        api_limit=run.usage.limit if run.usage else None,
    )


def due_for_check(now: dt.datetime | None = None) -> Iterator[tuple[UUID, bool]]:
    """(id, light) of the connections that beat should check now.

    The full ladder for new and edited connections and once a day; a light check an hour, each in its own minute.
    """
    now = now or timezone.now()
    connections = ConnectedApp.objects.filter(enabled=True).select_related("signing_key")
    for connection in connections.iterator():
        if not hosts.environment_allowed(connection.known_environment):
            continue
        if _spent(connection) >= USAGE_WARNING_SHARE:
            continue
        full_at = connection.last_full_check_at
        if full_at is None or _edited(connection) or full_at <= now - FULL_EVERY:
            yield connection.pk, False
        elif _hourly_is_due(connection, connection.last_checked_at or full_at, now):
            # What fails is looked at whole, so that it is seen to be well again.
            yield connection.pk, connection.failing_since is None


def tell_changes(now: dt.datetime | None = None) -> int:
    """Signal the states that changed by themselves: a certificate nears its end, a connection idles, an encryption key or
    a kind of org was taken off its list. Returns how many; one query finds them."""
    now = now or timezone.now()
    known = ConnectedApp.objects.with_state(now).select_related("signing_key")
    changed = list(known.exclude(state=F("told_state")))  # type: ignore[misc]
    for connection in changed:
        renewal.tell_change(connection, now)
    return len(changed)


def prune_checks(now: dt.datetime | None = None) -> int:
    """Delete old history; returns how many."""
    limit = (now or timezone.now()) - dt.timedelta(days=settings.KEEP_CHECKS_DAYS)
    return ConnectionCheck.objects.filter(at__lt=limit).delete()[0]


def _hourly_is_due(connection: ConnectedApp, checked_at: dt.datetime, now: dt.datetime) -> bool:
    age = now - checked_at
    if connection.failing_since is not None:
        return age > RECHECK_FAILING_AFTER
    own_minute = connection.pk.int % 60 == now.minute and age > dt.timedelta(minutes=2)
    return own_minute or age > LIGHT_EVERY + dt.timedelta(minutes=5)


def _edited(connection: ConnectedApp) -> bool:
    return connection.checked_fingerprint != settings_fingerprint(connection, connection.username)


def _spent(connection: ConnectedApp) -> float:
    """Share of the org's daily API calls that was used at the last look; old news count as nothing."""
    usage = connection.organization.get("api_usage") or {}
    if not usage.get("limit") or usage.get("at", "") < (timezone.now() - FULL_EVERY).isoformat():
        return 0.0
    return float(usage["used"] / usage["limit"])


def _take(name: str, action: Callable[[_Run], str], run: _Run) -> tuple[Step, SalesforceError | None]:
    started = time.monotonic()

    def step(status: str, code: str = "", message: str = "", remedy: str = "") -> Step:
        return Step(name, status, code, message, remedy, round((time.monotonic() - started) * 1000))

    try:
        return step(OK, message=action(run)), None
    except _Warn as warning:
        return step(WARNING, warning.code, warning.message, warning.remedy), None
    except ActionNeeded as error:
        # Its text ends with the remedy, which has a place of its own here.
        return step(FAILED, error.code, str(error).removesuffix(error.remedy).strip(), error.remedy), error
    except SalesforceError as error:
        return step(FAILED, error.code, str(error), _remedy(error)), error


def _remedy(error: SalesforceError) -> str:
    found = diagnosis.explain_transport(error.code)
    if isinstance(error, ApiError):
        found = diagnosis.explain(error.error_code, error.message)
    return found.remedy


# ---- the steps, in order --------------------------------------------------------------------------------------------


def _settings(run: _Run) -> str:
    renewal.guard(run.connection, run.connection.username)
    return f"{run.connection.login_url}, {run.connection.known_environment}"


def _signing_key(run: _Run) -> str:
    signing_key = run.connection.signing_key
    key = tokens.current().private_key(signing_key)
    if not signing_key.certificate or signing_key.not_after is None:
        return f"{signing_key.name}, {signing_key.size} bits; certificate not known here"
    keys.require_match(key, keys.read_certificate(signing_key.certificate.encode()))
    left = signing_key.not_after - timezone.now()
    if left <= CERTIFICATE_WARNING:
        raise _Warn(
            "certificate_ending",
            f"The certificate ends on {signing_key.not_after:%Y-%m-%d}. Salesforce does not enforce it, "
            "but reviews and audits do.",
            "Make a new key pair and upload its certificate to the app.",
        )
    return f"{signing_key.name}, {signing_key.size} bits, certificate to {signing_key.not_after:%Y-%m-%d}"


def _host(run: _Run) -> str:
    """Name, TCP and TLS. Any answer will do: login.salesforce.com has no API of its own."""
    url = run.connection.login_url
    try:
        response = tokens.current().http.request(
            "GET", f"{url}/services/data", auth=NoAuth(), timeout_seconds=10
        )
        run.skew_seconds = rest.clock_skew_seconds(response, time.time())
        tokens.current().note_clock(url, run.skew_seconds)
    except TransportError as error:
        if error.status_code is None:
            raise
    return "answers over TLS" if url.startswith("https") else "answers without TLS (this machine itself)"


def _clock(run: _Run) -> str:
    skew = run.skew_seconds
    if skew is None:
        return "the host told no time"
    if abs(skew) >= lifecycle.CLOCK_WARNING_SECONDS:
        corrected = " Sign-ins allow for it." if signin.corrected_skew(skew) else ""
        raise _Warn(
            "clock_skew",
            f"Our clock is {abs(skew):.0f} seconds {'ahead of' if skew > 0 else 'behind'} Salesforce's.{corrected}",
            "Set the clock of this machine by NTP.",
        )
    return f"within {max(abs(skew), 1):.0f} s of the host's"


def _sign_in(run: _Run) -> str:
    name = run.connection.name
    refused = None if run.renew else tokens.refusal(name)
    if refused is not None:
        # The stored token may still be served, but the org has refused the next one.
        raise refused
    token = tokens.refresh(name, observe=run.observe) if run.renew else tokens.get(name)
    return f"instance {token.instance_url}"


def _scopes(run: _Run) -> str:
    scopes = tokens.get(run.connection.name).scopes
    if scopes and not {"api", "full"} & set(scopes):
        raise _Warn(
            "scope_api_missing",
            f"The token has the scopes {' '.join(scopes)}, not “api”.",
            "Add the scope “Manage user data via APIs (api)” to the app.",
        )
    return " ".join(scopes) or "the org named none"


def _identity(run: _Run) -> str:
    run.identity = run.client.identity()
    _require_pinned_org(run.connection, run.identity.organization_id)
    if normal_username(run.identity.username) != normal_username(run.connection.username):
        raise ActionNeeded(
            f"The token belongs to {run.identity.username}, not to {run.connection.username}.",
            remedy="Check username and consumer key.",
            code="wrong_user",
        )
    return f"{run.identity.username} in org {run.identity.organization_id}"


def _require_pinned_org(connection: ConnectedApp, organization_id: str) -> None:
    pinned = connection.expected_org_id
    if pinned and pinned[:15] != organization_id[:15]:
        raise WrongOrg(
            f"This is the org {organization_id}, the connection is pinned to {pinned}.",
            remedy="Check the login URL. If the org was really replaced, accept the new org.",
            who="an administrator of this site",
        )


def _environment(run: _Run) -> str:
    """The org's own word on what it is; the host's name stands when the user may not ask."""
    try:
        page = run.client.query(
            "SELECT Id, Name, OrganizationType, IsSandbox, InstanceName, TrialExpirationDate FROM Organization LIMIT 1"
        )
        row = page.records[0]
    except (ApiError, IndexError) as exc:
        if isinstance(exc, ApiError) and exc.status_code == 401:
            raise
        return (
            f"{run.connection.known_environment}, by its host; the user may not read the Organization record"
        )
    run.organization = {
        "name": row.get("Name") or "",
        "edition": row.get("OrganizationType") or "",
        "instance": row.get("InstanceName") or "",
        "is_sandbox": bool(row.get("IsSandbox")),
    }
    return _judge_environment(run, trial=bool(row.get("TrialExpirationDate")))


def _judge_environment(run: _Run, *, trial: bool) -> str:
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
    by_host = hosts.environment_of(connection.login_url)
    if by_host in ("sandbox", "scratch") and not organization["is_sandbox"]:
        raise _Warn(
            "environment_contradiction",
            f"The host says {by_host}, the org says {found}.",
            "Check that the login URL is that of the org you mean.",
        )
    return f"{found}, {organization['name']} ({organization['edition']}, {organization['instance']})"


def _api_version(run: _Run) -> str:
    served = run.client.versions()
    wanted = run.connection.api_version
    run.api_version = wanted or rest.newest_common_version(served)
    if wanted and wanted not in {version.version for version in served}:
        raise ActionNeeded(
            f"The org does not serve API version {wanted}; it serves {', '.join(version.version for version in served) or 'none'}.",
            remedy="Change or empty the connection's API version.",
            who="an administrator of this site",
            code="api_version_not_served",
        )
    return f"{run.api_version}; the org serves up to {served[-1].version if served else 'none'}"


def _limits(run: _Run) -> str:
    """Daily API calls. An integration user often may not read the limits: then the answers' own header tells."""
    try:
        daily = run.client.limits().get("DailyApiRequests") or {}
        run.usage = rest.ApiUsage(int(daily["Max"]) - int(daily["Remaining"]), int(daily["Max"]))
    except (ApiError, KeyError, TypeError, ValueError):
        run.usage = run.client.api_usage
    if run.usage is None or not run.usage.limit:
        return "the org tells no limits"
    share = run.usage.used / run.usage.limit
    sentence = f"{run.usage.used:,} of {run.usage.limit:,} API calls used in 24 hours"
    if share >= USAGE_WARNING_SHARE:
        raise _Warn("api_limit_near", f"{sentence} ({share:.0%}).", "Find which program calls so often.")
    return sentence


def _sample_record(run: _Run) -> str:
    """A refusal here is a warning: the connection works, its user just may not see this object."""
    sobject = run.connection.sample_sobject
    if not sobject:
        return "none asked for"
    fields = ", ".join(dict.fromkeys(["Id", *run.connection.sample_fields]))
    try:
        page = run.client.query(f"SELECT {fields} FROM {sobject} LIMIT 1")  # noqa: S608 - names were checked when saved
    except ApiError as exc:
        found = diagnosis.explain(exc.error_code, exc.message)
        raise _Warn(exc.code, f"{sobject}: {found.cause}", found.remedy) from exc
    except InvalidInput as exc:
        raise _Warn(exc.code, str(exc)) from exc
    return f"{sobject} {page.records[0]['Id']}" if page.records else f"{sobject}: no record visible"


_LIGHT_LADDER: Sequence[tuple[str, Callable[[_Run], str]]] = (
    ("settings", _settings),
    ("signing_key", _signing_key),
    ("sign_in", _sign_in),
    ("identity", _identity),
)
_LADDER: Sequence[tuple[str, Callable[[_Run], str]]] = (
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


# ---- what is kept ---------------------------------------------------------------------------------------------------


def _store_facts(run: _Run, steps: Sequence[Step], error: SalesforceError | None) -> bool:
    """Write only what this run learned. False, and nothing written, when the connection was edited or deleted meanwhile."""
    now = timezone.now()
    connection = run.connection
    taken = {step.step for step in steps if step.status != NOT_REACHED}
    changes: dict[str, Any] = {
        "last_checked_at": now,
        "warnings": _warnings(connection, steps, taken),
    }
    if not run.light:
        changes["last_full_check_at"] = now
        changes["checked_fingerprint"] = settings_fingerprint(connection, connection.username)
    if run.organization:
        changes |= {
            "environment": run.organization["environment"],
            "environment_for": connection.environment_subject,
        }
    if run.organization or run.usage:
        changes["organization"] = connection.organization | run.organization | _usage_fact(run, now)
    if error is None and run.identity and not connection.expected_org_id:
        changes["expected_org_id"] = run.identity.organization_id
    if error is None and run.api_version and not connection.api_version:
        changes["api_version"] = run.api_version
    asked = {
        field: getattr(connection, field)
        for field in ("login_url", "audience", "consumer_key", "username", "signing_key_id")
    }
    if not ConnectedApp.objects.filter(pk=connection.pk, **asked).update(**changes):
        return False
    for name, value in changes.items():
        setattr(connection, name, value)
    return True


def _store_outcome(run: _Run, steps: Sequence[Step], error: SalesforceError | None) -> None:
    """What forbids any call (paused, not allowed here, encryption key missing) is a state of its own, no failure."""
    now = timezone.now()
    failed = next((step for step in steps if step.status == FAILED), None)
    if failed is not None and run.connection.connection_state(now) in _FORBIDDING:
        renewal.tell_change(run.connection, now)
        return
    if error is not None:
        renewal.note_failure(run.connection, error, now, step=failed.step if failed else "")
        return
    passed = [step.step for step in steps if step.status in (OK, WARNING)]
    renewal.note_success([run.connection], now, passed=passed)


def _warnings(connection: ConnectedApp, steps: Sequence[Step], taken: set[str]) -> list[dict[str, str]]:
    """Those of this run, and those of steps that it did not take. The certificate's end is read live, not stored."""
    kept = [warning for warning in connection.warnings if warning.get("step") not in taken]
    found = [
        {"step": step.step, "code": step.code, "message": step.message}
        for step in steps
        if step.status == WARNING and step.code != "certificate_ending"
    ]
    return kept + found


def _usage_fact(run: _Run, now: dt.datetime) -> dict[str, Any]:
    if run.usage is None:
        return {}
    return {"api_usage": {"used": run.usage.used, "limit": run.usage.limit, "at": now.isoformat()}}
