"""A copy of a production database, with its encryption keys, on an installation that may call sandboxes only.

Whatever is done there, no request at all arrives at the production org. Each way is shown to reach it where it may.
"""

from __future__ import annotations

import asyncio
import csv
import datetime as dt
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client, override_settings
from django.urls import URLPattern
from django.utils import timezone

from sf_integration import (
    SalesforceAuth,
    aget_client,
    aget_token,
    get_client,
    get_token,
    health,
    keystore,
    tasks,
    tokens,
    urls,
)
from sf_integration.access import SHELL
from sf_integration.admin.connections import ConnectedAppAdmin
from sf_integration.management.commands.salesforce import VERBS
from sf_integration.models import AccessToken, ConnectedApp, ConnectionDraft
from sf_integration.salesforce.errors import NotAllowedHere, SalesforceError
from sf_integration.services import api_clients
from sf_integration.testing.django import ConnectableOrg
from tests.test_admin import Inputs
from tests.test_command_line import salesforce

pytestmark = [
    pytest.mark.once,
    pytest.mark.django_db(transaction=True),
    pytest.mark.salesforce_org(organization_type="Enterprise Edition"),
]

OTHER_ORG = "00D5g000004FaKeEAK"
ADMIN = "/admin/sf_integration/connectedapp/"
RECORD = "001Dn00000Gi7HJIAZ"
COPIES = ("known", "edited", "corrected")
"""Known to be production; edited since it was known to be a sandbox; said to be a sandbox until the org itself said more."""


@dataclass
class World:
    org: ConnectableOrg
    browser: Client
    folder: Path

    def connection(self, name: str) -> ConnectedApp:
        return ConnectedApp.objects.select_related("signing_key").get(name=name)


@dataclass(frozen=True)
class Way:
    go: Callable[[World, str], object]
    calls: bool = True
    """Whether it calls the org where it may."""


WAYS: dict[str, Way] = {}


def way(name: str, *, calls: bool = True) -> Callable[[Callable[[World, str], object]], None]:
    def keep(go: Callable[[World, str], object]) -> None:
        WAYS[name] = Way(go, calls)

    return keep


# ---- code ----


@way("code: get_client().query")
def _(world: World, name: str) -> None:
    get_client(name).query("SELECT Id FROM Account LIMIT 1")


@way("code: get_client().identity")
def _(world: World, name: str) -> None:
    get_client(name).identity()


@way("code: get_client().versions")
def _(world: World, name: str) -> None:
    get_client(name).versions()


@way("code: get_token, none stored")
def _(world: World, name: str) -> None:
    AccessToken.objects.update(value=None, expected_expiry=None)
    get_token(name)


@way("code: get_token in a transaction")
def _(world: World, name: str) -> None:
    AccessToken.objects.update(value=None, expected_expiry=None)
    with transaction.atomic():
        get_token(name)


@way("code: aget_token, none stored")
def _(world: World, name: str) -> None:
    AccessToken.objects.update(value=None, expected_expiry=None)
    asyncio.run(aget_token(name))


@way("code: aget_client().query")
def _(world: World, name: str) -> None:
    async def query() -> None:
        await (await aget_client(name)).query("SELECT Id FROM Account LIMIT 1")

    asyncio.run(query())


@way("code: httpx")
def _(world: World, name: str) -> None:
    from sf_integration.contrib.httpx import SalesforceAuth as Twin

    with httpx.Client(auth=Twin(name)) as client:
        client.get(f"{world.org.url}/services/data/v67.0/limits")


@way("HTTP token API, none stored")
def _(world: World, name: str) -> None:
    AccessToken.objects.update(value=None, expected_expiry=None)
    take_by_http(name)


@way("HTTP token API, a token called refused")
def _(world: World, name: str) -> None:
    take_by_http(name, refused=stored_token(name))


def take_by_http(name: str, **more: str) -> None:
    connection = ConnectedApp.objects.get(name=name)
    key = api_clients.make(f"caller of {name}", connections=[connection], actor=SHELL)
    with override_settings(SF_INTEGRATION=settings.SF_INTEGRATION | {"TOKEN_API": True}):
        Client().post(
            "/api/jwtauth",
            {"connection": name} | more,
            content_type="application/json",
            headers={"Authorization": f"Bearer {key.api_key}"},
        )


def stored_token(name: str) -> str:
    token = AccessToken.objects.get(connection__name=name).value
    return token.open().decode() if token else ""


@way("code: SalesforceAuth")
def _(world: World, name: str) -> None:
    with requests.Session() as session:
        session.get(f"{world.org.url}/services/data/v67.0/limits", auth=SalesforceAuth(name), timeout=10)


@way("code: simple-salesforce", calls=False)  # it insists on https
def _(world: World, name: str) -> None:
    from sf_integration.contrib.simple_salesforce import connect

    connect(name).query("SELECT Id FROM Account LIMIT 1")


@way("code: tokens.renew of a refused one")
def _(world: World, name: str) -> None:
    row = tokens.rows.find(name, None)
    refused = tokens.rows.opened(row)
    assert refused is not None
    tokens.renew(name, None, refused)


@way("code: another user")
def _(world: World, name: str) -> None:
    get_token(name, username="ops@acme.example")


# ---- beat ----


@way("beat: refresh_due_tokens")
def _(world: World, name: str) -> None:
    tasks.refresh_due_tokens.apply()
    for batch in tokens.due_batches():
        tasks.refresh_batch.apply([[str(pk) for pk in batch]])


@way("beat: a batch that was handed out before")
def _(world: World, name: str) -> None:
    tasks.refresh_batch.apply([[str(row.pk) for row in AccessToken.objects.all()]])


@way("beat: check_due_connections")
def _(world: World, name: str) -> None:
    for connection_id, light in health.due_for_check():
        tasks.check_batch.apply([[(str(connection_id), light)]])


@way("beat: a check that was handed out before")
def _(world: World, name: str) -> None:
    tasks.check_batch.apply([[(str(world.connection(name).pk), False)]])


@way("beat: a light check")
def _(world: World, name: str) -> None:
    tasks.check_batch.apply([[(str(world.connection(name).pk), True)]])


@way("worker: many at once, asked for before")
def _(world: World, name: str) -> None:
    asked = [str(world.connection(name).pk)], str(User.objects.get(username="admin").pk)
    began = timezone.now().isoformat()
    tasks.begin_selected.apply(["check", *asked, began])
    tasks.selected_lane.apply(["check", *asked, began])
    tasks.selected_lane.apply(["renew", *asked, began])


@way("beat: housekeeping", calls=False)
def _(world: World, name: str) -> None:
    tasks.housekeeping.apply()


# ---- values that are not saved ----


@way("health.try_values")
def _(world: World, name: str) -> None:
    connection = world.connection(name)
    health.try_values(connection, tokens.current().private_key(connection.signing_key))


# ---- pages ----


def press(path: str, data: dict[str, str] | None = None) -> Callable[[World, str], object]:
    return lambda world, name: world.browser.post(f"/connections/{name}/{path}/", data or {})


WAYS |= {
    "page: check": Way(press("check")),
    "page: refresh": Way(press("refresh")),
    "page: revoke": Way(press("revoke")),
    "page: identity": Way(press("identity")),
    "page: record": Way(press("record", {"sobject": "Account", "record": RECORD})),
    "page: query": Way(press("query", {"soql": "SELECT Id FROM Account LIMIT 1"})),
    "page: rows": Way(
        lambda world, name: world.browser.post(
            f"/connections/{name}/query/rows.csv", {"soql": "SELECT Id FROM Account LIMIT 1"}
        )
    ),
    "page: find_fault": Way(press("find-fault")),
    "page: break_it": Way(press("break-it", {"what": "user"})),
    "page: heal": Way(press("break-it/heal")),
    "page: pause": Way(press("pause"), calls=False),
    "page: resume": Way(press("resume"), calls=False),
    "page: shorten_session": Way(press("shorten-session"), calls=False),
    "page: detail": Way(lambda world, name: world.browser.get(f"/connections/{name}/"), calls=False),
    "page: timeline": Way(
        lambda world, name: world.browser.get(f"/connections/{name}/timeline/"), calls=False
    ),
    "page: list": Way(lambda world, name: world.browser.get("/connections/"), calls=False),
}


@way("page: selected", calls=False)  # it leaves checks and sign-ins to the worker
def _(world: World, name: str) -> None:
    for act in ("check", "renew", "pause", "resume"):
        world.browser.post("/connections/selected/", {"act": act, "chosen": [str(world.connection(name).pk)]})


@way("page: accept_org")
def _(world: World, name: str) -> None:
    meets_other_org(name)
    press("accept-org", {"found": OTHER_ORG, "is_meant": "yes"})(world, name)
    assert world.connection(name).expected_org_id == OTHER_ORG


@way("page: use_own_login_url")
def _(world: World, name: str) -> None:
    warning = {"step": "environment", "code": "environment_contradiction", "message": "x"}
    facts = {"my_domain": world.org.url, "environment": "sandbox"}
    # As if another address had been typed: the org's own is what is called.
    ConnectedApp.objects.filter(name=name).update(
        login_url="https://acme--uat.sandbox.my.salesforce.com", warnings=[warning], organization=facts
    )
    press("use-own-login-url", {"login_url": world.org.url})(world, name)


@way("page: save_found")
def _(world: World, name: str) -> None:
    press("save-found", {"login_url": world.org.url, "audience": world.org.url})(world, name)


@way("page: draft_check")
def _(world: World, name: str) -> None:
    made, admin = world.connection(name), User.objects.get(username="admin")
    values = {field: getattr(made, field) for field in ("login_url", "consumer_key", "username")}
    draft = ConnectionDraft.objects.create(
        made_by=admin,
        name=name,
        signing_key=made.signing_key,
        connection=made,
        app_kind="connected_app",
        **values,
    )
    answer = world.browser.post(f"/connections/new/{draft.pk}/check/", values)
    assert answer.status_code == 302, answer.content.decode()


@way("page: rotation_try")
def _(world: World, name: str) -> None:
    connection = stage_key(world, name)
    answer = world.browser.post(f"/connections/keys/{connection.signing_key.pk}/rotation/try/")
    assert answer.status_code in (200, 302)


# ---- admin ----


def action(name: str, **more: str) -> Callable[[World, str], object]:
    def choose(world: World, connection: str) -> None:
        chosen = [str(world.connection(connection).pk)]
        world.browser.post(ADMIN, {"action": name, "_selected_action": chosen, **more})

    return choose


def change_form(world: World, name: str, **more: str) -> None:
    address = f"{ADMIN}{world.connection(name).pk}/change/"
    posted = Inputs(world.browser.get(address).content.decode()).values
    world.browser.post(address, posted | more)


WAYS |= {
    "admin: check_now": Way(action("check_now")),
    "admin: renew_now": Way(action("renew_now")),
    "admin: revoke_tokens": Way(action("revoke_tokens", revoke_confirmed="yes")),
    "admin: pause": Way(action("pause"), calls=False),
    "admin: resume": Way(action("resume"), calls=False),
    "admin: add_tag": Way(action("add_tag", tag="x"), calls=False),
    "admin: remove_tag": Way(action("remove_tag", tag="x"), calls=False),
    "admin: delete_selected": Way(action("delete_selected", post="yes")),
    "admin: save and test": Way(lambda world, name: change_form(world, name, _test="1")),
    "admin: test without saving": Way(lambda world, name: change_form(world, name, _try="1")),
}


@way("admin: check_view")
def _(world: World, name: str) -> None:
    world.browser.post(f"{ADMIN}{world.connection(name).pk}/check/")


@way("admin: delete")
def _(world: World, name: str) -> None:
    world.browser.post(f"{ADMIN}{world.connection(name).pk}/delete/", {"post": "yes"})


@way("admin: revoke_tokens of the list of tokens")
def _(world: World, name: str) -> None:
    chosen = [str(row.pk) for row in AccessToken.objects.all()]
    data = {"action": "revoke_tokens", "_selected_action": chosen, "revoke_confirmed": "yes"}
    world.browser.post("/admin/sf_integration/accesstoken/", data)


@way("admin: accept_refreshed", calls=False)  # it leaves production orgs alone wherever it is
def _(world: World, name: str) -> None:
    meets_other_org(name)
    action("accept_refreshed")(world, name)


# ---- command line ----


def command(*arguments: str) -> Callable[[World, str], object]:
    return lambda world, name: salesforce(*(name if word == "NAME" else word for word in arguments))


WAYS |= {
    "command: check": Way(command("check", "NAME")),
    "command: check --trace": Way(command("check", "NAME", "--trace")),
    "command: check --find-fault": Way(command("check", "NAME", "--find-fault", "--save")),
    "command: query": Way(command("query", "NAME", "SELECT Id FROM Account LIMIT 1")),
    "command: record": Way(command("record", "NAME", "Account", RECORD)),
    "command: refresh": Way(command("refresh", "NAME")),
    "command: refresh of what is due": Way(command("refresh")),
    "command: revoke": Way(command("revoke", "NAME")),
    "command: list": Way(command("list"), calls=False),
    "command: export": Way(command("export"), calls=False),
}


@way("command: token")
def _(world: World, name: str) -> None:
    AccessToken.objects.update(value=None, expected_expiry=None)
    salesforce("token", name, "--yes")


@way("command: rotate-key")
def _(world: World, name: str) -> None:
    stage_key(world, name)
    salesforce("rotate-key", name, "--try")


@way("command: accept-org")
def _(world: World, name: str) -> None:
    meets_other_org(name)
    salesforce("accept-org", name, "--yes")
    assert world.connection(name).expected_org_id == OTHER_ORG


@way("command: import --check")
def _(world: World, name: str) -> None:
    salesforce("import", name, "--username", world.org.user.username, "--check")


@way("command: import --file --check")
def _(world: World, name: str) -> None:
    made = world.connection(name)
    path = world.folder / "orgs.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "login_url", "consumer_key", "username", "signing_key", "label"])
        writer.writerow(
            [name, made.login_url, made.consumer_key, made.username, made.signing_key.name, "New"]
        )
    ran = salesforce("import", "--file", str(path), "--check")
    assert world.connection(name).label == "New", ran.err


# ---- what they share ----


def stage_key(world: World, name: str) -> ConnectedApp:
    """As when a rotation has begun: the next signing key waits for its certificate in the org."""
    ConnectedApp.objects.filter(name=name).update(staged_signing_key=keystore.make(name=f"{name}-next"))
    return world.connection(name)


def meets_other_org(name: str) -> None:
    now = timezone.now()
    error = {"code": "wrong_org", "step": "sign_in", "cause": "x", "organization_id": OTHER_ORG}
    ConnectedApp.objects.filter(name=name).update(
        expected_org_id="00DAA0000000001AAA", failing_since=now, last_error=error
    )


@pytest.fixture
def world(salesforce_org: ConnectableOrg, admin_client: Client, tmp_path: Path) -> World:
    """Three connections to one production org, with their tokens, as a copied database has them."""
    salesforce_org.add_user("ops@acme.example")
    for name in COPIES:
        salesforce_org.connect(name, extra_usernames=["ops@acme.example"])
        get_token(name)
    subject = ConnectedApp.objects.get(name="known").environment_subject
    ConnectedApp.objects.update(environment="production", environment_for=subject, api_version="67.0")
    ConnectedApp.objects.filter(name="edited").update(
        environment="sandbox", environment_for="as it was before"
    )
    AccessToken.objects.update(refresh_at=timezone.now() - dt.timedelta(minutes=1), last_try_at=None)
    tokens.reset()
    return World(salesforce_org, admin_client, tmp_path)


def guard(settings: Any) -> None:
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "ALLOWED_ENVIRONMENTS": ["sandbox"]}


def correct(world: World) -> None:
    """The copy held it for a sandbox; one look, and the org itself said what it is."""
    ConnectedApp.objects.filter(name="corrected").update(environment="sandbox")
    health.check_connection(world.connection("corrected"), asked_by="test")
    assert world.connection("corrected").known_environment == "production"
    AccessToken.objects.update(refresh_at=timezone.now() - dt.timedelta(minutes=1), last_try_at=None)
    tokens.reset()


def tried(world: World, name: str, connection: str) -> None:
    with suppress(SalesforceError, requests.RequestException):
        WAYS[name].go(world, connection)


@pytest.mark.parametrize("name", WAYS)
def test_no_way_leads_to_the_production_org(world: World, settings: Any, name: str) -> None:
    guard(settings)
    correct(world)
    before = len(world.org.requests)
    for connection in COPIES:
        tried(world, name, connection)
    assert [request.path for request in world.org.requests[before:]] == []


@pytest.mark.parametrize("name", [name for name, found in WAYS.items() if found.calls])
@pytest.mark.long
def test_the_same_way_leads_there_where_it_may(world: World, name: str) -> None:
    """So that the test above could fail."""
    before = len(world.org.requests)
    tried(world, name, "known")
    assert len(world.org.requests) > before


def test_a_token_in_memory_is_handed_out_no_longer_than_until_the_next_look(
    world: World, settings: Any
) -> None:
    """As with any edit: five seconds."""
    get_token("known")
    client = get_client("known")
    guard(settings)
    for copy in tokens.current().copies.values():
        copy.next_look = 0.0
    before = len(world.org.requests)
    for call in (lambda: get_token("known"), client.identity, lambda: get_client("known").limits()):
        with pytest.raises(NotAllowedHere):
            call()
    assert len(world.org.requests) == before


@pytest.mark.parametrize(
    "login_url",
    ["https://login.salesforce.com", "https://acme.my.salesforce.com", "https://salesforce.acme.example"],
)
def test_what_is_not_known_yet_counts_as_production(world: World, settings: Any, login_url: str) -> None:
    """Nobody has asked the org: it may be anything."""
    settings.SF_INTEGRATION["ALLOWED_HOSTS"].append("salesforce.acme.example")
    fresh = ConnectedApp(
        name="fresh",
        login_url=login_url,
        consumer_key="3MVG9",
        username="integration@acme.example",
        signing_key=world.connection("known").signing_key,
    )
    fresh.full_clean()
    assert fresh.known_environment == "production"
    guard(settings)
    fresh.save()
    with pytest.raises(NotAllowedHere):
        get_token("fresh")


def test_a_sandbox_beside_it_is_called_as_ever(world: World, settings: Any) -> None:
    sandbox = world.org.add_org(is_sandbox=True)
    sandbox.connect("uat")
    ConnectedApp.objects.filter(name="uat").update(environment="sandbox")
    guard(settings)
    health.check_connection(world.connection("uat"), asked_by="test")
    assert world.connection("uat").connection_state().value == "Healthy"


# What a new feature must not forget: add its way above, or say here that it calls nobody.


CALLS_NOBODY = {
    "verbs": {
        "explain", "setup-kit", "make-key", "register-key", "reencrypt", "api-clients", "make-api-key", "revoke-api-key",
        "try-api-key", "alarms", "test-alarm", "audit", "schedule", "import",  # import: with --check it does, see above
    },
    "pages": {
        "alarms", "alarm_test", "health_json", "audit", "audit_events", "explain", "guide", "new", "login_url", "draft", "draft_change", "draft_steps", "draft_key",
        "draft_certificate", "draft_kit", "draft_kit_download", "draft_discard", "certificate", "kit", "trace",
        "keys", "key_certificate", "rotation", "rotation_start", "rotation_act",
    },
    "tasks": set(),
}  # fmt: skip


def names_of(kind: str) -> set[str]:
    return {name.partition(": ")[2] for name in WAYS if name.startswith(kind)}


def test_every_verb_is_among_the_ways() -> None:
    told = {name.split()[0] for name in names_of("command")}
    assert {verb.name for verb in VERBS} - told - CALLS_NOBODY["verbs"] == set()


def test_every_page_is_among_the_ways() -> None:
    pages = {pattern.name for pattern in urls.urlpatterns if isinstance(pattern, URLPattern)}
    assert pages - names_of("page") - CALLS_NOBODY["pages"] == set()


def test_every_action_of_the_admin_is_among_the_ways() -> None:
    assert set(ConnectedAppAdmin.actions) - names_of("admin") == set()


def test_every_task_is_among_the_ways() -> None:
    known = {"refresh_due_tokens", "refresh_batch", "check_due_connections", "check_batch", "housekeeping"}
    known |= {"tidy_history"}  # housekeeping runs it
    known |= {"tell_alarms"}  # reads stored facts alone
    known |= {"begin_selected", "selected_lane"}
    found = {name for name in vars(tasks) if hasattr(getattr(tasks, name), "apply_async")}
    assert found - known == set()
