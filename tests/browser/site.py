"""A site with everything that pages can show: a connection in every state, its history, a rotation half-way, drafts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from sf_integration import access, audit, crypto, health, keystore
from sf_integration.alarms import rounds
from sf_integration.conf import ENVIRONMENTS
from sf_integration.conf import settings as app_settings
from sf_integration.fields import Sealed
from sf_integration.models import (
    AccessToken,
    Alarm,
    AlarmMessage,
    ApiClient,
    AuditEvent,
    CheckDay,
    ConnectedApp,
    ConnectionCheck,
    ConnectionDraft,
    ConnectionEvent,
    RecentLookup,
    SigningKey,
)
from sf_integration.services import api_clients, rotation
from sf_integration.state import ConnectionState
from sf_integration.testing.django import ConnectableOrg

ACCOUNT = "001Dn00000Gi7HJIAZ"
OTHER_ORG = "00D5g000004FaKeEAK"
DEAD_HOST = "http://127.0.0.1:9"
"""Nobody listens there."""
MY_DOMAIN = "https://acme.my.salesforce.com"
LOST_KEY = crypto.Keyring.from_text([crypto.new_key()]).key_ids[0]

STATES = {
    "acme": ConnectionState.HEALTHY,
    "ageing": ConnectionState.NEEDS_ATTENTION,
    "contradicted": ConnectionState.NEEDS_ATTENTION,
    "sick": ConnectionState.FAILING,
    "moved": ConnectionState.FAILING,
    "lost": ConnectionState.FAILING,
    "down-1": ConnectionState.FAILING,
    "down-2": ConnectionState.FAILING,
    "down-3": ConnectionState.FAILING,
    "keyless": ConnectionState.ENCRYPTION_KEY_MISSING,
    "barred": ConnectionState.NOT_ALLOWED_HERE,
    "resting": ConnectionState.PAUSED,
    "fresh": ConnectionState.NOT_CHECKED_YET,
    "dozing": ConnectionState.IDLE,
}
"""What the pages must say of them. Those of the rotation (`ROTATING`) come on top."""
HAPPENINGS = (
    (3, ConnectionEvent.Kind.SIGNED_IN, ""),
    (9.9, ConnectionEvent.Kind.STATE, ConnectionState.HEALTHY.value),
    (10, ConnectionEvent.Kind.ENDED, ""),
    (10.4, ConnectionEvent.Kind.REFUSED, "server_error"),
    (10.5, ConnectionEvent.Kind.STATE, ConnectionState.FAILING.value),
)
"""Hours ago, what, and which code."""
ROTATING = ("rotate-not-uploaded", "rotate-promoted", "rotate-failing", "rotate-staged", "rotate-nothing")


@dataclass(frozen=True)
class Site:
    """What addresses need."""

    ids: dict[str, Any]
    """By the words that stand in the addresses of the tables: `{key}`, `{draft}` …"""
    sessions: dict[str, str]
    """Cookies of who is signed in: `admin` may do all, `looker` sees only, `nobody` has no right."""


def build(org: ConnectableOrg) -> Site:
    allow(org)
    admin = User.objects.create_superuser("admin", password="pw-admin-12345")
    connections = connect(org)
    for name in ("acme", "sick", "moved", "lost", "contradicted", "down-1", "down-2", "down-3"):
        health.check_connection(connections[name], asked_by="admin")
    bring_about(connections)
    key = rotate(org)
    raise_alarms()
    give_history(connections["acme"])
    for act, fields in (("changed", ["username"]), ("paused", []), ("resumed", [])):
        audit.record(act, connections["acme"], actor=access.SHELL, fields=fields)
    RecentLookup.objects.create(
        user=admin, connection=connections["acme"], sobject="Account", record_id=ACCOUNT
    )
    ids = {
        "acme": connections["acme"].pk,
        "check": ConnectionCheck.objects.filter(connection__name="sick").latest("at").pk,
        "key": key.pk,
        "token": AccessToken.objects.filter(connection=connections["acme"]).get().pk,
        "event": ConnectionEvent.objects.latest("at").pk,
        "audit": AuditEvent.objects.latest("at").pk,
        "client": api_client("reports", connections["acme"], connections["sick"]).pk,
        "revoked": api_client("old-reports", connections["acme"], revoked_at=timezone.now()).pk,
        **drafts(admin, org),
    }
    sessions = {"admin": admin, "looker": looker(), "nobody": User.objects.create_user("nobody")}
    return Site(ids, {name: signed_in(Client(), user) for name, user in sessions.items()})


def api_client(name: str, *connections: ConnectedApp, **facts: Any) -> ApiClient:
    made = api_clients.make(name, connections=connections, notes="The BI team's.", actor=access.SHELL).client
    if facts:
        ApiClient.objects.filter(pk=made.pk).update(**facts)
    return made


def allow(org: ConnectableOrg) -> None:
    """Orgs of every kind but one, and two hosts that stand for Salesforce's shared login hosts."""
    server = org.server
    assert server is not None
    hosts = server.open_login_host(), server.open_login_host(for_sandboxes=True)
    settings.SF_INTEGRATION["ALLOWED_HOSTS"].append(urlsplit(DEAD_HOST).netloc)
    settings.SF_INTEGRATION["LOGIN_HOSTS"] = hosts
    settings.SF_INTEGRATION["ALLOWED_ENVIRONMENTS"] = sorted({*ENVIRONMENTS} - {"trailhead"})


def connect(org: ConnectableOrg) -> dict[str, ConnectedApp]:
    own: dict[str, dict[str, Any]] = {
        "acme": {
            "label": "Acme Coffee",
            "tags": ["coffee", "retail"],
            "our_contacts": "ann@example.com",
            "extra_usernames": ["ops@nordhafen.example"],
            "notes": "Calls at night only.",
        },
        "ageing": {
            "label": "A company with a very long name that goes on, and on (Holding GmbH & Co. KG)",
            "signing_key": keystore.make(name="ageing", days=20),
            "tags": ["retail"],
        },
        "sick": {"consumer_key": "3MVG9nonsense", "tags": ["retail"]},
        "moved": {"expected_org_id": OTHER_ORG},
        "lost": {"login_url": app_settings.LOGIN_HOSTS[1]},
        "keyless": {"signing_key": keystore.make(name="keyless")},
        **{f"down-{number}": {"login_url": DEAD_HOST} for number in (1, 2, 3)},
    }
    return {name: org.connect(name, **own.get(name, {})) for name in STATES}


def bring_about(connections: dict[str, ConnectedApp]) -> None:
    """The states that a check can't bring about here, by the facts that would have led to them."""
    now = timezone.now()

    def store(name: str, **facts: Any) -> None:
        ConnectedApp.objects.filter(name=name).update(**facts)

    def checked(at: dt.datetime) -> dict[str, dt.datetime]:
        return dict.fromkeys(("last_checked_at", "last_full_check_at", "last_success_at"), at)

    contradiction = {
        "step": "environment",
        "code": "environment_contradiction",
        "message": "It is another's.",
    }
    known = ConnectedApp.objects.get(name="contradicted").organization
    store("contradicted", warnings=[contradiction], organization=known | {"my_domain": MY_DOMAIN})
    store("ageing", **checked(now))
    store("resting", enabled=False)
    store("dozing", **checked(now - dt.timedelta(hours=30)))
    store("barred", environment="trailhead", environment_for=connections["barred"].environment_subject)
    AccessToken.objects.filter(connection=connections["acme"]).update(
        early_ends=3, shortest_life_seconds=1800
    )
    seal_with_a_lost_key(connections["keyless"].signing_key)


def seal_with_a_lost_key(key: SigningKey) -> None:
    sealed = key.private_key.ciphertext
    SigningKey.objects.filter(pk=key.pk).update(private_key=Sealed(f"v1.{LOST_KEY}{sealed[11:]}", LOST_KEY))


def rotate(org: ConnectableOrg) -> SigningKey:
    """A signing key whose connections are at each stage of its rotation."""
    old, new = keystore.make(name="packaged-app"), keystore.make(name="packaged-app-2027")
    for name in ROTATING:
        app = org.add_app(name=name, certificate_pem=old.certificate)
        user = org.add_user(f"{name}@nordhafen.example")
        org.connect(name, consumer_key=app.consumer_key, username=user.username, signing_key=old)
    ConnectedApp.objects.filter(name__in=ROTATING).update(
        organization={"name": "Umbrella Holding GmbH & Co. KG"},
        org_contacts="ann.long-name@subsidiary.example\nbob@acme.example",
    )
    found = {each.name: each for each in rotating()}
    rotation.start([found[name] for name in ROTATING[:4]], actor=access.SHELL, new_key=new)
    for name in ("rotate-promoted", "rotate-failing"):
        org.apps[found[name].consumer_key].replace_certificate(new.certificate)
    refused = org.find_user(found["rotate-failing"].username)
    assert refused is not None
    refused.approved = False
    rotation.try_all([each for each in rotating() if each.name in ROTATING[:3]], actor=access.SHELL)
    return old


def raise_alarms() -> None:
    """By mail to the site; one is over, and one message was not taken."""
    settings.SF_INTEGRATION["ALARM_MAIL"] = ["ops@here.example"]
    now = timezone.now()
    for later in (5, 10):
        rounds.run(now + dt.timedelta(minutes=later))
    Alarm.objects.filter(title="sick").update(ended_at=now, ending="recovered")
    AlarmMessage.objects.update(attempts=2, problem="ConnectionRefusedError")


def rotating() -> list[ConnectedApp]:
    keys = ("signing_key", "staged_signing_key", "previous_signing_key")
    return list(ConnectedApp.objects.select_related(*keys).filter(name__in=ROTATING))


def give_history(connection: ConnectedApp, failing: Collection[int] = (20, 21)) -> None:
    """A month of checks and what happened meanwhile: well, but for an hour of the night.

    failing: which half-hours ago it failed.
    """
    now = timezone.now()
    steps = ConnectionCheck.objects.filter(connection=connection).latest("at").steps
    checks, events = [], []
    for number in range(1, 60):
        at = now - dt.timedelta(hours=number / 2)
        state = ConnectionState.FAILING if number in failing else ConnectionState.HEALTHY
        checks.append(
            ConnectionCheck(
                connection=connection,
                at=at,
                asked_by="beat",
                healthy=state.is_healthy,
                light=number % 8 != 0,
                state=state.value,
                steps=steps,
                milliseconds=180 + 37 * (number % 9),
                api_used=1000 + number,
                api_limit=15000,
            )
        )
    for hours, kind, code in HAPPENINGS:
        at = now - dt.timedelta(hours=hours)
        events.append(ConnectionEvent(connection=connection, at=at, kind=kind, code=code, milliseconds=212))
    ConnectionCheck.objects.bulk_create(checks)
    ConnectionEvent.objects.bulk_create(events)
    CheckDay.objects.bulk_create(
        CheckDay(
            connection=connection,
            day=(now - dt.timedelta(days=day)).date(),
            checks=24,
            healthy=24 - 3 * (day == 9),
            worst_state=(ConnectionState.FAILING if day == 9 else ConnectionState.HEALTHY).value,
            median_milliseconds=190 + day,
            slowest_milliseconds=600 + 11 * day,
            api_used=1200,
            api_limit=15000,
        )
        for day in range(2, 31)
    )


def drafts(admin: User, org: ConnectableOrg) -> dict[str, Any]:
    """Set-ups at their beginning, half-way, and at a failure that the guide explains."""
    values = {"made_by": admin, "login_url": org.url}
    half = values | {"signing_key": keystore.make(name="half-way"), "steps_done": ["licence"]}
    return {
        "draft": ConnectionDraft.objects.create(name="begun", label="Begun", **values).pk,
        "half": ConnectionDraft.objects.create(name="half-way", label="Half-way", **half).pk,
        "spare": ConnectionDraft.objects.create(name="spare", label="Spare", **values).pk,
    }


def looker() -> User:
    user = User.objects.create_user("looker")
    user.user_permissions.set(Permission.objects.filter(codename="view_health"))
    return user


def signed_in(client: Client, user: User) -> str:
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    return client.cookies[settings.SESSION_COOKIE_NAME].value
