"""The description against the API: schemathesis calls what it describes, and judges the answers by it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from schemathesis.generation import GenerationMode

import sf_integration.token_api
from sf_integration.token_api.urls import urlpatterns

pytestmark = pytest.mark.django_db
DOCUMENT: dict[str, Any] = json.loads(
    (Path(sf_integration.token_api.__file__).parent / "openapi.json").read_text()
)
OPERATIONS = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]
HEADERS = {"Host": "127.0.0.1", "Accept-Encoding": "identity"}
CALLS = [
    (path, method, mode)
    for path, method in OPERATIONS
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or path != "/openapi.json"  # which takes nothing that could be wrong
]
FEW = hypothesis_settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def application() -> Iterator[Any]:
    """The site as a server has it, but that the test keeps its database connection."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield get_wsgi_application()
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.mark.parametrize(("path", "method", "mode"), CALLS)
def test_the_api_answers_as_it_is_described(path, method, mode, shop, settings, application):
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"TOKEN_API_CALLS_PER_MINUTE": 10_000}
    schema = schemathesis.openapi.from_wsgi("/api/openapi.json", application, headers=HEADERS)
    headers = HEADERS | {"Authorization": f"Bearer {shop.api_key}"}
    statuses = set()

    @FEW
    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    def call(case: schemathesis.Case) -> None:
        statuses.add(case.call_and_validate(headers=headers).status_code)

    call()
    assert statuses
    if mode is GenerationMode.POSITIVE and "{name}" not in path:
        assert 200 in statuses


def test_every_address_is_described():
    described = {path.lstrip("/").replace("{name}", "<str:name>") for path in DOCUMENT["paths"]}
    assert {str(each.pattern) for each in urlpatterns} == described | {"<path:rest>"}


def examples(node: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Each with its schema."""
    if isinstance(node, dict):
        if "schema" in node:
            for example in node.get("examples", {}).values():
                yield node["schema"], example["value"]
        for each in node.values():
            yield from examples(each)


def test_its_examples_are_what_it_says():
    found = list(examples({name: DOCUMENT[name] for name in ("paths", "components")}))
    for schema, example in found:
        jsonschema_rs.validate({**schema, "components": DOCUMENT["components"]}, example)
    assert len(found) >= 20


def test_it_says_how_to_switch_the_api_on_and_where_it_is(client):
    assert "SF_TOKEN_API=on" in DOCUMENT["info"]["description"]
    served = client.get("/api/openapi.json").json()
    assert served == DOCUMENT | {"servers": [{"url": "/api"}]}
