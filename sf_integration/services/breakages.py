"""What of a stand-in org can be broken: how it is done and undone, and what is to be seen of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from ..models import ConnectedApp
from ..state import ConnectionState
from .stand_in import Order, Overview

FAILING, ATTENTION, HEALTHY = (
    ConnectionState.FAILING,
    ConnectionState.NEEDS_ATTENTION,
    ConnectionState.HEALTHY,
)
SLOW_SECONDS = 2
_USUAL_CALLS = {"api_limit": 15_000, "api_used": 0}
_COUNTERS = {"api_used"}
"""Settings that move by themselves, so that their values tell nothing of what was ordered."""


@dataclass(frozen=True)
class Means:
    """How something is broken and healed."""

    order: Order
    undo: Order | None
    """None where nothing is left to heal."""
    is_seen: Callable[[Overview], bool]
    """Whether it is broken at the moment."""


@dataclass(frozen=True)
class Breakage:
    """One thing that can be broken."""

    key: str
    title: str
    does: str
    """What happens in the org."""
    state: ConnectionState
    """What the check afterwards leads to."""
    sign: str
    """What there is to see."""
    means: Means
    with_new_login: bool = True
    """Whether the check signs in anew; else it begins with the token in store."""


@dataclass(frozen=True)
class Group:
    title: str
    breakages: tuple[Breakage, ...]


def catalogue(connection: ConnectedApp) -> tuple[Group, ...]:
    """All there is, by who or what is to blame. What heals it fits the connection: its certificate, its pinned org."""
    return (
        Group(_("The app in Salesforce"), _of_app(connection)),
        Group(_("The integration user"), _of_user(connection)),
        Group(_("The org"), _of_org(connection)),
        Group(_("The way there"), _of_the_way()),
    )


def _of_app(connection: ConnectedApp) -> tuple[Breakage, ...]:
    keys = (connection.signing_key, connection.staged_signing_key, connection.previous_signing_key)
    ours = [key.certificate for key in keys if key and key.certificate]
    swapped = Breakage(
        "certificate",
        _("Swap the certificate"),
        _("Somebody uploads another certificate to the app, so that our signature no longer fits."),
        FAILING,
        _("“invalid assertion”, and that the two fingerprints are to be compared."),
        Means(
            Order("swap-certificate", {}),
            Order("", {"app.certificate_pem": connection.signing_key.certificate}),
            lambda seen: seen.settings.get("app.certificate_pem") not in ours,
        ),
    )
    return (
        *((swapped,) if connection.signing_key.certificate else ()),
        Breakage(
            "app",
            _("Delete the app"),
            _(
                "The org no longer knows the consumer key, as for an app that was deleted or made minutes ago."
            ),
            FAILING,
            _("“invalid_client_id”, and where the consumer key is to be copied from."),
            _setting({"app.known": False}, {"app.known": True}),
        ),
        Breakage(
            "approval",
            _("Take the approval away"),
            _("The user's permission set is taken off the app's list of pre-authorised ones."),
            FAILING,
            _("“invalid_app_access”, and the menu path to the app's policies."),
            _setting({"user.approved": False}, {"user.approved": True}),
        ),
        Breakage(
            "scope",
            _("Take the scope “api” away"),
            _("Signing in still works, but the token is good for no call."),
            FAILING,
            _("The ladder passes the sign-in, warns at the scopes, and fails at the first call."),
            _setting({"app.scopes": ["id", "refresh_token"]}, {"app.scopes": ["api", "refresh_token"]}),
        ),
        Breakage(
            "refresh",
            _("Take the scope “refresh_token” away"),
            _("The app keeps “api” alone, as many do that were made for other flows."),
            FAILING,
            _("“invalid_request”: this flow needs the scope, though it gives no refresh token."),
            _setting({"app.scopes": ["api"]}, {"app.scopes": ["api", "refresh_token"]}),
        ),
        Breakage(
            "audience",
            _("Refuse the audience"),
            _("The org takes assertions for another address only, as after a change of its My Domain."),
            FAILING,
            _("“audience is invalid”, and the search for the address that fits."),
            _fault("refuse", where="token", error="invalid_grant", description="audience is invalid"),
        ),
    )


def _of_user(connection: ConnectedApp) -> tuple[Breakage, ...]:
    sample = connection.sample_sobject or "Account"
    return (
        Breakage(
            "user",
            _("Deactivate the user"),
            _("An admin of the org deactivates or freezes the integration user."),
            FAILING,
            _("“inactive user”, and that the org's admin must act."),
            _setting({"user.active": False}, {"user.active": True}),
        ),
        Breakage(
            "address",
            _("Keep our address out"),
            _("The profile's login IP ranges leave out the address that we call from."),
            FAILING,
            _("“ip restricted”, and where the ranges are set."),
            _setting({"user.ip_restricted": True}, {"user.ip_restricted": False}),
        ),
        Breakage(
            "api",
            _("Close the API to the user"),
            _("The user loses the permission “API Enabled”; signing in still works."),
            FAILING,
            _("“API_CURRENTLY_DISABLED”, after a sign-in that was passed."),
            _setting({"user.api_enabled": False}, {"user.api_enabled": True}),
        ),
        Breakage(
            "objects",
            _("Hide the sample object"),
            _("The user loses the right to read %(sobject)s.") % {"sobject": sample},
            ATTENTION,
            _("It works, with a warning: to this user the object does not exist."),
            _setting({"user.hidden": [sample]}, {"user.hidden": []}),
        ),
        Breakage(
            "limits",
            _("Hide the limits"),
            _("The user may not read the org's limits, as most integration users may not."),
            HEALTHY,
            _("Nothing fails: the API calls are told by the answers' own header."),
            _setting({"limits_refused": True}, {"limits_refused": False}),
        ),
        Breakage(
            "logins",
            _("Use up the sign-ins"),
            _("Some program signs in for every request, until Salesforce lets the user in no more."),
            FAILING,
            _("“login rate exceeded”, and that nothing here tries again for a while."),
            _setting({"logins_per_hour": 0}, {"logins_per_hour": 3600}),
        ),
    )


def _of_org(connection: ConnectedApp) -> tuple[Breakage, ...]:
    pinned = connection.expected_org_id
    another = Breakage(
        "org",
        _("Put another org in its place"),
        _("The same address leads to another org, as after the refresh of a sandbox."),
        FAILING,
        _("Both org ids. No token is used or stored until you accept the other org."),
        Means(Order("replace", {}), Order("replace", {"org_id": pinned}), lambda seen: seen.org_id != pinned),
    )
    return (
        Breakage(
            "sessions",
            _("End all sessions"),
            _("An admin ends every session, so that the token in store is worth nothing."),
            HEALTHY,
            _("Nothing fails: the first call meets the dead token, signs in anew and is sent again."),
            Means(Order("end-sessions", {}), None, lambda seen: False),
            with_new_login=False,
        ),
        Breakage(
            "closed",
            _("Close the org"),
            _("The org is suspended, or its trial has ended."),
            FAILING,
            _("“inactive organization”, and that Salesforce itself must act."),
            _setting({"active": False}, {"active": True}),
        ),
        Breakage(
            "instance",
            _("Move the org"),
            _("The org's API moves to an address that SF_ALLOWED_HOSTS does not list."),
            FAILING,
            _("The sign-in works, and the token is not sent there. Real orgs move within salesforce.com."),
            Means(Order("move", {}), Order("move-back", {}), lambda seen: seen.has_moved),
        ),
        *((another,) if pinned else ()),
        Breakage(
            "limit_near",
            _("Nearly use up the API calls"),
            _("The org has made 930 of the 1,000 calls that it may make a day."),
            ATTENTION,
            _("It works, with a warning and the share that is used."),
            _setting({"api_limit": 1000, "api_used": 930}, _USUAL_CALLS),
        ),
        Breakage(
            "limit",
            _("Use up the API calls"),
            _("The org has made all of its 500 calls of the day."),
            FAILING,
            _("“REQUEST_LIMIT_EXCEEDED”, and where the org's admin sees who called."),
            _setting({"api_limit": 500, "api_used": 500}, _USUAL_CALLS),
        ),
    )


def _of_the_way() -> tuple[Breakage, ...]:
    return (
        Breakage(
            "maintenance",
            _("Close for maintenance"),
            _("Every address of the org answers with 503 and a page in HTML."),
            FAILING,
            _("That nobody has to act: it is tried again by itself."),
            _fault("maintenance", where="any"),
        ),
        Breakage(
            "proxy",
            _("Put a proxy in between"),
            _("A proxy answers the sign-in with its own login page."),
            FAILING,
            _("The beginning of that page, instead of the JSON that should have come."),
            _fault("html", where="token"),
        ),
        Breakage(
            "renamed",
            _("Rename the My Domain"),
            _("The old address only leads on to a new one, and a redirected sign-in loses its form."),
            FAILING,
            _("Where it leads to. Nothing is sent there: the login URL is yours to change."),
            _fault("redirect", where="token", location="https://renamed.my.salesforce.example/"),
        ),
        Breakage(
            "cut",
            _("Cut the answers off"),
            _("The host hangs up before it has said anything."),
            FAILING,
            _("The ladder fails at the host, before any sign-in."),
            _fault("close", where="any"),
        ),
        Breakage(
            "slow",
            _("Answer slowly"),
            _("The sign-in takes %(seconds)d seconds longer.") % {"seconds": SLOW_SECONDS},
            HEALTHY,
            _("It works; the time beside the step tells where it went."),
            _fault("slow", where="token", seconds=SLOW_SECONDS),
        ),
        Breakage(
            "clock",
            _("Set the clock wrong"),
            _("The org's clock and ours are five minutes apart."),
            ATTENTION,
            _("How far they are apart. Sign-ins allow for it, else they would be refused."),
            _setting({"clock_offset_seconds": 300}, {"clock_offset_seconds": 0}),
        ),
    )


def _setting(broken: Mapping[str, Any], healthy: Mapping[str, Any]) -> Means:
    def is_seen(seen: Overview) -> bool:
        return all(
            seen.settings.get(name) == value for name, value in broken.items() if name not in _COUNTERS
        )

    return Means(Order("", broken), Order("", healthy), is_seen)


def _fault(kind: str, **options: Any) -> Means:
    def is_seen(seen: Overview) -> bool:
        return any(fault.get("kind") == kind for fault in seen.faults)

    order = Order("fail", {"kind": kind, "times": None, **options})
    return Means(order, Order("heal", {"kind": kind}), is_seen)


def find(connection: ConnectedApp, key: str) -> Breakage | None:
    return next((each for each in _all(connection) if each.key == key), None)


def _all(connection: ConnectedApp) -> list[Breakage]:
    return [breakage for group in catalogue(connection) for breakage in group.breakages]


def broken(connection: ConnectedApp, seen: Overview) -> list[Breakage]:
    """What is broken at the moment, by whomever."""
    return [breakage for breakage in _all(connection) if breakage.means.is_seen(seen)]
