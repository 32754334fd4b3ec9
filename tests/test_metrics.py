"""What Prometheus reads, and whether the example files for it fit."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml
from django.contrib.auth.models import Group, Permission, User
from django.db import InterfaceError, OperationalError
from django.db import connection as database
from django.test import Client
from django.utils import timezone
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from sf_integration import ActionNeeded, get_token, health, tokens
from sf_integration.health.scheduler import REFRESH
from sf_integration.models import (
    AccessToken,
    Alarm,
    AlarmMessage,
    ConnectedApp,
    GroupAccess,
    Heartbeat,
    SigningKey,
    Total,
)
from sf_integration.testing.django import ConnectableOrg
from sf_integration.tokens import totals

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "prometheus"
TOKEN = "a-token-of-the-scraper"
SHOWN = {"Authorization": f"Bearer {TOKEN}"}

Labels = frozenset[tuple[str, str]]

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def metrics_token(settings: Any) -> None:
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "METRICS_TOKEN": TOKEN}


def scrape(client: Client | None = None, headers: dict[str, str] = SHOWN) -> dict[tuple[str, Labels], float]:
    """Samples by name, without the prefix, and labels."""
    answer = (client or Client()).get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.content
    return {
        (sample.name.removeprefix("sf_integration_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }


def value(samples: dict[tuple[str, Labels], float], name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def names(samples: dict[tuple[str, Labels], float], label: str = "connection") -> set[str]:
    return {dict(labels)[label] for _, labels in samples if label in dict(labels)}


def add(name: str, **fields: Any) -> ConnectedApp:
    """A connection that works; nothing is called."""
    now = timezone.now()
    key = SigningKey.objects.create(name=f"key of {name}", fingerprint=name, size=2048, signer="outside")
    facts = {"last_checked_at": now, "last_success_at": now, "environment": "sandbox"} | fields
    connection = ConnectedApp(
        name=name,
        login_url=f"https://{abs(hash(name))}.my.salesforce.com",
        consumer_key="3MVG9",
        username=f"user-{name}@acme.example",
        signing_key=key,
        **facts,
    )
    connection.environment_for = connection.environment_subject
    connection.save(force_insert=True)
    return connection


@pytest.fixture
def signer(settings: Any, metrics_token: None) -> None:
    """Makes the signing keys of `add` usable, as far as the state goes."""
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "SIGNERS": {"outside": "nobody.Asks"}}


# ---- The door -------------------------------------------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize(
    "shown",
    [
        "",
        TOKEN,
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer",
        "Bearer ",
        "Bearer é",
    ],
)
def test_who_does_not_show_the_token_is_turned_away(admin_client: Client, shown: str) -> None:
    answer = admin_client.get("/metrics", headers={"Authorization": shown} if shown else {})
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert b"sf_integration" not in answer.content


@pytest.mark.once
def test_a_token_may_have_any_letters(client: Client, settings: Any) -> None:
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "METRICS_TOKEN": "schlüssel"}
    as_servers_read_it = "Bearer schlüssel".encode().decode("latin-1")
    assert client.get("/metrics", headers={"Authorization": as_servers_read_it}).status_code == 200


@pytest.mark.once
@pytest.mark.parametrize(("configured", "status"), [("", 302), (TOKEN, 401)])
def test_an_empty_token_opens_nothing(client: Client, settings: Any, configured: str, status: int) -> None:
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "METRICS_TOKEN": configured}
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == status


@pytest.mark.once
def test_answers_are_kept_by_no_cache_and_only_asked_for(client: Client) -> None:
    assert "no-store" in client.get("/metrics", headers=SHOWN)["Cache-Control"]
    assert client.post("/metrics", headers=SHOWN).status_code == 405


@pytest.mark.once
def test_without_the_library_there_is_no_such_address(client: Client) -> None:
    with mock.patch.dict(sys.modules, {"prometheus_client": None}):
        sys.modules.pop("sf_integration.metrics.collector", None)
        assert client.get("/metrics", headers=SHOWN).status_code == 404
        assert client.get("/healthz").status_code == 200
    assert client.get("/metrics", headers=SHOWN).status_code == 200


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_database_that_is_away_is_said_in_a_line(client: Client, error: type[Exception]) -> None:
    def away(*_: object) -> None:
        raise error("the database is gone")

    with database.execute_wrapper(away):
        answer = client.get("/metrics", headers=SHOWN)
    assert (answer.status_code, answer.content) == (503, b"The database does not answer.\n")


def test_people_see_what_is_visible_to_them_and_only_who_sees_all_sees_the_site(
    client: Client, settings: Any, signer: None
) -> None:
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "METRICS_TOKEN": ""}
    for name in ("sales", "secret"):
        connection = add(name)
        SigningKey.objects.filter(connections=connection).update(not_after=timezone.now())
        AccessToken.objects.create(
            connection=connection, username=connection.username, logins=1, logins_since=timezone.now()
        )
    insiders = Group.objects.create(name="insiders")
    GroupAccess.objects.create(connection=ConnectedApp.objects.get(name="secret"), group=insiders)
    user = User.objects.create_user("charlie")
    client.force_login(user)
    assert client.get("/metrics").status_code == 403

    user.user_permissions.add(Permission.objects.get(codename="view_health"))
    seen = scrape(client, {})
    assert names(seen) == {"sales"}
    assert names(seen, "signing_key") == {"key of sales"}
    assert value(seen, "connections", state="Needs attention") == 1
    assert not any(name.startswith(("sign_ins", "alarm", "encryption")) for name, _ in seen)

    user.groups.add(insiders)
    seen = scrape(client, {})
    assert names(seen) == {"sales", "secret"}
    assert value(seen, "sign_ins_total", outcome="ok") == 0


# ---- What is told ---------------------------------------------------------------------------------------------------


def test_the_state_is_the_one_that_pages_show(signer: None) -> None:
    now = timezone.now()
    add("well")
    add("ill", failing_since=now - dt.timedelta(hours=2))
    add("resting", failing_since=now, enabled=False)
    seen = scrape()
    assert value(seen, "connection_state", connection="well", state="Healthy", environment="sandbox") == 1
    assert value(seen, "connection_state", connection="ill", state="Failing", environment="sandbox") == 1
    assert value(seen, "connection_state", connection="resting", state="Paused", environment="sandbox") == 1
    assert len([name for name, _ in seen if name == "connection_state"]) == 3
    assert {state: value(seen, "connections", state=state) for state in ("Healthy", "Failing", "Idle")} == {
        "Healthy": 1,
        "Failing": 1,
        "Idle": 0,
    }
    since = "connection_failing_since_timestamp_seconds"
    assert value(seen, since, connection="ill") == pytest.approx((now - dt.timedelta(hours=2)).timestamp())
    assert value(seen, since, connection="resting") is None


def test_site_wide_facts(signer: None, settings: Any) -> None:
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "ENCRYPTION_KEYS": []}
    now = timezone.now()
    assert value(scrape(), "scheduler_heartbeat_timestamp_seconds") is None
    Heartbeat.beat(REFRESH)
    Alarm.objects.create(kind="host", about="acme.example", title="acme", since=now, told_at=now)
    Alarm.objects.create(kind="host", about="other.example", title="not told yet", since=now)
    Alarm.objects.create(kind="host", about="acme.example", title="acme", since=now, ended_at=now)
    for facts in ({"next_try_at": now}, {"next_try_at": None}, {"sent_at": now}):
        AlarmMessage.objects.create(target="mail:ops@acme.example", subject="s", body="b", **facts)
    seen = scrape()
    assert value(seen, "scheduler_heartbeat_timestamp_seconds") == pytest.approx(now.timestamp(), abs=60)
    assert value(seen, "alarms_open", kind="host") == 1
    assert value(seen, "alarms_open", kind="certificate") == 0
    assert value(seen, "alarm_messages_unsent", status="waiting") == 1
    assert value(seen, "alarm_messages_unsent", status="given_up") == 1
    assert value(seen, "sign_in_budget_limit") == 600
    assert value(seen, "encryption_keys_missing") == value(seen, "signers_missing") == 0
    assert [name for name, _ in seen if name == "build_info"]


@pytest.mark.django_db(transaction=True)
def test_a_connection_s_life_shows(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    salesforce_org.connect("shut", username="nobody@acme.example", staged_signing_key=None)
    token = get_token("acme")
    with pytest.raises(ActionNeeded):
        get_token("shut")
    tokens.refresh_due()
    health.check_connection(ConnectedApp.objects.get(name="acme"), asked_by="beat", renew=False)
    seen = scrape()
    assert value(seen, "token_expiry_timestamp_seconds", connection="acme") == pytest.approx(
        token.expected_expiry.timestamp()
    )
    assert value(seen, "token_expiry_timestamp_seconds", connection="shut") is None
    assert value(seen, "sign_in_budget_used", connection="acme") == 1
    assert value(seen, "signing_key_certificate_end_timestamp_seconds", signing_key="acme") > 0  # type: ignore[operator]
    assert value(seen, "sign_ins_total", outcome="ok") == 1
    assert value(seen, "sign_in_duration_seconds_count", outcome="ok") == 1
    assert value(seen, "sign_in_duration_seconds_sum", outcome="ok") > 0  # type: ignore[operator]
    refused = [
        labels for name, labels in seen if name == "sign_ins_total" and ("outcome", "ok") not in labels
    ]
    assert [dict(each)["outcome"] for each in refused] == ["invalid_grant"]
    found = ConnectedApp.objects.get(name="acme")
    assert value(seen, "checks_total", state=found.connection_state().value) == 1
    assert value(seen, "api_calls_limit", connection="acme") == found.organization["api_usage"]["limit"]
    assert value(seen, "api_calls_used", connection="acme") == found.organization["api_usage"]["used"]
    canaries = [token.value, found.username, found.consumer_key, "nobody@acme.example", TOKEN]
    body = Client().get("/metrics", headers=SHOWN).content.decode()
    assert [canary for canary in canaries if canary in body] == []
    assert "acme" in body


def test_old_api_usage_is_no_news(signer: None) -> None:
    at = timezone.now() - dt.timedelta(hours=25)
    add("acme", organization={"api_usage": {"used": 1, "limit": 2, "at": at.isoformat()}})
    assert value(scrape(), "api_calls_used", connection="acme") is None


def test_the_number_of_queries_does_not_depend_on_connections(
    signer: None, django_assert_num_queries: Any
) -> None:
    from sf_integration import sealed_columns

    for number in range(3):
        add(f"acme-{number}")
    scrape()
    for number in range(3, 9):
        add(f"acme-{number}")
    sealed_columns._seen = None
    with django_assert_num_queries(13):  # two of them, and a savepoint, once a minute
        assert len(names(scrape())) == 9


@pytest.mark.once
@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "a\\nb", "{a='b'}", "ä€𝄞", "a\rb\x85c\u2028d", ""])
def test_odd_names_neither_break_the_format_nor_forge_a_sample(signer: None, name: str) -> None:
    add(name)
    assert names(scrape()) == {name}
    answer = Client().get(
        "/metrics", headers=SHOWN | {"Accept": "application/openmetrics-text; version=1.0.0"}
    )
    families = list(parse_openmetrics(answer.content.decode()))
    state = next(each for each in families if each.name == "sf_integration_connection_state")
    assert [sample.labels["connection"] for sample in state.samples] == [name]


@pytest.mark.once
@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
            "application/openmetrics-text",
        ),
        ("application/openmetrics-text; version=abc", "text/plain"),
        (
            "application/openmetrics-text; version=2.x, application/openmetrics-text",
            "application/openmetrics-text",
        ),
        ("text/plain; version=1.x", "text/plain"),
    ],
)
def test_the_format_is_what_the_scraper_accepts(client: Client, accept: str, answered: str) -> None:
    answer = client.get("/metrics", headers=SHOWN | {"Accept": accept})
    assert (answer.status_code, answer["Content-Type"].split(";")[0]) == (200, answered)


# ---- What is counted ------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_sign_ins_in_many_threads_are_all_counted(salesforce_org: ConnectableOrg) -> None:
    """First of all the row itself, which all of them find missing."""
    from django.db import connections

    ways = [[("ok", 1), ("timeout", 5)], [("timeout", 5), ("ok", 1), ("cut_off", 2)]]

    def count(number: int) -> None:
        totals.tell(totals.What.SIGN_IN, *ways[number % 2])
        if number >= 32:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(40)))
        list(pool.map(lambda _: connections.close_all(), range(32)))
    assert dict(Total.objects.values_list("outcome", "count")) == {"ok": 40, "timeout": 40, "cut_off": 20}
    assert Total.objects.get(outcome="timeout").milliseconds == 200


@pytest.mark.django_db(transaction=True)
def test_sweeps_and_their_sign_ins_are_counted(salesforce_org: ConnectableOrg) -> None:
    for number in range(3):
        salesforce_org.connect(f"acme-{number}")
    assert tokens.refresh_due().renewed == 3
    tokens.refresh_due()  # nothing was due
    assert set(Total.objects.values_list("what", "outcome", "count")) == {
        ("sign-in", "ok", 3),
        ("sweep", "", 1),
    }


@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_counted_costs_nothing(
    salesforce_org: ConnectableOrg, caplog: pytest.LogCaptureFixture
) -> None:
    acme = salesforce_org.connect("acme")
    with totals_away():
        assert get_token("acme").value
        assert tokens.refresh_due().failed == 0
        check = health.check_connection(acme, asked_by="beat")
    assert check.healthy
    assert "not stored" in caplog.text
    assert "a check was not counted" in caplog.text
    assert not Total.objects.exists()


class totals_away:  # noqa: N801 - reads as a function
    table = Total._meta.db_table

    def __enter__(self) -> None:
        self._run(f"ALTER TABLE {self.table} RENAME TO {self.table}_away")

    def __exit__(self, *_: object) -> None:
        self._run(f"ALTER TABLE {self.table}_away RENAME TO {self.table}")

    def _run(self, sql: str) -> None:
        with database.cursor() as cursor:
            cursor.execute(sql)


@pytest.mark.once
@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("", "ok"),
        ("invalid_grant", "invalid_grant"),
        ("timeout", "timeout"),
        ("http_418", "http_4xx"),
        ("http_599", "http_5xx"),
        ("http_503", "http_503"),
        ("INSUFFICIENT_ACCESS_x7f3", "other"),
        ("made_up_by_the_host", "other"),
    ],
)
def test_what_a_host_invents_does_not_make_new_series(code: str, outcome: str) -> None:
    assert totals.outcome_of(code) == outcome


# ---- The example files ----------------------------------------------------------------------------------------------

_METRIC = re.compile(r"\bsf_integration_\w+")


def exported() -> set[str]:
    """Names of all metrics that there can be, as they stand in expressions."""
    now = timezone.now()
    usage = {"used": 1, "limit": 2, "at": now.isoformat()}
    connection = add("acme", failing_since=now, organization={"api_usage": usage})
    SigningKey.objects.update(not_after=now)
    token = AccessToken(connection=connection, username=connection.username, expected_expiry=now)
    token.logins, token.logins_since, token.value = 1, now, sealed(token)
    token.save()
    Heartbeat.beat(REFRESH)
    return {f"sf_integration_{name}" for name, _ in scrape()}


def sealed(token: AccessToken) -> Any:
    from sf_integration.fields import seal

    return seal(AccessToken, "value", token.pk, b"x")


def rules() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load((EXAMPLES / "alerts.yml").read_text())["groups"]:
        yield from group["rules"]


def panels() -> list[dict[str, Any]]:
    board = json.loads((EXAMPLES / "dashboard.json").read_text())
    assert board["schemaVersion"] >= 36
    assert re.fullmatch(r"[\w-]{1,40}", board["uid"])
    found: list[dict[str, Any]] = board["panels"]
    return found


@pytest.mark.once
def test_examples_and_documentation_name_metrics_that_there_are(signer: None) -> None:
    there = exported()
    used = {
        name
        for text in (
            *(rule["expr"] for rule in rules()),
            *(target["expr"] for panel in panels() for target in panel.get("targets", ())),
        )
        for name in _METRIC.findall(text)
    }
    assert used
    assert used - there == set()
    documented = set(_METRIC.findall((ROOT / "docs" / "metrics.md").read_text()))
    assert there - documented == set()
    assert {
        name for name in documented - there if name.endswith(("_total", "_seconds", "_sum", "_count"))
    } == set()


@pytest.mark.once
def test_every_rule_says_what_to_do_and_every_panel_has_its_place() -> None:
    for rule in rules():
        assert {"summary", "description"} <= rule["annotations"].keys(), rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels()]
    assert len(places) == len(set(places))
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels())


@pytest.mark.once
@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
def test_promtool_finds_nothing_to_say(signer: None) -> None:
    exported()
    text = Client().get("/metrics", headers=SHOWN).content
    for command, given in (
        (["check", "rules", "alerts.yml"], b""),
        (["test", "rules", "alerts_test.yml"], b""),
        (["check", "metrics"], text),
    ):
        done = subprocess.run(
            ["promtool", *command], input=given, capture_output=True, cwd=EXAMPLES, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, b""), done.stdout.decode() + done.stderr.decode()
