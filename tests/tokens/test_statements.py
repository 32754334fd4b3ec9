"""Each statement on the rows of tokens by itself, without an org: what it changes, and what it leaves alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import jwt
import pytest
import time_machine
from django.db import InterfaceError, OperationalError, transaction
from django.db import connection as database
from django.utils import timezone

from sf_integration.fields import keyring, seal
from sf_integration.models import AccessToken, ConnectedApp, SigningKey, settings_fingerprint
from sf_integration.salesforce.errors import (
    AuthenticationError,
    LoginUnavailable,
    SalesforceError,
    TransportError,
    UnknownConnection,
    WrongOrg,
)
from sf_integration.salesforce.oauth import Token
from sf_integration.tokens import claims, lifecycle, rows
from sf_integration.tokens.lifecycle import FUSE_LOGINS

pytestmark = pytest.mark.django_db

NOW = timezone.now()
SECOND, MINUTE, HOUR = dt.timedelta(seconds=1), dt.timedelta(minutes=1), dt.timedelta(hours=1)
_numbers = count()


def connection(name: str = "acme", username: str = "Ops@acme.example", **columns: Any) -> ConnectedApp:
    key = SigningKey(name=f"key {next(_numbers)}", fingerprint="f" * 64, size=2048)
    key.private_key = seal(SigningKey, "private_key", key.pk, b"key")
    key.save()
    return ConnectedApp.objects.create(
        name=name, login_url="https://acme.my.salesforce.com", username=username, signing_key=key, **columns
    )


def row(name: str = "acme", username: str = "Ops@acme.example", **columns: Any) -> AccessToken:
    """Stored, of settings that it fits."""
    app = connection(name, username)
    made = AccessToken(connection=app, username=username.lower(), **columns)
    made.settings_fingerprint = settings_fingerprint(app, made.username)
    made.save()
    return made


def token(value: str = "token", *, age: dt.timedelta = HOUR, **columns: Any) -> Token:
    fields: dict[str, Any] = {
        "instance_url": "https://acme.my.salesforce.com",
        "issued_at": NOW - age,
        "expected_expiry": NOW - age + 2 * HOUR,
        "identity_url": "https://login.salesforce.com/id/00D000000000001EAA/005000000000001AAA",
        "scopes": ("api", "refresh_token"),
    }
    return Token(value=value, **fields | columns)


def with_token(given: Token | None = None, *, name: str = "acme", **columns: Any) -> AccessToken:
    made = row(name)
    for column, value in (rows.token_changes(made, given or token()) | columns).items():
        setattr(made, column, value)
    made.save()
    return stored(made)


@contextmanager
def just_before(statement: str, act: Callable[[], object]) -> Iterator[None]:
    """Another process does something, once, right before the first statement that begins so."""
    waiting = [act]

    def execute(run: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if waiting and sql.startswith(statement):
            waiting.pop()()
        return run(sql, *rest)

    with database.execute_wrapper(execute):
        yield
    assert not waiting


def stored(made: AccessToken) -> AccessToken:
    return AccessToken.objects.select_related("connection__signing_key").get(pk=made.pk)


def columns_of(made: AccessToken) -> dict[str, Any]:
    return AccessToken.objects.filter(pk=made.pk).values().get()


def changed(made: AccessToken, before: dict[str, Any]) -> dict[str, Any]:
    after = columns_of(made)
    return {name: after[name] for name in before if after[name] != before[name]}


# ---- claims ---------------------------------------------------------------------------------------------------------


def test_a_claim_writes_who_until_when_and_one_more_login() -> None:
    made, other = row(version=3), row("other", "other@acme.example")
    before, untouched = columns_of(made), columns_of(other)
    assert claims.claim(made, NOW) is True
    assert changed(made, before) == {
        "claimed_by": made.claimed_by,
        "claimed_until": NOW + 12 * SECOND,
        "last_try_at": NOW,
        "logins": 1,
        "logins_since": NOW,
    }
    assert changed(other, untouched) == {}


@pytest.mark.parametrize(
    ("columns", "wins"),
    [
        ({}, True),
        ({"claimed_by": "another", "claimed_until": NOW + SECOND}, False),
        ({"claimed_by": "another", "claimed_until": NOW}, False),
        ({"claimed_by": "another", "claimed_until": NOW - SECOND}, True),
        (
            {"claimed_by": "another", "claimed_until": NOW + MINUTE},
            False,
        ),  # by a clock that is a little ahead
        ({"claimed_by": "another", "claimed_until": NOW + MINUTE + SECOND}, True),  # was, by hours or days
        ({"version": 1}, False),
        ({"logins": FUSE_LOGINS, "logins_since": NOW - HOUR + SECOND}, False),
        ({"logins": FUSE_LOGINS - 1, "logins_since": NOW - HOUR + SECOND}, True),
        ({"logins": FUSE_LOGINS, "logins_since": NOW - HOUR}, True),
        ({"logins": FUSE_LOGINS, "logins_since": NOW}, False),
        ({"logins": FUSE_LOGINS, "logins_since": NOW + SECOND}, True),  # by a clock that was ahead
    ],
)
def test_only_a_free_row_that_has_not_moved_on_is_claimed(columns: dict[str, Any], wins: bool) -> None:
    made = row()
    AccessToken.objects.update(**columns)
    before = columns_of(made)
    assert claims.claim(made, NOW) is wins
    assert bool(changed(made, before)) is wins
    assert (made.claimed_by != "") is wins


def test_of_two_who_claim_one_wins() -> None:
    made = row()
    first, second = stored(made), stored(made)
    assert [claims.claim(first, NOW), claims.claim(second, NOW)] == [True, False]
    assert (columns_of(made)["claimed_by"], second.claimed_by) == (first.claimed_by, "")


def test_each_claim_has_a_name_of_its_own() -> None:
    host, process, rest = claims.new_claimant().rsplit(":", 2)
    assert host
    assert process.isdecimal()
    assert len(rest) == 12
    assert len({claims.new_claimant() for _ in range(10)}) == 10
    assert max(map(len, (host, claims.new_claimant()))) <= 64


def test_the_logins_of_a_user_are_counted_over_all_connections_and_only_theirs() -> None:
    mine = row("one", logins=FUSE_LOGINS // 2, logins_since=NOW)
    row("two", logins=FUSE_LOGINS // 2, logins_since=NOW)
    theirs = row("three", "other@acme.example", logins=5, logins_since=NOW - 59 * MINUTE)
    row("four", "late@acme.example", logins=7, logins_since=NOW - HOUR)
    row("five", "late@acme.example", logins=7, logins_since=NOW + SECOND)
    users = [mine.username, theirs.username, "late@acme.example", "nobody@acme.example"]
    counted = {mine.username: FUSE_LOGINS, theirs.username: 5}
    assert claims.logins_this_hour(users, NOW) == claims.all_logins_this_hour(NOW) == counted
    assert claims.logins_this_hour([theirs.username] * 2, NOW) == {theirs.username: 5}
    assert claims.claim(mine, NOW) is False
    assert claims.claim(theirs, NOW) is True


def test_a_batch_claims_what_is_due_and_free_and_nothing_else() -> None:
    due = [row("due 1"), row("due 2", refresh_at=NOW, next_try_at=NOW, logins=4, logins_since=NOW - MINUTE)]
    left = [
        row("fresh", refresh_at=NOW + SECOND),
        row("shut", next_try_at=NOW + SECOND),
        row("taken", claimed_by="another", claimed_until=NOW + SECOND),
        row("not asked for"),
    ]
    lapsed = row("lapsed", claimed_by="another", claimed_until=NOW - SECOND)
    ahead = row("ahead", claimed_by="another", claimed_until=NOW + HOUR)
    asked = [each.pk for each in (*due, *left[:-1], lapsed, ahead)]
    untouched = [columns_of(each) for each in left]
    claimed = claims.claim_batch(asked, NOW)
    assert {each.pk for each in claimed} == {due[0].pk, due[1].pk, lapsed.pk, ahead.pk}
    assert [changed(each, before) for each, before in zip(left, untouched, strict=True)] == [{}] * 4
    (claimant,) = {each.claimed_by for each in claimed}
    for each in claimed:
        now = columns_of(each)
        assert (now["claimed_by"], now["claimed_until"]) == (claimant, NOW + 12 * SECOND)
        assert now["last_try_at"] == NOW
    logins = {each.connection.name: (each.logins, each.logins_since) for each in claimed}
    assert logins == {"due 1": (1, NOW), "due 2": (5, NOW - MINUTE), "lapsed": (1, NOW), "ahead": (1, NOW)}
    assert claims.claim_batch(asked, NOW) == []


def test_a_row_that_another_process_claims_meanwhile_is_not_ours() -> None:
    mine, theirs = row("one"), row("two", "other@acme.example")
    another = AccessToken.objects.filter(pk=theirs.pk)
    with just_before("UPDATE", lambda: another.update(claimed_by="another", claimed_until=NOW + 9 * SECOND)):
        claimed = claims.claim_batch([mine.pk, theirs.pk], NOW)
    assert [each.pk for each in claimed] == [mine.pk]
    assert columns_of(theirs)["claimed_by"] == "another"


def test_a_batch_comes_with_all_that_signing_in_needs(django_assert_num_queries: Any) -> None:
    made = row()
    app = made.connection
    app.staged_signing_key, app.previous_signing_key = (connection(f"c{n}").signing_key for n in (1, 2))
    app.save()
    (claimed,) = claims.claim_batch([made.pk], NOW)
    with django_assert_num_queries(0):
        found = claimed.connection
        keys = (found.signing_key, found.staged_signing_key, found.previous_signing_key)
        assert [key.pk for key in keys if key] == [
            app.signing_key.pk,
            app.staged_signing_key.pk,
            app.previous_signing_key.pk,
        ]


@pytest.mark.parametrize("called", [True, False])
def test_giving_a_claim_back_frees_the_row_and_takes_back_what_was_not_sent(called: bool) -> None:
    made, batch = row("one"), row("two", "other@acme.example")
    claims.claim(made, NOW)
    (of_batch,) = claims.claim_batch([batch.pk], NOW)
    stolen = row("three", "third@acme.example")
    claims.claim(stolen, NOW)
    AccessToken.objects.filter(pk=stolen.pk).update(claimed_by="another")
    before = columns_of(stolen)
    claims.release([made, of_batch, stolen], called=called)
    for each in (made, of_batch):
        now = columns_of(each)
        assert (now["claimed_by"], now["claimed_until"]) == ("", None)
        assert (now["logins"], now["last_try_at"]) == ((1, NOW) if called else (0, None))
    assert changed(stolen, before) == {}


def test_the_others_of_a_batch_keep_their_claim() -> None:
    batch = claims.claim_batch([row("one").pk, row("two", "other@acme.example").pk], NOW)
    claims.release(batch[:1])
    assert [columns_of(each)["claimed_by"] for each in batch] == ["", batch[1].claimed_by]
    claims.release([])


def test_a_claim_is_given_back_as_called_unless_said_otherwise() -> None:
    made = row()
    claims.claim(made, NOW)
    claims.release([made])
    assert columns_of(made)["logins"] == 1


# ---- results --------------------------------------------------------------------------------------------------------


def test_a_result_is_written_and_the_claim_given_back() -> None:
    one, two = row("one", version=4), row("two", "other@acme.example", version=7)
    untouched = row("three", "third@acme.example")
    before = columns_of(untouched)
    for each in (one, two):
        claims.claim(each, NOW)
    AccessToken.objects.filter(pk=one.pk).update(settings_fingerprint="that of before")
    error = TransportError("No answer.", code="timeout")
    failure = rows.failure_changes(two, error, "passing", NOW)
    rows.write([(one, rows.token_changes(one, token())), (two, failure)])
    first, second = stored(one), stored(two)
    assert rows.opened(first) == token()
    assert (first.version, first.claimed_by, first.claimed_until) == (5, "", None)
    assert first.fits_settings
    assert (second.version, second.claimed_by, second.failures) == (8, "", 1)
    assert second.last_error["code"] == "timeout"
    assert (one.version, one.claimed_by, rows.opened(one)) == (5, "", token())
    assert changed(untouched, before) == {}


def test_a_row_that_moved_on_keeps_what_others_wrote() -> None:
    """One was taken over after its claim had lapsed, another edited while its claim still holds."""
    taken, edited, well = (row(name, f"{name}@acme.example") for name in ("taken", "edited", "well"))
    for each in (taken, edited, well):
        claims.claim(each, NOW)
    AccessToken.objects.filter(pk=taken.pk).update(version=9, claimed_by="another")
    AccessToken.objects.filter(pk=edited.pk).update(version=9)
    before = columns_of(taken), columns_of(edited)
    rows.write([(each, rows.token_changes(each, token())) for each in (taken, edited, well)])
    assert changed(taken, before[0]) == {}
    assert changed(edited, before[1]) == {"claimed_by": "", "claimed_until": None}
    assert rows.opened(stored(well)) == token()
    assert columns_of(well)["claimed_until"] is None


def test_results_of_another_kind_are_written_though_a_row_moved_on() -> None:
    moved, failed = row("moved"), row("failed", "other@acme.example")
    for each in (moved, failed):
        claims.claim(each, NOW)
    AccessToken.objects.filter(pk=moved.pk).update(version=9)
    failure = rows.failure_changes(failed, ERROR, "set-up", NOW)
    rows.write([(moved, rows.token_changes(moved, token())), (failed, failure)])
    assert (columns_of(moved)["version"], columns_of(failed)["version"], columns_of(failed)["failures"]) == (
        9,
        1,
        1,
    )


def test_a_token_ends_all_failures_and_begins_its_times() -> None:
    made = row(failures=3, last_error={"kind": "passing"}, next_try_at=NOW, early_ends=2)
    given = token(scopes=("a" * 600, "b" * 600))
    changes = rows.token_changes(made, given)
    sealed, due = changes.pop("value"), changes.pop("refresh_at")
    assert sealed.open() == b"token"
    assert sealed.context == f"sf_integration.accesstoken.value.{made.pk}"
    assert given.expected_expiry - 27 * MINUTE - 45 * MINUTE <= due <= given.expected_expiry - HOUR
    assert changes == {
        "instance_url": given.instance_url,
        "identity_url": given.identity_url,
        "scopes": f"{'a' * 600} {'b' * 399}",
        "issued_at": given.issued_at,
        "expected_expiry": given.expected_expiry,
        "fingerprint": keyring().fingerprints("token")[0],
        "failures": 0,
        "last_error": None,
        "next_try_at": None,
        "early_ends": 2,
    }


@pytest.mark.parametrize(
    ("refresh_at", "fits", "left"),
    [
        (None, True, 2),
        (NOW + SECOND, True, 2),
        (NOW, True, 0),
        (NOW - SECOND, True, 0),
        (NOW + SECOND, False, 0),
        (None, False, 0),
    ],
)
def test_a_token_that_lived_to_its_renewal_forgives_early_ends(
    refresh_at: dt.datetime | None, fits: bool, left: int
) -> None:
    made = row(early_ends=2, refresh_at=refresh_at)
    if not fits:
        made.settings_fingerprint = "that of before"
    assert rows.token_changes(made, token(age=dt.timedelta(0)))["early_ends"] == left


ERROR = AuthenticationError(
    "Refused.", error="invalid_client_id", description="words", remedy="Do.", who="you"
)


def test_a_failure_is_stored_with_its_words_and_the_next_try() -> None:
    made = row(failures=2)
    assert rows.failure_changes(made, ERROR, "set-up", NOW) == {
        "last_error": {
            "code": "invalid_client_id",
            "message": str(ERROR),
            "cause": "Refused.",
            "remedy": "Do.",
            "who": "you",
            "description": "words",
            "kind": "set-up",
            "type": "AuthenticationError",
        },
        "next_try_at": NOW + 120 * SECOND,
        "failures": 3,
    }


def test_a_failure_of_other_settings_is_their_first_and_takes_the_token_away() -> None:
    made = with_token(failures=5)
    made.settings_fingerprint = "that of before"
    changes = rows.failure_changes(made, ERROR, "set-up", NOW)
    assert (changes["failures"], changes["next_try_at"]) == (1, NOW + 30 * SECOND)
    gone = {"value": None, "expected_expiry": None, "refresh_at": None}
    assert {name: changes[name] for name in gone} == gone


def test_while_a_token_is_served_passing_trouble_is_left_alone_for_minutes() -> None:
    error = LoginUnavailable("Down.", code="http_503")
    served = rows.failure_changes(with_token(), error, "passing", NOW)
    assert 5 * MINUTE <= served["next_try_at"] - NOW <= 10 * MINUTE
    assert served.keys() == {"last_error", "next_try_at", "failures"}
    other_settings = with_token(name="other settings")
    other_settings.settings_fingerprint = "that of before"
    for none in (row("no token"), other_settings):
        changes = rows.failure_changes(none, error, "passing", NOW)
        assert 4 * SECOND <= changes["next_try_at"] - NOW <= 6 * SECOND


def test_a_refused_user_is_shut_out_in_all_connections() -> None:
    made, same, other = row("one"), row("two"), row("three", "other@acme.example")
    before = [columns_of(each) for each in (made, same, other)]
    changes = rows.failure_changes(made, LoginUnavailable("Rate.", retry_after=900), "rate", NOW)
    rows.shut_others(made, changes)
    shut = {name: changes[name] for name in ("last_error", "next_try_at")}
    found = [changed(each, old) for each, old in zip((made, same, other), before, strict=True)]
    assert found == [{}, shut, {}]


def test_success_ends_the_failures_of_its_connections() -> None:
    apps = [connection(f"c{n}", failing_since=NOW, last_error={"code": "timeout"}) for n in range(3)]
    rows.note_success(apps[:2], NOW)
    rows.note_success([], NOW)
    found = ConnectedApp.objects.order_by("name").values_list(
        "last_success_at", "failing_since", "last_error"
    )
    assert list(found) == [(NOW, None, None)] * 2 + [(None, NOW, {"code": "timeout"})]


def test_success_leaves_a_failure_that_was_stored_meanwhile() -> None:
    app, failing = connection("one"), connection("two", failing_since=NOW - MINUTE)
    ConnectedApp.objects.update(failing_since=NOW, last_error={"code": "timeout", "step": "limits"})
    rows.note_success([app, failing], NOW)
    assert set(ConnectedApp.objects.values_list("failing_since", "last_error__code")) == {(NOW, "timeout")}


# ---- tokens that are over -------------------------------------------------------------------------------------------


def test_only_the_very_token_is_forgotten() -> None:
    made = with_token(version=3)
    other = row("other", "other@acme.example")
    before, untouched = columns_of(made), columns_of(other)
    assert rows.discard(made, token("another")) is False
    assert changed(made, before) == {}
    assert rows.discard(made, token(), early_ends=5) is True
    gone = {"value": None, "fingerprint": "", "expected_expiry": None, "refresh_at": None}
    assert changed(made, before) == gone | {"version": 4, "early_ends": 5}
    assert changed(other, untouched) == {}
    assert rows.discard(made, token()) is False


def test_a_session_that_two_connections_share_is_forgotten_by_one_at_a_time() -> None:
    one, two = with_token(name="one"), with_token(name="two")
    assert rows.discard(one, token())
    assert (rows.opened(stored(one)), rows.opened(stored(two))) == (None, token())


def test_early_ends_in_a_row_keep_the_shortest_life() -> None:
    lives = []
    made = with_token()
    for minutes in (40, 50, 31, 35):
        AccessToken.objects.update(**rows.token_changes(stored(made), token()))
        failed = token(age=minutes * MINUTE)
        assert rows.discard_refused(stored(made), failed, NOW + dt.timedelta(milliseconds=900))
        now = columns_of(made)
        lives.append((now["early_ends"], now["shortest_life_seconds"]))
    assert lives == [(1, 2400), (2, 2400), (3, 1860), (4, 1860)]


def test_the_first_early_end_of_a_row_does_not_look_at_those_of_before() -> None:
    made = with_token(early_ends=0, shortest_life_seconds=60)
    rows.discard_refused(made, token(age=40 * MINUTE), NOW)
    assert columns_of(made)["shortest_life_seconds"] == 2400


def test_a_life_that_a_clock_makes_negative_counts_as_none() -> None:
    made = with_token()
    rows.discard_refused(made, token(age=-MINUTE), NOW)
    assert columns_of(made)["shortest_life_seconds"] == 0


@pytest.mark.parametrize(("late", "early_ends"), [(dt.timedelta(0), 0), (-SECOND, 3)])
def test_an_end_at_the_estimate_is_no_early_one(late: dt.timedelta, early_ends: int) -> None:
    made = with_token(early_ends=2)
    assert rows.discard_refused(made, token(), token().expected_expiry + late)
    assert columns_of(made)["early_ends"] == early_ends
    assert rows.discard_refused(made, token(), NOW) is False


# ---- tokens that may be used ----------------------------------------------------------------------------------------


def test_a_stored_token_is_the_one_that_came() -> None:
    made = with_token()
    assert rows.stored_token(made) == rows.opened(made) == token()


@pytest.mark.parametrize("lacking", ["value", "issued_at", "expected_expiry"])
def test_without_value_or_times_there_is_no_token(lacking: str) -> None:
    made = with_token()
    setattr(made, lacking, None)
    assert rows.opened(made) is None
    assert rows.stored_token(made) is None


def test_a_token_that_does_not_open_is_none() -> None:
    made, other = with_token(), row("other")
    made.value = seal(AccessToken, "value", other.pk, b"token")
    assert rows.opened(made) is None


JWT = jwt.encode({"sub": "x"}, "k" * 32)
PAST = {"issued_at": NOW - 3 * HOUR, "expected_expiry": NOW - MINUTE}


@pytest.mark.parametrize(
    ("columns", "error", "served"),
    [
        ({}, None, True),
        (PAST, None, False),
        (PAST, {"kind": "passing"}, True),
        (PAST, {"kind": "rate"}, True),
        (PAST, {"kind": "set-up"}, False),
        ({"expected_expiry": NOW}, None, False),
        ({"expected_expiry": NOW + SECOND}, {"kind": "set-up"}, True),
        ({"expected_expiry": NOW - 15 * MINUTE + SECOND}, {"kind": "passing"}, True),
        ({"expected_expiry": NOW - 15 * MINUTE}, {"kind": "passing"}, False),
        ({"instance_url": "https://elsewhere.example"}, None, False),
        ({"value": JWT}, None, True),
        (PAST | {"value": JWT}, {"kind": "passing"}, False),
        ({"expected_expiry": NOW, "value": JWT}, {"kind": "passing"}, False),
        ({"identity_url": "https://login.salesforce.com/id/00D000000000002EAA/005"}, None, False),
        ({"identity_url": ""}, None, True),
    ],
)
def test_what_may_be_served(columns: dict[str, Any], error: dict[str, str] | None, served: bool) -> None:
    """By time, host and org; past the estimate only opaque ones, while nothing but the login host is in trouble."""
    fields = {name: value for name, value in columns.items() if name != "value"}
    given = token(columns.get("value", "token"), **fields)
    made = with_token(given, last_error=error)
    made.connection.expected_org_id = "00D000000000001EAA"
    with time_machine.travel(NOW, tick=False):
        assert rows.stored_token(made) == (given if served else None)
        made.settings_fingerprint = "that of before"
        assert rows.stored_token(made) is None


# ---- rows -----------------------------------------------------------------------------------------------------------


def test_an_unknown_name_tells_the_nearest_one(django_assert_num_queries: Any) -> None:
    for name in ("acme-sales", "other"):
        connection(name)
    found = rows.connection_named("other")
    with django_assert_num_queries(0):
        assert (found.name, found.signing_key.size) == ("other", 2048)
    with pytest.raises(UnknownConnection) as near:
        rows.connection_named("acme-sale")
    assert near.value.suggestion == "acme-sales"
    with pytest.raises(UnknownConnection) as told:
        rows.connection_named("zzz")
    assert "zzz" in str(told.value)
    assert "other" not in str(told.value)
    assert "acme-sales" not in str(told.value)


def test_a_user_of_several_connections_has_a_row_in_each() -> None:
    made = {name: row(name).pk for name in ("one", "two")}
    for username in (None, "OPS@acme.example"):
        found = {name: rows.find(name, username) for name in made}
        assert {name: each and each.pk for name, each in found.items()} == made
        assert rows.find("three", username) is None


def test_missing_rows_are_made_once() -> None:
    apps = [connection("one"), connection("two", "Other@acme.example")]
    assert {app.name for app in rows.connections_without_row()} == {"one", "two"}
    for _ in range(2):
        rows.ensure(apps)
    rows.ensure(apps[:1], "Extra@acme.example")
    found = AccessToken.objects.order_by("connection__name", "username").values_list(
        "connection__name", "username"
    )
    assert list(found) == [
        ("one", "extra@acme.example"),
        ("one", "ops@acme.example"),
        ("two", "other@acme.example"),
    ]
    assert rows.connections_without_row() == []
    connection("paused", enabled=False)
    AccessToken.objects.filter(username="ops@acme.example").delete()
    assert [app.name for app in rows.connections_without_row()] == ["one"]
    assert rows.new([]) == []


@pytest.mark.parametrize(
    ("kind", "until", "shut"),
    [("rate", NOW + HOUR, True), ("rate", NOW - HOUR, False), ("set-up", NOW + HOUR, False)],
)
def test_a_new_row_of_a_refused_user_begins_behind_the_gate(
    kind: str, until: dt.datetime, shut: bool
) -> None:
    row("one", last_error={"kind": kind}, next_try_at=until)
    made, other = rows.new([connection("two"), connection("three", "other@acme.example")])
    assert (made.last_error, made.next_try_at) == (({"kind": kind}, until) if shut else (None, None))
    assert made.fits_settings is shut
    assert (other.last_error, other.next_try_at, other.settings_fingerprint) == (None, None, "")


def test_accepting_an_org_opens_what_was_refused_for_it() -> None:
    refused = row("one", last_error={"type": "WrongOrg"}, next_try_at=NOW, failures=2, version=5)
    AccessToken.objects.create(
        connection=refused.connection, username="x", last_error={"type": "Other"}, next_try_at=NOW, failures=2
    )
    elsewhere = row("two", last_error={"type": "WrongOrg"}, next_try_at=NOW, failures=2)
    rows.forgive_org(refused.connection)
    now = columns_of(refused)
    assert (now["last_error"], now["next_try_at"], now["failures"], now["version"]) == (None, None, 0, 6)
    assert AccessToken.objects.filter(failures=2, version=0).count() == 2
    assert columns_of(elsewhere)["last_error"] == {"type": "WrongOrg"}


def test_a_stand_in_that_was_told_otherwise_begins_anew() -> None:
    spent: dict[str, Any] = {"last_error": {"kind": "rate"}, "next_try_at": NOW, "last_try_at": NOW}
    spent |= {"failures": 2, "logins": 600, "early_ends": 3, "version": 1}
    made, other = row("one", **spent), row("two", **spent)
    ConnectedApp.objects.filter(name="two").update(login_url="https://other.my.salesforce.com")
    before, untouched = columns_of(made), columns_of(other)
    rows.begin_anew("https://acme.my.salesforce.com")
    assert changed(made, before) == {
        "last_error": None,
        "next_try_at": None,
        "last_try_at": None,
        "failures": 0,
        "logins": 0,
        "early_ends": 0,
        "version": 2,
    }
    assert changed(other, untouched) == {}


def test_tokens_live_on_under_another_key_of_the_same_app() -> None:
    made = row("one", last_error={"kind": "set-up"}, next_try_at=NOW, failures=2)
    app, old = made.connection, made.connection.signing_key
    passing = AccessToken(connection=app, username="x", last_error={"kind": "passing"}, failures=2)
    passing.settings_fingerprint = settings_fingerprint(app, "x")
    passing.save()
    edited = AccessToken.objects.create(
        connection=app, username="y", last_error={"kind": "set-up"}, settings_fingerprint="other"
    )
    elsewhere = row("two")
    new = SigningKey.objects.create(name="new", fingerprint="e" * 64, size=2048)
    before = {each.pk: columns_of(each) for each in (made, passing, edited, elsewhere)}
    rows.carry_over(app, old, new)
    app.signing_key = new
    opened = {"last_error": None, "next_try_at": None, "failures": 0}
    fits = {
        each.pk: {"settings_fingerprint": settings_fingerprint(app, each.username)}
        for each in (made, passing)
    }
    assert changed(made, before[made.pk]) == opened | fits[made.pk]
    assert changed(passing, before[passing.pk]) == fits[passing.pk]
    assert changed(edited, before[edited.pk]) == changed(elsewhere, before[elsewhere.pk]) == {}


@pytest.mark.parametrize(
    ("stored_error", "opens"),
    [
        ({"kind": "set-up", "code": "invalid_grant", "description": "invalid assertion"}, True),
        ({"kind": "set-up", "code": "invalid_client_id", "description": "client identifier invalid"}, False),
        ({"kind": "passing", "code": "invalid_grant", "description": "invalid assertion"}, False),
        ({"kind": "set-up"}, False),
    ],
)
def test_another_key_is_tried_at_once_where_the_certificate_was_not_known(
    stored_error: dict[str, str], opens: bool
) -> None:
    made = row("one", last_error=stored_error, next_try_at=NOW + HOUR)
    other = row("two", last_error=stored_error, next_try_at=NOW + HOUR)
    rows.open_for_another_key(made.connection)
    assert (columns_of(made)["next_try_at"] <= timezone.now()) is opens
    assert columns_of(other)["next_try_at"] == NOW + HOUR


def test_a_gate_that_a_new_refusal_shut_meanwhile_stays_shut() -> None:
    refused = {"kind": "set-up", "code": "invalid_grant", "description": "invalid assertion"}
    made = row("one", last_error=refused, next_try_at=NOW)
    later = NOW + HOUR
    with just_before("UPDATE", lambda: AccessToken.objects.update(next_try_at=later)):
        rows.open_for_another_key(made.connection)
    assert columns_of(made)["next_try_at"] == later


@pytest.mark.parametrize(
    ("since", "logins", "counted"),
    [
        (NOW - 59 * MINUTE, 2, (5, NOW - 59 * MINUTE)),
        (NOW - HOUR, 2, (3, NOW)),
        (NOW + SECOND, 2, (3, NOW)),
        (None, 0, (3, NOW)),
    ],
)
def test_logins_that_no_claim_has_counted_are_added(
    since: dt.datetime | None, logins: int, counted: tuple[int, dt.datetime]
) -> None:
    made, other = row("one", logins=logins, logins_since=since), row("two")
    before, untouched = columns_of(made), columns_of(other)
    claims.add_logins(made, 0, NOW)
    assert changed(made, before) == {}
    claims.add_logins(made, 3, NOW)
    now = columns_of(made)
    assert (now["logins"], now["logins_since"]) == counted
    assert now["last_try_at"] == NOW
    assert changed(other, untouched) == {}


@pytest.mark.parametrize(
    ("asked", "who"), [(None, "ops@acme.example"), ("OPS@acme.example", "ops@acme.example"), ("X@x", "x@x")]
)
def test_uses_are_added_to_the_row_of_the_user(asked: str | None, who: str) -> None:
    made = row("one", uses=5)
    AccessToken.objects.create(connection=made.connection, username="x@x", uses=5)
    row("two", uses=5)
    assert rows.note_uses("one", asked, 3) is True
    found = {
        (each.connection.name, each.username): each
        for each in AccessToken.objects.select_related("connection")
    }
    assert {key: each.uses for key, each in found.items() if each.uses != 5} == {("one", who): 8}
    assert {key for key, each in found.items() if each.last_used_at} == {("one", who)}
    assert rows.note_uses("absent", None, 3) is False
    assert rows.note_uses("one", "nobody@x", 3) is False


@pytest.mark.parametrize("kind", [OperationalError, InterfaceError])
def test_uses_that_the_database_does_not_take_are_told_as_not_noted(kind: type[Exception]) -> None:
    row("one")

    def refuse() -> None:
        raise kind("database is locked")

    before = patience()
    with transaction.atomic(), just_before("UPDATE", refuse):
        assert rows.note_uses("one", None, 3) is False
    assert AccessToken.objects.get().uses == 0
    assert patience() == before


def patience(now: str = "") -> int:
    """Milliseconds that SQLite waits for its write lock; ` = 5` sets it."""
    if database.vendor != "sqlite":
        return 0
    with database.cursor() as cursor:
        cursor.execute(f"PRAGMA busy_timeout{now}")
        return int(cursor.fetchone()[0])


@pytest.mark.skipif(database.vendor != "sqlite", reason="its one write lock")
def test_noting_uses_leaves_the_patience_of_the_database_as_it_was() -> None:
    row("one")
    before, during = patience(), []
    try:
        patience(" = 1234")
        with just_before("UPDATE", lambda: during.append(patience())):
            rows.note_uses("one", None, 3)
        assert (during, patience()) == ([0], 1234)
    finally:
        patience(f" = {before}")


def test_a_wrong_org_is_stored_with_its_id() -> None:
    error: SalesforceError = WrongOrg("Other.", organization_id="00D000000000002EAA", code="wrong_org")
    told = rows.failure_changes(row(), error, "set-up", NOW)["last_error"]
    assert (told["type"], told["organization_id"]) == ("WrongOrg", "00D000000000002EAA")
    assert lifecycle.kind_of(error) == "set-up"


def test_the_transaction_around_a_test_case_is_no_callers() -> None:
    assert transaction.get_connection().in_atomic_block
    assert rows.in_callers_transaction() is False


def test_a_name_that_is_half_right_is_suggested() -> None:
    connection("acme-uat-eu")
    with pytest.raises(UnknownConnection, match="acme-uat-eu"):
        rows.connection_named("acme")
