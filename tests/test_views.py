from __future__ import annotations

import datetime as dt
import json
import re

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sf_integration import get_token, tokens
from sf_integration.health.scheduler import REFRESH
from sf_integration.models import (
    AccessToken,
    AuditEvent,
    ConnectedApp,
    ConnectionCheck,
    Heartbeat,
    SigningKey,
)
from sf_integration.testing.django import ConnectableOrg

pytestmark = pytest.mark.django_db(transaction=True)

ACCOUNT = "001Dn00000Gi7HJIAZ"
LOOK = ["view_health"]


@pytest.fixture
def groups() -> None:
    """As those of the migration, which a transactional test before has swept away."""
    for name, codenames in {"look": LOOK, "operate": [*LOOK, "run_checks", "look_up_records"]}.items():
        group = Group.objects.create(name=f"test: {name}")
        group.permissions.set(Permission.objects.filter(codename__in=codenames))


def person(name: str, *groups: str) -> Client:
    user = User.objects.create_user(name)
    user.groups.set(Group.objects.filter(name__in=[f"test: {group}" for group in groups]))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def alice(groups: None) -> Client:
    """May look and operate."""
    return person("alice", "operate")


def page(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return text_of(response.content.decode())


def text_of(html: str) -> str:
    """What a reader sees, blanks folded."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)).replace("&#x27;", "'")


# ---- who may see what -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "",
        "health.json",
        "acme/",
        "acme/timeline/",
        "acme/identity/",
        "acme/record/",
        "acme/query/",
        "acme/query/rows.csv",
        "acme/certificate.crt",
    ],
)
def test_anonymous_is_sent_to_sign_in(salesforce_org: ConnectableOrg, client: Client, path: str) -> None:
    salesforce_org.connect("acme")
    response = client.get(f"/connections/{path}")
    assert response.status_code == 302
    assert response["Location"].startswith("/login/?next=/connections/")


@pytest.mark.parametrize(
    "act",
    [
        "check",
        "refresh",
        "revoke",
        "shorten-session",
        "pause",
        "resume",
        "record",
        "query",
        "identity",
    ],
)
def test_anonymous_post_does_nothing(salesforce_org: ConnectableOrg, client: Client, act: str) -> None:
    salesforce_org.connect("acme")
    assert client.post(f"/connections/acme/{act}/").status_code == 302
    assert not salesforce_org.requests
    assert ConnectedApp.objects.get().enabled


def test_without_permission_nothing_is_seen(salesforce_org: ConnectableOrg, groups: None) -> None:
    salesforce_org.connect("acme")
    charlie = person("charlie")
    for path in ("", "health.json", "acme/", "nonsense/"):
        response = charlie.get(f"/connections/{path}")
        assert response.status_code == 403
        assert "acme" not in response.content.decode()


def test_who_may_only_look_can_press_and_ask_nothing(salesforce_org: ConnectableOrg, groups: None) -> None:
    salesforce_org.connect("acme")
    bob = person("bob", "look")
    html = bob.get("/connections/acme/").content.decode()
    assert "/connections/acme/check/" not in html
    assert "Someone who may run checks here" in html
    assert "/connections/acme/query/" not in html
    for act in ("check", "refresh", "revoke", "pause", "resume", "record", "query", "identity"):
        assert bob.post(f"/connections/acme/{act}/").status_code == 403
    assert not salesforce_org.requests


def test_connection_of_another_group_is_hidden(salesforce_org: ConnectableOrg, alice: Client) -> None:
    salesforce_org.connect("open")
    secret = salesforce_org.connect("closed")
    secret.groups.add(Group.objects.create(name="others"))
    assert "closed" not in page(alice, "/connections/")
    assert [row["name"] for row in alice.get("/connections/health.json").json()] == ["open"]
    for path in ("", "timeline/", "record/", "query/", "identity/", "certificate.crt"):
        assert alice.get(f"/connections/closed/{path}").status_code == 403
    assert alice.post("/connections/closed/check/").status_code == 403
    assert not salesforce_org.requests


def test_unknown_name_offers_the_nearest_one(salesforce_org: ConnectableOrg, alice: Client) -> None:
    salesforce_org.connect("acme-prod")
    response = alice.get("/connections/acme-prdo/")
    assert response.status_code == 404
    assert 'href="/connections/acme-prod/"' in response.content.decode()


def test_hidden_name_is_answered_as_one_that_nobody_has(
    salesforce_org: ConnectableOrg, alice: Client, admin_client: Client
) -> None:
    salesforce_org.connect("acme-prod")
    hidden = salesforce_org.connect("acme-prot")
    hidden.groups.add(Group.objects.create(name="others"))

    def answer(name: str) -> tuple[int, str]:
        response = alice.get(f"/connections/{name}/")
        return response.status_code, text_of(response.content.decode()).replace(name, "NAME")

    assert answer("acme-prot") == answer("acme-prox")
    assert answer("acme-prot")[0] == 403
    for path in ("check/", "record/", "certificate.crt"):
        assert alice.post(f"/connections/acme-prox/{path}").status_code in (403, 405)
    response = admin_client.get("/connections/acme-prox/")
    assert response.status_code == 404
    assert "acme-pro" in response.content.decode()


def test_no_get_calls_salesforce(salesforce_org: ConnectableOrg, alice: Client) -> None:
    salesforce_org.connect("acme")
    of_one = ("", "timeline/", "identity/", "record/", "query/", "revoke/")
    for path in ("", "health.json", *(f"acme/{page}" for page in of_one)):
        assert alice.get(f"/connections/{path}").status_code == 200
    for act in ("check", "refresh", "pause", "resume"):
        assert alice.get(f"/connections/acme/{act}/").status_code == 302
    assert not salesforce_org.requests
    assert ConnectedApp.objects.get().enabled


def test_no_answer_is_cached(salesforce_org: ConnectableOrg, alice: Client) -> None:
    salesforce_org.connect("acme")
    found = alice.post("/connections/acme/record/", {"sobject": "Account", "record": ACCOUNT})
    for response in (found, alice.get("/connections/acme/"), alice.get("/connections/")):
        assert "no-store" in response["Cache-Control"]


# ---- list -----------------------------------------------------------------------------------------------------------


def test_list_tells_sick_ones_first_with_reason_and_age(
    salesforce_org: ConnectableOrg, alice: Client
) -> None:
    now = timezone.now()
    salesforce_org.connect("anna", last_success_at=now, last_checked_at=now - dt.timedelta(minutes=2))
    salesforce_org.connect(
        "zoe",
        failing_since=now,
        last_checked_at=now,
        last_error={"cause": "The org does not know this consumer key."},
    )
    told = page(alice, "/connections/")
    assert told.index("zoe") < told.index("anna")
    assert "The org does not know this consumer key" in told
    assert "2 min ago" in told
    assert "stand-in" in told


def test_list_is_filtered_by_state_and_words(salesforce_org: ConnectableOrg, alice: Client) -> None:
    now = timezone.now()
    salesforce_org.connect("anna", last_success_at=now, last_checked_at=now)
    salesforce_org.connect("zoe", failing_since=now, last_error={"cause": "Broken."})
    assert "anna" not in page(alice, "/connections/?state=failing")
    assert "zoe" not in page(alice, "/connections/?q=ann")
    assert "Nothing found" in page(alice, "/connections/?q=ann&state=failing")


def test_empty_list_says_what_to_do(alice: Client, admin_client: Client) -> None:
    told = page(alice, "/connections/")
    assert "No connections yet" in told
    assert "manage.py" not in told, "she may not make one"
    assert "/admin/sf_integration/connectedapp/add/" in admin_client.get("/connections/").content.decode()


def many(org: ConnectableOrg, count: int) -> None:
    first = org.connect("c-0000")
    ConnectedApp.objects.bulk_create(
        ConnectedApp(
            name=f"c-{number:04}",
            login_url=org.url,
            consumer_key="k",
            username=f"u{number}@example.com",
            signing_key=first.signing_key,
        )
        for number in range(1, count)
    )


def test_list_has_pages(salesforce_org: ConnectableOrg, alice: Client) -> None:
    many(salesforce_org, 60)
    assert len(set(re.findall(r"c-\d{4}", page(alice, "/connections/")))) == 25
    last = page(alice, "/connections/?page=3")
    assert "51\N{EN DASH}60 of 60" in last
    assert "c-0059" in last


@pytest.mark.parametrize("path", ["/connections/", "/connections/health.json"])
def test_number_of_queries_does_not_depend_on_rows(
    salesforce_org: ConnectableOrg, alice: Client, path: str
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(database) as captured:
            assert alice.get(path).status_code == 200
        return len(captured)

    salesforce_org.connect("one")
    few = queries()
    many(salesforce_org, 50)
    assert queries() == few <= 15


def test_health_json_agrees_with_the_command(
    salesforce_org: ConnectableOrg, alice: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    salesforce_org.connect(
        "acme", label="Acme", last_success_at=timezone.now(), last_checked_at=timezone.now()
    )
    (row,) = alice.get("/connections/health.json").json()
    assert row["name"] == "acme"
    assert row["state"] == "Healthy"
    assert row["seconds_since_success"] in range(30)
    assert row["seconds_failing"] is None
    call_command("salesforce", "list", "--json")
    (told,) = json.loads(capsys.readouterr().out)
    assert told.items() <= row.items()


def test_silent_scheduler_is_told(salesforce_org: ConnectableOrg, alice: Client) -> None:
    salesforce_org.connect("acme")
    assert "has not run here yet" in page(alice, "/connections/")
    Heartbeat.objects.create(name=REFRESH, at=timezone.now() - dt.timedelta(hours=2))
    assert "last heard of 2 h ago" in page(alice, "/connections/")
    Heartbeat.beat(REFRESH)
    assert "scheduler" not in page(alice, "/connections/").lower()


# ---- one connection -------------------------------------------------------------------------------------------------


def test_check_now_runs_the_ladder_and_shows_it(salesforce_org: ConnectableOrg, alice: Client) -> None:
    salesforce_org.connect("acme")
    response = alice.post("/connections/acme/check/", follow=True)
    told = text_of(response.content.decode())
    assert "acme: Healthy." in told
    for title in ("Settings", "Signing key", "Sign-in", "Identity", "Sample record"):
        assert f"passed {title}" in told
    assert salesforce_org.name in told
    assert ConnectionCheck.objects.get().asked_by == "alice"
    assert AuditEvent.objects.filter(actor="alice", act="checked", subject="acme").count() == 1


def test_failure_is_told_with_cause_remedy_who_and_where(
    salesforce_org: ConnectableOrg, alice: Client
) -> None:
    salesforce_org.connect("acme", consumer_key="3MVG9nonsense")
    told = text_of(alice.post("/connections/acme/check/", follow=True).content.decode())
    assert "Failing" in told
    assert "The org does not know this consumer key" in told
    assert "What to do Copy the consumer key again" in told
    assert "What to do: " not in told, "the message above the steps tells them once more"
    assert "Who must act Salesforce admin of the org" in told
    assert "Where to click External Client App Manager" in told
    assert "not reached Sample record" in told


def test_detail_shows_times_of_the_token_but_never_the_token(
    salesforce_org: ConnectableOrg, alice: Client
) -> None:
    salesforce_org.connect("acme")
    alice.post("/connections/acme/check/")
    html = alice.get("/connections/acme/").content.decode()
    row = AccessToken.objects.get()
    assert row.value is not None
    token = row.value.open().decode()
    assert "Next renewal" in html
    assert "Expected expiry" in html
    for secret in (token, token.split("!")[1], row.fingerprint, row.value.ciphertext):
        assert secret
        assert secret not in html


def test_sign_in_anew_makes_another_token(salesforce_org: ConnectableOrg, alice: Client) -> None:
    salesforce_org.connect("acme")
    told = text_of(alice.post("/connections/acme/refresh/", follow=True).content.decode())
    assert "acme signed in anew" in told
    assert salesforce_org.logins == 1
    assert AuditEvent.objects.filter(act="renewed").count() == 1


def test_refused_sign_in_is_told_on_the_page(salesforce_org: ConnectableOrg, alice: Client) -> None:
    salesforce_org.connect("acme")
    salesforce_org.user.approved = False
    told = text_of(alice.post("/connections/acme/refresh/", follow=True).content.decode())
    assert "admin-approved users only" in told


OPS = "ops@nordhafen.example"


@pytest.fixture
def two_users(salesforce_org: ConnectableOrg) -> ConnectableOrg:
    """The connection's own user and another one, both with a token."""
    salesforce_org.add_user(OPS)
    salesforce_org.connect("acme", extra_usernames=[OPS])
    get_token("acme")
    get_token("acme", username=OPS)
    return salesforce_org


def test_refused_sign_in_leaves_the_old_token_in_use(two_users: ConnectableOrg, alice: Client) -> None:
    old = get_token("acme")
    two_users.user.approved = False
    told = text_of(alice.post("/connections/acme/refresh/", follow=True).content.decode())
    assert "The old token stays in use." in told
    assert get_token("acme") == old


def test_sign_in_anew_of_another_user_leaves_the_own_token_alone(
    two_users: ConnectableOrg, alice: Client
) -> None:
    own, ops = get_token("acme"), get_token("acme", username=OPS)
    response = alice.post("/connections/acme/refresh/", {"username": OPS}, follow=True)
    assert f"Connection acme, user {OPS}, signed in anew" in text_of(response.content.decode())
    tokens.reset()
    assert get_token("acme") == own
    assert get_token("acme", username=OPS) != ops
    assert AuditEvent.objects.get(act="renewed").username == OPS


def test_revoking_is_asked_about_and_then_ends_the_session(two_users: ConnectableOrg, alice: Client) -> None:
    own, ops = get_token("acme"), get_token("acme", username=OPS)
    html = alice.get("/connections/acme/").content.decode()
    assert "/connections/acme/revoke/?username=ops%40nordhafen.example" in html
    asked = page(alice, f"/connections/acme/revoke/?username={OPS}")
    assert f"Revoke the token of {OPS} ?" in asked
    assert two_users.find_session(ops.value)

    told = alice.post("/connections/acme/revoke/", {"username": OPS}, follow=True).content.decode()

    assert f"the session of {OPS} was ended" in text_of(told)
    assert two_users.find_session(ops.value) is None
    assert two_users.find_session(own.value)
    event = AuditEvent.objects.get(act="revoked token")
    assert (event.actor, event.subject, event.username) == ("alice", "acme", OPS)

    alice.post("/connections/acme/revoke/")
    assert two_users.find_session(own.value) is None
    assert "had no token to revoke" in text_of(
        alice.post("/connections/acme/revoke/", follow=True).content.decode()
    )


def test_session_of_a_paused_connection_can_be_ended(two_users: ConnectableOrg, alice: Client) -> None:
    own = get_token("acme")
    alice.post("/connections/acme/pause/")
    assert "/connections/acme/revoke/" in alice.get("/connections/acme/").content.decode()
    alice.post("/connections/acme/revoke/")
    assert two_users.find_session(own.value) is None


def test_a_revocation_that_fails_can_be_tried_again(two_users: ConnectableOrg, alice: Client) -> None:
    own = get_token("acme")
    two_users.fail("close", where="any")
    told = text_of(alice.post("/connections/acme/revoke/", follow=True).content.decode())
    assert "The session was not ended." in told
    assert not AuditEvent.objects.filter(act="revoked token").exists()
    two_users.heal()
    alice.post("/connections/acme/revoke/")
    assert two_users.find_session(own.value) is None


def test_a_user_without_a_token_is_not_found(two_users: ConnectableOrg, alice: Client) -> None:
    for ask in (alice.get, alice.post):
        assert ask("/connections/acme/revoke/", {"username": "ceo@nordhafen.example"}).status_code == 404


def end_early(minutes: int) -> None:
    AccessToken.objects.exclude(username=OPS).update(early_ends=3, shortest_life_seconds=minutes * 60)


def test_sessions_that_end_early_are_told_with_a_button(
    two_users: ConnectableOrg, alice: Client, admin_client: Client
) -> None:
    alice.post("/connections/acme/check/")
    end_early(31)
    for client, says in (
        (alice, "Someone who may manage connections"),
        (admin_client, "Set the session length to 30 min"),
    ):
        told = page(client, "/connections/acme/")
        assert "Sessions here end after about 31 min, your session length says 2 h." in told
        assert "Ended early 3 in a row, the soonest after 31 min" in told
        assert says in told
    assert alice.post("/connections/acme/shorten-session/").status_code == 403
    told = admin_client.post("/connections/acme/shorten-session/", follow=True).content.decode()
    assert "the session length is 30 min" in text_of(told)
    assert "Sessions here end" not in text_of(told)
    assert ConnectedApp.objects.get().session_minutes == 30
    assert AuditEvent.objects.get(act="changed").fields == ["session_minutes"]
    tokens.refresh("acme")
    left = AccessToken.objects.exclude(username=OPS).get().expected_expiry - timezone.now()
    assert left <= dt.timedelta(minutes=30)


def test_what_is_worse_comes_before_the_advice(two_users: ConnectableOrg, admin_client: Client) -> None:
    end_early(31)
    assert "Press Check now" in page(admin_client, "/connections/acme/")
    assert "Sessions here end" not in page(admin_client, "/connections/acme/")
    told = admin_client.post("/connections/acme/pause/", follow=True).content.decode()
    assert "Sessions here end" not in text_of(told)


def test_pause_stops_all_calls_until_resumed(salesforce_org: ConnectableOrg, alice: Client) -> None:
    salesforce_org.connect("acme")
    told = text_of(alice.post("/connections/acme/pause/", follow=True).content.decode())
    assert "Paused" in told
    assert "Resume" in told
    response = alice.post("/connections/acme/record/", {"sobject": "Account", "record": ACCOUNT})
    assert response.status_code == 424
    assert not salesforce_org.requests
    alice.post("/connections/acme/resume/")
    response = alice.post("/connections/acme/record/", {"sobject": "Account", "record": ACCOUNT})
    assert response.status_code == 200
    assert list(AuditEvent.objects.order_by("at").values_list("act", flat=True)) == [
        "paused",
        "resumed",
        "looked up",
    ]


def test_older_check_can_be_opened_from_the_history(salesforce_org: ConnectableOrg, alice: Client) -> None:
    connection = salesforce_org.connect("acme", consumer_key="3MVG9nonsense")
    alice.post("/connections/acme/check/")
    failed = ConnectionCheck.objects.get()
    ConnectedApp.objects.filter(pk=connection.pk).update(consumer_key=salesforce_org.app.consumer_key)
    alice.post("/connections/acme/check/")
    assert "not reached" not in page(alice, "/connections/acme/")
    assert "not reached" in page(alice, f"/connections/acme/?check={failed.pk}")
    assert alice.get("/connections/acme/?check=nonsense").status_code == 404


def test_certificate_can_be_downloaded(salesforce_org: ConnectableOrg, alice: Client) -> None:
    salesforce_org.connect("acme")
    response = alice.get("/connections/acme/certificate.crt")
    assert response.content.decode() == SigningKey.objects.get().certificate
    assert response["Content-Disposition"] == 'attachment; filename="acme.crt"'
