"""How callers get a token from memory, from the row, or by the one sign-in: to the second, and without an org."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import OperationalError, transaction
from django.db import connection as database
from django.utils import timezone

from sf_integration.models import AccessToken, ConnectedApp, ConnectionEvent
from sf_integration.salesforce import oauth
from sf_integration.salesforce.errors import (
    AuthenticationError,
    ConnectionPaused,
    LoginUnavailable,
    NotAllowedHere,
    SalesforceError,
    TransportError,
    UnknownConnection,
    UsernameNotAllowed,
)
from sf_integration.salesforce.oauth import Token
from sf_integration.tokens import lifecycle, rows, source
from sf_integration.tokens import process as of_process

from .canned import Canned
from .test_statements import (
    ERROR,
    HOUR,
    MINUTE,
    SECOND,
    columns_of,
    connection,
    just_before,
    row,
    stored,
    token,
    with_token,
)

pytestmark = pytest.mark.django_db

HANDLE = ("acme", None)
NEW = token("new", age=-SECOND)
DOWN = TransportError("No answer.", code="timeout")


@dataclass
class Clock:
    """The monotonic one; who sleeps moves it, and `meanwhile` happens."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)
    meanwhile: Callable[[], object] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.meanwhile()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (source, of_process):
        monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def process(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Canned:
    made = Canned()
    monkeypatch.setattr(of_process, "_current", made)
    return made


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No row can be told of uses."""
    monkeypatch.setattr(rows, "note_uses", lambda *_: False)


def down(run: Callable[..., Any], sql: str, *rest: Any) -> Any:
    if sql.startswith("SELECT"):
        raise OperationalError("gone")
    return run(sql, *rest)


# ---- from memory ----------------------------------------------------------------------------------------------------


def test_memory_serves_until_the_next_look_and_one_caller_looks(process: Canned, clock: Clock) -> None:
    with_token()
    assert source.get("acme") == token()
    AccessToken.objects.update(value=None)
    process.ends = [NEW]
    clock.now += 4.9
    assert source.get("acme") == source.in_memory("acme") == token()
    clock.now += 0.1
    assert source.in_memory("acme") is None
    process.copies[HANDLE].next_look = clock.now + 5  # somebody else looks
    assert source.get("acme") == token()
    clock.now += 5
    assert source.get("acme") == source.in_memory("acme") == NEW


def test_memory_serves_nothing_that_has_expired(process: Canned, clock: Clock) -> None:
    with_token()
    source.get("acme")
    copy = process.copies[HANDLE]
    copy.next_look, copy.expires = clock.now + 9, clock.now + 1
    assert source.in_memory("acme") == token()
    AccessToken.objects.update(value=None)
    process.ends = [NEW]
    clock.now += 1
    assert source.in_memory("acme") is None
    assert source.get("acme") == NEW


@pytest.mark.usefixtures("busy")
def test_each_use_counts_unless_it_is_none(process: Canned, clock: Clock) -> None:
    with_token()
    for counts in (True, False, True, False):
        source.get("acme", counts_as_use=counts)
    source.in_memory("acme")
    assert process.uses[HANDLE].count == 3
    clock.now += 5
    with database.execute_wrapper(down):
        for counts in (True, False):
            process.copies[HANDLE].next_look = clock.now
            source.get("acme", counts_as_use=counts)
    assert process.uses[HANDLE].count == 4
    assert source.in_memory("acme", "other@acme.example") is None


def test_without_a_database_memory_serves_until_the_token_ends(process: Canned, clock: Clock) -> None:
    with_token()
    source.get("acme")
    copy = process.copies[HANDLE]
    copy.next_look, copy.expires = clock.now, clock.now + 10
    with database.execute_wrapper(down):
        assert source.get("acme") == token()
        clock.now += 10
        with pytest.raises(OperationalError):
            source.get("acme")


def test_a_token_in_grace_is_asked_for_again_at_the_next_look(process: Canned, clock: Clock) -> None:
    over = token(age=2 * HOUR + MINUTE)
    with_token(over, last_error={"kind": "passing"})
    assert source.get("acme") == over
    assert process.copies[HANDLE].expires == clock.now + lifecycle.LOOK_EVERY_SECONDS
    good = with_token(name="good")
    source.get("good")
    left = (good.expected_expiry - timezone.now()).total_seconds()
    assert process.copies["good", None].expires == pytest.approx(clock.now + left, abs=1)


def test_a_token_is_of_the_connection_that_gave_it(process: Canned) -> None:
    made, other = with_token().connection, connection("other")
    given = source.get("acme")
    ConnectedApp.objects.filter(pk=made.pk).update(name="renamed")
    assert source.is_of(given, made.pk, "acme") is True
    assert source.is_of(given, other.pk, "acme") is False
    assert source.is_of(token(), made.pk, "acme") is False  # another one than the copy's: the database knows
    process.copies.clear()
    assert source.is_of(given, made.pk, "acme") is False
    assert source.is_of(given, made.pk, "renamed") is True
    assert source.is_of(given, other.pk, "renamed") is False


def test_the_only_connection_is_looked_up_every_five_seconds(process: Canned, clock: Clock) -> None:
    with pytest.raises(UnknownConnection):
        source.only_connection()
    connection("one")
    assert source.only_connection() == "one"
    ConnectedApp.objects.update(name="renamed")
    clock.now += 5
    assert source.only_connection() == "one"
    clock.now += 0.1
    assert source.only_connection() == "renamed"
    connection("two")
    clock.now += 5.1
    with pytest.raises(UnknownConnection) as told:
        source.only_connection()
    assert str(told.value) == str(UnknownConnection(""))


def test_the_api_version_is_that_of_memory_or_else_of_the_row(process: Canned) -> None:
    with_token()
    ConnectedApp.objects.update(api_version="66.0")
    assert source.api_version("acme") == "66.0"
    source.get("acme")
    ConnectedApp.objects.update(api_version="67.0")
    assert (source.api_version("acme"), source.api_version("acme", "x")) == ("66.0", "67.0")


def test_an_event_loop_is_never_stopped(process: Canned, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> Token:
        return source.get("acme")

    with_token()
    source.get("acme")
    with pytest.raises(SynchronousOnlyOperation, match="await aget_token"):
        asyncio.run(ask())
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    assert asyncio.run(ask()) == token()


# ---- from the row ---------------------------------------------------------------------------------------------------


def test_a_row_is_made_where_it_is_missing_and_may_be_used(process: Canned) -> None:
    connection(extra_usernames=["Extra@acme.example"])
    process.ends = [NEW, NEW]
    assert source.get("acme") == source.get("acme", "extra@acme.example") == NEW
    assert {*AccessToken.objects.values_list("username", flat=True)} == {
        "ops@acme.example",
        "extra@acme.example",
    }
    with pytest.raises(UsernameNotAllowed) as told:
        source.get("acme", "ceo@acme.example")
    assert told.value.connection == "acme"
    assert AccessToken.objects.count() == 2


def test_a_connection_deleted_at_this_very_moment_is_unknown(process: Canned) -> None:
    connection()
    with (
        just_before("INSERT", lambda: ConnectedApp.objects.update(name="another")),
        pytest.raises(UnknownConnection) as told,
    ):
        source.get("acme")
    assert "acme" in str(told.value)


def test_inside_a_transaction_no_row_is_made(process: Canned) -> None:
    connection(extra_usernames=["x@acme.example"])
    process.ends = [NEW, NEW]
    with transaction.atomic():
        assert source.get("acme") == source.get("acme", "X@acme.example") == NEW
        assert not AccessToken.objects.exists()
    assert [request.username for request in process.requests] == ["Ops@acme.example", "x@acme.example"]


@pytest.mark.parametrize("in_transaction", [False, True])
def test_what_is_void_is_forgotten_before_the_sign_in(
    process: Canned, clock: Clock, in_transaction: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or all others would be served the old token as long as that takes."""
    with_token()
    source.get("acme")
    AccessToken.objects.update(settings_fingerprint="that of before")
    clock.now += 5
    in_memory_meanwhile: list[object] = []
    process.ends = [NEW]
    sign_in = process.sign_in

    def looking(*arguments: Any) -> Any:
        in_memory_meanwhile.append(process.copies.get(HANDLE))
        return sign_in(*arguments)

    monkeypatch.setattr(process, "sign_in", looking)
    if in_transaction:
        with transaction.atomic():
            assert source.get("acme") == NEW
    else:
        assert source.get("acme") == NEW
    assert in_memory_meanwhile == [None]


@pytest.mark.parametrize(
    ("change", "kind"), [({"enabled": False}, ConnectionPaused), ({"name": "another"}, UnknownConnection)]
)
def test_what_must_not_be_used_any_more_is_forgotten(
    process: Canned, clock: Clock, change: dict[str, Any], kind: type[SalesforceError]
) -> None:
    with_token()
    source.get("acme")
    ConnectedApp.objects.update(**change)
    clock.now += 5
    with pytest.raises(kind):
        source.get("acme")
    assert not process.copies


# ---- by the one sign-in ---------------------------------------------------------------------------------------------


def taken(**columns: Any) -> AccessToken:
    """A row that another process signs in for."""
    return row(claimed_by="another", claimed_until=timezone.now() + MINUTE, **columns)


def arrives(made: AccessToken, given: Token) -> None:
    AccessToken.objects.filter(pk=made.pk).update(**rows.token_changes(made, given))


def test_who_waits_looks_again_and_takes_what_the_other_brings(process: Canned, clock: Clock) -> None:
    made = taken()
    clock.meanwhile = lambda: arrives(made, NEW) if len(clock.slept) == 5 else None
    assert source.get("acme") == NEW
    assert clock.slept == [0.05, 0.1, 0.2, 0.25, 0.25]
    assert process.copies[HANDLE].next_look == 1005.0  # from the first look on


def test_who_waited_too_long_is_told_to_come_again(process: Canned, clock: Clock) -> None:
    taken()
    with pytest.raises(LoginUnavailable) as told:
        source.get("acme")
    assert told.value.code == "sign_in_under_way"
    assert 15 < clock.now - 1000 <= 15.25


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"last_error": {"kind": "passing", "message": "Down.", "code": "timeout"}}, "timeout"),
        ({"logins": lifecycle.FUSE_LOGINS}, "fuse_blown"),
    ],
)
def test_nobody_waits_before_a_shut_gate_or_a_blown_fuse(
    process: Canned, clock: Clock, columns: dict[str, Any], code: str
) -> None:
    now = timezone.now()
    made = row(next_try_at=now + MINUTE if "last_error" in columns else None, logins_since=now, **columns)
    with pytest.raises(LoginUnavailable) as told:
        source.get("acme")
    assert (told.value.code, clock.slept, made.claimed_by) == (code, [], "")


def test_the_old_token_serves_in_grace_but_not_who_asked_for_a_new_one(process: Canned) -> None:
    over = token(age=2 * HOUR + MINUTE)
    with_token(over)
    process.ends = [DOWN]
    assert source.get("acme") == over
    AccessToken.objects.update(last_try_at=timezone.now() - MINUTE)
    process.ends = [DOWN]
    with pytest.raises(TransportError):
        source.refresh("acme")


def test_one_thread_signs_in_and_the_next_reads_the_row_anew(process: Canned) -> None:
    made = row()
    lock, seen = process.lock(made.pk), threading.Event()
    lock.acquire()
    stale = stored(made)

    class Watched:
        def acquire(self, **how: Any) -> bool:
            if not how.get("blocking", True):
                return False
            assert how == {"timeout": lifecycle.CALLER_WAIT_SECONDS}
            arrives(made, NEW)
            seen.set()
            return True

        def release(self) -> None:
            lock.release()

    process._locks[made.pk] = Watched()  # type: ignore[assignment]
    assert source._sign_in_once(process, HANDLE, stale, rows.stored_token)[1] == NEW
    assert seen.is_set()
    assert not lock.locked()


def test_a_lock_that_stays_shut_is_waited_for_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = threading.Lock()
    with source._acquired(lock) as waited:
        assert (waited, lock.locked()) == (False, True)
        monkeypatch.setattr(lifecycle, "CALLER_WAIT_SECONDS", 0.01)
        with pytest.raises(LoginUnavailable) as told, source._acquired(lock):
            pass
    assert (told.value.code, lock.locked()) == ("sign_in_under_way", False)


# ---- another one ----------------------------------------------------------------------------------------------------


def test_a_refused_token_is_discarded_told_and_replaced(
    process: Canned, django_capture_on_commit_callbacks: Any
) -> None:
    made = with_token()
    source.get("acme")
    process.ends = [NEW]
    with django_capture_on_commit_callbacks(execute=True):
        assert source.renew("acme", None, token(), counts_as_use=False) == NEW
        assert source.renew("acme", None, token()) == NEW  # nobody has that one any more
    ended = ConnectionEvent.objects.filter(kind=ConnectionEvent.Kind.ENDED)
    assert [(event.connection, event.username) for event in ended] == [(made.connection, made.username)]
    assert columns_of(made)["early_ends"] == 1


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize(("counts", "uses"), [({}, 1), ({"counts_as_use": False}, 0)])
def test_a_replay_counts_as_the_call_does(process: Canned, counts: dict[str, bool], uses: int) -> None:
    with_token()
    process.ends = [NEW]
    assert source.Source("acme", **counts).renew(token()) == NEW
    assert process.uses[HANDLE].count == uses
    source.Source("acme", **counts).get()
    assert process.uses[HANDLE].count == 2 * uses


def test_a_source_is_of_its_user(process: Canned) -> None:
    connection(extra_usernames=["x@acme.example"])
    given, newer = token("one", age=2 * MINUTE), token("two", age=MINUTE)
    process.ends = [given, newer]
    extra = source.Source("acme", "x@acme.example")
    assert (extra.get(), extra.renew(given)) == (given, newer)
    assert [request.username for request in process.requests] == ["x@acme.example"] * 2


def test_inside_a_transaction_a_refused_token_stays_stored_and_is_not_served(process: Canned) -> None:
    made = with_token()
    before = columns_of(made)
    newer = token("newer", age=-2 * SECOND)
    process.ends = [NEW, newer]
    with transaction.atomic():
        assert source.renew("acme", None, token()) == NEW
        assert source.renew("acme", None, token()) == NEW
        assert source.renew("acme", None, NEW) == newer
        assert columns_of(made) == before
    source.get("acme", counts_as_use=False)


def test_a_forced_renewal_signs_in_past_the_gate(process: Canned, clock: Clock) -> None:
    shut = {"last_error": {"kind": "passing", "message": "Down."}, "next_try_at": timezone.now() + HOUR}
    with_token(**shut)
    seen: list[object] = []
    process.ends = [NEW]
    assert source.refresh("acme", observe=lambda *both: seen.append(both)) == NEW
    assert (len(seen), process.copies[HANDLE].token) == (1, NEW)
    assert source.get("acme") == NEW
    assert process.copies[HANDLE].next_look == clock.now + 5


def test_a_forced_renewal_asks_what_forbids_it(process: Canned) -> None:
    made = row(last_error=ERROR_STORED, last_try_at=timezone.now())
    with pytest.raises(AuthenticationError):
        source.refresh("acme")
    AccessToken.objects.update(last_error=None)
    with pytest.raises(UsernameNotAllowed):
        source.refresh("acme", "ceo@acme.example")
    ConnectedApp.objects.update(enabled=False)
    with pytest.raises(ConnectionPaused):
        source.refresh("acme")
    assert columns_of(made)["logins"] == 0


ERROR_STORED = {"kind": "set-up", "type": "AuthenticationError", "code": "x", "cause": "Refused."}


def test_a_forced_renewal_takes_what_another_process_signs_in_for_meanwhile(
    process: Canned, clock: Clock
) -> None:
    """Not the token that was there before, sealed anew or not."""
    made = with_token(claimed_by="another", claimed_until=timezone.now() + MINUTE)
    brought = iter([token(), NEW])

    def another_process() -> None:
        arrives(made, next(brought))

    clock.meanwhile = another_process
    assert source.refresh("acme") == NEW
    assert len(clock.slept) == 2


def test_inside_a_transaction_a_forced_renewal_is_held(process: Canned, clock: Clock) -> None:
    made = with_token()
    before = columns_of(made)
    process.ends = [NEW]
    with transaction.atomic():
        assert source.refresh("acme") == source.get("acme") == NEW
        assert columns_of(made) == before
    assert process.held[HANDLE].outcome.token == NEW


# ---- inside transactions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("end", "code"), [(NEW, None), (ERROR, "invalid_client_id")])
def test_what_a_transaction_brought_is_stored_at_its_commit(
    process: Canned, end: Token | SalesforceError, code: str | None, django_capture_on_commit_callbacks: Any
) -> None:
    made = row()
    process.ends = [end]
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        if isinstance(end, Token):
            source.get("acme")
        else:
            with pytest.raises(type(end)):
                source.get("acme")
    now = stored(made)
    assert (rows.opened(now), (now.last_error or {}).get("code")) == (NEW if code is None else None, code)
    assert (now.logins, process.held) == (1, {})


def test_what_a_transaction_brought_is_stored_at_the_next_look_outside(process: Canned, clock: Clock) -> None:
    made = row()
    process.ends = [NEW]
    with transaction.atomic():
        source.get("acme")
        transaction.set_rollback(True)
    clock.now += 5
    assert source.get("acme") == NEW
    assert rows.opened(stored(made)) == NEW


def test_what_the_org_refuses_of_what_is_held_is_not_stored(process: Canned) -> None:
    made = row()
    newer = token("newer", age=-2 * SECOND)
    process.ends = [NEW, newer, TransportError("No answer.", code="timeout")]
    with transaction.atomic():
        source.get("acme")
    assert source.renew("acme", None, NEW) == newer == rows.opened(stored(made))
    with pytest.raises(TransportError) as told:
        source.renew("acme", None, newer)
    assert told.value.connection == "acme"


def test_a_commit_does_not_fail_for_what_can_not_be_stored(
    process: Canned, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    row()
    process.ends = [NEW]
    for work in ("_save_held", "_note"):
        monkeypatch.setattr(source, work, lambda *_: 1 / 0)
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        source.get("acme")


def test_what_must_not_be_used_any_more_is_not_stored(process: Canned, clock: Clock) -> None:
    row()
    process.ends = [NEW]
    with transaction.atomic():
        source.get("acme")
    ConnectedApp.objects.update(name="another")
    clock.now += 5
    with pytest.raises(UnknownConnection):
        source.get("acme")
    assert not process.held


def test_uses_inside_a_transaction_are_told_at_its_commit_and_not_lost(
    process: Canned, django_capture_on_commit_callbacks: Any
) -> None:
    made = with_token()
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        source.get("acme")
        assert columns_of(made)["uses"] == 0
    assert (columns_of(made)["uses"], process.uses[HANDLE].count) == (1, 0)


def test_uses_that_could_not_be_told_are_kept(process: Canned, clock: Clock, busy: None) -> None:
    with_token()
    for _ in range(2):
        source.get("acme")
        clock.now += 5
    assert process.uses[HANDLE].count == 2


# ---- what else is asked ---------------------------------------------------------------------------------------------


def test_a_refusal_is_told_of_the_row_that_was_asked_for(process: Canned) -> None:
    row(last_error=ERROR_STORED)
    ConnectedApp.objects.update(extra_usernames=["x@acme.example"])
    found = source.refusal("acme")
    assert isinstance(found, AuthenticationError)
    assert source.refusal("acme", "x@acme.example") is None
    with_token(name="served", last_error={"kind": "passing"})
    assert source.refusal("served") is None


@pytest.fixture
def revoked(monkeypatch: pytest.MonkeyPatch, process: Canned) -> list[Token]:
    found: list[Token] = []

    def revoke(token: Token, *, http: object) -> None:
        assert http is process.http
        found.append(token)

    monkeypatch.setattr(oauth, "revoke", revoke)
    return found


def test_all_that_is_known_is_revoked_and_forgotten(process: Canned, revoked: list[Token]) -> None:
    made = with_token()
    process.ends = [NEW]
    with transaction.atomic():
        source.renew("acme", None, token())
    assert source.revoke("acme") is True
    assert revoked == [token(), NEW]
    assert (rows.opened(stored(made)), process.held, process.copies) == (None, {}, {})
    assert source.revoke("acme") is False
    AccessToken.objects.all().delete()
    assert source.revoke("acme") is False
    assert len(revoked) == 2


def test_the_session_of_the_user_that_was_asked_for_is_revoked(process: Canned, revoked: list[Token]) -> None:
    own = with_token()
    ConnectedApp.objects.update(extra_usernames=["x@acme.example"])
    process.ends = [NEW]
    source.get("acme", "x@acme.example")
    assert source.revoke("acme", "x@acme.example") is True
    assert (revoked, rows.opened(stored(own))) == ([NEW], token())


def test_what_must_not_be_called_is_not_called_to_revoke(process: Canned, revoked: list[Token]) -> None:
    made = with_token(token(instance_url="https://elsewhere.example"))
    ConnectedApp.objects.update(enabled=False)  # forbids nothing here
    with pytest.raises(NotAllowedHere):
        source.revoke("acme")
    ConnectedApp.objects.update(login_url="https://elsewhere.example")
    with pytest.raises(NotAllowedHere):
        source.revoke("acme")
    assert (revoked, columns_of(made)["value"] is None) == ([], False)
    with pytest.raises(UnknownConnection):
        source.revoke("absent")
