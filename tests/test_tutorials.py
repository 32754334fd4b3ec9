"""What the three common tutorials of this flow make their readers do, and where that is here.

They are a blog post in Python of 2023, a gist with its comments, and a guide for Node and Express; their steps are told
in our own words. Each has counterparts that are proved to exist: a step of the set-up guide, a verb of the command
line, a page, a name in Python, a verb of make.
"""

from __future__ import annotations

import argparse
import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

import jwt
import pytest
from django.core.management import load_command_class
from django.urls import NoReverseMatch, reverse

import sf_integration
from sf_integration import hosts
from sf_integration.salesforce import assertion, keys, setup_guide
from sf_integration.services import env_file
from sf_integration.testing.django import ConnectableOrg

pytestmark = pytest.mark.once


class Counterpart(Protocol):
    def prove(self) -> None: ...


@dataclass(frozen=True)
class Guide:
    """A step of the set-up guide, which has to tell these words for either kind of app."""

    step: str
    words: str = ""

    def prove(self) -> None:
        [step] = [step for step in setup_guide.STEPS if step.id == self.step]
        for kind in setup_guide.KIND_WORDS:
            way = step.way(kind)
            copied = [setup_guide.FIXED_VALUES.get(name, "") for name in step.copies]
            assert self.words in " ".join((step.title, way.menu, *way.choose, *copied))


@dataclass(frozen=True)
class Verb:
    """A verb of `manage.py salesforce`, and an option of it."""

    verb: str
    option: str = "--help"

    def prove(self) -> None:
        parser = load_command_class("sf_integration", "salesforce").create_parser("manage.py", "salesforce")
        [verbs] = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
        assert self.option in verbs.choices[self.verb]._option_string_actions


@dataclass(frozen=True)
class Page:
    """A page by the name of its address."""

    name: str

    def prove(self) -> None:
        ways: list[list[object]] = [[], ["acme"], [UUID(int=0)]]
        assert any(self._leads_somewhere(arguments) for arguments in ways)

    def _leads_somewhere(self, arguments: list[object]) -> bool:
        try:
            return bool(reverse(f"sf_integration:{self.name}", args=arguments))
        except NoReverseMatch:
            return False


@dataclass(frozen=True)
class Python:
    """A public name, or one by its path in the package."""

    path: str

    def prove(self) -> None:
        module, _, name = self.path.rpartition(".")
        if not module:
            assert name in sf_integration.__all__
        assert hasattr(importlib.import_module(f"sf_integration.{module}".rstrip(".")), name)


@dataclass(frozen=True)
class Make:
    verb: str

    def prove(self) -> None:
        makefile = (Path(__file__).parents[1] / "Makefile").read_text()
        assert re.search(rf"^{self.verb}:", makefile, re.MULTILINE)


APP: dict[str, tuple[Counterpart, ...]] = {
    "make a private key with openssl": (Verb("make-key", "--bits"), Page("draft_key")),
    "make a self-signed certificate for it": (Verb("make-key", "--days"), Page("draft_certificate")),
    "make a new app with a name and a contact": (Guide("new-app"), Verb("setup-kit", "--out")),
    "enable OAuth for it": (Guide("oauth", "Enable OAuth"),),
    "enter a callback address that is never called": (Guide("oauth", "https://localhost/callback"),),
    "tick digital signatures and upload the certificate": (Guide("certificate", "certificate"),),
    "select the scope api": (Guide("scopes", "(api)"),),
    "select the scope refresh_token": (Guide("scopes", "refresh_token"),),
    "save, and wait some minutes": (Guide("wait", "two to ten minutes"),),
    "set the policy so that admins approve the users": (
        Guide("permitted-users", "Admin approved users are pre-authorized"),
    ),
    "let a profile or a permission set use the app": (Guide("attach", "permission set"),),
    "copy the consumer key": (Guide("consumer-key", "consumer key"),),
}

BLOG_POST: dict[str, tuple[Counterpart, ...]] = APP | {
    # It selects the scope web as well: nothing of this flow needs it.
    "build claims: consumer key, username, login host, expiry": (Python("salesforce.assertion.claims"),),
    "sign them with RS256": (Python("salesforce.assertion.sign"),),
    "post the assertion to the token endpoint": (
        Python("salesforce.oauth.exchange"),
        Verb("check", "--trace"),
    ),
    "take access token and instance URL out of the answer": (Python("Token"), Python("get_token")),
    "call the REST API with the token": (Python("get_client"), Python("SalesforceAuth"), Verb("query")),
}

GIST: dict[str, tuple[Counterpart, ...]] = {
    "read the private key from a PEM file": (
        Verb("import", "--key-file"),
        Python("salesforce.keys.read_private_key"),
    ),
    "tell consumer key and username in the script": (
        Verb("import", "--consumer-key"),
        Verb("import", "--username"),
    ),
    "choose login or test as audience": (Verb("import", "--audience"), Page("login_url")),
    "post the assertion with requests": (Python("salesforce.oauth.exchange"),),
    "print what was refused": (Verb("check"), Python("AuthenticationError")),
    "hand token and instance URL to simple-salesforce": (Python("contrib.simple_salesforce.connect"),),
    "comments: what “user hasn't approved this consumer” means": (Verb("explain"), Guide("permitted-users")),
    "comments: production and sandbox mixed up": (Guide("login-url", "My Domain"), Verb("check")),
    "comments: the token has run out": (Python("get_token"), Verb("refresh")),
}

NODE_GUIDE: dict[str, tuple[Counterpart, ...]] = APP | {
    "see that an integration licence is free": (Guide("licence", "Salesforce Integration"),),
    "make an integration user with its profile": (
        Guide("profile", "Minimum Access - API Only Integrations"),
        Guide("new-user", "Salesforce Integration"),
    ),
    "make a permission set with the integration licence": (
        Guide("permission-set", "Salesforce API Integration"),
    ),
    "open objects and fields in it": (Guide("object-access", "Field Permissions"),),
    "assign licence and permission set to the user": (
        Guide("assignment", "Permission Set License Assignments"),
    ),
    "look up the My Domain": (Guide("login-url", "My Domain"),),
    "write key file, client id, username and domain into an env file": (Verb("import", "--env-file"),),
    "start the server": (Make("run"),),
    "a route of the server that answers with a token": (Verb("token", "--username"), Python("get_token")),
    "put the token into the environment of an API client": (Verb("token"),),
    "ask the org who one is": (Page("identity"), Python("Identity")),
    "read one record with some fields": (Page("record"), Verb("record", "--fields")),
}

STEPS = [
    pytest.param(counterparts, id=f"{tutorial}: {step}")
    for tutorial, steps in {"blog post": BLOG_POST, "gist": GIST, "node guide": NODE_GUIDE}.items()
    for step, counterparts in steps.items()
]


@pytest.mark.parametrize("counterparts", STEPS)
def test_step_of_a_tutorial_has_a_counterpart_here(counterparts: tuple[Counterpart, ...]) -> None:
    assert counterparts
    for counterpart in counterparts:
        counterpart.prove()


@pytest.mark.parametrize(
    "nonsense",
    [Guide("nonsense"), Guide("scopes", "full"), Verb("nonsense"), Verb("import", "--nonsense"), Page("nonsense"),
     Python("nonsense"), Python("hosts.nonsense"), Make("nonsense")],
)  # fmt: skip
def test_what_is_not_there_is_not_taken_for_proved(nonsense: Counterpart) -> None:
    with pytest.raises((AssertionError, KeyError, ValueError)):
        nonsense.prove()


def test_every_step_of_the_guide_but_ours_comes_from_a_tutorial() -> None:
    told = {
        each.step
        for steps in (BLOG_POST, GIST, NODE_GUIDE)
        for parts in steps.values()
        for each in parts
        if isinstance(each, Guide)
    }
    assert setup_guide.STEP_IDS - told == {"copy-username"}  # tutorials take it for known


def test_claims_are_those_of_the_tutorials(salesforce_org: ConnectableOrg) -> None:
    key = keys.read_private_key(str(salesforce_org.app.private_key_pem).encode())
    claims = assertion.claims(
        consumer_key="3MVG9x", username="me@acme.example", audience="https://login.salesforce.com", now=1_000
    )
    told = jwt.decode(assertion.sign(claims, key), options={"verify_signature": False})
    assert told == {
        "iss": "3MVG9x",
        "sub": "me@acme.example",
        "aud": "https://login.salesforce.com",
        "exp": 1_180,
    }


def test_env_file_has_the_names_of_the_node_guide() -> None:
    assert set(env_file.NAMES.values()) == {"KeyFile", "ClientId", "UserName", "Domain"}


def test_login_hosts_of_the_gist_tell_the_kind_of_org() -> None:
    assert hosts.read_login_url("https://test.salesforce.com").environment == "sandbox"
    assert hosts.read_login_url("https://login.salesforce.com").environment == "production"
