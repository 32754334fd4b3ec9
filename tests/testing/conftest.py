"""A running stand-in for each test, and a caller that knows nothing but pyjwt and requests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sf_integration.testing import App, Org, StandIn
from sf_integration.testing.credentials import make_key_and_certificate

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@cache
def _load(private_key_pem: str) -> Any:
    """Reading a PEM takes a hundred times as long as signing with it."""
    return load_pem_private_key(private_key_pem.encode(), None)


class Caller:
    """Signs in to an org and calls its REST API."""

    def __init__(self, org: Org, app: App | None = None) -> None:
        self.org = org
        self.app = app or org.app
        self.http = requests.Session()
        self.http.trust_env = False
        self.token = ""

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Good claims, with changes; None takes one away."""
        claims = {
            "iss": self.app.consumer_key,
            "sub": self.org.user.username,
            "aud": self.org.url,
            "exp": int(time.time()) + 180,
        } | changed
        return {name: value for name, value in claims.items() if value is not None}

    def sign(self, *, algorithm: str = "RS256", key: str | None = None, **changed: Any) -> str:
        private_key = _load(key or self.app.private_key_pem or "")
        return jwt.encode(self.claims(**changed), private_key, algorithm=algorithm)

    def post_token(self, data: Any, **options: Any) -> requests.Response:
        url = f"{self.org.url}/services/oauth2/token"
        return self.http.post(url, data=data, allow_redirects=False, timeout=10, **options)

    def sign_in(self, **changed: Any) -> requests.Response:
        answer = self.post_token({"grant_type": GRANT_TYPE, "assertion": self.sign(**changed)})
        with suppress(ValueError):
            self.token = answer.json().get("access_token", self.token)
        return answer

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Call with the token in hand; a bare path is one of the newest API version."""
        headers = {"Authorization": f"Bearer {self.token}"} | options.pop("headers", {})
        if not path.startswith(("/services/", "/id/")):
            path = f"/services/data/v67.0/{path}"
        return self.http.request(method, self.org.url + path, headers=headers, timeout=10, **options)

    def get(self, path: str, **query: str) -> requests.Response:
        return self.call("GET", path, params=query)

    def query(self, soql: str) -> requests.Response:
        return self.get("query", q=soql)

    def rows(self, soql: str) -> list[dict[str, Any]]:
        """The records of a query that must succeed, without their attributes."""
        answer = self.query(soql)
        assert answer.status_code == 200, answer.text
        return [
            {name: value for name, value in record.items() if name != "attributes"}
            for record in answer.json()["records"]
        ]


def refusal(answer: requests.Response) -> tuple[int, str, str]:
    """Status, code and message of a REST error."""
    [error] = answer.json()
    return answer.status_code, error["errorCode"], error["message"]


@pytest.fixture(scope="session")
def key_pair() -> tuple[str, str]:
    return make_key_and_certificate("Harbor Sync")


@pytest.fixture(scope="session")
def other_key_pair() -> tuple[str, str]:
    return make_key_and_certificate("Somebody else")


@pytest.fixture
def server(key_pair: tuple[str, str]) -> Iterator[StandIn]:
    private_key, certificate = key_pair
    with StandIn(certificate_pem=certificate, private_key_pem=private_key) as server:
        yield server


@pytest.fixture
def org(server: StandIn) -> Org:
    return server.org


@pytest.fixture
def caller(org: Org) -> Iterator[Caller]:
    """Not signed in yet."""
    caller = Caller(org)
    with caller.http:
        yield caller


@pytest.fixture
def signed_in(caller: Caller) -> Caller:
    assert caller.sign_in().status_code == 200
    return caller
