"""Everything under the first encryption key: nothing lost, nothing undone, whatever others do meanwhile."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from sf_integration import crypto, get_client, get_token, tokens
from sf_integration.access import SHELL, AccessDenied
from sf_integration.fields import keyring, seal
from sf_integration.models import AccessToken, AuditEvent, ConnectedApp, SigningKey
from sf_integration.salesforce.errors import EncryptionKeyMissing
from sf_integration.sealed_columns import SealedColumn, sealed_columns, stored_key_ids
from sf_integration.services import reencrypt
from sf_integration.state import ConnectionState
from sf_integration.testing.django import ConnectableOrg
from sf_integration.tokens import claims, rows

pytestmark = pytest.mark.django_db(transaction=True)

Configure = Callable[..., None]
OLD, NEW = crypto.new_key(), crypto.new_key()
OLD_ID, NEW_ID = crypto.Keyring.from_text([OLD, NEW]).key_ids


@pytest.fixture
def encryption_keys(settings) -> Configure:
    """Call it with keys, first one first, to configure them as another host may have them."""

    def configure(*keys: str) -> None:
        settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"ENCRYPTION_KEYS": keys}

    configure(OLD)
    return configure


@pytest.fixture
def org(encryption_keys: Configure, salesforce_org: ConnectableOrg, settings) -> ConnectableOrg:
    encryption_keys(OLD)  # after the stand-in has set what it needs
    return salesforce_org


def key_row(name: str) -> SigningKey:
    row = SigningKey(name=name, fingerprint=uuid.uuid4().hex, size=2048)
    row.private_key = seal(SigningKey, "private_key", row.pk, f"secret of {name}".encode())
    row.save(force_insert=True)
    return row


def in_thread(function: Callable[[], object]) -> object:
    try:
        return function()
    finally:
        database.close()


def run(**options: object) -> reencrypt.Report:
    return reencrypt.reencrypt(actor=SHELL, **options)  # type: ignore[arg-type]


def command(*arguments: str) -> tuple[str, str, int]:
    """What it printed, what it complained of, and its exit status."""
    out, errors, status = io.StringIO(), io.StringIO(), 0
    try:
        call_command("salesforce", "reencrypt", *arguments, stdout=out, stderr=errors)
    except SystemExit as end:
        status = int(end.code or 0)
    return out.getvalue(), errors.getvalue(), status


def forget_looks() -> None:
    """As if five seconds had gone by."""
    for copy in tokens.current().copies.values():
        copy.next_look = 0


# ---- what it does ---------------------------------------------------------------------------------------------------


def test_sealed_columns_are_found_by_their_field() -> None:
    assert {str(column) for column in sealed_columns()} == {
        "sf_integration.SigningKey.private_key",
        "sf_integration.AccessToken.value",
    }


def test_all_that_is_stored_opens_without_the_old_key(
    org: ConnectableOrg, encryption_keys: Configure
) -> None:
    org.connect("acme")
    token = get_token("acme")
    keys = [key_row(f"key {number}") for number in range(7)]
    encryption_keys(NEW, OLD)
    report = run(batch=3)
    assert report.before == {OLD_ID: 9}
    assert report.after == {NEW_ID: 9}
    assert (report.resealed, report.unopened, report.left) == (9, [], 0)
    encryption_keys(NEW)
    assert AccessToken.objects.get().value.open().decode() == token.value
    for key in keys:
        assert SigningKey.objects.get(pk=key.pk).private_key.open() == f"secret of {key.name}".encode()


def test_a_second_run_finds_nothing_to_do(encryption_keys: Configure) -> None:
    row = key_row("one")
    encryption_keys(NEW, OLD)
    run()
    stored = SigningKey.objects.get(pk=row.pk).private_key.ciphertext
    report = run()
    assert (report.resealed, report.before, report.after) == (0, {NEW_ID: 1}, {NEW_ID: 1})
    assert SigningKey.objects.get(pk=row.pk).private_key.ciphertext == stored
    assert AuditEvent.objects.filter(act="re-encrypted").count() == 1


def test_a_dry_run_writes_nothing(encryption_keys: Configure) -> None:
    row = key_row("one")
    SigningKey.objects.create(name="empty", fingerprint="f", size=1)
    encryption_keys(NEW, OLD)
    report = run(dry_run=True)
    assert (report.resealed, report.after) == (1, {OLD_ID: 1})
    assert SigningKey.objects.get(pk=row.pk).private_key.key_id == OLD_ID
    assert not AuditEvent.objects.exists()


def test_whoever_calls_it_needs_the_right(encryption_keys: Configure) -> None:
    encryption_keys(NEW, OLD)
    with pytest.raises(AccessDenied):
        reencrypt.reencrypt(actor=User.objects.create_user("vera"))


def test_it_is_audited_once_with_counts_and_columns(encryption_keys: Configure) -> None:
    for name in ("one", "two"):
        key_row(name)
    encryption_keys(NEW, OLD)
    run(batch=1)
    event = AuditEvent.objects.get(act="re-encrypted")
    assert (event.actor, event.count) == ("command line", 2)
    assert event.fields == ["sf_integration.SigningKey.private_key"]


def test_a_run_that_is_broken_off_is_audited_and_the_next_one_goes_on(
    encryption_keys: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        key_row(f"key {number}")
    encryption_keys(NEW, OLD)

    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(batch=2, advance=interrupt)
    assert stored_key_ids() == {NEW_ID: 2, OLD_ID: 4}
    assert AuditEvent.objects.get(act="re-encrypted").count == 2
    assert run().resealed == 4
    assert stored_key_ids() == {NEW_ID: 6}


def test_what_does_not_open_is_named_and_left_and_the_others_go_on(
    org: ConnectableOrg, encryption_keys: Configure
) -> None:
    app = org.connect("acme")
    get_token("acme")
    good, bad = key_row("good"), key_row("bad")
    lost = crypto.new_key()
    lost_id = crypto.Keyring.from_text([lost]).key_ids[0]
    encryption_keys(lost)
    gone = key_row("gone")
    row = AccessToken(connection=app, username="ops@acme.example")
    row.value = seal(AccessToken, "value", row.pk, b"token")
    row.save()
    with database.cursor() as cursor:
        cursor.execute("UPDATE sf_integration_signingkey SET private_key = 'rubbish' WHERE name = 'bad'")
    SigningKey.objects.filter(pk=good.pk).update(private_key=SigningKey.objects.get(name="acme").private_key)
    before = {row.pk: row.private_key.ciphertext for row in SigningKey.objects.exclude(name="acme")}
    encryption_keys(NEW, OLD)

    report = run(batch=1)

    assert report.resealed == 2
    told = {(each.model, each.name, each.key_id, each.code) for each in report.unopened}
    assert told == {
        ("signing key", "bad", "", "secret_damaged"),
        ("signing key", "good", OLD_ID, "secret_damaged"),  # a copy of another row's
        ("signing key", "gone", lost_id, "encryption_key_missing"),
        ("access token", "acme, ops@acme.example", lost_id, "encryption_key_missing"),
    }
    assert report.left == 4
    assert {row.pk: row.private_key.ciphertext for row in SigningKey.objects.exclude(name="acme")} == before
    assert {bad.pk, gone.pk} < set(before)


def test_without_an_encryption_key_it_is_refused(encryption_keys: Configure) -> None:
    encryption_keys()
    with pytest.raises(EncryptionKeyMissing):
        run()
    with pytest.raises(CommandError, match="SF_ENCRYPTION_KEYS"):
        command()


# ---- what others do meanwhile ---------------------------------------------------------------------------------------


def test_a_renewal_in_between_is_not_undone(
    org: ConnectableOrg, encryption_keys: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row was read, then somebody else stored a new token: it stays."""
    org.connect("acme")
    get_token("acme")
    encryption_keys(NEW, OLD)
    reseal, renewed = tokens.reseal, []

    def after_a_renewal(opened) -> int:
        opened = list(opened)
        if opened and not renewed:
            encryption_keys(OLD, NEW)  # by a host that seals with the old key yet
            renewed.append(tokens.refresh("acme"))
            encryption_keys(NEW, OLD)
        return reseal(opened)

    monkeypatch.setattr(tokens, "reseal", after_a_renewal)
    report = run()
    row = AccessToken.objects.get()
    assert row.value.open().decode() == renewed[0].value
    assert (row.value.key_id, report.left) == (NEW_ID, 0)


def test_a_renewal_under_way_stores_its_token(org: ConnectableOrg, encryption_keys: Configure) -> None:
    org.connect("acme")
    old = get_token("acme")
    encryption_keys(NEW, OLD)
    org.fail("slow", seconds=1.0)
    with ThreadPoolExecutor(1) as pool:
        renewal = pool.submit(in_thread, lambda: tokens.refresh("acme"))
        while org.token_requests == 1:
            time.sleep(0.01)
        assert run().resealed == 2
        assert AccessToken.objects.get().value.open().decode() == old.value
        new = renewal.result()
    assert AccessToken.objects.get().value.open().decode() == new.value != old.value  # type: ignore[attr-defined]


def test_who_waits_for_a_new_token_is_not_given_the_old_one_sealed_anew(
    org: ConnectableOrg, encryption_keys: Configure
) -> None:
    org.connect("acme")
    old = get_token("acme")
    encryption_keys(NEW, OLD)
    row = rows.find("acme", None)
    assert row is not None
    assert claims.claim(row, timezone.now())  # somebody else signs in
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(in_thread, lambda: tokens.refresh("acme"))
        time.sleep(0.3)
        run()
        time.sleep(0.5)
        assert not waiting.done()
        claims.release([row], called=False)
        new = waiting.result()
    assert new.value != old.value  # type: ignore[attr-defined]
    assert org.token_requests == 2


def test_processes_go_on_with_what_they_hold_in_memory(
    org: ConnectableOrg, encryption_keys: Configure
) -> None:
    org.connect("acme")
    token = get_token("acme")
    encryption_keys(NEW, OLD)
    run()
    assert get_token("acme") == token  # from memory
    forget_looks()
    assert get_token("acme") == token  # from the row
    encryption_keys(NEW)
    forget_looks()
    assert get_token("acme") == token
    assert tokens.refresh("acme") != token  # with the signing key that was loaded before
    assert org.token_requests == 2


def test_the_loaded_signing_key_is_opened_anew_and_is_the_same(
    org: ConnectableOrg, encryption_keys: Configure
) -> None:
    app = org.connect("acme")
    before = tokens.current().private_key(app.signing_key)
    encryption_keys(NEW, OLD)
    run()
    encryption_keys(NEW)
    stored = SigningKey.objects.get(pk=app.signing_key_id)
    assert tokens.current().private_key(stored).private_numbers() == before.private_numbers()


@pytest.mark.parametrize("between", [(), (NEW, OLD), (OLD, NEW)], ids=["dropped", "new first", "old first"])
def test_a_refused_token_is_renewed_once_also_when_its_key_was_changed(
    org: ConnectableOrg, encryption_keys: Configure, between: tuple[str, ...]
) -> None:
    """The refused token's row is found by a hash that an encryption key goes into."""
    org.connect("acme")
    get_token("acme")
    encryption_keys(NEW, OLD)
    run()
    encryption_keys(*(between or (NEW,)))
    forget_looks()
    with get_client("acme") as sf:
        sf.query("SELECT Id FROM Account LIMIT 1")
        org.end_sessions()
        assert sf.query("SELECT Id FROM Account LIMIT 1").total_size
    assert org.token_requests == 2


@pytest.mark.postgres
def test_a_row_that_somebody_holds_is_waited_for_by_nobody(encryption_keys: Configure) -> None:
    """Who updates many rows in one transaction and we, who do the same, must not wait for each other."""
    names = [key_row(f"key {number}").name for number in range(6)]
    encryption_keys(NEW, OLD)
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            SigningKey.objects.filter(name=names[3]).update(certificate="held")
            held.set()
            go_on.wait(10)

    column = SealedColumn(SigningKey, "private_key")
    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(in_thread, hold)
        held.wait(10)
        swaps = [
            (row.pk, row.private_key, {"private_key": seal(SigningKey, "private_key", row.pk, b"x")})
            for row in SigningKey.objects.all()
        ]
        started = time.monotonic()
        assert column.swap(swaps) == 5
        assert time.monotonic() - started < 1
        threading.Timer(0.3, go_on.set).start()
        assert run().left == 0  # comes back to it
        holding.result()


# ---- changing the encryption key without a pause --------------------------------------------------------------------


def test_roll_out_without_a_gap(org: ConnectableOrg, encryption_keys: Configure) -> None:
    """Two hosts in turn, as docs/encryption-keys.md has it: at every step both serve, and nobody signs in for it."""
    app = org.connect("acme")
    token = get_token("acme")

    def serves(*keys: str) -> None:
        encryption_keys(*keys)
        tokens.reset()  # the host was restarted
        assert get_token("acme") == token
        assert ConnectedApp.objects.get().connection_state() is not ConnectionState.ENCRYPTION_KEY_MISSING

    for one, other in (
        ((OLD, NEW), (OLD,)),  # add it last, host by host
        ((OLD, NEW), (OLD, NEW)),
        ((NEW, OLD), (OLD, NEW)),  # move it first, host by host
        ((NEW, OLD), (NEW, OLD)),
    ):
        serves(*one)
        serves(*other)
    encryption_keys(NEW, OLD)
    assert run().left == 0
    serves(NEW, OLD)
    serves(OLD, NEW)  # forgotten at the second step
    serves(NEW)  # drop the old one
    assert org.token_requests == 1

    # A host that has not got the new key says which one it lacks, and harms nobody.
    encryption_keys(OLD)
    tokens.reset()
    with pytest.raises(EncryptionKeyMissing, match=NEW_ID):
        get_token("acme")
    app = ConnectedApp.objects.get()
    assert app.connection_state() is ConnectionState.ENCRYPTION_KEY_MISSING
    assert f"(id {NEW_ID})" in app.state_sentence()
    assert tokens.refresh_due() == tokens.Tally()
    serves(NEW)
    assert org.token_requests == 1


def test_a_host_without_the_new_key_signs_in_anew_for_a_token_sealed_with_it(
    org: ConnectableOrg, encryption_keys: Configure
) -> None:
    """The second step was taken before the first had reached all hosts: one more sign-in per renewal, nothing worse."""
    org.connect("acme")
    get_token("acme")
    encryption_keys(NEW, OLD)
    tokens.refresh("acme")  # by a host that is ahead
    encryption_keys(OLD)
    tokens.reset()
    late = get_token("acme")
    assert org.token_requests == 3
    encryption_keys(NEW, OLD)
    tokens.reset()
    assert get_token("acme") == late
    assert org.token_requests == 3


# ---- the command ----------------------------------------------------------------------------------------------------


def test_the_command_tells_counts_and_what_may_be_dropped(encryption_keys: Configure) -> None:
    key_row("one")
    encryption_keys(NEW, OLD)
    out, errors, status = command("--dry-run")
    assert (errors, status) == ("", 0)
    assert "1 would be sealed anew" in out
    assert "take it out" not in out
    out, errors, status = command()
    assert (errors, status) == ("", 0)
    assert f"Nothing needs {OLD_ID} any more" in out
    assert stored_key_ids() == {NEW_ID: 1}


def test_the_new_key_is_not_taken_for_an_old_one_before_it_is_first(encryption_keys: Configure) -> None:
    key_row("one")
    encryption_keys(OLD, NEW)
    output, _, status = command()
    assert status == 0
    assert "any more" not in output
    assert f"Nothing is sealed with {NEW_ID}: " in output
    assert "move it first on all hosts if it is the new one" in output


def test_the_command_names_what_does_not_open_and_exits_1(encryption_keys: Configure) -> None:
    key_row("lost")
    encryption_keys(NEW)
    key_row("good")
    for arguments in (["--dry-run"], []):
        out, errors, status = command(*arguments)
        assert status == 1
        assert "signing key lost" in errors
        assert OLD_ID in errors
        assert "not configured here" in out
    out, _, status = command("--json")
    assert status == 1
    assert json.loads(out) == {
        "dry_run": False,
        "encryption_key": NEW_ID,
        "resealed": 0,
        "unopened": [
            {"model": "signing key", "name": "lost", "key_id": OLD_ID, "code": "encryption_key_missing"}
        ],
        "before": {OLD_ID: 1, NEW_ID: 1},
        "after": {OLD_ID: 1, NEW_ID: 1},
    }


def test_the_command_shows_its_progress_on_a_terminal(encryption_keys: Configure) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    key_row("one")
    encryption_keys(NEW, OLD)
    errors = Terminal()
    call_command("salesforce", "reencrypt", stdout=io.StringIO(), stderr=errors)
    assert "Re-encrypting" in errors.getvalue()


@pytest.mark.parametrize("batch", ["0", "-1", "10001"])
def test_a_batch_has_sensible_bounds(encryption_keys: Configure, batch: str) -> None:
    with pytest.raises(CommandError, match="10,000 rows"):
        command("--batch", batch)


# ---- ten thousand rows, a kill and renewals -------------------------------------------------------------------------

TOKENS, KEYS, LIVE = 8_000, 2_000, 12


def fill(org: ConnectableOrg) -> dict[uuid.UUID, str]:
    """Rows at rest, each with a secret of its own; gives primary keys and secrets."""
    app = org.connect("at-rest", enabled=False)
    keys = [SigningKey(name=f"key {number}", fingerprint=str(number), size=2048) for number in range(KEYS)]
    for key in keys:
        key.private_key = seal(SigningKey, "private_key", key.pk, f"{key.pk}".encode() * 30)
    SigningKey.objects.bulk_create(keys, batch_size=500)
    found = [AccessToken(connection=app, username=f"u{number}@acme.example") for number in range(TOKENS)]
    for row in found:
        row.value = seal(AccessToken, "value", row.pk, f"{row.pk}".encode())
        row.fingerprint = keyring().fingerprints(str(row.pk))[0]
    AccessToken.objects.bulk_create(found, batch_size=500)
    return {row.pk: str(row.pk) for row in found}


def start_command(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "salesforce", "reencrypt", *arguments],
        env=environment | {"SF_ENCRYPTION_KEYS": f"{NEW},{OLD}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.long
def test_ten_thousand_rows_with_a_kill_and_renewals_in_between(
    org: ConnectableOrg, encryption_keys: Configure, process_environment: dict[str, str]
) -> None:
    encryption_keys(OLD, NEW)  # these renewals are by hosts that seal with the old key yet
    at_rest = fill(org)
    names = [f"live-{number}" for number in range(LIVE)]
    key = SigningKey.objects.get(name="at-rest")
    last: dict[str, str] = {}
    for name in names:
        # A user of its own for each: we stop at 600 sign-ins an hour of the same one.
        user = org.add_user(f"{name}@acme.example")
        org.connect(name, signing_key=key, username=user.username)
        last[name] = get_token(name).value
    over, renewed = threading.Event(), 0

    def renew() -> int:
        count = 0
        while not over.is_set():
            name = names[count % LIVE]
            last[name] = tokens.refresh(name).value
            count += 1
        return count

    with ThreadPoolExecutor(1) as pool:
        renewals = pool.submit(in_thread, renew)
        try:
            killed = start_command(process_environment, "--batch", "50")
            while (done := stored_key_ids()[NEW_ID]) < 500 and killed.poll() is None:
                time.sleep(0.02)
            killed.kill()
            killed.communicate()
            assert 500 <= done < TOKENS + KEYS, "it was to be killed in the middle"
            assert stored_key_ids()[OLD_ID] > 500
            started = time.monotonic()
            second = start_command(process_environment)
            output, errors = second.communicate(timeout=60)
            took = time.monotonic() - started
        finally:
            over.set()
        renewed = int(renewals.result())  # type: ignore[call-overload]
    assert renewed > LIVE
    if second.returncode:
        # Renewals may have stored tokens under the old key to the very end: then it says so and asks for another run.
        assert "Run it again" in errors, errors
    assert took < 30
    third = start_command(process_environment, "--json")
    output, errors = third.communicate(timeout=60)
    assert third.returncode == 0, errors
    assert json.loads(output)["after"] == {NEW_ID: TOKENS + KEYS + LIVE + 1}

    encryption_keys(NEW)
    tokens.reset()
    for row in AccessToken.objects.select_related("connection"):
        secret = at_rest.get(row.pk) or last[row.connection.name]
        assert row.value.open().decode() == secret
        assert row.fingerprint == keyring().fingerprints(secret)[0]
    for signing_key in SigningKey.objects.exclude(name="at-rest"):
        assert signing_key.private_key.open() == f"{signing_key.pk}".encode() * 30
    before = org.token_requests
    assert {name: get_token(name).value for name in names} == last
    assert org.token_requests == before
