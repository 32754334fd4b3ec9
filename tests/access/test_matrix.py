"""Every address, action and verb, tried by people with each set of rights: what they are refused changes and calls nothing."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.contrib.messages import get_messages
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.db import transaction
from django.test import Client, override_settings
from django.utils import timezone

from sf_integration import audit, health, tokens
from sf_integration.access import SHELL
from sf_integration.deeds import MATRIX, Deed
from sf_integration.management.commands.salesforce import VERBS, Command
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
    SigningKey,
)
from sf_integration.services import api_clients
from sf_integration.testing.django import ConnectableOrg
from tests.access.people import PEOPLE, Person
from tests.access.places import (
    BY_API_KEY,
    FOREIGN,
    MODELS,
    OWN,
    PAGES,
    PUBLIC,
    Place,
    all_patterns,
    place_of_admin,
)
from tests.test_admin import Inputs

pytestmark = [pytest.mark.once, pytest.mark.django_db]

NAME, LABEL = "verborgen", "Geheimnis-Label"
"""Of the connection that not everybody may see. The label stands in no address, so an answer that has it tells of it."""
WRITES = re.compile(
    r'^\s*(?:INSERT INTO|UPDATE|DELETE FROM)\s+"?((?:sf_integration|auth|django_admin|django_celery)\w+)',
    re.IGNORECASE,
)
MAY_NOT = re.compile(r"may not|hidden from you|There is no API client")


@dataclass(frozen=True)
class Ran:
    status: int
    told: str


def salesforce(*arguments: str) -> Ran:
    """As typed in a shell, but within the transaction of the test."""
    told, status = io.StringIO(), 0
    try:
        call_command(Command(stdout=told, stderr=told), *arguments)
    except CommandError as error:
        status = error.returncode
        told.write(str(error))
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    return Ran(status, told.getvalue())


@dataclass
class Seen:
    """What happened in the meantime."""

    written: list[str] = field(default_factory=list)
    called: int = 0

    def __bool__(self) -> bool:
        return bool(self.written or self.called)


class World:
    def __init__(self, org: ConnectableOrg, folder: Path) -> None:
        self.org, self.folder = org, folder
        self.group = Group.objects.create(name="those who see it")
        self.connection = org.connect(NAME, label=LABEL)
        health.check_connection(self.connection, asked_by="test")
        self.connection.groups.add(self.group)
        self.client = api_clients.make("shop", connections=[self.connection], actor=SHELL).client
        self.revoked = api_clients.make("old", connections=[self.connection], actor=SHELL).client
        api_clients.revoke(self.revoked, actor=SHELL)
        now = timezone.now()
        CheckDay.objects.create(
            connection=self.connection,
            day=now.date(),
            worst_state="Healthy",
            checks=1,
            healthy=1,
            median_milliseconds=1,
            slowest_milliseconds=1,
        )
        happened = ConnectionEvent.objects.create(
            connection=self.connection, kind=ConnectionEvent.Kind.values[0], at=now
        )
        alarm = Alarm.objects.create(
            kind=Alarm.Kind.CONNECTION,
            about=str(self.connection.pk),
            title=LABEL,
            since=now,
            told_at=now,
            connections=[str(self.connection.pk)],
        )
        message = AlarmMessage.objects.create(target="mail:ops@acme.example", subject=LABEL, body=LABEL)
        event = audit.record("checked", self.connection, actor=SHELL)
        self.ids = {
            "connectedapp": self.connection.pk,
            "signingkey": self.connection.signing_key_id,
            "apiclient": self.client.pk,
            "accesstoken": AccessToken.objects.get().pk,
            "connectioncheck": ConnectionCheck.objects.get().pk,
            "checkday": CheckDay.objects.get().pk,
            "connectionevent": happened.pk,
            "auditevent": event.pk,
            "alarm": alarm.pk,
            "alarmmessage": message.pk,
        }
        self.own_draft: Any = ""
        self.strangers = 0

    def person(self, person: Person) -> tuple[User, Client]:
        user, browser = person.user(self.group), Client(raise_request_exception=False)
        browser.force_login(user)
        key = SigningKey.objects.get(pk=self.connection.signing_key_id)
        draft = ConnectionDraft.objects.create(
            made_by=user, name="begun", login_url=self.org.url, signing_key=key
        )
        self.own_draft = draft.pk
        return user, browser

    def address(self, route: str, *, model: str = "", what: str = "") -> str:
        row = self.revoked.pk if (model, what) == ("apiclient", "delete") else self.ids.get(model, "1")
        known = {
            "name": NAME,
            "draft_id": self.own_draft,
            "key_id": self.ids["signingkey"],
            "check_id": self.ids["connectioncheck"],
            "client_id": self.client.pk,
            "connection_id": self.connection.pk,
            "object_id": row,
            "kind": "csv",
            "what": "promote",
            "id": "1",
        }
        filled = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: str(known.get(found[1], "x")), route)
        return f"/{filled}"

    @contextmanager
    def watched(self) -> Iterator[Seen]:
        """What is done is undone."""
        seen, before = Seen(), len(self.org.requests)

        def note(execute: Any, sql: str, *rest: Any) -> Any:
            if found := WRITES.match(sql):
                seen.written.append(found[1])
            return execute(sql, *rest)

        with transaction.atomic():
            with database.execute_wrapper(note):
                yield seen
            transaction.set_rollback(True)
        seen.called = len(self.org.requests) - before
        if seen:
            tokens.reset()


@pytest.fixture
def world(salesforce_org: ConnectableOrg, tmp_path: Path) -> World:
    return World(salesforce_org, tmp_path)


def body_of(answer: Any) -> str:
    parts = answer.streaming_content if answer.streaming else [answer.content]
    return b"".join(parts).decode(errors="replace")


def leaks(answer: Any) -> bool:
    told = body_of(answer) + " ".join(map(str, get_messages(answer.wsgi_request)))
    return LABEL in told


def is_refused(answer: Any, *, in_admin: bool) -> bool:
    """In the admin, a row that one may not know of leads to the start page, as one that isn't there does."""
    return answer.status_code in (403, 404) or (
        in_admin and answer.status_code == 302 and answer.url == "/admin/"
    )


# ---- pages ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Door:
    """A way in: an address and a method."""

    route: str
    name: str
    method: str
    place: Place | None
    """None: nobody does that."""

    @property
    def in_admin(self) -> bool:
        return self.name.startswith("admin:")

    @property
    def model(self) -> tuple[str, str]:
        if not self.name.startswith("admin:sf_integration_"):
            return "", ""
        model, what = self.name.removeprefix("admin:sf_integration_").split("_", 1)
        return model, what

    def open(self, world: World, browser: Client) -> Any:
        model, what = self.model
        path = world.address(self.route, model=model, what=what)
        data = self.place.post if self.place and self.method == "post" else {}
        return getattr(browser, self.method)(path, data)


def doors() -> list[Door]:
    found = []
    for route, name, _pattern in all_patterns():
        if name in PUBLIC | OWN | BY_API_KEY or is_foreign(name):
            continue
        for method in ("get", "post"):
            place = (
                place_of_admin(name.removeprefix("admin:"), method)
                if name.startswith("admin:")
                else PAGES[name]
            )
            if place is None or method in place.methods:
                found.append(Door(route, name, method, place))
    return found


def is_foreign(name: str) -> bool:
    return name.startswith(tuple(f"admin:{app}_" for app in FOREIGN))


def test_every_address_is_in_the_tables() -> None:
    known = PUBLIC | OWN | BY_API_KEY | set(PAGES)
    models = {f"admin:sf_integration_{name}" for name in MODELS}
    missing = [
        (route, name)
        for route, name, _ in all_patterns()
        if name not in known and not is_foreign(name) and name.rpartition("_")[0] not in models
    ]
    assert missing == []


def test_every_page_does_the_deed_that_the_table_tells() -> None:
    told = {
        name: pattern.callback.deed
        for _, name, pattern in all_patterns()
        if hasattr(pattern.callback, "deed")
    }
    assert told == {name: place.deed for name, place in PAGES.items() if name in told}
    assert set(PAGES) - set(told) <= {"metrics"}  # the one is for programs, too


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.name)
def test_every_address_lets_in_whom_the_matrix_lets_in(world: World, person: Person) -> None:
    _user, browser = world.person(person)
    wrong = []
    for door in doors():
        may = door.place is not None and person.may(door.place.deed, of_connection=door.place.of_connection)
        with world.watched() as seen:
            answer = door.open(world, browser)
            if not person.sees and not person.is_superuser and leaks(answer):
                wrong.append(f"{door.method} {door.name}: tells of the connection that is hidden")
        if may and (is_refused(answer, in_admin=door.in_admin) or answer.status_code >= 500):
            wrong.append(f"{door.method} {door.name}: {answer.status_code}, but should be let in")
        if not may and (seen or not is_refused(answer, in_admin=door.in_admin)):
            wrong.append(f"{door.method} {door.name}: {answer.status_code} {seen}, but should be refused")
    assert wrong == []


def test_whoever_is_not_signed_in_is_led_to_the_sign_in(world: World) -> None:
    world.person(PEOPLE[3])
    wrong = []
    for route, name, _pattern in all_patterns():
        if name in PUBLIC | BY_API_KEY:
            continue
        for method in ("get", "post"):
            with world.watched() as seen:
                answer = getattr(Client(), method)(world.address(route))
            is_led = answer.status_code == 302 and "/login/" in answer.url
            if seen or not (is_led or answer.status_code == 405):
                wrong.append(f"{method} {name}: {answer.status_code} {seen}")
    assert wrong == []


def test_what_is_public_needs_no_sign_in_and_tells_of_no_connection(world: World) -> None:
    for route, name, _pattern in all_patterns():
        if name in PUBLIC:
            answer = Client().get(world.address(route))
            assert answer.status_code in (200, 302, 405), name
            assert LABEL not in answer.content.decode()
            assert NAME not in answer.content.decode()


def test_whoever_is_no_staff_stays_outside_the_admin(world: World) -> None:
    user, browser = world.person(PEOPLE[3])
    User.objects.filter(pk=user.pk).update(is_staff=False)
    for route, name, _pattern in all_patterns():
        if name.startswith("admin:") and name not in PUBLIC | {"admin:logout"}:
            answer = browser.get(world.address(route))
            assert answer.status_code == 302, name
            assert "/admin/login/" in answer.url, name


def test_our_permissions_open_no_foreign_page_of_the_admin(world: World) -> None:
    _user, browser = world.person(PEOPLE[3])
    wrong = []
    for route, name, pattern in all_patterns():
        if is_foreign(name) and pattern.name:
            for method in ("get", "post"):
                with world.watched() as seen:
                    answer = getattr(browser, method)(world.address(route))
                if seen or not is_refused(answer, in_admin=True):
                    wrong.append(f"{method} {name}: {answer.status_code}")
    assert wrong == []


def test_a_hidden_connection_and_none_look_the_same(world: World) -> None:
    _user, browser = world.person(PEOPLE[4])
    token = re.compile(r'value="[\w-]{64}"')
    for door in doors():
        if door.in_admin or door.method != "get" or "name>" not in door.route:
            continue
        hidden = door.open(world, browser)
        path = world.address(door.route).replace(NAME, "nicht-da")
        missing = browser.get(path)
        assert hidden.status_code == missing.status_code == 403, door.name
        same = token.sub("", hidden.content.decode()).replace(NAME, "nicht-da")
        assert same == token.sub("", missing.content.decode()), door.name


@pytest.mark.parametrize("button", ["_test", "_try"])
def test_the_buttons_of_the_form_that_sign_in_are_for_who_may_check(world: World, button: str) -> None:
    address = f"/admin/sf_integration/connectedapp/{world.connection.pk}/change/"
    for person in PEOPLE[3], PEOPLE[5]:
        _user, browser = world.person(person)
        posted = Inputs(browser.get(address).content.decode()).values | {button: "1", "label": "Other"}
        with world.watched() as seen:
            answer = browser.post(address, posted)
        may = person.may(Deed.CHECK, of_connection=True)
        assert answer.status_code == (200 if button == "_try" else 302) if may else 403, person
        assert bool(seen.called) == may, person
        assert may or not seen.written, person


# ---- actions of the admin -------------------------------------------------------------------------------------------


def test_every_action_is_in_the_table() -> None:
    for model, model_admin in admin.site._registry.items():
        if model._meta.app_label == "sf_integration":
            shown = {*(model_admin.actions or ())}
            if model_admin.actions is not None and MODELS[str(model._meta.model_name)].delete:
                shown.add("delete_selected")
            assert shown == set(MODELS[str(model._meta.model_name)].actions), model


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.name)
def test_every_action_is_done_for_whom_the_matrix_lets(world: World, person: Person) -> None:
    _user, browser = world.person(person)
    spare = SigningKey.objects.create(name="spare", fingerprint="f", size=2048)
    error = {"code": "wrong_org", "step": "sign_in", "cause": "x", "organization_id": "00D5g000004FaKeEAK"}
    facts = {"environment": "sandbox", "environment_for": world.connection.environment_subject}
    ConnectedApp.objects.update(
        last_error=error,
        expected_org_id="00DAA0000000001AAA",
        tags=["old"],
        failing_since=timezone.now(),
        **facts,
    )
    more = {"revoke_confirmed": "yes", "post": "yes", "tag": "x"}
    wrong = []
    for name, model in MODELS.items():
        for action, deed in model.actions.items():
            chosen = spare.pk if name == "signingkey" else world.ids[name]
            post = more | {"action": action, "_selected_action": str(chosen)}
            post |= {"tag": "old"} if action == "remove_tag" else {}
            with world.watched() as seen:
                if action == "resume":
                    ConnectedApp.objects.update(enabled=False)
                    seen.written.clear()
                answer = browser.post(f"/admin/sf_integration/{name}/", post)
            # A spare signing key is anybody's who manages keys.
            may = person.may(deed, of_connection=name != "signingkey")
            if bool(seen) != may or answer.status_code >= 500:
                wrong.append(f"{action} of {name}: {answer.status_code} {seen}, should be {may}")
    assert wrong == []


# ---- verbs ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Typed:
    arguments: tuple[str, ...]
    of_connection: bool = True


TYPED = {
    "list": Typed(("list",), of_connection=False),
    "check": Typed(("check", NAME)),
    "import": Typed(("import", NAME, "--label", "Other")),
    "export": Typed(("export",), of_connection=False),
    "setup-kit": Typed(("setup-kit", NAME, "--out", "OUT")),
    "accept-org": Typed(("accept-org", NAME, "--yes")),
    "query": Typed(("query", NAME, "SELECT Id FROM Account LIMIT 1")),
    "record": Typed(("record", NAME, "Account", "001Dn00000Gi7HJIAZ")),
    "token": Typed(("token", NAME, "--yes")),
    "refresh": Typed(("refresh", NAME)),
    "revoke": Typed(("revoke", NAME)),
    "api-clients": Typed(("api-clients",), of_connection=False),
    "make-api-key": Typed(("make-api-key", "new", "--connection", NAME, "--yes")),
    "revoke-api-key": Typed(("revoke-api-key", "shop")),
    "make-key": Typed(("make-key", "new", "--out", "OUT"), of_connection=False),
    "register-key": Typed(
        ("register-key", "new", "--signer", "s", "--reference", "r", "--certificate-file", "OUT"),
        of_connection=False,
    ),
    "rotate-key": Typed(("rotate-key", NAME, "--out", "OUT")),
    "reencrypt": Typed(("reencrypt", "--dry-run"), of_connection=False),
    "audit": Typed(("audit",), of_connection=False),
    "alarms": Typed(("alarms",), of_connection=False),
    "test-alarm": Typed(("test-alarm",), of_connection=False),
    "schedule": Typed(("schedule",), of_connection=False),
}
ANYBODY = {"explain", "try-api-key"}
"""They read what is given to them: a text, an API key."""


def test_every_verb_is_in_the_table_with_its_deed() -> None:
    assert {verb.name for verb in VERBS} == set(TYPED) | ANYBODY
    assert {verb.name for verb in VERBS if verb.deed is None} == ANYBODY


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.name)
def test_every_verb_is_done_for_whom_the_matrix_lets(world: World, person: Person) -> None:
    user, _browser = world.person(person)
    wrong = []
    for verb in VERBS:
        if verb.deed is None:
            continue
        typed = TYPED[verb.name]
        out = str(world.folder / f"{verb.name}-{person.name}")
        arguments = [out if word == "OUT" else word for word in typed.arguments]
        with world.watched() as seen:
            ran = salesforce("--as", user.username, *arguments)
        refused = ran.status == 1 and bool(MAY_NOT.search(ran.told))
        may = person.may(verb.deed, of_connection=typed.of_connection)
        if refused == may or (not may and (seen or Path(out).exists())):
            wrong.append(f"{verb.name}: {ran.status} {ran.told} {seen}, should be {may}")
        if not person.sees and not person.is_superuser and LABEL in ran.told:
            wrong.append(f"{verb.name}: tells of the connection that is hidden")
    assert wrong == []


def test_renewing_all_that_is_due_is_for_who_sees_all(world: World) -> None:
    for person in PEOPLE:
        with world.watched() as seen:
            user = person.user(world.group)
            seen.written.clear()
            ran = salesforce("--as", user.username, "refresh")
        may = person.may(Deed.RENEW_DUE, of_connection=True)
        assert (ran.status == 0) == may, person
        assert may or not seen, person


def test_whoever_was_made_inactive_may_type_nothing(world: World) -> None:
    User.objects.create_user("former", is_superuser=True, is_active=False)
    for name, typed in TYPED.items():
        with world.watched() as seen:
            ran = salesforce(
                "--as",
                "former",
                *(str(world.folder / "x") if word == "OUT" else word for word in typed.arguments),
            )
        assert ran.status == 1, name
        assert MAY_NOT.search(ran.told), name
        assert not seen, name


# ---- tokens over HTTP -----------------------------------------------------------------------------------------------


def test_an_api_key_opens_its_own_connections_while_it_is_in_force(world: World) -> None:
    other = world.org.connect("other", signing_key=world.connection.signing_key)
    keys = {
        "its own": api_clients.make("a", connections=[world.connection], actor=SHELL).api_key,
        "another's": api_clients.make("b", connections=[other], actor=SHELL).api_key,
    }
    for state, change in (
        ("revoked", {"revoked_at": timezone.now()}),
        ("expired", {"expires_at": timezone.now()}),
    ):
        issued = api_clients.make(state, connections=[world.connection], actor=SHELL)
        ApiClient.objects.filter(pk=issued.client.pk).update(**change)
        keys[state] = issued.api_key
    keys["unknown"], keys["none"] = keys["its own"][:-1] + "?", ""
    statuses = {"its own": 200, "another's": 403}
    asked = {
        "jwtauth": ("post", "/api/jwtauth"),
        "health": ("get", f"/api/connections/{NAME}/health"),
        "connections": ("get", "/api/connections"),
    }
    with override_settings(SF_INTEGRATION=settings.SF_INTEGRATION | {"TOKEN_API": True}):
        for kind, key in keys.items():
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            for name, (method, path) in asked.items():
                taken, called = AuditEvent.objects.filter(act="took token").count(), len(world.org.requests)
                body = (
                    {"data": {"connection": NAME}, "content_type": "application/json"}
                    if method == "post"
                    else {}
                )
                answer = getattr(Client(), method)(path, headers=headers, **body)
                wanted = 200 if name == "connections" and kind == "another's" else statuses.get(kind, 401)
                assert answer.status_code == wanted, (kind, name)
                if kind != "its own":
                    assert LABEL not in answer.content.decode(), (kind, name)
                    assert AuditEvent.objects.filter(act="took token").count() == taken, (kind, name)
                    assert len(world.org.requests) == called, (kind, name)
    assert MATRIX[Deed.TAKE_TOKEN].of_connection
