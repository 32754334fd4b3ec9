"""A stand-in org without Django, and raw sockets."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from sf_integration.salesforce import keys, signin
from sf_integration.salesforce.http import Http
from sf_integration.salesforce.oauth import Token
from sf_integration.testing import Org, StandIn

from .raw_server import Behaviour, RawServer


@cache
def app_key() -> RSAPrivateKey:
    """One for all tests: making a key takes a tenth of a second."""
    return keys.make_key()


@cache
def app_certificate() -> str:
    return keys.make_certificate(app_key(), common_name="tests").pem


@pytest.fixture
def org() -> Iterator[Org]:
    with StandIn(certificate_pem=app_certificate()) as server:
        yield server.org


@pytest.fixture
def http() -> Iterator[Http]:
    pools = Http()
    yield pools
    pools.close()


@pytest.fixture
def raw_server() -> Iterator[Callable[[Behaviour], RawServer]]:
    """Call it with a behaviour to get a running server."""
    servers: list[RawServer] = []

    def start(behaviour: Behaviour) -> RawServer:
        servers.append(RawServer(behaviour))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def sign_in_request(org: Org, **changes: object) -> signin.SignIn:
    values = {
        "login_url": org.url,
        "audience": org.url,
        "consumer_key": org.app.consumer_key,
        "username": org.user.username,
        "key": app_key(),
    }
    return signin.SignIn(**(values | changes))


def token_for(url: str, value: str = "00D5g000004FaKe!AQplanted.token") -> Token:
    now = dt.datetime.now(dt.UTC)
    return Token(value=value, instance_url=url, issued_at=now, expected_expiry=now + dt.timedelta(hours=2))


@pytest.fixture
def token(org: Org, http: Http) -> Token:
    return signin.run(sign_in_request(org), http).require()
