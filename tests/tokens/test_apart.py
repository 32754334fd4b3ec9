"""What is held of sign-ins inside transactions: who gets it, how long, and what of it is stored. No org answers here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.db import DatabaseError, transaction
from django.utils import timezone

from sf_integration.models import AccessToken, ConnectedApp, ConnectionEvent
from sf_integration.salesforce.errors import (
    AuthenticationError,
    InvalidPrivateKey,
    LoginUnavailable,
    NotAllowedHere,
    SalesforceError,
    WrongOrg,
)
from sf_integration.salesforce.oauth import Token
from sf_integration.tokens import apart, rows
from sf_integration.tokens.lifecycle import FUSE_LOGINS
from sf_integration.tokens.process import Process

from .canned import Canned, outcome
from .test_statements import (
    ERROR,
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    columns_of,
    just_before,
    row,
    stored,
    token,
    with_token,
)

pytestmark = pytest.mark.django_db

HANDLE = ("acme", None)
ORG, OTHER_ORG = "00D000000000001EAA", "00D000000000002EAA"
NEW = token("new", age=dt.timedelta(0))


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def asked(process: Canned, made: AccessToken, refused: Token | None = None) -> Token:
    return apart.token(process, HANDLE, made, refused=refused)


def holding(made: AccessToken, *ends: Token | SalesforceError) -> Canned:
    """A process that signed in for this row, once for each of these."""
    process = Canned(*ends)
    for end in ends:
        if isinstance(end, Token):
            assert apart.sign_in(process, HANDLE, made) == end
        else:
            with pytest.raises(type(end)):
                apart.sign_in(process, HANDLE, made)
    return process


# ---- who gets what --------------------------------------------------------------------------------------------------


def test_a_stored_token_costs_no_sign_in_and_an_empty_row_one() -> None:
    assert asked(Canned(), with_token()) == token()
    process, made = Canned(NEW), row("empty")
    assert asked(process, made) == asked(process, made) == NEW
    assert [request.username for request in process.requests] == ["Ops@acme.example"]


def test_what_is_held_goes_before_what_is_stored() -> None:
    made = with_token()
    assert asked(holding(made, NEW), made) == NEW


def test_a_refused_token_is_never_given_again() -> None:
    older, same, newer = (token(f"stored {age}", age=age) for age in (2 * MINUTE, MINUTE, 0 * MINUTE))
    refused = token("refused", age=MINUTE)
    found = []
    for number, each in enumerate((older, same, newer)):
        found.append(asked(Canned(NEW), with_token(each, name=f"c{number}"), refused))
    assert found == [NEW, NEW, newer]
    made = row()
    process = holding(made, refused)
    process.ends.append(NEW)
    assert asked(process, made, refused) == asked(process, made, refused) == NEW


def test_a_failure_is_told_until_its_wait_is_over_and_the_row_is_not_asked_meanwhile(
    clock: time_machine.Traveller,
) -> None:
    made = row()
    process = holding(made, ERROR)
    process.ends.append(NEW)
    for seconds in (0, 29):
        clock.move_to(NOW + seconds * SECOND)
        with pytest.raises(AuthenticationError) as told:
            asked(process, with_token(name=f"c{seconds}") if seconds else made)
        assert str(told.value) == str(ERROR)
    clock.move_to(NOW + 30 * SECOND)
    assert asked(process, made) == NEW


def test_whoever_is_told_a_failure_gets_nothing_of_those_who_were_told_before() -> None:
    made, seen = row(), []
    process = Canned(AuthenticationError("Refused."))
    for _ in range(3):
        with pytest.raises(AuthenticationError) as told:
            asked(process, made)
        seen.append(told.value)
    assert len({id(each) for each in seen}) == 3
    assert process.held[HANDLE].error.__traceback__ is None  # type: ignore[union-attr]


def test_the_gate_of_the_row_holds_inside_transactions() -> None:
    made = row(last_error={"kind": "passing", "message": "Down."}, next_try_at=NOW + SECOND)
    process = Canned()
    with pytest.raises(LoginUnavailable, match="Down"):
        asked(process, made)
    assert not process.requests


def test_what_is_held_is_of_its_settings_its_time_and_its_org(clock: time_machine.Traveller) -> None:
    made = row()
    process = holding(made, NEW)
    made.connection.expected_org_id = ORG
    assert asked(process, made) == NEW
    for change in ({"expected_org_id": OTHER_ORG}, {"consumer_key": "another"}):
        other = stored(made)
        for name, value in change.items():
            setattr(other.connection, name, value)
        process = holding(made, NEW)
        found = token("found", identity_url=f"https://login.salesforce.com/id/{OTHER_ORG}/005")
        process.ends.append(found)
        assert asked(process, other) == found
    process = holding(made, NEW)
    process.ends.append(
        token("later", issued_at=NEW.expected_expiry, expected_expiry=NEW.expected_expiry + HOUR)
    )
    clock.move_to(NEW.expected_expiry - SECOND)
    assert asked(process, made) == NEW
    clock.move_to(NEW.expected_expiry)
    assert asked(process, made).value == "later"


def test_an_org_that_was_asked_counts_more_than_what_the_token_tells() -> None:
    made = row()
    made.connection.expected_org_id = ORG
    told = token("told", age=dt.timedelta(0), identity_url="")
    process = Canned(outcome(told, organization_id=ORG))
    assert asked(process, made) == asked(process, made) == told


# ---- one sign-in ----------------------------------------------------------------------------------------------------


def test_sign_ins_that_no_row_has_counted_burn_the_fuse_for_an_hour() -> None:
    made = row(logins=FUSE_LOGINS - 3, logins_since=NOW - MINUTE)
    process = Canned(NEW)
    process.uncounted_logins[HANDLE] = [NOW - HOUR, NOW - HOUR + SECOND, NOW]
    assert apart.sign_in(process, HANDLE, made) == NEW
    assert process.uncounted_logins == {HANDLE: [NOW - HOUR + SECOND, NOW, NOW]}
    with pytest.raises(LoginUnavailable) as told:
        apart.sign_in(process, HANDLE, made)
    assert told.value.code == "fuse_blown"
    assert len(process.uncounted_logins[HANDLE]) == 3
    process.uncounted_logins["acme", "other"] = []
    assert asked(process, made) == NEW


def test_what_could_not_be_sent_is_no_sign_in() -> None:
    made, process = row(), Process()
    made.connection.signing_key.private_key = None
    with pytest.raises(InvalidPrivateKey):
        apart.sign_in(process, HANDLE, made)
    assert not process.uncounted_logins.get(HANDLE)


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (ERROR, AuthenticationError),
        (token("foreign", instance_url="https://elsewhere.example"), NotAllowedHere),
        (token("wrong", identity_url=f"https://login.salesforce.com/id/{OTHER_ORG}/005"), WrongOrg),
    ],
)
def test_a_sign_in_that_brings_nothing_to_use_is_told_held_and_logged(
    end: Token | SalesforceError, kind: type[SalesforceError], caplog: pytest.LogCaptureFixture
) -> None:
    made = row()
    made.connection.expected_org_id = ORG
    process = Canned(end)
    with caplog.at_level("INFO"), pytest.raises(kind):
        apart.sign_in(process, HANDLE, made)
    with pytest.raises(kind):
        asked(process, made)
    assert apart.held_token(process, HANDLE) is None
    assert f"outcome={process.held[HANDLE].error.code}" in caplog.text  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("stored_failures", "fits", "before", "wait"),
    [
        (0, True, 0, 30),
        (2, True, 0, 120),
        (2, False, 0, 30),
        (0, True, 1, 60),
        (2, True, 1, 240),
        (0, True, 2, 120),
    ],
)
def test_each_failure_in_a_row_waits_longer(stored_failures: int, fits: bool, before: int, wait: int) -> None:
    made = row(failures=stored_failures)
    if not fits:
        made.settings_fingerprint = "that of before"
    process = holding(made, *[ERROR] * (before + 1))
    assert process.held[HANDLE].next_try_at == NOW + wait * SECOND


def test_a_failure_of_other_settings_is_not_counted_on() -> None:
    made = row()
    process = holding(made, ERROR, ERROR)
    made.connection.consumer_key = "another"
    process.ends.append(ERROR)
    with pytest.raises(AuthenticationError):
        apart.sign_in(process, HANDLE, made)
    assert process.held[HANDLE].failures == 1
    process.ends += [NEW, ERROR]
    apart.sign_in(process, HANDLE, made)
    with pytest.raises(AuthenticationError):
        apart.sign_in(process, HANDLE, made)
    assert process.held[HANDLE].failures == 1


# ---- what is stored -------------------------------------------------------------------------------------------------


def saved(process: Canned, made: AccessToken) -> Token | None:
    """What the row has after the commit; by then nothing is held or uncounted any more."""
    apart.save(process, HANDLE, stored(made))
    assert (process.held, process.uncounted_logins) == ({}, {})
    return rows.opened(stored(made))


@pytest.mark.parametrize("age", [None, MINUTE, dt.timedelta(0)])
def test_a_newer_token_is_stored_with_its_sign_ins(
    age: dt.timedelta | None, django_capture_on_commit_callbacks: Any
) -> None:
    older = None if age is None else token("older", age=age)
    made = row() if older is None else with_token(older)
    process = holding(made, NEW, NEW)
    with django_capture_on_commit_callbacks(execute=True):
        assert saved(process, made) == (older if age == dt.timedelta(0) else NEW)
    now = columns_of(made)
    assert (now["logins"], now["last_try_at"]) == (2, NOW)
    stored_now = age != dt.timedelta(0)
    assert (ConnectedApp.objects.get().last_success_at == NOW) is stored_now
    assert ConnectionEvent.objects.filter(kind=ConnectionEvent.Kind.SIGNED_IN).exists() is stored_now


def test_a_token_that_was_discarded_since_is_replaced_whatever_its_age() -> None:
    made = with_token(token("newer", age=-MINUTE))
    process = holding(made, NEW)
    AccessToken.objects.update(value=None)
    assert saved(process, made) == NEW


def test_a_token_of_settings_that_are_over_is_not_stored_but_its_sign_in_counts() -> None:
    made = row()
    process = holding(made, NEW)
    ConnectedApp.objects.update(consumer_key="another")
    assert saved(process, made) is None
    assert columns_of(made)["logins"] == 1


@pytest.mark.parametrize(
    ("given", "error", "kept"),
    [(None, None, "invalid_client_id"), (None, {"code": "theirs"}, "theirs"), (token(), None, None)],
)
def test_a_failure_is_stored_where_nothing_else_is(
    given: Token | None, error: dict[str, str] | None, kept: str | None
) -> None:
    made = with_token(given, last_error=error) if given else row(last_error=error)
    process = holding(made, ERROR)
    assert saved(process, made) == given
    assert (columns_of(made)["last_error"] or {}).get("code") == kept


def test_what_the_database_does_not_take_is_held_on_to(caplog: pytest.LogCaptureFixture) -> None:
    made = row()
    process = holding(made, NEW)

    def refuse() -> None:
        raise DatabaseError("locked")

    with transaction.atomic(), just_before("UPDATE", refuse):
        apart.save(process, HANDLE, made)
    assert "connection acme: a token could not be stored yet" in caplog.text
    assert apart.held_token(process, HANDLE) == NEW
    assert process.uncounted_logins == {HANDLE: [timezone.now()]}
    assert saved(process, made) == NEW


def test_what_came_while_another_was_saved_is_held_on_to() -> None:
    made = row()
    process, later = holding(made, ERROR), holding(made, NEW).held[HANDLE]
    with just_before("UPDATE", lambda: process.held.update({HANDLE: later})):
        apart.save(process, HANDLE, made)
    assert apart.held_token(process, HANDLE) == NEW
    assert saved(process, made) == NEW


def test_what_is_not_held_is_not_saved(django_assert_num_queries: Any) -> None:
    made, process = row(), Canned()
    process.uncounted_logins[HANDLE] = [NOW]
    with django_assert_num_queries(0):
        apart.save(process, HANDLE, made)
    process.uncounted_logins.clear()
    process.held["acme", "other"] = holding(made, NEW).held[HANDLE]
    apart.save(process, ("acme", "other"), made)  # nobody has counted a sign-in
    assert columns_of(made)["logins"] == 0


# ---- what is dropped ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "failed", "dropped"),
    [
        (NEW, None, True),
        (NEW, token("new"), True),
        (NEW, token("another"), False),
        (ERROR, None, True),
        (ERROR, token("new"), False),
    ],
)
def test_only_the_very_token_is_dropped(
    end: Token | SalesforceError, failed: Token | None, dropped: bool
) -> None:
    process = holding(row(), end)
    apart.drop(process, ("another", None), failed)
    apart.drop(process, HANDLE, failed)
    assert (HANDLE not in process.held) is dropped


def test_a_held_token_is_that_of_a_sign_in_that_went_well() -> None:
    assert apart.held_token(Canned(), HANDLE) is None
    assert apart.held_token(holding(row("one"), NEW), HANDLE) == NEW
    assert apart.held_token(holding(row("two"), ERROR), HANDLE) is None
