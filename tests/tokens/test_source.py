from __future__ import annotations

import datetime as dt
import logging
import time

import pytest
import time_machine
from django.db import connection as database
from django.db import transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sf_integration import (
    ActionNeeded,
    AuthenticationError,
    ConnectionPaused,
    NotAllowedHere,
    RetryableError,
    UnknownConnection,
    UsernameNotAllowed,
    WrongOrg,
    get_client,
    get_token,
    tokens,
)
from sf_integration.models import AccessToken, ConnectedApp
from sf_integration.salesforce.errors import SessionExpired
from sf_integration.testing.django import ConnectableOrg

pytestmark = pytest.mark.django_db(transaction=True)


def row_of(name: str) -> AccessToken:
    return AccessToken.objects.select_related("connection__signing_key").get(connection__name=name)


def look_again() -> None:
    """As if five seconds had passed: the next call asks the row."""
    for copy in tokens.current().copies.values():
        copy.next_look = 0.0


def as_another_process() -> None:
    tokens.reset()


def open_gate(name: str = "acme") -> None:
    AccessToken.objects.filter(connection__name=name).update(next_try_at=None)


def test_second_caller_reuses_the_token(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    first = get_token("acme")
    assert get_token("acme") == first
    assert salesforce_org.token_requests == 1


def test_another_process_takes_the_token_from_the_row(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    first = get_token("acme")
    as_another_process()
    assert get_token("acme") == first
    assert salesforce_org.token_requests == 1


def test_a_warm_token_costs_no_query(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    get_token("acme")
    with CaptureQueriesContext(database) as queries:
        for _ in range(1000):
            get_token("acme")
    assert len(queries) == 0


def test_every_five_seconds_one_joined_query(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    get_token("acme")
    look_again()
    with CaptureQueriesContext(database) as queries:
        get_token("acme")
        get_token("acme")
    assert len(queries) == 1


def test_row_keeps_no_clear_text(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    token = get_token("acme")
    stored = str(AccessToken.objects.values().get())
    assert token.value not in stored
    assert row_of("acme").value.open().decode() == token.value


def test_expired_token_is_replaced(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    first = get_token("acme")
    with time_machine.travel(timezone.now() + dt.timedelta(hours=3)):
        as_another_process()
        assert get_token("acme") != first


def test_stale_token_is_still_served(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    first = get_token("acme")
    AccessToken.objects.update(refresh_at=timezone.now() - dt.timedelta(minutes=1))
    look_again()
    assert get_token("acme") == first
    assert salesforce_org.token_requests == 1


@pytest.mark.parametrize(
    "change",
    [
        {"username": "other@nordhafen.example"},
        {"audience": "https://login.salesforce.com"},
        {"consumer_key": "3MVG9SomethingElse"},
    ],
)
def test_any_edit_makes_the_old_token_unusable(
    salesforce_org: ConnectableOrg, change: dict[str, str]
) -> None:
    salesforce_org.connect("acme")
    salesforce_org.add_user("other@nordhafen.example")
    first = get_token("acme")
    ConnectedApp.objects.filter(name="acme").update(**change)
    look_again()
    if "consumer_key" in change:
        with pytest.raises(AuthenticationError):
            get_token("acme")
    else:
        assert get_token("acme") != first


def test_five_seconds_count_from_the_reading_of_the_row_not_from_the_end_of_a_slow_sign_in(
    salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an edit made meanwhile would come into force that much later."""
    monkeypatch.setattr("sf_integration.tokens.process.LOOK_EVERY_SECONDS", 1.0)
    connection = salesforce_org.connect("acme", expected_org_id="")
    other = salesforce_org.add_user("other@nordhafen.example")
    salesforce_org.fail("slow", seconds=1.5)
    before = get_token("acme")
    ConnectedApp.objects.filter(pk=connection.pk).update(username=other.username)
    assert get_token("acme") != before
    with get_client("acme") as client:
        assert client.identity().username == other.username


def test_an_edit_opens_the_gate(salesforce_org: ConnectableOrg) -> None:
    right = salesforce_org.app.consumer_key
    salesforce_org.connect("acme", consumer_key="3MVG9Mistyped")
    with pytest.raises(AuthenticationError):
        get_token("acme")
    ConnectedApp.objects.filter(name="acme").update(consumer_key=right)
    assert get_token("acme").value


def test_pause_and_deletion_take_effect_at_the_next_look(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    get_token("acme")
    ConnectedApp.objects.update(enabled=False)
    assert get_token("acme").value  # within five seconds
    look_again()
    with pytest.raises(ConnectionPaused):
        get_token("acme")
    ConnectedApp.objects.all().delete()
    with pytest.raises(UnknownConnection):
        get_token("acme")


def test_unknown_name_offers_the_nearest(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme-prod")
    with pytest.raises(UnknownConnection, match="acme-prod") as caught:
        get_token("acme-pord")
    assert caught.value.suggestion == "acme-prod"
    assert isinstance(caught.value, LookupError)


def test_without_a_name_the_only_connection_is_meant(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    assert get_token() == get_token("acme")
    with CaptureQueriesContext(database) as queries:
        get_token()
    assert len(queries) == 0
    salesforce_org.connect("second")
    as_another_process()
    with pytest.raises(UnknownConnection):
        get_token()


def test_environment_that_is_not_allowed_is_never_called(
    salesforce_org: ConnectableOrg, settings: object
) -> None:
    salesforce_org.connect("acme")
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "ALLOWED_ENVIRONMENTS": ["sandbox"]}  # type: ignore[attr-defined]
    with pytest.raises(NotAllowedHere):
        get_token("acme")
    assert salesforce_org.token_requests == 0


def test_host_that_is_no_longer_listed_is_never_called(
    salesforce_org: ConnectableOrg, settings: object
) -> None:
    salesforce_org.connect("acme")
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "ALLOWED_HOSTS": []}  # type: ignore[attr-defined]
    with pytest.raises(NotAllowedHere):
        get_token("acme")
    assert salesforce_org.token_requests == 0


def test_listed_extra_user_has_a_token_of_its_own(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.add_user("Ops@nordhafen.example")
    salesforce_org.connect("acme", extra_usernames=["Ops@nordhafen.example"])
    own = get_token("acme")
    ops = get_token("acme", username="ops@NORDHAFEN.example")
    assert own != ops
    assert get_client("acme", username="Ops@nordhafen.example").identity().username == "Ops@nordhafen.example"
    assert salesforce_org.token_requests == 2


def test_unlisted_user_is_refused_without_a_call_or_a_row(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    with pytest.raises(UsernameNotAllowed):
        get_token("acme", username="ceo@nordhafen.example")
    assert salesforce_org.token_requests == 0
    assert not AccessToken.objects.exists()


def test_ended_session_costs_one_login_and_one_replay(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    with get_client("acme") as client:
        client.limits()
        salesforce_org.end_sessions()
        assert client.query("SELECT Id FROM Account LIMIT 1").records
    assert salesforce_org.token_requests == 2


def test_late_401_for_a_token_already_replaced_makes_no_login(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    old = get_token("acme")
    salesforce_org.end_sessions()
    new = tokens.renew("acme", None, old)
    assert tokens.renew("acme", None, old) == new
    assert salesforce_org.token_requests == 2


def test_same_token_back_is_raised_not_looped(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", api_version="66.0")
    salesforce_org.reuse_sessions = True
    salesforce_org.fail("rest_error", times=None, status=401, code="INVALID_SESSION_ID",
                        message="Session expired or invalid")  # fmt: skip
    with get_client("acme") as client, pytest.raises(SessionExpired):
        client.limits()
    assert salesforce_org.token_requests == 2


def test_scope_refusal_never_signs_in_anew(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", api_version="66.0")
    salesforce_org.fail("rest_error", times=None, status=401, code="INVALID_SESSION_ID",
                        message="This session is not valid for use with the REST API")  # fmt: skip
    with get_client("acme") as client, pytest.raises(Exception, match="not valid for use"):
        client.limits()
    assert salesforce_org.token_requests == 1


def test_refusal_names_cause_remedy_and_who(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.user.approved = False
    salesforce_org.connect("acme")
    with pytest.raises(ActionNeeded) as caught:
        get_token("acme")
    assert caught.value.code == "invalid_app_access"
    assert caught.value.remedy
    assert "admin" in caught.value.who
    connection = ConnectedApp.objects.get(name="acme")
    assert connection.failing_since
    assert connection.last_error["code"] == "invalid_app_access"


def test_until_the_gate_opens_every_caller_gets_the_stored_error(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.user.approved = False
    salesforce_org.connect("acme")
    messages = set()
    for _ in range(5):
        as_another_process()
        with pytest.raises(ActionNeeded) as caught:
            get_token("acme")
        messages.add((str(caught.value), caught.value.code, caught.value.remedy))
    assert salesforce_org.token_requests == 1
    assert len(messages) == 1


def test_passing_trouble_is_retryable_and_says_when(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.fail("maintenance", times=None)
    salesforce_org.connect("acme")
    for _ in range(3):
        with pytest.raises(RetryableError) as caught:
            get_token("acme")
    assert 0 < caught.value.retry_after <= 6
    assert salesforce_org.token_requests == 1
    salesforce_org.heal()
    open_gate()
    assert get_token("acme").value
    row = row_of("acme")
    assert (row.failures, row.last_error, row.next_try_at) == (0, None, None)
    assert ConnectedApp.objects.get().failing_since is None


def test_unknown_error_is_repeated_once_at_once(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.fail("unknown_error", times=1)
    salesforce_org.connect("acme")
    assert get_token("acme").value
    assert salesforce_org.token_requests == 2


def test_login_rate_closes_the_gate_for_long(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.logins_per_hour = 0
    salesforce_org.connect("acme")
    with pytest.raises(RetryableError):
        get_token("acme")
    wait = row_of("acme").next_try_at - timezone.now()
    assert dt.timedelta(minutes=14) < wait <= dt.timedelta(minutes=15)


def test_opaque_token_is_served_in_grace_while_the_login_host_is_down(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    first = get_token("acme")
    salesforce_org.fail("maintenance", times=None)
    with time_machine.travel(first.expected_expiry + dt.timedelta(minutes=5), tick=True):
        as_another_process()
        assert get_token("acme") == first
        assert get_token("acme") == first
    assert salesforce_org.token_requests == 2
    with time_machine.travel(first.expected_expiry + dt.timedelta(minutes=16), tick=True):
        as_another_process()
        with pytest.raises(RetryableError):
            get_token("acme")


def test_jwt_token_is_never_served_past_its_end(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.token_format = "jwt"
    salesforce_org.session_seconds = 600
    salesforce_org.connect("acme")
    token = get_token("acme")
    assert dt.timedelta(seconds=590) < token.expected_expiry - token.issued_at <= dt.timedelta(seconds=601)
    salesforce_org.fail("maintenance", times=None)
    with time_machine.travel(token.expected_expiry + dt.timedelta(seconds=1), tick=True):
        as_another_process()
        with pytest.raises(RetryableError):
            get_token("acme")


def test_another_org_than_the_pinned_one_is_refused(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", expected_org_id="00D5g000004FaKeEAK")
    with pytest.raises(WrongOrg):
        get_token("acme")
    assert row_of("acme").value is None


def test_foreign_instance_never_gets_the_token(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    salesforce_org.fail(
        "answer",
        times=None,
        status=200,
        content_type="application/json",
        body='{"access_token": "00Dx!secret", "instance_url": "https://evil.example", "id": "https://x/id/a/b"}',
    )
    with pytest.raises(NotAllowedHere, match="foreign instance") as caught:
        get_token("acme")
    assert "secret" not in str(caught.value)
    assert row_of("acme").value is None


def test_token_that_does_not_open_is_simply_renewed(salesforce_org: ConnectableOrg, settings: object) -> None:
    """The token was sealed with a key that is gone; the signing key has been sealed anew."""
    from sf_integration.crypto import new_key
    from sf_integration.fields import seal
    from sf_integration.models import SigningKey

    connection = salesforce_org.connect("acme")
    first = get_token("acme")
    signing_key = connection.signing_key
    der = signing_key.private_key.open()
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "ENCRYPTION_KEYS": [new_key()]}  # type: ignore[attr-defined]
    SigningKey.objects.update(private_key=seal(SigningKey, "private_key", signing_key.pk, der))
    as_another_process()
    assert get_token("acme") != first


def test_missing_encryption_key_is_named_and_nothing_is_called(
    salesforce_org: ConnectableOrg, settings: object
) -> None:
    from sf_integration import EncryptionKeyMissing
    from sf_integration.crypto import new_key

    connection = salesforce_org.connect("acme")
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "ENCRYPTION_KEYS": [new_key()]}  # type: ignore[attr-defined]
    with pytest.raises(EncryptionKeyMissing, match=connection.signing_key.private_key.key_id):
        get_token("acme")
    assert salesforce_org.token_requests == 0
    row = row_of("acme")
    assert (row.claimed_until, row.logins) == (None, 0)


def test_try_now_passes_the_gate_but_only_once_in_ten_seconds(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.user.approved = False
    salesforce_org.connect("acme")
    with pytest.raises(ActionNeeded):
        get_token("acme")
    with pytest.raises(ActionNeeded):
        tokens.refresh("acme")
    assert salesforce_org.token_requests == 1
    AccessToken.objects.update(last_try_at=timezone.now() - dt.timedelta(seconds=11))
    salesforce_org.user.approved = True
    assert tokens.refresh("acme").value
    assert salesforce_org.token_requests == 2


def test_forced_renewal_replaces_the_stored_token(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    first = get_token("acme")
    second = tokens.refresh("acme")
    assert first != second
    as_another_process()
    assert get_token("acme") == second


def test_revoked_token_is_dead_and_forgotten(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    first = get_token("acme")
    assert tokens.revoke("acme")
    assert salesforce_org.find_session(first.value) is None
    assert not tokens.revoke("acme")
    assert get_token("acme") != first


def test_fuse_stops_before_salesforce_would(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    get_token("acme")
    AccessToken.objects.update(logins=600, expected_expiry=timezone.now())
    as_another_process()
    with pytest.raises(RetryableError, match="600") as caught:
        get_token("acme")
    assert caught.value.code == "fuse_blown"
    assert salesforce_org.token_requests == 1
    AccessToken.objects.update(logins_since=timezone.now() - dt.timedelta(minutes=61))
    assert get_token("acme").value
    assert row_of("acme").logins == 1


def test_one_log_line_per_sign_in_holds_no_secret(
    salesforce_org: ConnectableOrg, caplog: pytest.LogCaptureFixture
) -> None:
    salesforce_org.connect("acme")
    with caplog.at_level(logging.DEBUG):
        token = get_token("acme")
    lines = [record.getMessage() for record in caplog.records if "sign-in" in record.getMessage()]
    assert len(lines) == 1
    assert "outcome=ok" in lines[0]
    assert token.value not in caplog.text


def test_the_hot_path_outlives_a_database_that_is_down(salesforce_org: ConnectableOrg) -> None:
    from django.db import OperationalError

    salesforce_org.connect("acme")
    first = get_token("acme")
    look_again()

    def down(*_: object) -> None:
        raise OperationalError("the database is gone")

    with database.execute_wrapper(down):
        assert get_token("acme") == first
        started = time.perf_counter()
        assert get_token("acme") == first
        assert time.perf_counter() - started < 0.1
        as_another_process()
        with pytest.raises(OperationalError):
            get_token("acme")


def test_forced_renewal_that_is_refused_says_so_though_the_old_token_lives(
    salesforce_org: ConnectableOrg,
) -> None:
    salesforce_org.connect("acme")
    first = get_token("acme")
    salesforce_org.user.approved = False
    with pytest.raises(ActionNeeded):
        tokens.refresh("acme")
    assert get_token("acme") == first
    assert tokens.refusal("acme").code == "invalid_app_access"


def test_stored_error_has_the_class_of_the_first(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", expected_org_id="00D5g000004FaKeEAK")
    for _ in range(2):
        with pytest.raises(WrongOrg):
            get_token("acme")
    salesforce_org.user.active = False
    salesforce_org.connect("billing")
    errors = []
    for _ in range(2):
        with pytest.raises(AuthenticationError) as caught:
            get_token("billing")
        errors.append((str(caught.value), caught.value.error, caught.value.description))
    assert errors[0] == errors[1]


def test_too_many_requests_is_passing_trouble(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    salesforce_org.fail("answer", status=429, content_type="application/json", body='{"error": "slow_down"}')
    with pytest.raises(RetryableError):
        get_token("acme")
    assert row_of("acme").next_try_at - timezone.now() < dt.timedelta(seconds=10)


def test_login_rate_of_a_user_shuts_the_gate_for_all_its_connections(salesforce_org: ConnectableOrg) -> None:
    first = salesforce_org.connect("acme")
    salesforce_org.connect("two", signing_key=first.signing_key)
    tokens.refresh_due()
    AccessToken.objects.update(expected_expiry=timezone.now() - dt.timedelta(hours=1))
    salesforce_org.logins_per_hour = 0
    before = salesforce_org.token_requests
    as_another_process()
    for name in ("acme", "two"):
        with pytest.raises(RetryableError):
            get_token(name)
    assert salesforce_org.token_requests - before == 1


def test_environment_belongs_to_all_that_decides_the_org(
    salesforce_org: ConnectableOrg, settings: object
) -> None:
    """A login host such as login.salesforce.com serves orgs of several kinds."""
    connection = salesforce_org.connect("acme")
    ConnectedApp.objects.update(environment="developer", environment_for=connection.environment_subject)
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "ALLOWED_ENVIRONMENTS": ["developer"]}  # type: ignore[attr-defined]
    assert get_token("acme").value
    ConnectedApp.objects.update(consumer_key="3MVG9OfAProductionOrg")
    look_again()
    with pytest.raises(NotAllowedHere):
        get_token("acme")


def test_an_org_that_must_not_be_called_is_not_called_to_revoke(
    salesforce_org: ConnectableOrg, settings: object
) -> None:
    salesforce_org.connect("acme")
    get_token("acme")
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "ALLOWED_ENVIRONMENTS": ["sandbox"]}  # type: ignore[attr-defined]
    before = len(salesforce_org.requests)
    with pytest.raises(NotAllowedHere):
        tokens.revoke("acme")
    assert len(salesforce_org.requests) == before


def test_a_caller_who_commits_by_hand_costs_one_sign_in(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    transaction.set_autocommit(False)
    try:
        found = get_token("acme")
        transaction.rollback()
        tokens.current().forget(("acme", None))
        assert get_token("acme") == found
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    tokens.current().forget(("acme", None))
    assert not AccessToken.objects.exists()
    assert get_token("acme") == found
    assert AccessToken.objects.get().logins == salesforce_org.token_requests == 1
