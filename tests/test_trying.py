"""Testing values that are not saved: in the admin's form, and by whoever calls `operations.try_values`."""

from __future__ import annotations

import socket

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from sf_integration import PermissionMissing, health, tokens
from sf_integration.models import AccessToken, AuditEvent, ConnectedApp, ConnectionCheck, SigningKey
from sf_integration.salesforce import keys
from sf_integration.services import operations
from sf_integration.testing.django import ConnectableOrg

from .test_admin import ADMIN, opened, org_key, staff, values
from .test_forms import KEY, PASSPHRASE, pem
from .test_views import text_of

pytestmark = pytest.mark.django_db(transaction=True)

SCRIPT = {"X-Requested-With": "fetch"}
STORED = (ConnectedApp, SigningKey, AccessToken, ConnectionCheck)


def try_new(
    client: Client, org: ConnectableOrg, *, headers: dict[str, str] | None = None, **more: object
) -> str:
    """The answer to “Test without saving” in the form for a new connection."""
    typed = {**values(org), **more, "_try": "Test without saving"}
    response = client.post(f"{ADMIN}/connectedapp/add/", typed, headers=headers)
    assert response.status_code == 200
    return response.content.decode()


def counts() -> list[int]:
    return [model.objects.count() for model in STORED]


def live_sessions(org: ConnectableOrg) -> list[object]:
    return [session for session in org.sessions if session.is_live]


def test_values_that_work_are_told_and_stored_nowhere(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    html = try_new(admin_client, salesforce_org, **org_key(salesforce_org))
    told = text_of(html)
    assert "These values work. Nothing was saved, and the session was ended." in told
    assert "passed Sample record" in told
    assert "bits, certificate to 20" in told
    assert "Give the private key again before you save" in told
    assert f'value="{salesforce_org.app.consumer_key}"' in html
    assert counts() == [0, 0, 0, 0]
    assert (salesforce_org.logins, live_sessions(salesforce_org)) == (1, [])


def test_only_that_it_was_done_is_written_down(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    try_new(admin_client, salesforce_org, **org_key(salesforce_org))
    event = AuditEvent.objects.get()
    assert (event.act, event.actor, event.subject, event.subject_id) == (
        "tested values",
        "admin",
        "acme",
        None,
    )
    assert {"consumer_key", "signing_key", "username"} <= set(event.fields)


def test_a_failure_says_what_to_do(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    salesforce_org.user.approved = False
    told = text_of(try_new(admin_client, salesforce_org, **org_key(salesforce_org)))
    assert "These values don't work." in told
    assert "invalid_app_access" in told
    assert "Who Salesforce admin of the org" in told
    assert counts() == [0, 0, 0, 0]


@pytest.mark.parametrize("where", ["identity", "rest"])
def test_the_session_is_ended_also_when_a_later_step_fails(
    salesforce_org: ConnectableOrg, admin_client: Client, where: str
) -> None:
    salesforce_org.fail("answer", where=where, times=None, status=403, body='[{"errorCode": "ODD"}]')
    told = text_of(try_new(admin_client, salesforce_org, **org_key(salesforce_org)))
    assert "ODD" in told
    assert (salesforce_org.logins, live_sessions(salesforce_org)) == (1, [])
    assert counts() == [0, 0, 0, 0]


def test_a_bug_in_a_step_leaves_no_session_either(
    salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sf_integration.health import checking

    def broken(run: object) -> str:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(checking, "LADDER", [*checking.LADDER, ("broken", broken)])
    with pytest.raises(RuntimeError):
        health.try_values(*unsaved(salesforce_org))
    assert (salesforce_org.logins, live_sessions(salesforce_org)) == (1, [])


def test_the_script_gets_the_steps_alone(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    html = try_new(admin_client, salesforce_org, headers=SCRIPT, **org_key(salesforce_org))
    assert "<html" not in html
    assert "<form" not in html
    assert "These values work." in text_of(html)
    assert "Give the private key again" not in html


@pytest.mark.parametrize("headers", [None, SCRIPT])
def test_mistakes_are_told_and_nobody_is_called(
    salesforce_org: ConnectableOrg, admin_client: Client, headers: dict[str, str] | None
) -> None:
    html = try_new(
        admin_client,
        salesforce_org,
        headers=headers,
        **org_key(salesforce_org),
        login_url="https://x.example",
    )
    told = text_of(html)
    assert "Nothing was tested." in told
    assert "Login URL: " in told
    assert ("Give the private key again" in told) == (headers is None)
    assert not salesforce_org.requests
    assert not AuditEvent.objects.exists()


def test_a_key_pair_to_be_made_can_not_be_tested_yet(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    told = text_of(try_new(admin_client, salesforce_org, make_key="on"))
    assert "can't be tested before its certificate is in Salesforce" in told
    assert not salesforce_org.requests
    assert counts() == [0, 0, 0, 0]


def test_a_key_file_with_a_passphrase_is_tried_and_comes_back_in_no_page(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    salesforce_org.app.replace_certificate(keys.make_certificate(KEY, common_name="acme").pem)
    locked = pem(KEY, PASSPHRASE)
    file = SimpleUploadedFile("server.key", locked.encode())
    html = try_new(admin_client, salesforce_org, private_key_file=file, passphrase=PASSPHRASE)
    assert "These values work." in text_of(html)
    for secret in (PASSPHRASE, locked.splitlines()[4], pem(KEY).splitlines()[4], "eyJ"):
        assert secret not in html
    assert counts() == [0, 0, 0, 0]


def test_an_edit_is_tried_and_leaves_the_connection_and_its_token_alone(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    connection = salesforce_org.connect("acme")
    admin_client.post(f"{ADMIN}/connectedapp/{connection.pk}/check/")
    before = [list(model.objects.values()) for model in STORED]
    kept = tokens.get("acme")
    page = opened(admin_client, connection) | {"consumer_key": ["3MVG9nonsense"], "_try": ["x"]}
    told = text_of(admin_client.post(f"{ADMIN}/connectedapp/{connection.pk}/change/", page).content.decode())
    assert "These values don't work." in told
    assert "invalid_client_id" in told
    assert [list(model.objects.values()) for model in STORED] == before
    assert tokens.get("acme") == kept
    event = AuditEvent.objects.get(act="tested values")
    assert (event.subject_id, event.fields) == (connection.pk, ["consumer_key"])


def test_the_stored_signing_key_serves_when_none_is_given(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    connection = salesforce_org.connect("acme", consumer_key="3MVG9nonsense")
    page = opened(admin_client, connection) | {
        "consumer_key": [salesforce_org.app.consumer_key],
        "_try": ["x"],
    }
    change = f"{ADMIN}/connectedapp/{connection.pk}/change/"
    html = admin_client.post(change, page).content.decode()
    assert "These values work." in text_of(html)
    assert "Give the private key again" not in html
    connection.refresh_from_db()
    assert connection.consumer_key == "3MVG9nonsense"


def test_a_paused_connection_is_called_only_when_the_form_says_enabled(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    connection = salesforce_org.connect("acme", enabled=False)
    change = f"{ADMIN}/connectedapp/{connection.pk}/change/"
    page = opened(admin_client, connection) | {"_try": ["x"]}
    assert "paused" in text_of(admin_client.post(change, page).content.decode())
    assert not salesforce_org.requests
    told = text_of(admin_client.post(change, page | {"enabled": ["on"]}).content.decode())
    assert "These values work." in told
    assert not ConnectedApp.objects.get().enabled


def test_a_kind_of_org_that_may_not_be_called_is_not(
    salesforce_org: ConnectableOrg, admin_client: Client, settings: object
) -> None:
    configured = settings.SF_INTEGRATION  # type: ignore[attr-defined]
    settings.SF_INTEGRATION = {**configured, "ALLOWED_ENVIRONMENTS": ["sandbox"]}  # type: ignore[attr-defined]
    told = text_of(try_new(admin_client, salesforce_org, **org_key(salesforce_org)))
    assert "not_allowed_here" in told
    assert not salesforce_org.requests


def test_a_foreign_instance_gets_neither_calls_nor_the_token_to_revoke(
    salesforce_org: ConnectableOrg,
) -> None:
    foreign = salesforce_org.add_org(name="Elsewhere")
    elsewhere = socket.create_server(("127.0.0.1", 0))
    elsewhere.setblocking(False)
    salesforce_org.fail(
        "answer",
        body={
            "access_token": "00D5g000004FaKe!AQEAQplanted.token",
            "instance_url": f"http://127.0.0.1:{elsewhere.getsockname()[1]}",
            "id": f"{foreign.url}/id/{foreign.id}/{foreign.user.id}",
        },
    )
    trial = health.try_values(*unsaved(salesforce_org))
    failed = next(step for step in trial.steps if step.status == health.FAILED)
    assert failed.code == "not_allowed_here"
    with elsewhere, pytest.raises(BlockingIOError):
        elsewhere.accept()  # nobody has knocked


@pytest.mark.parametrize("acts", [["view_health", "manage_keys"], ["view_health", "run_checks"]])
def test_needs_the_right_to_manage_and_to_check(salesforce_org: ConnectableOrg, acts: list[str]) -> None:
    connection = salesforce_org.connect("acme")
    person = staff("mia", *acts)
    change = f"{ADMIN}/connectedapp/{connection.pk}/change/"
    assert "Test without saving" not in person.get(change).content.decode()
    assert person.post(change, values(salesforce_org) | {"_try": "x"}).status_code == 403
    assert not salesforce_org.requests


def test_the_trace_is_shown_without_secrets(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    html = try_new(admin_client, salesforce_org, headers=SCRIPT, **org_key(salesforce_org))
    assert f"POST {salesforce_org.url}/services/oauth2/token" in html
    assert "eyJ" not in html
    assert "00D" + salesforce_org.id[3:15] + "!" not in html


def test_other_code_may_try_values(salesforce_org: ConnectableOrg, admin_user: object) -> None:
    trial = operations.try_values(*unsaved(salesforce_org), actor=admin_user)
    assert trial.healthy
    assert [step.step for step in trial.steps][-1] == "sample_record"
    assert trial.trace


@pytest.mark.parametrize("acts", [["view_health", "manage_keys"], ["view_health", "run_checks"]])
def test_other_code_may_not_without_both_rights(salesforce_org: ConnectableOrg, acts: list[str]) -> None:
    staff("mia", *acts)
    with pytest.raises(PermissionMissing):
        operations.try_values(*unsaved(salesforce_org), actor=User.objects.get(username="mia"))
    assert not salesforce_org.requests
    assert not AuditEvent.objects.filter(act="tested values").exists()


def test_other_code_may_not_try_a_connection_that_is_hidden_from_the_person(
    salesforce_org: ConnectableOrg,
) -> None:
    hidden = salesforce_org.connect("acme")
    hidden.groups.set([Group.objects.create(name="others")])
    staff("mia", "view_health", "manage_keys", "run_checks")
    _, key = unsaved(salesforce_org)
    with pytest.raises(PermissionMissing):
        operations.try_values(hidden, key, actor=User.objects.get(username="mia"))
    assert not salesforce_org.requests


def unsaved(org: ConnectableOrg) -> tuple[ConnectedApp, RSAPrivateKey]:
    """A connection that was never stored, and its private key."""
    assert org.app.private_key_pem
    key = keys.read_private_key(org.app.private_key_pem.encode())
    connection = ConnectedApp(
        name="acme", login_url=org.url, consumer_key=org.app.consumer_key, username=org.user.username
    )
    connection.signing_key = SigningKey(name="acme", fingerprint=keys.fingerprint(key), size=key.key_size)
    connection.clean()
    return connection, key
