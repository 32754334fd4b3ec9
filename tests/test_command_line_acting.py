"""Who acts on the command line: `--as USER`, and the programs that `make-api-key` lets in."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Sequence

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.utils import timezone

from sf_integration import get_token
from sf_integration.management.commands import salesforce as command
from sf_integration.management.commands.salesforce import VERBS
from sf_integration.models import ApiClient, AuditEvent, ConnectedApp, ConnectionCheck
from sf_integration.services import api_keys
from sf_integration.services.api_keys import API_KEY_PATTERN
from sf_integration.testing.django import ConnectableOrg

from .test_command_line import BRANDT, Ran, salesforce, tables

pytestmark = pytest.mark.django_db(transaction=True)


def person(name: str, *codenames: str) -> User:
    user = User.objects.create_user(name)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


# ---- --as -----------------------------------------------------------------------------------------------------------


ACTS: dict[str, Sequence[str]] = {
    "list": (),
    "check": ("acme",),
    "import": ("acme", "--label", "Other"),
    "export": (),
    "setup-kit": ("acme", "--out", "kit"),
    "accept-org": ("acme", "--yes"),
    "query": ("acme", "SELECT Id FROM Account LIMIT 1"),
    "record": ("acme", "Account", BRANDT),
    "token": ("acme", "--yes"),
    "refresh": ("acme",),
    "revoke": ("acme",),
    "api-clients": (),
    "make-api-key": ("new", "--connection", "acme", "--yes"),
    "revoke-api-key": ("old",),
    "make-key": ("new", "--out", "new.crt"),
    "register-key": ("new", "--signer", "kms", "--reference", "x", "--certificate-file", "x.crt"),
    "rotate-key": ("acme", "--out", "new.crt"),
    "reencrypt": (),
    "alarms": (),
    "test-alarm": (),
    "audit": (),
    "schedule": (),
}
FOR_EVERYBODY = {"explain", "try-api-key"}
"""The one asks nobody, the other whoever has the API key."""


def test_every_verb_is_asked_for_the_right() -> None:
    assert {verb.name for verb in VERBS} == ACTS.keys() | FOR_EVERYBODY


@pytest.mark.parametrize("verb", ACTS)
def test_who_has_no_right_is_refused_and_nothing_is_done(
    verb: str, salesforce_org: ConnectableOrg, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    salesforce_org.connect("acme")
    person("nobody")
    before = tables()
    ran = salesforce("--as", "nobody", verb, *ACTS[verb])
    assert (ran.status, ran.out) == (1, "")
    assert "You may not " in ran.err
    assert "Ask an administrator of this site for the permission." in ran.err
    assert tables() == before
    assert not salesforce_org.requests


@pytest.mark.parametrize("verb", ["check", "query", "token", "refresh", "revoke"])
def test_audit_names_the_person(verb: str, salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    get_token("acme")
    person("mia", "view_health", "run_checks", "look_up_records", "take_tokens")
    assert salesforce(verb, *ACTS[verb], "--as", "mia").status == 0
    assert set(AuditEvent.objects.values_list("actor", flat=True)) == {"mia"}
    assert {*ConnectionCheck.objects.values_list("asked_by", flat=True)} <= {"mia"}


def test_hidden_connections_are_neither_listed_nor_used(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    salesforce_org.connect("hidden").groups.add(Group.objects.create(name="others"))
    person("mia", "view_health", "run_checks", "manage_keys", "take_tokens")
    listed = salesforce("list", "--json", "--as", "mia").json
    assert isinstance(listed, list)
    assert [row["name"] for row in listed] == ["acme"]
    for arguments in (
        ("check", "hidden"),
        ("check", "hiddn"),  # no hint either
        ("token", "hidden", "--yes"),
        ("make-api-key", "new", "--connection", "acme", "hidden", "--yes"),
        ("import", "hidden", "--label", "Mine"),
    ):
        ran = salesforce(*arguments, "--as", "mia")
        assert (ran.status, ran.out) == (1, "")
        assert f"the connection “{arguments[1]}”" in ran.err or "the connection “hidden”" in ran.err
        assert "Did you mean" not in ran.err
    swept = salesforce("refresh", "--as", "mia")
    assert (swept.status, "name those" in swept.err) == (1, True)
    assert not salesforce_org.requests
    assert not ApiClient.objects.exists()


def test_unknown_user_is_told() -> None:
    ran = salesforce("--as", "nobody", "list")
    assert (ran.status, ran.out) == (1, "")
    assert "There is no user “nobody”" in ran.err


def test_user_who_is_switched_off_may_nothing() -> None:
    User.objects.create_superuser("gone", is_active=False)
    assert "You may not see connections" in salesforce("list", "--as", "gone").err


# ---- API clients ----------------------------------------------------------------------------------------------------


def made(*arguments: str) -> str:
    ran = salesforce("make-api-key", "stock-sync", "--connection", "acme", "--yes", *arguments)
    assert ran.status == 0, ran.err
    return ran.out.removesuffix("\n")


def tried(api_key: str, monkeypatch: pytest.MonkeyPatch, *options: str) -> Ran:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(api_key.encode())))
    return salesforce("try-api-key", *options)


def test_api_key_is_printed_alone_and_once(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    api_key = made("--username", "ops@acme.example", "--notes", "BI")
    assert re.fullmatch(API_KEY_PATTERN, api_key)
    client = api_keys.authenticate(api_key)
    assert (client.name, client.usernames, client.notes) == ("stock-sync", ["ops@acme.example"], "BI")
    assert client.expires_at is not None
    assert round((client.expires_at - timezone.now()).total_seconds() / 86_400) == 365
    assert AuditEvent.objects.get(act="made API client").actor == "command line"
    secret = api_key.split("_", 2)[2]  # may hold further ones
    assert secret not in salesforce("api-clients", "--json").out
    assert secret not in str(tables())


def test_api_key_that_cannot_be_printed_is_not_made(
    salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    salesforce_org.connect("acme")
    # It would take this process's own standard output away.
    monkeypatch.setattr(command, "_forget_what_is_unwritten", lambda: None)
    with contextlib.suppress(OSError), open("/dev/full", "w") as full:
        ran = salesforce("make-api-key", "stock-sync", "--connection", "acme", "--yes", out=full)
    assert ran.status == 1
    assert "No space left" in ran.err
    assert not ApiClient.objects.exists()


def test_users_that_no_connection_lists_are_named(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", extra_usernames=["ops@acme.example"])
    both = ("--username", "OPS@acme.example", "bob@acme.example")
    ran = salesforce("make-api-key", "stock-sync", "--connection", "acme", "--yes", *both)
    assert ran.status == 0
    assert "No connection of it lists bob@acme.example yet" in ran.err
    assert "ops@" not in ran.err.lower()


def test_expiry_is_as_asked_for(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    made("--no-expiry")
    assert ApiClient.objects.get().expires_at is None
    for days in ("0", "99999"):
        ran = salesforce("make-api-key", "b", "--connection", "acme", "--yes", "--expires-days", days)
        assert (ran.status, ran.out) == (1, "")
        assert "1 to 3650 days" in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("make-api-key", "b", "--connection", "acme"), "--yes"),
        (("make-api-key", "b", "--connection", "amce", "--yes"), "Did you mean “acme”?"),
        (("make-api-key", "stock-sync", "--connection", "acme", "--yes"), "already: choose another name"),
        (("make-api-key", "b", "--connection", "acme", "--username", "x", "--yes"), "no Salesforce username"),
        (("revoke-api-key", "stocksync"), "There is no API client “stocksync”"),
    ],
    ids=["into a pipe", "unknown connection", "name taken", "no username", "unknown API client"],
)
def test_bad_input_is_one_sentence(
    arguments: tuple[str, ...], words: str, salesforce_org: ConnectableOrg
) -> None:
    salesforce_org.connect("acme")
    made()
    before = [tables(), *ApiClient.objects.values()]
    ran = salesforce(*arguments)
    assert (ran.status, ran.out) == (1, "")
    assert words in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert [tables(), *ApiClient.objects.values()] == before


def test_api_clients_are_listed_with_their_state(salesforce_org: ConnectableOrg) -> None:
    assert "make-api-key" in salesforce("api-clients").out
    salesforce_org.connect("acme")
    made()
    assert salesforce("api-clients", "--json").json == [
        {
            "name": "stock-sync",
            "state": "active",
            "connections": ["acme"],
            "usernames": [],
            "expires_at": ApiClient.objects.get().expires_at.isoformat(),  # type: ignore[union-attr]
            "last_used_at": None,
        }
    ]
    assert salesforce("revoke-api-key", "stock-sync").status == 0
    shown = salesforce("api-clients")
    assert "revoked" in shown.out
    assert "SF_TOKEN_API=on" in shown.err


def test_api_key_from_standard_input_is_told_whose_it_is(
    salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    salesforce_org.connect("acme")
    api_key = made("--username", "ops@acme.example")
    ran = tried(f"  {api_key}\r\n", monkeypatch)
    assert ran.status == 0
    assert "“stock-sync”" in ran.out
    assert "acme, also as ops@acme.example" in ran.out
    answer = tried(api_key, monkeypatch, "--json").json
    assert isinstance(answer, dict)
    assert (answer["name"], answer["state"], answer["connections"]) == ("stock-sync", "active", ["acme"])


def test_connection_of_an_api_client_that_is_gone_is_not_told(
    salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    salesforce_org.connect("acme")
    api_key = made()
    ConnectedApp.objects.all().delete()
    assert "takes tokens of no connection" in tried(api_key, monkeypatch).out


def test_no_api_key_at_all_is_told_as_that(
    salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tried("\n", monkeypatch)
    assert (ran.status, ran.out) == (1, "")
    assert "No API key came in" in ran.err


def test_api_key_is_never_an_argument(capsys: pytest.CaptureFixture[str]) -> None:
    ran = salesforce("try-api-key", "sfk_0123456789ab_secret")
    assert ran.status == 2
