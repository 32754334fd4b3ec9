"""The trace of a check where people meet it: page, file, command line, admin. What it holds: tests/salesforce/test_trace.py."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from sf_integration import get_token, health
from sf_integration.models import ConnectedApp, ConnectionCheck
from sf_integration.testing.django import ConnectableOrg

from .test_command_line import salesforce
from .test_views import alice, groups, person, text_of

__all__ = ["alice", "groups"]  # fixtures

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

TOKEN = "00D5g000004FaKe!AREAQPr0TFake.CANARYCANARYCANARYCANARYCANARYCANARYCANARYCANARYCANARYCANARYCANARY"


def address(check: ConnectionCheck) -> str:
    return f"/connections/acme/checks/{check.pk}/trace.txt"


def test_page_shows_the_trace_and_offers_it_as_a_file(salesforce_org: ConnectableOrg, alice: Client) -> None:
    salesforce_org.connect("acme")
    html = alice.post("/connections/acme/check/", follow=True).content.decode()
    check = ConnectionCheck.objects.get()
    assert f"POST {salesforce_org.url}/services/oauth2/token" in html
    assert f'href="{address(check)}"' in html
    response = alice.get(address(check))
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response["Content-Disposition"].startswith('attachment; filename="acme-')
    assert "no-store" in response["Cache-Control"]
    text = response.content.decode()
    assert text.startswith("Connection acme, ")
    assert "SELECT Id FROM Account LIMIT 1" in text
    assert salesforce_org.token_requests == 1


def test_the_command_prints_the_text_of_the_page(salesforce_org: ConnectableOrg, alice: Client) -> None:
    salesforce_org.connect("acme")
    printed = salesforce("check", "acme", "--trace").out
    assert alice.get(address(ConnectionCheck.objects.get())).content.decode() in printed


def test_a_refused_sign_in_is_traced_without_the_later_calls(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.user.approved = False
    salesforce_org.connect("acme")
    trace = json.loads(salesforce("check", "acme", "--trace", "--json").out)["trace"]
    assert trace["answer"]["error"] == "invalid_app_access"
    assert [call["url"].removeprefix(salesforce_org.url) for call in trace["calls"]] == ["/services/data"]


def test_a_check_with_the_stored_token_has_no_trace(salesforce_org: ConnectableOrg, alice: Client) -> None:
    connection = salesforce_org.connect("acme")
    get_token("acme")
    check = health.check_connection(connection, asked_by="beat", renew=False)
    assert check.trace is None
    assert alice.get(address(check)).status_code == 404
    assert "as a script would print it" not in alice.get("/connections/acme/").content.decode()


def test_a_sign_in_that_was_not_tried_is_said_so(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", login_url="https://nowhere.my.salesforce.com")
    assert "No sign-in was tried." in salesforce("check", "acme", "--trace").out


def test_the_file_is_for_those_who_see_the_connection(
    salesforce_org: ConnectableOrg, alice: Client, client: Client
) -> None:
    connection = salesforce_org.connect("acme")
    check = health.check_connection(connection, asked_by="test")
    assert client.get(address(check)).status_code == 302
    assert person("bob", "look").get(address(check)).status_code == 200
    assert person("charlie").get(address(check)).status_code == 403
    connection.groups.add(Group.objects.create(name="others"))
    assert alice.get(address(check)).status_code == 403


def test_a_check_of_another_connection_is_not_found(salesforce_org: ConnectableOrg, alice: Client) -> None:
    first = salesforce_org.connect("acme")
    salesforce_org.connect("other", signing_key=first.signing_key)
    health.check_connection(ConnectedApp.objects.get(name="other"), asked_by="test")
    assert alice.get(address(ConnectionCheck.objects.get())).status_code == 404


@pytest.mark.parametrize("form", ["token", "description", "signature", "html", "assertion"])
def test_no_secret_is_stored_or_shown_whatever_the_host_answers(
    salesforce_org: ConnectableOrg, admin_client: Client, form: str
) -> None:
    """Canaries in the answers: a token, a description that holds one, a page that sends the assertion back."""
    connection = salesforce_org.connect("acme")
    assertion = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJDQU5BUlkifQ." + "CANARY" * 57
    answers: dict[str, dict[str, object]] = {
        "token": {"status": 200, "body": {"access_token": TOKEN, "instance_url": salesforce_org.url}},
        "description": {"status": 400, "body": {"error": "invalid_grant", "error_description": TOKEN}},
        "signature": {"status": 400, "body": {"error": "invalid_grant", "error_description": f"no: {'CANARY' * 57}"}},
        "html": {"status": 500, "body": f"<html><h1>Oops</h1><p>{TOKEN}</p></html>", "content_type": "text/html"},
        "assertion": {
            "status": 200,
            "body": f"<html><script>1</script><p>assertion={assertion}</p></html>",
            "content_type": "text/html",
        },
    }  # fmt: skip
    salesforce_org.fail("answer", times=None, **answers[form])  # type: ignore[arg-type]
    page = admin_client.post("/connections/acme/check/", follow=True).content.decode()
    check = ConnectionCheck.objects.get()
    change = f"/admin/sf_integration/connectedapp/{connection.pk}/change/"
    everything = [
        page,
        admin_client.get(change).content.decode(),
        admin_client.get(f"/admin/sf_integration/connectioncheck/{check.pk}/change/").content.decode(),
        admin_client.get(address(check)).content.decode(),
        json.dumps([check.steps, check.trace]),
        json.dumps(ConnectedApp.objects.get().last_error),
    ]
    connection.tokens.update(last_try_at=None)
    everything += [
        f"{ran.out}{ran.err}"
        for ran in (salesforce("check", "acme", "--trace"), salesforce("check", "acme", "--trace", "--json"))
    ]
    pem = salesforce_org.app.private_key_pem
    assert pem
    for shown in everything:
        assert "CANARY" not in shown
        assert "eyJhbGci" not in shown
        assert pem.splitlines()[3] not in shown
        assert "<h1>Oops" not in shown
        assert "Oops" not in shown or form == "html"


def test_history_of_the_admin_shows_steps_and_trace(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    salesforce_org.connect("acme", consumer_key="3MVG9nonsense")
    salesforce("check", "acme")
    check = ConnectionCheck.objects.get()
    html = admin_client.get(f"/admin/sf_integration/connectioncheck/{check.pk}/change/").content.decode()
    assert "Who Salesforce admin of the org" in text_of(html)
    assert f"POST {salesforce_org.url}/services/oauth2/token" in html
