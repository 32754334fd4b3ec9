"""What other processes do or fail to do: edits reach everyone within five seconds, and callers need neither broker nor beat."""

from __future__ import annotations

import pytest

from sf_integration.models import AccessToken, ConnectedApp, Heartbeat
from sf_integration.testing.django import ConnectableOrg
from tests import processes

pytestmark = pytest.mark.django_db(transaction=True)

ASK_UNTIL_IT_CHANGES = """
def told():
    try:
        return get_token("acme").value
    except Exception as error:
        return type(error).__name__
first = told()
print("ready", flush=True)
sys.stdin.readline()
started = time.monotonic()
while (now := told()) == first and time.monotonic() < started + 20:
    time.sleep(0.05)
print(now if now.isalpha() else "another-token", time.monotonic() - started)
"""


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"enabled": False}, "ConnectionPaused"),
        ({"username": "other@nordhafen.example"}, "another-token"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_update_in_another_process_is_in_force_within_five_seconds(
    salesforce_org: ConnectableOrg, process_environment: dict[str, str], change: dict[str, object], told: str
) -> None:
    salesforce_org.add_user("other@nordhafen.example")
    salesforce_org.connect("acme")
    process = processes.start(ASK_UNTIL_IT_CHANGES, process_environment, salesforce_org.url)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    ConnectedApp.objects.update(**change)
    process.stdin.write("go\n")
    process.stdin.flush()
    found, seconds = processes.finish(process).split()
    assert found == told
    assert float(seconds) < 5.5


GO_ON = """
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone
first = get_token("acme")
AccessToken.objects.update(refresh_at=timezone.now(), expected_expiry=timezone.now())
tokens.reset()
second = get_token("acme")
with get_client("acme") as client:
    rows = client.query("SELECT Id FROM Account LIMIT 1").total_size
browser = Client(headers={"host": "127.0.0.1"})
browser.force_login(get_user_model().objects.create_superuser("alice"))
pressed = browser.post("/connections/acme/check/").status_code
print(first != second, rows, pressed, browser.get("/connections/health.json").json()[0]["state"])
"""


@pytest.mark.parametrize("broker", ["redis://127.0.0.1:1/0", "amqp://127.0.0.1:1//"])
def test_without_broker_and_beat_callers_and_pages_go_on(
    salesforce_org: ConnectableOrg, process_environment: dict[str, str], broker: str
) -> None:
    salesforce_org.connect("acme")
    environment = process_environment | {"CELERY_BROKER_URL": broker}
    process = processes.start(GO_ON, environment, salesforce_org.url)
    assert processes.finish(process).split() == ["True", "1", "302", "Healthy"]
    assert not Heartbeat.objects.exists()
    assert AccessToken.objects.get().version == salesforce_org.logins == 3
