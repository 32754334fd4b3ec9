from __future__ import annotations

import datetime as dt
import uuid

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from sf_integration import keystore
from sf_integration.models import (
    AccessToken,
    ConnectedApp,
    ConnectionCheck,
    Heartbeat,
    SigningKey,
    settings_fingerprint,
)
from sf_integration.state import ConnectionState

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture
def key():
    return keystore.make(name="acme")


def connection(key: SigningKey, **changes: object) -> ConnectedApp:
    values = {
        "name": "acme",
        "login_url": "https://acme.my.salesforce.com",
        "consumer_key": "3MVG9x",
        "username": "Ops@acme.example",
        "signing_key": key,
    }
    return ConnectedApp(**(values | changes))


def saved(key: SigningKey, **changes: object) -> ConnectedApp:
    app = connection(key, **changes)
    app.full_clean()
    app.save()
    return app


# What is taken and what is refused


def test_what_was_typed_is_brought_into_form(key):
    app = saved(
        key,
        login_url="https://ACME--uat.sandbox.my.salesforce.com/",
        audience=" https://test.salesforce.com/ ",
        consumer_key=" 3MVG9x\n",
        username=" ops@acme.example ",
        tags=[" one ", ""],
        extra_usernames=[" b@acme.example"],
    )
    assert app.login_url == "https://acme--uat.sandbox.my.salesforce.com"
    assert (app.consumer_key, app.username, app.audience) == (
        "3MVG9x",
        "ops@acme.example",
        "https://test.salesforce.com",
    )
    assert (app.environment, app.environment_for) == ("sandbox", app.environment_subject)
    assert (app.tags, app.extra_usernames) == (["one"], ["b@acme.example"])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "Acme"}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "-a"}, "name"),
        ({"name": "a\n"}, "name"),
        ({"name": "a" * 61}, "name"),
        ({"login_url": ""}, "login_url"),
        ({"login_url": "http://acme.my.salesforce.com"}, "login_url"),
        ({"login_url": "https://evil.example"}, "login_url"),
        ({"login_url": "https://na1.salesforce.com"}, "login_url"),
        ({"login_url": "https://login.salesforce.com", "app_kind": "external_client_app"}, "login_url"),
        ({"audience": "https://test.salesforce.com", "app_kind": "external_client_app"}, "audience"),
        ({"name": "new"}, "name"),
        ({"login_url": "http://127.0.0.1:1"}, "login_url"),
        ({"login_url": "https://u:p@acme.my.salesforce.com"}, "login_url"),
        ({"audience": "login.salesforce.com"}, "audience"),
        ({"consumer_key": ""}, "consumer_key"),
        ({"consumer_key": "  "}, "consumer_key"),
        ({"username": ""}, "username"),
        ({"username": " "}, "username"),
        ({"api_version": "67"}, "api_version"),
        ({"api_version": "v67.0"}, "api_version"),
        ({"session_minutes": 7}, "session_minutes"),
        ({"sample_sobject": "Account; DROP"}, "sample_fields"),
        ({"sample_fields": ["Name, Id"]}, "sample_fields"),
        ({"sample_fields": "Name"}, "sample_fields"),
        ({"tags": {"a": 1}}, "tags"),
        ({"extra_usernames": [5]}, "extra_usernames"),
        ({"extra_usernames": ["x" * 256]}, "extra_usernames"),
    ],
)
def test_what_can_not_work_is_refused_at_its_field(key, changes, field):
    with pytest.raises(ValidationError) as caught:
        connection(key, **changes).full_clean()
    assert field in caught.value.message_dict


def test_only_the_name_is_unique(key):
    saved(key)
    saved(key, name="same-org-again")
    with pytest.raises(ValidationError, match="already exists"):
        saved(key)


def test_a_key_in_use_can_not_be_deleted(key):
    saved(key)
    with pytest.raises(ProtectedError):
        key.delete()
    other = keystore.make(name="staged")
    ConnectedApp.objects.update(staged_signing_key=other)
    with pytest.raises(ProtectedError):
        other.delete()


def test_ids_are_there_before_the_first_insert():
    assert isinstance(ConnectedApp().pk, uuid.UUID)
    assert ConnectedApp().pk != ConnectedApp().pk


def test_deleting_a_connection_takes_tokens_and_checks_along(key):
    app = saved(key)
    AccessToken.objects.create(connection=app, username="u")
    ConnectionCheck.objects.create(connection=app, asked_by="x", healthy=True, state="Healthy")
    app.delete()
    assert not AccessToken.objects.exists()
    assert not ConnectionCheck.objects.exists()
    assert SigningKey.objects.count() == 1


# Small true sentences


@pytest.mark.parametrize(
    ("login_url", "audience", "effective"),
    [
        ("https://acme.my.salesforce.com", "", "https://acme.my.salesforce.com"),
        ("https://acme.my.salesforce.com", "https://login.salesforce.com", "https://login.salesforce.com"),
        ("https://site.force.com/customers", "", "https://site.force.com/customers"),
    ],
)
def test_the_audience_is_the_login_url_unless_it_is_given(key, login_url, audience, effective):
    assert connection(key, login_url=login_url, audience=audience).effective_audience == effective


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        ("ops@acme.example", True),
        ("OPS@ACME.example", True),
        ("B@acme.example", True),
        ("c@acme.example", False),
        ("", False),
    ],
)
def test_usernames_are_compared_without_regard_to_case(key, asked, allowed):
    assert connection(key, extra_usernames=["b@Acme.example"]).allows(asked) is allowed


def test_a_changed_login_url_counts_as_production_until_it_is_known_again(key):
    app = saved(key, login_url="https://acme--uat.sandbox.my.salesforce.com")
    assert app.known_environment == "sandbox"
    ConnectedApp.objects.update(login_url="https://acme.my.salesforce.com")
    app.refresh_from_db()
    assert app.known_environment == "production"


@pytest.mark.parametrize(
    ("days", "sentence"),
    [(400, []), (61, []), (60, ["The certificate ends in 60 days."]), (1, ["The certificate ends in 1 day."]),
     (0.5, ["The certificate ends in less than a day."]), (-0.5, ["The certificate ended less than a day ago."]),
     (-1, ["The certificate ended 1 day ago."]), (-3, ["The certificate ended 3 days ago."])],
)  # fmt: skip
def test_the_end_of_the_certificate_is_told(key, days, sentence):
    key.not_after = NOW + dt.timedelta(days=days)
    assert connection(key).attention(NOW) == sentence


@pytest.mark.parametrize(
    ("days", "stage"),
    [
        (61, None),
        (60, 60),
        (31, 60),
        (30, 30),
        (14.5, 30),
        (14, 14),
        (7, 7),
        (1, 1),
        (0.1, 1),
        (0, 0),
        (-9, 0),
    ],
)
def test_the_end_of_the_certificate_comes_in_stages(key, days, stage):
    key.not_after = NOW + dt.timedelta(days=days)
    assert key.ending_stage(NOW) == stage


def test_a_certificate_without_date_says_nothing(key):
    key.not_after = None
    assert key.days_left(NOW) is None
    assert connection(key).attention(NOW) == []


@pytest.mark.parametrize("state", ConnectionState)
def test_every_state_has_its_reason_in_words(key, state, settings):
    fine = {
        "last_checked_at": NOW,
        "last_success_at": NOW,
    }
    changes: dict[ConnectionState, dict] = {
        ConnectionState.FAILING: {"failing_since": NOW, "last_error": {"cause": "The clock is wrong."}},
        ConnectionState.NEEDS_ATTENTION: {"warnings": [{"message": "Look at the scope."}]},
        ConnectionState.PAUSED: {"enabled": False},
        ConnectionState.NOT_CHECKED_YET: {"last_checked_at": None},
        ConnectionState.IDLE: {"last_success_at": NOW - dt.timedelta(days=3)},
    }
    if state is ConnectionState.NOT_ALLOWED_HERE:
        settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"ALLOWED_ENVIRONMENTS": ["sandbox"]}
    if state is ConnectionState.ENCRYPTION_KEY_MISSING:
        settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"ENCRYPTION_KEYS": []}
    app = connection(key, **(fine | changes.get(state, {})))
    app.environment_for = app.environment_subject
    assert app.connection_state(NOW) is state
    assert app.state_sentence(NOW).endswith(".")
    if state is ConnectionState.FAILING:
        assert app.state_sentence(NOW) == "The clock is wrong."


# Stored facts


def test_since_when_it_fails_stays_as_it_was(key):
    app = saved(key)
    mine = ConnectedApp.objects.filter(pk=app.pk)
    mine.note_failure(NOW, {"code": "one"})
    mine.note_failure(NOW + dt.timedelta(hours=1), {"code": "two"})
    app.refresh_from_db()
    assert (app.failing_since, app.last_error["code"]) == (NOW, "two")


# Tokens


def test_there_is_one_row_per_connection_and_username(key):
    app = saved(key)
    AccessToken.objects.create(connection=app, username="ops@acme.example")
    with pytest.raises(IntegrityError), transaction.atomic():
        AccessToken.objects.create(connection=app, username="ops@acme.example")


HOUR, SECOND = dt.timedelta(hours=1), dt.timedelta(seconds=1)


@pytest.mark.parametrize(
    ("row", "due"),
    [
        ({}, True),
        ({"refresh_at": NOW - HOUR}, True),
        ({"refresh_at": NOW}, True),
        ({"refresh_at": NOW + HOUR}, False),
        ({"refresh_at": NOW - HOUR, "next_try_at": NOW + HOUR}, False),
        ({"refresh_at": NOW - HOUR, "next_try_at": NOW - HOUR}, True),
        ({"refresh_at": NOW - HOUR, "claimed_until": NOW + SECOND}, False),
        ({"refresh_at": NOW - HOUR, "claimed_until": NOW - HOUR}, True),
        ({"username": "b@acme.example"}, False),
        ({"username": "b@acme.example", "last_used_at": NOW - HOUR}, True),
        ({"username": "b@acme.example", "last_used_at": NOW - 25 * HOUR}, False),
        ({"last_used_at": NOW - 999 * HOUR}, True),
    ],
)
def test_which_rows_are_due(key, row, due):
    app = saved(key)
    AccessToken.objects.create(**({"connection": app, "username": "ops@acme.example"} | row))
    assert AccessToken.objects.due_for_refresh(NOW).exists() is due
    ConnectedApp.objects.update(enabled=False)
    assert not AccessToken.objects.due_for_refresh(NOW).exists()


def test_the_longest_due_comes_first(key):
    for number, refresh_at in enumerate([NOW - HOUR, None, NOW - 3 * HOUR]):
        app = saved(key, name=f"c{number}")
        AccessToken.objects.create(connection=app, username="ops@acme.example", refresh_at=refresh_at)
    names = AccessToken.objects.due_for_refresh(NOW).values_list("connection__name", flat=True)
    assert list(names) == ["c1", "c2", "c0"]


@pytest.mark.parametrize(
    "change",
    [
        {"login_url": "https://other.my.salesforce.com"},
        {"audience": "https://login.salesforce.com"},
        {"consumer_key": "other"},
    ],
)
def test_each_setting_of_a_token_changes_its_fingerprint(key, change):
    app = connection(key)
    before = settings_fingerprint(app, "u")
    for name, value in change.items():
        setattr(app, name, value)
    assert settings_fingerprint(app, "u") != before


def test_user_and_signing_key_change_the_fingerprint_and_nothing_else_does(key):
    app = connection(key)
    before = settings_fingerprint(app, "u")
    assert settings_fingerprint(app, "v") != before
    assert settings_fingerprint(app, "U") == before
    assert settings_fingerprint(connection(keystore.make(name="x")), "u") != before
    app.name, app.label, app.notes, app.session_minutes, app.tags = "new", "new", "new", 15, ["new"]
    assert settings_fingerprint(app, "u") == before


def test_the_heartbeat_is_one_row():
    Heartbeat.beat("refresh")
    Heartbeat.beat("refresh")
    assert Heartbeat.objects.filter(name="refresh").count() == 1


def test_every_model_has_a_name_for_people(key):
    app = saved(key, label="Acme, production")
    assert (str(app), str(key)) == ("Acme, production", "acme")
    assert str(saved(key, name="plain")) == "plain"


def test_an_empty_login_url_is_told_once(key):
    with pytest.raises(ValidationError) as caught:
        connection(key, login_url="").full_clean()
    assert len(caught.value.message_dict["login_url"]) == 1


def test_an_expected_org_id_that_no_org_can_have_is_refused(key):
    with pytest.raises(ValidationError) as caught:
        connection(key, expected_org_id="00D").full_clean()
    assert "15 or 18" in caught.value.message_dict["expected_org_id"][0]
