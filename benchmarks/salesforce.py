"""The stand-in org in a process of its own: its CPU is nobody else's, and it counts what it was asked.

Nothing here imports Django.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Concatenate, ParamSpec, TypeVar

from sf_integration.testing import Org

from .processes import Remote, serve

P = ParamSpec("P")
R = TypeVar("R")

ANSWER_SECONDS = 0.1
"""What a login host far away takes to answer."""


@dataclass(frozen=True)
class App:
    """A connected app, with the key pair that it trusts."""

    consumer_key: str
    private_key_pem: str = field(repr=False)
    certificate_pem: str = field(repr=False)


@dataclass(frozen=True)
class Address:
    """All that a client needs to sign in."""

    url: str
    ca_file: str
    """Empty without TLS."""
    username: str
    apps: tuple[App, ...]

    @property
    def app(self) -> App:
        return self.apps[0]

    @property
    def token_url(self) -> str:
        return f"{self.url}/services/oauth2/token"

    @property
    def environment(self) -> dict[str, str]:
        """What lets a site call it."""
        trusted = {"REQUESTS_CA_BUNDLE": self.ca_file} if self.ca_file else {}
        return {"SF_ALLOWED_HOSTS": self.url.partition("://")[2], "no_proxy": "127.0.0.1", **trusted}


class Salesforce(Remote):
    """A running stand-in. `policy` are settings of the org, `apps` how many apps it has, each with a key of its own."""

    def __init__(self, *, apps: int = 1, tls: bool = False, **policy: Any) -> None:
        super().__init__(_run, apps, tls, policy)
        self.address: Address = self.answer()

    def call(self, function: Callable[Concatenate[Org, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a function of a module there, on the org."""
        result: R = self.ask((function, args, kwargs))
        return result

    @property
    def token_requests(self) -> int:
        return self.call(count_token_requests)


def count_token_requests(org: Org) -> int:
    return org.token_requests


def answer_slowly(org: Org, seconds: float = ANSWER_SECONDS) -> None:
    """Let every answer of the token endpoint take so long; no time: at once again."""
    org.heal()
    if seconds:
        org.fail("slow", times=None, seconds=seconds)


def add_users(org: Org, usernames: list[str]) -> None:
    for username in usernames:
        org.add_user(username)


def _run(pipe: Connection, apps: int, tls: bool, policy: Mapping[str, Any]) -> None:
    from sf_integration.testing import StandIn

    unlimited = {"api_limit": 10**9, "logins_per_hour": 10**9}
    with StandIn(tls=tls, **unlimited | dict(policy)) as server:
        org = server.org
        while len(org.apps) < apps:
            org.add_app()
        pipe.send((True, _address(org, str(server.ca_file or ""))))
        serve(pipe, org)


def _address(org: Org, ca_file: str) -> Address:
    known = tuple(
        App(app.consumer_key, str(app.private_key_pem), app.certificate_pem) for app in org.apps.values()
    )
    return Address(org.url, ca_file, org.user.username, known)
