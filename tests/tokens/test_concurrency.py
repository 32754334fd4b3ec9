"""Many at once: threads, processes, a claim holder that dies, a claim that lapses."""

from __future__ import annotations

import datetime as dt
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from sf_integration import RetryableError, get_token, tokens
from sf_integration.models import AccessToken
from sf_integration.testing.django import ConnectableOrg
from sf_integration.tokens import claims, rows
from tests import processes

pytestmark = pytest.mark.django_db(transaction=True)

MANY_THREADS = """
count = int(sys.argv[1])
barrier = threading.Barrier(count)
values = []
def ask():
    barrier.wait()
    values.append(get_token("acme").value)
    django.db.connection.close()
print("ready", flush=True)
sys.stdin.readline()
threads = [threading.Thread(target=ask) for _ in range(count)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
import hashlib
assert len(values) == count
print(*{hashlib.sha256(value.encode()).hexdigest() for value in values})
"""


def in_thread(function: object) -> object:
    """Call it and close the thread's database connection, which would hold up the test database's end."""
    try:
        return function()  # type: ignore[operator]
    finally:
        database.close()


def test_threads_of_four_processes_make_one_login(
    salesforce_org: ConnectableOrg, process_environment: dict[str, str]
) -> None:
    salesforce_org.connect("acme")
    get_token("acme")
    AccessToken.objects.update(expected_expiry=timezone.now())
    before = salesforce_org.token_requests
    salesforce_org.fail("slow", seconds=0.3)
    # Each thread has a connection to the database, and PostgreSQL as it comes takes a hundred from all programs.
    threads = "64" if database.vendor == "sqlite" else "16"
    started = [
        processes.start(MANY_THREADS, process_environment, salesforce_org.url, threads) for _ in range(4)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    hashes = {line for process in started for line in processes.finish(process).split()}
    assert salesforce_org.token_requests - before == 1
    assert len(hashes) == 1


def test_threads_of_one_process_make_one_login(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    salesforce_org.fail("slow", seconds=0.2)
    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(lambda _: in_thread(lambda: get_token("acme").value), range(64)))
    assert len(set(found)) == 1
    assert salesforce_org.token_requests == 1


def test_many_late_401s_make_one_login(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    old = get_token("acme")
    salesforce_org.end_sessions()
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: in_thread(lambda: tokens.renew("acme", None, old).value), range(32)))
    assert len(set(found)) == 1
    assert salesforce_org.token_requests == 2


HANG_IN_SIGN_IN = """
print("signing in", flush=True)
get_token("acme")
"""


def test_a_claim_holder_killed_in_the_call_holds_up_the_others_for_one_lapse(
    salesforce_org: ConnectableOrg, process_environment: dict[str, str]
) -> None:
    salesforce_org.connect("acme")
    salesforce_org.fail("slow", seconds=30)
    holder = processes.start(HANG_IN_SIGN_IN, process_environment, salesforce_org.url)
    deadline = time.monotonic() + 20
    while salesforce_org.token_requests == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    row = AccessToken.objects.get()
    assert row.claimed_until > timezone.now()
    # Twelve seconds need not be waited for: what counts is that the lapse is what frees the row.
    AccessToken.objects.update(claimed_until=timezone.now() + dt.timedelta(seconds=0.5))
    started = time.monotonic()
    assert get_token("acme").value
    assert 0.3 < time.monotonic() - started < 5
    assert salesforce_org.token_requests == 2


def test_a_claim_that_lapses_in_the_call_costs_a_login_but_no_wrong_record(
    salesforce_org: ConnectableOrg,
) -> None:
    salesforce_org.connect("acme")
    salesforce_org.fail("slow", seconds=1.0)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(in_thread, lambda: get_token("acme"))
        while salesforce_org.token_requests == 0:
            time.sleep(0.01)
        AccessToken.objects.update(claimed_until=timezone.now())  # it lapses
        tokens.reset()  # another process: it knows nothing of the first one's lock
        quick = get_token("acme")
        late = slow.result()
    assert salesforce_org.token_requests == 2
    stored = AccessToken.objects.get()
    assert stored.value.open().decode() == quick.value
    assert stored.claimed_until is None
    # The loser's token works too, and is served to its caller at most until the next look.
    assert salesforce_org.find_session(late.value)


def test_a_second_claimant_loses(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    rows.ensure([rows.connection_named("acme")])
    first, second = rows.find("acme", None), rows.find("acme", None)
    assert first is not None
    assert second is not None
    now = timezone.now()
    assert claims.claim(first, now)
    assert not claims.claim(second, now)
    assert claims.claim(second, now + dt.timedelta(seconds=13))


def test_who_waits_too_long_is_told_to_come_again(
    salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sf_integration.tokens import lifecycle

    salesforce_org.connect("acme")
    rows.ensure([rows.connection_named("acme")])
    row = rows.find("acme", None)
    assert row is not None
    assert claims.claim(row, timezone.now())
    monkeypatch.setattr(lifecycle, "CALLER_WAIT_SECONDS", 0.4)
    with pytest.raises(RetryableError) as caught:
        get_token("acme")
    assert caught.value.code == "sign_in_under_way"
    assert salesforce_org.token_requests == 0


def test_a_crash_in_the_sign_in_gives_the_claim_back(
    salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sf_integration.salesforce import signin

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    salesforce_org.connect("acme")
    with monkeypatch.context() as patched:
        patched.setattr(signin, "run", crash)
        with pytest.raises(KeyboardInterrupt):
            get_token("acme")
    assert AccessToken.objects.get().claimed_until is None
    assert get_token("acme").value


def test_one_waiting_connection_does_not_stop_the_others(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("slow")
    salesforce_org.connect("quick", extra_usernames=[])
    get_token("quick")
    salesforce_org.fail("slow", seconds=1.5)
    waiting = threading.Thread(target=lambda: in_thread(lambda: get_token("slow")))
    waiting.start()
    time.sleep(0.2)
    started = time.monotonic()
    for copy in tokens.current().copies.values():
        copy.next_look = 0
    get_token("quick")
    assert time.monotonic() - started < 0.5
    waiting.join()


def test_a_401_during_a_renewal_does_not_wait_for_the_claim_to_lapse(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    old = get_token("acme")
    AccessToken.objects.update(refresh_at=timezone.now())
    salesforce_org.fail("slow", seconds=1.0)
    with ThreadPoolExecutor(1) as pool:
        sweep = pool.submit(in_thread, tokens.refresh_due)
        while salesforce_org.token_requests == 1:
            time.sleep(0.01)
        started = time.monotonic()
        new = tokens.renew("acme", None, old)
        took = time.monotonic() - started
        sweep.result()
    assert new != old
    assert took < 5
    assert AccessToken.objects.get().claimed_until is None


def test_a_transaction_and_a_renewal_do_not_wait_for_each_other(salesforce_org: ConnectableOrg) -> None:
    """On SQLite the transaction holds the write lock, which the renewal needs to store its token."""
    from django.db import transaction

    from sf_integration.models import ConnectedApp

    salesforce_org.connect("acme")
    get_token("acme")
    AccessToken.objects.update(expected_expiry=timezone.now())
    tokens.reset()
    salesforce_org.fail("slow", seconds=1.0)

    def inside() -> float:
        started = time.monotonic()
        with transaction.atomic():
            ConnectedApp.objects.update(notes="x")
            get_token("acme")
        return time.monotonic() - started

    with ThreadPoolExecutor(2) as pool:
        renewal = pool.submit(in_thread, lambda: get_token("acme"))
        while salesforce_org.token_requests == 1:
            time.sleep(0.01)
        assert pool.submit(in_thread, inside).result() < 5  # type: ignore[operator]
        assert renewal.result()


def test_others_go_on_while_a_transaction_holds_a_new_token(salesforce_org: ConnectableOrg) -> None:
    from django.db import transaction

    from sf_integration.models import ConnectedApp

    first = salesforce_org.connect("acme")
    get_token("acme")
    salesforce_org.connect("two", signing_key=first.signing_key)
    signed_in, go_on = threading.Event(), threading.Event()

    def inside() -> None:
        with transaction.atomic():
            ConnectedApp.objects.update(notes="x")
            get_token("two")
            signed_in.set()
            go_on.wait(10)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(in_thread, inside)
        signed_in.wait(10)
        for copy in tokens.current().copies.values():
            copy.next_look = 0
        started = time.monotonic()
        get_token("acme")
        took = time.monotonic() - started
        go_on.set()
        waiting.result()
    assert took < 1


@pytest.mark.postgres
def test_who_shuts_a_user_out_and_a_sweep_do_not_wait_for_each_other(salesforce_org: ConnectableOrg) -> None:
    """The sweep of another host holds the row of one connection, and wants that of another of the same user."""
    key = salesforce_org.connect("one").signing_key
    for name in ("two", "three"):
        salesforce_org.connect(name, signing_key=key)
    tokens.refresh_due()
    made = {row.connection.name: row for row in AccessToken.objects.select_related("connection")}
    holds, go_on = threading.Event(), threading.Event()

    def sweep() -> None:
        with transaction.atomic():
            rows.write([(made["three"], {"failures": 1})])
            holds.set()
            go_on.wait(10)
            rows.write([(made["two"], {"failures": 1})])

    with ThreadPoolExecutor(1) as pool:
        sweeping = pool.submit(in_thread, sweep)
        holds.wait(10)
        threading.Timer(0.5, go_on.set).start()
        rows.shut_others(made["one"], {"last_error": {"kind": "rate"}, "next_try_at": timezone.now()})
        sweeping.result()
    shut = AccessToken.objects.filter(last_error__kind="rate")
    assert {row.connection_id for row in shut} == {made["two"].connection_id, made["three"].connection_id}
