"""Whoever asks for a token and gets none learns why, by the same error at every door: Python, HTTP, command line."""

from __future__ import annotations

import datetime as dt
import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from sf_integration import access, get_token, tokens
from sf_integration.access import SHELL, Deed
from sf_integration.models import ApiClient, ConnectedApp
from sf_integration.salesforce.errors import (
    ActionNeeded,
    ApiKeyRefused,
    ConnectionPaused,
    EncryptionKeyMissing,
    NotAllowedHere,
    PermissionMissing,
    SalesforceError,
    UnknownConnection,
    UsernameNotAllowed,
)
from sf_integration.services import api_clients, api_keys
from sf_integration.testing.django import ConnectableOrg
from sf_integration.token_api import throttle, uses

from .test_command_line import Ran, salesforce

pytestmark = pytest.mark.django_db(transaction=True)

OPS = "ops@acme.example"


@dataclass
class World:
    """A connection that works, a program that may use it, a person without any right; and ways to ask for a token."""

    org: ConnectableOrg
    settings: Any
    acme: ConnectedApp
    api_key: str

    # Set by a case, where the fault lies in what is asked for.
    name: str = "acme"
    username: str | None = None
    person: str = ""

    def in_python(self) -> object:
        if self.person:
            return access.require(User.objects.get(username=self.person), Deed.TAKE_TOKEN, self.acme)
        return get_token(self.name, username=self.username)

    def by_http(self) -> tuple[int, dict[str, Any]]:
        body = {"connection": self.name} | ({"sub": self.username} if self.username else {})
        response = Client().post(
            "/api/jwtauth",
            json.dumps(body),
            content_type="application/json",
            headers={"Authorization": f"Bearer {self.api_key}"},
        )
        return response.status_code, response.json()

    def on_the_command_line(self) -> Ran:
        person = ("--as", self.person) if self.person else ()
        user = ("--username", self.username) if self.username else ()
        return salesforce(*person, "token", self.name, *user, "--yes")

    def configure(self, **more: object) -> None:
        self.settings.SF_INTEGRATION = self.settings.SF_INTEGRATION | more
        tokens.reset()


@pytest.fixture
def world(salesforce_org: ConnectableOrg, settings: Any) -> Iterator[World]:
    acme = salesforce_org.connect("acme")
    User.objects.create_user("nobody")
    issued = api_clients.make("shop", connections=[acme], usernames=[OPS], actor=SHELL)
    made = World(salesforce_org, settings, acme, issued.api_key)
    made.configure(TOKEN_API=True)
    yield made
    uses.forget()
    throttle._own.clear()


def missing_permission(world: World) -> None:
    world.person = "nobody"
    ApiClient.objects.get().connections.clear()


def unknown(world: World) -> None:
    world.name = "amce"


def paused(world: World) -> None:
    ConnectedApp.objects.update(enabled=False)


def not_allowed_here(world: World) -> None:
    world.configure(ALLOWED_HOSTS=[])


def encryption_key_missing(world: World) -> None:
    world.configure(ENCRYPTION_KEYS=[])


def username_refused(world: World) -> None:
    """The program may ask for this user, but the connection does not list it."""
    world.username = OPS


@dataclass(frozen=True)
class Refusal:
    arrange: Callable[[World], None]
    error: type[SalesforceError]
    code: str
    words: str
    """In Python and on the command line."""
    status: int
    """Over HTTP."""
    http_code: str = ""
    """Where it is not the same."""
    http_words: str = ""


REFUSALS = (
    Refusal(
        missing_permission,
        PermissionMissing,
        "permission_missing",
        "You may not take tokens of the connection “acme”.",
        403,
        http_words="This API client may not use the connection “acme”, or there is none of that name.",
    ),
    Refusal(
        unknown,
        UnknownConnection,
        "unknown_connection",
        "There is no connection “amce”. Did you mean “acme”?",
        403,
        # Programs can't find out by trying which connections there are.
        http_code="permission_missing",
        http_words="This API client may not use the connection “amce”, or there is none of that name.",
    ),
    Refusal(paused, ConnectionPaused, "paused", "The connection “acme” is paused.", 409),
    Refusal(not_allowed_here, NotAllowedHere, "not_allowed_here", "SF_ALLOWED_HOSTS", 409),
    Refusal(
        encryption_key_missing,
        EncryptionKeyMissing,
        "encryption_key_missing",
        "not configured here",
        409,
    ),
    Refusal(username_refused, UsernameNotAllowed, "username_not_allowed", OPS, 409),
)


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.arrange.__name__)
def test_no_token_at_any_door(case: Refusal, world: World) -> None:
    case.arrange(world)
    with pytest.raises(case.error) as raised:
        world.in_python()
    assert raised.value.code == case.code
    assert case.words in str(raised.value)
    if isinstance(raised.value, ActionNeeded):
        assert raised.value.remedy
        assert raised.value.who

    status, answer = world.by_http()
    assert (status, answer["error"]) == (case.status, case.http_code or case.code)
    assert (case.http_words or case.words) in f"{answer['message']} {answer['cause']} {answer['remedy']}"
    assert answer["remedy"]
    assert answer["who"]
    assert answer["retry_after"] is None

    ran = world.on_the_command_line()
    assert (ran.status, ran.out) == (1, "")
    assert case.words in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert not world.org.requests


def unheard_of(key: str) -> str:
    return f"{key[:-4]}AAAA"


def expired(key: str) -> str:
    ApiClient.objects.update(expires_at=timezone.now() - dt.timedelta(seconds=1))
    return key


def revoked(key: str) -> str:
    api_clients.revoke(ApiClient.objects.get(), actor=SHELL)
    return key


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (unheard_of, "api_key_unknown", "The API key is not known here."),
        (expired, "api_key_expired", "The API key of “shop” has expired."),
        (revoked, "api_key_revoked", "The API client “shop” was revoked."),
    ],
)
def test_api_key_is_refused_at_every_door(
    spoil: Callable[[str], str], code: str, words: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.api_key = spoil(world.api_key)
    with pytest.raises(ApiKeyRefused, match=words) as raised:
        api_keys.authenticate(world.api_key)
    assert (raised.value.code, bool(raised.value.remedy), bool(raised.value.who)) == (code, True, True)

    status, answer = world.by_http()
    assert (status, answer["error"]) == (401, code)
    assert words in answer["message"]

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(world.api_key.encode())))
    ran = salesforce("try-api-key")
    assert (ran.status, ran.out) == (1, "")
    assert words in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert not world.org.requests


def test_each_is_an_error_of_its_own() -> None:
    assert len({case.error for case in REFUSALS} | {ApiKeyRefused}) == len(REFUSALS) + 1


def test_nothing_is_refused_before_something_is_wrong(world: World) -> None:
    assert world.in_python()
    assert world.by_http()[0] == 200
    assert world.on_the_command_line().status == 0
