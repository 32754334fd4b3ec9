"""Deleting and renaming connections: who would miss them is said, sessions are ended, secrets go."""

from __future__ import annotations

import datetime as dt
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from sf_integration import UnknownConnection, audit, crypto, get_client, get_token, health, keystore, tokens
from sf_integration.access import SHELL
from sf_integration.models import (
    AccessToken,
    AuditEvent,
    ConnectedApp,
    ConnectionDraft,
    SigningKey,
)
from sf_integration.services import api_clients, api_keys, leaving
from sf_integration.testing.django import ConnectableOrg
from sf_integration.token_api import taking

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(get_user_model().objects.create_superuser("root"))
    return client


def url(page: str, connection: ConnectedApp) -> str:
    return reverse(f"admin:sf_integration_connectedapp_{page}", args=[connection.pk])


def told(answer) -> str:
    return " ".join(str(message) for message in answer.context["messages"])


def delete(browser: Client, connection: ConnectedApp, **ticks: str):
    answer = browser.post(url("delete", connection), {"post": "yes", **ticks}, follow=True)
    assert answer.status_code == 200
    assert not ConnectedApp.objects.filter(pk=connection.pk).exists()
    return answer


# ---- who would miss it ----------------------------------------------------------------------------------------------


def test_use_by_code_is_known_and_checks_are_none(salesforce_org: ConnectableOrg) -> None:
    app = salesforce_org.connect("acme")
    health.check_connection(app, asked_by="beat", renew=False)
    health.check_connection(app, asked_by="beat", light=True, renew=False)
    tokens.refresh_due()
    assert leaving.uses(app) == []
    tokens.reset()
    with get_client("acme") as sf:
        sf.limits()
    [use] = leaving.uses(app)
    assert (use.who, use.what) == ("code or pages of this site", f"as {salesforce_org.user.username}")


def test_uses_are_those_of_the_last_30_days_the_latest_first(salesforce_org: ConnectableOrg) -> None:
    app, other = salesforce_org.connect("acme"), salesforce_org.connect("other")
    now = timezone.now()
    for actor, act, subject, days in (
        ("alice", "looked up", app, 2),
        ("alice", "looked up", app, 3),
        ("bob", "took token", app, 1),
        ("carol", "looked up", app, 31),
        ("dave", "looked up", other, 1),
        ("erin", "changed", app, 1),
        ("frank", "downloaded", app, 4),
    ):
        event = audit.record(act, subject, actor=actor)
        AuditEvent.objects.filter(pk=event.pk).update(at=now - dt.timedelta(days=days))
    found = [(use.who, use.what) for use in leaving.uses(app)]
    assert found == [("bob", "took token"), ("alice", "looked up, 2 times"), ("frank", "downloaded")]


def test_api_client_is_told_once_and_only_where_it_took_tokens(
    salesforce_org: ConnectableOrg,
) -> None:
    app, other = salesforce_org.connect("acme"), salesforce_org.connect("other")
    issued = api_clients.make("billing", connections=[app, other], actor=SHELL)
    caller = api_keys.authenticate(issued.api_key)
    taking.take(caller, connection="acme")
    assert [(use.who, use.what) for use in leaving.uses(app) if "billing" in use.who] == [
        ("API client billing", "took token")
    ]
    assert leaving.uses(other) == []


def test_the_question_says_who_used_it(salesforce_org: ConnectableOrg, browser: Client) -> None:
    app = salesforce_org.connect("acme")
    page = browser.get(url("delete", app)).content.decode()
    assert "By nobody, as far as is known here. Use by code is noted once a minute." in page
    get_token("acme")
    audit.record("looked up", app, actor="alice")
    page = browser.get(url("delete", app)).content.decode()
    assert "code or pages of this site" in page
    assert "alice: looked up, last" in page
    assert "By nobody" not in page


def test_the_question_for_several_says_it_too(salesforce_org: ConnectableOrg, browser: Client) -> None:
    used, idle = salesforce_org.connect("used"), salesforce_org.connect("idle")
    get_token("used")
    health.check_connection(used, asked_by="test")
    data = {"action": "delete_selected", "_selected_action": [str(used.pk), str(idle.pk)]}
    changelist = reverse("admin:sf_integration_connectedapp_changelist")
    with CaptureQueriesContext(database) as queries:
        page = browser.post(changelist, data).content.decode()
    assert "used: used in the last 30 days by code or pages of this site" in page
    assert "idle: no use is known of" in page
    assert "Connection checks: 1" in page
    read = [query["sql"] for query in queries if 'FROM "sf_integration_connectioncheck"' in query["sql"]]
    assert all(sql.startswith("SELECT COUNT(*)") for sql in read), "a history may have thousands"
    answer = browser.post(changelist, data | {"post": "yes"}, follow=True)
    assert not ConnectedApp.objects.exists()
    assert "1 session was ended in the org" in told(answer)
    assert SigningKey.objects.exists()


def test_the_question_asks_no_more_for_many(salesforce_org: ConnectableOrg, browser: Client) -> None:
    changelist = reverse("admin:sf_integration_connectedapp_changelist")
    counts = []
    for names in (("a", "b"), ("c", "d", "e", "f")):
        for name in names:
            audit.record("looked up", salesforce_org.connect(name), actor=f"reader of {name}")
        chosen = list(map(str, ConnectedApp.objects.values_list("pk", flat=True)))
        with CaptureQueriesContext(database) as queries:
            page = browser.post(
                changelist, {"action": "delete_selected", "_selected_action": chosen}
            ).content.decode()
        assert all(f"{name}: used in the last 30 days by reader of {name}" in page for name in names)
        counts.append(len(queries))
    assert counts[0] == counts[1]


# ---- what goes, and what stays --------------------------------------------------------------------------------------


def test_its_sessions_end_in_the_org_and_its_tokens_go(
    salesforce_org: ConnectableOrg, browser: Client
) -> None:
    user = salesforce_org.add_user("ops@acme.example")
    app = salesforce_org.connect("acme", extra_usernames=[user.username])
    own, other = get_token("acme"), get_token("acme", username=user.username)
    answer = delete(browser, app)
    assert "2 sessions were ended in the org" in told(answer)
    assert salesforce_org.find_session(own.value) is None
    assert salesforce_org.find_session(other.value) is None
    assert not AccessToken.objects.exists()
    event = AuditEvent.objects.get(act="deleted")
    assert (event.actor, event.subject) == ("root", "acme")


@pytest.mark.parametrize("fault", ["close", "maintenance", "bad_gateway"])
def test_an_org_that_is_down_keeps_nobody_from_deleting(
    salesforce_org: ConnectableOrg, browser: Client, fault: str
) -> None:
    app = salesforce_org.connect("acme")
    token = get_token("acme")
    salesforce_org.fail(fault, where="any", times=None)
    answer = delete(browser, app)
    assert f"Not ended in the org: {salesforce_org.user.username} in acme" in told(answer)
    assert token.value not in answer.content.decode()


def test_no_call_is_made_inside_the_transaction(
    salesforce_org: ConnectableOrg, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite it would hold up every writer."""
    app = salesforce_org.connect("acme")
    get_token("acme")
    seen: list[bool] = []
    revoke = leaving.oauth.revoke
    monkeypatch.setattr(
        leaving.oauth, "revoke", lambda *a, **k: seen.append(database.in_atomic_block) or revoke(*a, **k)
    )
    delete(browser, app)
    assert seen == [False]


def test_an_org_that_must_not_be_called_is_not_called(
    salesforce_org: ConnectableOrg, browser: Client, settings
) -> None:
    app = salesforce_org.connect("acme")
    get_token("acme")
    calls = len(salesforce_org.requests)
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"ALLOWED_ENVIRONMENTS": ["trailhead"]}
    assert "Not ended in the org" in told(delete(browser, app))
    assert len(salesforce_org.requests) == calls


def test_a_token_that_does_not_open_is_told(salesforce_org: ConnectableOrg, browser: Client) -> None:
    app = salesforce_org.connect("acme")
    get_token("acme")
    with database.cursor() as cursor:
        cursor.execute("UPDATE sf_integration_accesstoken SET value = 'rubbish'")
    assert "the stored token does not open here" in told(delete(browser, app))


def test_the_signing_key_stays_unless_it_is_ticked(salesforce_org: ConnectableOrg, browser: Client) -> None:
    app = salesforce_org.connect("acme")
    assert 'name="with_keys"' in browser.get(url("delete", app)).content.decode()
    delete(browser, app)
    assert SigningKey.objects.count() == 1


def test_the_signing_key_goes_when_it_is_ticked(salesforce_org: ConnectableOrg, browser: Client) -> None:
    app = salesforce_org.connect("acme", staged_signing_key=keystore.make(name="next"))
    assert browser.get(url("delete", app)).context["keys_left_over"] == list(SigningKey.objects.all())
    delete(browser, app, with_keys="yes")
    assert not SigningKey.objects.exists()
    acts = AuditEvent.objects.filter(subject__in=["acme", "next"]).values_list("act", flat=True)
    assert sorted(acts) == ["deleted", "deleted key", "deleted key"]


@pytest.mark.parametrize("role", ["signing_key", "staged_signing_key"])
def test_a_signing_key_that_something_else_uses_stays_whatever_is_ticked(
    salesforce_org: ConnectableOrg, browser: Client, role: str
) -> None:
    app = salesforce_org.connect("acme")
    other = {role: app.signing_key}
    if role == "staged_signing_key":
        other["signing_key"] = keystore.make(name="own")
    salesforce_org.connect("other", **other)
    assert "something else uses it" in browser.get(url("delete", app)).content.decode()
    delete(browser, app, with_keys="yes")
    assert SigningKey.objects.filter(pk=app.signing_key_id).exists()


@pytest.mark.parametrize("of_the_connection", [True, False])
def test_a_set_up_under_way_keeps_its_signing_key_and_a_finished_one_does_not(
    salesforce_org: ConnectableOrg, browser: Client, of_the_connection: bool
) -> None:
    app = salesforce_org.connect("acme")
    person = get_user_model().objects.get(username="root")
    ConnectionDraft.objects.create(
        made_by=person, signing_key=app.signing_key, connection=app if of_the_connection else None
    )
    delete(browser, app, with_keys="yes")
    assert SigningKey.objects.exists() is not of_the_connection


def test_sessions_that_would_keep_the_person_waiting_are_told_and_not_ended(
    salesforce_org: ConnectableOrg, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = salesforce_org.connect("acme")
    token = get_token("acme")
    monkeypatch.setattr(leaving, "_TOGETHER_SECONDS", -1)
    assert "in acme (it took too long)" in told(delete(browser, app))
    assert salesforce_org.find_session(token.value)


def test_a_token_is_sent_to_hosts_only_that_are_allowed(
    salesforce_org: ConnectableOrg, browser: Client
) -> None:
    app = salesforce_org.connect("acme")
    get_token("acme")
    other = salesforce_org.url.replace("127.0.0.1", "localhost")
    assert other != salesforce_org.url
    AccessToken.objects.update(instance_url=other)
    calls = len(salesforce_org.requests)
    assert "Not ended in the org" in told(delete(browser, app))
    assert len(salesforce_org.requests) == calls


def test_who_may_not_manage_deletes_nothing(salesforce_org: ConnectableOrg, client: Client) -> None:
    app = salesforce_org.connect("acme")
    token = get_token("acme")
    client.force_login(get_user_model().objects.create_user("outsider", is_staff=True))
    assert client.post(url("delete", app), {"post": "yes", "with_keys": "yes"}).status_code in (302, 403)
    assert ConnectedApp.objects.exists()
    assert salesforce_org.find_session(token.value)


# ---- renaming -------------------------------------------------------------------------------------------------------


def test_renaming_warns_that_code_uses_the_name(salesforce_org: ConnectableOrg, browser: Client) -> None:
    app = salesforce_org.connect("acme-prod")
    get_token("acme-prod")
    page = browser.get(url("change", app))
    assert "refused to all code that asks for the old name" in page.content.decode()
    form = page.context["adminform"].form
    data = {
        name: form[name].value()
        for name in (
            "name",
            "login_url",
            "consumer_key",
            "username",
            "signing_key",
            "session_minutes",
            "enabled",
        )
    }
    answer = browser.post(url("change", app), data | {"name": "acme-production"}, follow=True)
    assert "“acme-prod” is now called “acme-production”" in told(answer)
    tokens.reset()
    with pytest.raises(UnknownConnection, match="acme-production"):
        get_token("acme-prod")
    answer = browser.post(url("change", app), data | {"name": "acme-production", "label": "x"}, follow=True)
    assert "is now called" not in told(answer)


# ---- docs/leaving.md ------------------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[1]


def documented_commands() -> list[list[str]]:
    """The arguments of manage.py in the document, in order."""
    text = (ROOT / "docs" / "leaving.md").read_text()
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    typed = [part for block in blocks for part in re.split(r"^\$ ", block, flags=re.MULTILINE) if part]
    found = [shlex.split(each) for each in typed]
    assert all(each[1] == "manage.py" for each in found)
    return [each[2:] for each in found]


@pytest.mark.once
@pytest.mark.long
def test_the_documented_way_out_leaves_no_secret(salesforce_org: ConnectableOrg, tmp_path: Path) -> None:
    """On a site of its own: every file of it is searched."""
    beside = tmp_path.with_name(f"{tmp_path.name}-beside")
    beside.mkdir()
    # As SQLite comes from its makers; Debian's overwrites by itself what is deleted.
    (beside / "forgetful.py").write_text(
        "from sfjwt_site.settings import *\n"
        'DATABASES["default"]["OPTIONS"]["init_command"] += "PRAGMA secure_delete=OFF;"\n'
    )
    of_others = ("DATABASE_URL", "CELERY_BROKER_URL", "CACHE_URL")
    environment = {
        **{name: value for name, value in os.environ.items() if name not in of_others},
        "DJANGO_SETTINGS_MODULE": "forgetful",
        "PYTHONPATH": str(beside),
        "VAR_DIR": str(tmp_path),
        "SF_ENCRYPTION_KEYS": crypto.new_key(),
        "SF_ALLOWED_HOSTS": salesforce_org.url.split("://")[1],
    }

    def manage(*arguments: str) -> str:
        ran = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            env=environment, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, (arguments, ran.stderr)
        return ran.stdout

    def found() -> set[str]:
        held = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        return {name for name, canary in canaries.items() if canary.encode() in held}

    key_file = beside / "server.key"
    assert salesforce_org.app.private_key_pem
    key_file.write_text(salesforce_org.app.private_key_pem)
    manage("migrate", "-v", "0")
    manage(
        "salesforce", "import", "acme", "--check", "--key-file", str(key_file), "--login-url", salesforce_org.url,
        "--consumer-key", salesforce_org.app.consumer_key, "--username", salesforce_org.user.username,
    )  # fmt: skip
    manage("salesforce", "make-key", "spare", "--out", str(key_file.with_suffix(".crt")))
    key_file.unlink()
    token = manage("salesforce", "token", "acme", "--yes").strip()
    sealed = manage(
        "shell", "-v", "0", "-c",
        "from sf_integration.models import AccessToken, SigningKey\n"
        "print(*[k.private_key.ciphertext for k in SigningKey.objects.all()], AccessToken.objects.get().value.ciphertext)",
    ).split()  # fmt: skip
    assert len(sealed) == 3
    # The middle of a ciphertext: a row may lie in several pieces.
    canaries = {f"secret {number}": text[100:140] for number, text in enumerate(sealed)}
    canaries |= {"consumer key": salesforce_org.app.consumer_key, "key id": sealed[0][:12]}
    assert found() == set(canaries), "the search finds what is there"

    said = [manage(*arguments) for arguments in documented_commands()]

    assert "1 session was ended in the org" in "".join(said)
    assert salesforce_org.find_session(token) is None
    assert found() == set()
    assert (tmp_path / "db.sqlite3").exists()
