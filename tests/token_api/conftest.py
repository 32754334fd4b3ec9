from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from sf_integration.access import SHELL
from sf_integration.models import ConnectedApp
from sf_integration.services import api_clients
from sf_integration.services.api_clients import IssuedKey
from sf_integration.testing.django import ConnectableOrg
from sf_integration.token_api import throttle, uses

Post = Callable[..., Any]


@pytest.fixture(autouse=True)
def api_is_on(settings: Any) -> Iterator[None]:
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"TOKEN_API": True}
    yield
    uses.forget()
    cache.clear()
    throttle._own.clear()


@pytest.fixture
def acme(db: None, salesforce_org: ConnectableOrg) -> ConnectedApp:
    return salesforce_org.connect("acme")


@pytest.fixture
def shop(acme: ConnectedApp) -> IssuedKey:
    return api_clients.make("shop", connections=[acme], actor=SHELL)


@pytest.fixture
def post(client: Client) -> Post:
    """POST /api/jwtauth."""

    def send(key: str | IssuedKey, body: Any = None, **more: Any) -> Any:
        api_key = key.api_key if isinstance(key, IssuedKey) else key
        data = body if isinstance(body, (str, bytes)) else json.dumps({} if body is None else body)
        headers = {"Authorization": f"Bearer {api_key}"}
        options = {"content_type": "application/json", "headers": headers} | more
        return client.post("/api/jwtauth", data, **options)

    return send


@pytest.fixture
def get(client: Client) -> Post:
    def send(key: IssuedKey, path: str) -> Any:
        return client.get(path, headers={"Authorization": f"Bearer {key.api_key}"})

    return send
