"""The examples of docs/http-api.md and docs/postman/, run against a live server and the stand-in org."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from sf_integration import tokens
from sf_integration.access import SHELL
from sf_integration.services import api_clients

pytestmark = pytest.mark.django_db(transaction=True)
DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "http-api.md").read_text()
_VARIABLE = re.compile(r"\{\{(\w+)\}\}")
_SET = re.compile(r'pm\.environment\.set\("(\w+)", body\.(\w+)\);')


@pytest.fixture
def environment(live_server, salesforce_org) -> dict[str, str]:
    acme = salesforce_org.connect("acme-prod")
    key = api_clients.make("shop", connections=[acme], actor=SHELL)
    return {"BASE_URL": live_server.url, "SF_API_KEY": key.api_key}


def example(language: str) -> str:
    found = re.search(rf"^<!-- run by a test.*-->\n```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert found, f"there is no example in {language}"
    return found[1]


def run(environment: dict[str, str], *command: str) -> Any:
    done = subprocess.run(
        command,
        env={**os.environ, **environment, "no_proxy": "*"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_curl_gets_a_token(environment):
    answer = run(environment, "bash", "-c", example("sh"))
    assert answer["access_token"] == tokens.get("acme-prod").value
    shown = re.search(r"^```json\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert shown
    assert list(answer) == list(json.loads(shown[1]))


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_node_has_an_ended_session_replaced(environment, salesforce_org):
    tokens.get("acme-prod")
    salesforce_org.end_sessions()
    found = run(environment, "node", "--input-type=module", "--eval", example("js"))
    assert len(found["records"]) == 5
    assert salesforce_org.logins == 2


def postman(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DOCS / "postman" / f"token-api.postman_{name}.json").read_text())
    return found


def filled(text: str, values: dict[str, str]) -> str:
    """As Postman does it; a variable that the environment lacks is an error."""
    return _VARIABLE.sub(lambda match: values[match[1]], text)


def send(request: dict[str, Any], values: dict[str, str]) -> requests.Response:
    headers = {each["key"]: filled(each["value"], values) for each in request["header"]}
    if request["auth"]["type"] == "bearer":
        headers["Authorization"] = f"Bearer {filled(request['auth']['bearer'][0]['value'], values)}"
    body = filled(request["body"]["raw"], values) if "body" in request else None
    url = filled(request["url"]["raw"], values)
    return requests.request(request["method"], url, headers=headers, data=body, timeout=20)


def script_of(item: dict[str, Any]) -> str:
    return "\n".join(line for event in item["event"] for line in event["script"]["exec"])


def test_the_postman_collection_goes_from_the_api_key_to_a_record(environment, salesforce_org):
    values = {each["key"]: each["value"] for each in postman("environment")["values"]}
    values |= {
        "baseUrl": environment["BASE_URL"],
        "apiKey": environment["SF_API_KEY"],
        "connection": "acme-prod",
    }
    answers = {}
    for item in postman("collection")["item"]:
        response = send(item["request"], values)
        assert response.status_code == 200, response.text
        answers[item["name"]] = response.json()
        values |= {name: answers[item["name"]][field] for name, field in _SET.findall(script_of(item))}
    assert list(answers) == ["Token", "Identity", "Record"]
    assert answers["Identity"]["username"] == salesforce_org.user.username
    assert answers["Record"]["Id"] == values["recordId"]
    assert values["endpoint"] == salesforce_org.url
    assert values["tokenType"] == "Bearer"


def test_postman_holds_no_value_that_is_secret():
    filled_in = {each["key"] for each in postman("environment")["values"] if each["value"]}
    assert filled_in == {"baseUrl", "connection", "apiVersion", "recordId"}
    assert postman("collection")["info"]["schema"].endswith("/v2.1.0/collection.json")
