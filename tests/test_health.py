from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator

import pytest
from django.utils import timezone

from sf_integration import get_token, health
from sf_integration.health import checking, ladder
from sf_integration.models import ConnectedApp, ConnectionCheck, SigningKey
from sf_integration.salesforce.errors import NotAllowedHere
from sf_integration.signals import connection_health_changed
from sf_integration.state import ConnectionState
from sf_integration.testing.django import ConnectableOrg

pytestmark = pytest.mark.django_db(transaction=True)

LADDER = [
    "settings",
    "signing_key",
    "host",
    "clock",
    "sign_in",
    "scopes",
    "identity",
    "environment",
    "api_version",
    "limits",
    "sample_record",
]


def steps_of(check: ConnectionCheck) -> dict[str, dict[str, object]]:
    return {step["step"]: step for step in check.steps}


def check(name: str = "acme", **options: bool) -> ConnectionCheck:
    connection = ConnectedApp.objects.select_related("signing_key").get(name=name)
    return health.check_connection(connection, asked_by="test", **options)  # type: ignore[arg-type]


def test_healthy_connection_passes_every_step(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    found = check()
    assert [step["step"] for step in found.steps] == LADDER
    assert {step["status"] for step in found.steps} == {"ok"}
    assert (found.healthy, found.state) == (True, "Healthy")
    assert found.api_limit == salesforce_org.api_limit
    connection = ConnectedApp.objects.get()
    assert connection.expected_org_id == salesforce_org.id
    assert connection.api_version == "67.0"
    assert connection.environment == "developer"
    assert connection.connection_state() is ConnectionState.HEALTHY


def test_check_by_hand_signs_in_and_its_token_is_everybodys(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    before = get_token("acme")
    check()
    assert get_token("acme") != before
    assert salesforce_org.token_requests == 2


def test_check_by_beat_uses_the_stored_token(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    get_token("acme")
    assert check(renew=False).healthy
    assert check(renew=False, light=True).healthy
    assert salesforce_org.token_requests == 1


def test_light_check_is_one_call(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    check()
    before = len(salesforce_org.requests)
    check(light=True, renew=False)
    assert len(salesforce_org.requests) - before == 1


def test_after_a_failure_the_rest_is_not_reached(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.user.approved = False
    salesforce_org.connect("acme")
    found = check()
    steps = steps_of(found)
    assert (found.healthy, found.state) == (False, "Failing")
    assert steps["sign_in"]["status"] == "failed"
    assert steps["sign_in"]["code"] == "invalid_app_access"
    assert steps["sign_in"]["remedy"]
    assert {steps[name]["status"] for name in LADDER[LADDER.index("scopes") :]} == {"not_reached"}


def test_recovery_clears_the_failure_and_tells_once(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    heard: list[tuple[ConnectionState, ConnectionState]] = []

    def listen(previous: ConnectionState, state: ConnectionState, **_: object) -> None:
        heard.append((previous, state))

    connection_health_changed.connect(listen, weak=False, dispatch_uid="test")
    try:
        check()
        salesforce_org.user.active = False
        ConnectedApp.objects.get().tokens.update(last_try_at=None)
        check()
        check()
        salesforce_org.user.active = True
        ConnectedApp.objects.get().tokens.update(last_try_at=None)
        check()
    finally:
        connection_health_changed.disconnect(dispatch_uid="test")
    assert heard == [
        (ConnectionState.NOT_CHECKED_YET, ConnectionState.HEALTHY),
        (ConnectionState.HEALTHY, ConnectionState.FAILING),
        (ConnectionState.FAILING, ConnectionState.HEALTHY),
    ]


def test_user_who_may_not_read_the_limits_is_healthy(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.limits_refused = True
    salesforce_org.connect("acme")
    found = check()
    assert (found.healthy, found.state) == (True, "Healthy")
    assert found.api_limit == salesforce_org.api_limit  # from the answers' header
    step = steps_of(found)["limits"]
    assert (step["status"], step["code"]) == ("ok", "API_DISABLED_FOR_ORG")
    assert "API calls used in 24 hours, says the answers' header." in str(step["message"])
    assert "View Setup and Configuration" in str(step["remedy"])


@pytest.mark.parametrize(
    "daily",
    [
        '{"Max": 1e999, "Remaining": 1}',
        '{"Max": 5, "Remaining": 9}',
        f'{{"Max": {10**30}, "Remaining": 1}}',
        "[7]",
    ],
)
def test_limits_that_can_not_be_are_left_to_the_answers_header(
    salesforce_org: ConnectableOrg, daily: str
) -> None:
    salesforce_org.connect("acme", api_version="67.0")
    body = f'{{"DailyApiRequests": {daily}}}'
    salesforce_org.fail("answer", where="/services/data/v67.0/limits", times=None, body=body)
    found = check()
    assert (found.healthy, steps_of(found)["limits"]["status"]) == (True, "ok")
    assert found.api_limit == salesforce_org.api_limit


def test_user_who_may_not_read_the_limits_is_warned_of_a_used_up_quota(
    salesforce_org: ConnectableOrg,
) -> None:
    salesforce_org.limits_refused = True
    salesforce_org.api_used = 14_000
    salesforce_org.connect("acme")
    found = check()
    assert (found.state, steps_of(found)["limits"]["code"]) == ("Needs attention", "api_limit_near")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("API_CURRENTLY_DISABLED", "API is disabled for this User"),
        ("API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization."),
        ("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
    ],
)
def test_an_api_that_refuses_every_call_is_a_failure(
    salesforce_org: ConnectableOrg, code: str, message: str
) -> None:
    salesforce_org.fail(
        "rest_error", where="/services/data/v", times=None, status=403, code=code, message=message
    )
    salesforce_org.connect("acme")
    found = check()
    failed = [step for step in found.steps if step["status"] == "failed"]
    assert (found.healthy, [step["code"] for step in failed]) == (False, [code])


def test_settings_tell_host_audience_and_kind_of_org(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", audience="https://login.salesforce.com")
    check()
    told = str(steps_of(check())["settings"]["message"])
    assert told == f"{salesforce_org.url}, audience https://login.salesforce.com, developer"


def test_a_field_behind_a_relation_that_may_not_be_read_is_named(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", sample_sobject="Contact", sample_fields=["Name", "Account.Secret__c"])
    step = steps_of(check())["sample_record"]
    assert (step["status"], step["code"]) == ("warning", "INVALID_FIELD")
    assert "Contact.Account.Secret__c" in str(step["message"])


def test_nearly_used_up_quota_needs_attention(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.api_used = 12_500
    salesforce_org.connect("acme")
    found = check()
    assert (found.healthy, found.state) == (True, "Needs attention")
    assert steps_of(found)["limits"]["code"] == "api_limit_near"
    assert "API calls used" in ConnectedApp.objects.get().state_sentence()


def test_beat_does_not_spend_the_last_of_the_quota(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.api_used = 12_500
    connection = salesforce_org.connect("acme")
    assert list(health.due_for_check()) == [(connection.pk, False)]
    check()
    assert list(health.due_for_check(timezone.now() + dt.timedelta(hours=23))) == []


def test_missing_scope_needs_attention_or_fails_where_it_hurts(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.app.scopes = ("id", "refresh_token")
    salesforce_org.connect("acme")
    found = check()
    assert steps_of(found)["scopes"]["status"] == "warning"
    assert not found.healthy


def test_wrong_clock_is_told(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.clock_offset_seconds = -90
    salesforce_org.connect("acme")
    found = check()
    assert steps_of(found)["clock"]["code"] == "clock_skew"
    assert "seconds ahead" in str(steps_of(found)["clock"]["message"])
    assert found.state == "Needs attention"


def test_sample_object_that_the_user_may_not_see_is_a_warning(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", sample_sobject="Secret__c")
    found = check()
    assert steps_of(found)["sample_record"]["status"] == "warning"
    assert steps_of(found)["sample_record"]["code"] == "INVALID_TYPE"
    assert found.healthy


def test_replaced_org_is_refused_until_accepted(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", expected_org_id="00D5g000004FaKeEAK")
    found = check()
    assert steps_of(found)["sign_in"]["code"] == "wrong_org"
    assert found.state == "Failing"


def test_org_that_is_no_sandbox_is_refused_where_only_sandboxes_are_allowed(
    salesforce_org: ConnectableOrg, settings: object
) -> None:
    connection = salesforce_org.connect("acme")
    ConnectedApp.objects.filter(pk=connection.pk).update(environment="sandbox")
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "ALLOWED_ENVIRONMENTS": ["sandbox"]}  # type: ignore[attr-defined]
    found = check()
    assert steps_of(found)["environment"]["code"] == "not_allowed_here"
    assert found.state == "Not allowed here"


def test_api_version_that_is_not_served_fails(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", api_version="41.0")
    assert steps_of(check())["environment"]["status"] in ("failed", "ok")
    assert not check().healthy


@pytest.mark.parametrize("version", ["42.0", "58.0", "66.0", "67.0"])
def test_every_served_version_works(salesforce_org: ConnectableOrg, version: str) -> None:
    salesforce_org.connect("acme", api_version=version)
    assert check().healthy


def test_paused_connection_is_not_called(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", enabled=False)
    found = check()
    assert found.state == "Paused"
    assert salesforce_org.requests == []
    assert ConnectedApp.objects.get().failing_since is None


def test_dead_host_is_named_before_the_sign_in(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", login_url="https://nowhere.my.salesforce.com")
    steps = steps_of(check())
    assert steps["host"]["status"] == "failed"
    assert steps["sign_in"]["status"] == "not_reached"


@pytest.mark.parametrize("kind", ["maintenance", "garbage", "html", "cut", "close", "redirect"])
def test_every_sick_answer_is_a_sentence_not_a_crash(salesforce_org: ConnectableOrg, kind: str) -> None:
    salesforce_org.connect("acme")
    salesforce_org.fail(kind, times=None, where="any")
    found = check()
    failed = [step for step in found.steps if step["status"] == "failed"]
    assert len(failed) == 1
    assert failed[0]["message"].endswith((".", "”"))
    assert not found.healthy


def test_new_and_edited_connections_get_the_full_ladder(salesforce_org: ConnectableOrg) -> None:
    connection = salesforce_org.connect("acme")
    assert list(health.due_for_check()) == [(connection.pk, False)]
    check()
    assert list(health.due_for_check()) == []
    ConnectedApp.objects.update(audience="https://login.salesforce.com")
    assert list(health.due_for_check()) == [(connection.pk, False)]


def test_light_checks_come_hourly_and_full_ones_daily(salesforce_org: ConnectableOrg) -> None:
    connection = salesforce_org.connect("acme")
    check()
    now = timezone.now()
    lights = [
        minute
        for minute in range(3, 63)
        if list(health.due_for_check(now + dt.timedelta(minutes=minute))) == [(connection.pk, True)]
    ]
    assert len(lights) == 1  # its own minute of the hour
    assert list(health.due_for_check(now + dt.timedelta(hours=24, minutes=1))) == [(connection.pk, False)]


def test_connection_idles_when_nothing_is_asked_for_a_day(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    check()
    later = timezone.now() + dt.timedelta(hours=26)
    assert ConnectedApp.objects.get().connection_state(later) is ConnectionState.IDLE


def test_a_sign_in_that_works_does_not_hide_what_a_check_found(salesforce_org: ConnectableOrg) -> None:
    """The app lost its right to the API: signing in goes on working, and the state must not flap."""
    salesforce_org.connect("acme")
    check()
    salesforce_org.app.scopes = ("id", "refresh_token")
    check()
    failing_since = ConnectedApp.objects.get().failing_since
    assert failing_since
    from sf_integration import tokens

    ConnectedApp.objects.get().tokens.update(refresh_at=timezone.now())
    assert tokens.refresh_due().renewed == 1
    check(light=True, renew=False)
    connection = ConnectedApp.objects.get()
    assert connection.failing_since == failing_since
    assert connection.connection_state() is ConnectionState.FAILING
    salesforce_org.app.scopes = ("api", "refresh_token")
    check()
    assert ConnectedApp.objects.get().failing_since is None


def test_a_check_by_hand_sees_a_refused_sign_in_though_the_old_token_lives(
    salesforce_org: ConnectableOrg,
) -> None:
    salesforce_org.connect("acme")
    check()
    salesforce_org.user.approved = False
    found = check()
    assert not found.healthy
    assert steps_of(found)["sign_in"]["code"] == "invalid_app_access"


def test_a_check_by_beat_does_not_hide_a_refused_renewal(salesforce_org: ConnectableOrg) -> None:
    from sf_integration import tokens

    salesforce_org.connect("acme")
    check()
    salesforce_org.user.approved = False
    ConnectedApp.objects.get().tokens.update(refresh_at=timezone.now())
    assert tokens.refresh_due().failed == 1
    for light in (True, False):
        assert check(renew=False, light=light).state == "Failing"


def test_a_host_that_is_no_longer_listed_is_a_failure(
    salesforce_org: ConnectableOrg, settings: object
) -> None:
    salesforce_org.connect("acme")
    check()
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "ALLOWED_HOSTS": []}  # type: ignore[attr-defined]
    found = check()
    assert (found.healthy, found.state) == (False, "Failing")
    assert steps_of(found)["settings"]["status"] == "failed"


def test_a_damaged_signing_key_is_a_failure(salesforce_org: ConnectableOrg) -> None:
    import uuid

    from sf_integration import tokens
    from sf_integration.fields import seal
    from sf_integration.models import SigningKey

    salesforce_org.connect("acme")
    check()
    SigningKey.objects.update(private_key=seal(SigningKey, "private_key", uuid.uuid4(), b"of another row"))
    tokens.reset()
    found = check()
    assert (found.healthy, found.state) == (False, "Failing")
    assert steps_of(found)["signing_key"]["code"] == "secret_damaged"


@pytest.mark.parametrize(
    "row", [{}, {"Id": "001\0", "Name": "No\0r"}, {"Id": "0" * 9_000, "Name": "A" * 9_000}, {"Id": [], "Name": {}}]
)  # fmt: skip
def test_what_an_org_says_of_itself_fits_every_database_and_page(
    salesforce_org: ConnectableOrg, row: dict[str, object]
) -> None:
    salesforce_org.connect("acme", api_version="67.0")
    rows = {"totalSize": 1, "done": True, "records": [{"OrganizationType": "\0" * 900} | row]}
    who = {"user_id": "\0" * 900, "organization_id": "B" * 900, "username": salesforce_org.user.username}
    salesforce_org.answer_path("/services/data/v67.0/query", rows)
    salesforce_org.fail("answer", where="identity", times=None, body=who)
    assert check().healthy
    connection = ConnectedApp.objects.get()
    assert len(connection.expected_org_id) == 18
    stored = json.dumps([connection.organization, connection.warnings, *connection.checks.values("steps")])
    assert len(stored) < 9_000
    assert "\\u0000" not in stored


def test_a_check_that_an_edit_overtook_stores_no_facts(
    salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    salesforce_org.connect("acme")
    sample = ladder._sample_record

    def edit_meanwhile(run: object) -> str:
        ConnectedApp.objects.update(login_url="https://other.my.salesforce.com")
        return sample(run)  # type: ignore[arg-type]

    steps = [(name, edit_meanwhile if name == "sample_record" else step) for name, step in ladder.LADDER]
    monkeypatch.setattr(checking, "LADDER", steps)
    check()
    connection = ConnectedApp.objects.get()
    assert (connection.expected_org_id, connection.last_full_check_at) == ("", None)


def test_a_failed_check_that_an_edit_overtook_is_no_healthy_one(
    salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it saw is not the state of the present settings, yet it failed."""
    salesforce_org.connect("acme")
    assert check().healthy

    def edit_meanwhile(run: object) -> str:
        ConnectedApp.objects.update(label="", username="new@acme.example")
        raise NotAllowedHere("planted")

    monkeypatch.setattr(checking, "LADDER", [*ladder.LADDER[:-1], ("sample_record", edit_meanwhile)])
    found = check()
    assert steps_of(found)["sample_record"]["status"] == "failed"
    assert not found.healthy


def test_a_failure_is_looked_at_again_soon(salesforce_org: ConnectableOrg) -> None:
    connection = salesforce_org.connect("acme")
    check()
    salesforce_org.fail("cut", times=3, where="any")
    assert not check(light=True, renew=False).healthy
    salesforce_org.heal()
    assert list(health.due_for_check(timezone.now() + dt.timedelta(minutes=5))) == []
    assert list(health.due_for_check(timezone.now() + dt.timedelta(minutes=11))) == [(connection.pk, False)]


# ---- what changes by itself -----------------------------------------------------------------------------------------


@pytest.fixture
def heard() -> Iterator[list[tuple[str, str, str]]]:
    """What listeners were told: connection, state before, state now."""
    told: list[tuple[str, str, str]] = []

    def listen(
        connection: ConnectedApp, previous: ConnectionState, state: ConnectionState, **_: object
    ) -> None:
        told.append((connection.name, previous.value, state.value))

    connection_health_changed.connect(listen, weak=False, dispatch_uid="heard")
    yield told
    connection_health_changed.disconnect(dispatch_uid="heard")


def test_a_failure_after_a_sign_in_that_recovers_is_told(
    salesforce_org: ConnectableOrg, heard: list[tuple[str, str, str]]
) -> None:
    salesforce_org.connect("acme")
    salesforce_org.user.active = False
    check()
    salesforce_org.user.active = True
    salesforce_org.api_limit = salesforce_org.api_used = 500
    ConnectedApp.objects.get().tokens.update(last_try_at=None)
    assert check().state == "Failing"
    assert heard[-1] == ("acme", "Healthy", "Failing")


def test_the_daily_task_tells_what_time_has_changed(
    salesforce_org: ConnectableOrg, heard: list[tuple[str, str, str]]
) -> None:
    salesforce_org.connect("acme")
    check()
    heard.clear()
    now = timezone.now()
    assert health.tell_changes(now) == 0
    SigningKey.objects.update(not_after=now + dt.timedelta(days=60, hours=1))
    assert health.tell_changes(now) == 0
    assert health.tell_changes(now + dt.timedelta(hours=2)) == 1
    assert health.tell_changes(now + dt.timedelta(hours=3)) == 0
    assert health.tell_changes(now + dt.timedelta(hours=26)) == 1
    assert heard == [("acme", "Healthy", "Needs attention"), ("acme", "Needs attention", "Idle")]


def test_the_daily_task_tells_of_changed_lists(
    salesforce_org: ConnectableOrg, settings: object, heard: list[tuple[str, str, str]]
) -> None:
    from sf_integration import tasks
    from sf_integration.crypto import new_key

    salesforce_org.connect("acme")
    check()
    heard.clear()
    before = settings.SF_INTEGRATION  # type: ignore[attr-defined]
    for change in ({"ENCRYPTION_KEYS": [new_key()]}, {"ALLOWED_ENVIRONMENTS": ["sandbox"]}, {}):
        settings.SF_INTEGRATION = before | change  # type: ignore[attr-defined]
        tasks.housekeeping()
    assert [state for _, _, state in heard] == ["Encryption key missing", "Not allowed here", "Healthy"]


def test_telling_costs_one_query_and_two_per_change(
    salesforce_org: ConnectableOrg, django_assert_num_queries: object, heard: list[tuple[str, str, str]]
) -> None:
    first = salesforce_org.connect("c0")
    for number in range(1, 30):
        salesforce_org.connect(f"c{number}", signing_key=first.signing_key)
    with django_assert_num_queries(1):  # type: ignore[operator]
        assert health.tell_changes() == 0
    ConnectedApp.objects.filter(name__in=("c1", "c2")).update(enabled=False)
    with django_assert_num_queries(1 + 2 * 2):  # type: ignore[operator]
        assert health.tell_changes() == 2
    assert sorted(name for name, *_ in heard) == ["c1", "c2"]
