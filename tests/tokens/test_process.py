"""What a process remembers, and that a fork of it remembers nothing: no answer crosses over, nothing hangs."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from sf_integration import get_token, keystore, tokens
from sf_integration.models import ConnectedApp, SigningKey
from sf_integration.salesforce.errors import EncryptionKeyMissing, InvalidPrivateKey
from sf_integration.salesforce.oauth import Token
from sf_integration.testing.django import ConnectableOrg, stand_in
from sf_integration.tokens import process
from sf_integration.tokens.process import Copy, Process, Uses
from tests import processes

pytestmark = pytest.mark.django_db(transaction=True)

NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
TOKEN = Token(
    value="token",
    instance_url="https://a.my.salesforce.com",
    issued_at=NOW,
    expected_expiry=NOW + dt.timedelta(hours=2),
)
LOGIN = "https://acme.my.salesforce.com"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The monotonic clock of the module."""
    made = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(process, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def test_uses_are_told_once_a_minute(clock: SimpleNamespace) -> None:
    uses = Uses()
    told = []
    for clock.now in (1000.0, 1059.9, 1060.0, 1119.9, 1120.0):
        uses.count += 2
        told.append(uses.take())
    assert told == [2, 0, 4, 0, 4]
    assert (uses.count, uses.take()) == (0, 0)


def test_uses_that_could_not_be_told_are_told_at_the_next_look(clock: SimpleNamespace) -> None:
    uses = Uses(count=3)
    taken = uses.take()
    uses.count += 1
    uses.give_back(taken)
    assert (uses.count, uses.take()) == (4, 4)


def test_one_asker_in_five_seconds_looks_at_the_row() -> None:
    copy = Copy(TOKEN, uuid4(), "67.0", Uses(), expires=2000.0, next_look=1000.0)
    looks = [copy.move_mark(now) for now in (999.9, 1000.0, 1000.0, 1004.9, 1005.0, 1005.1)]
    assert looks == [False, True, False, False, True, False]
    assert Copy(TOKEN, uuid4(), "67.0", Uses(), expires=2000.0).move_mark(0.5)


def test_a_token_is_remembered_until_it_is_forgotten_and_its_uses_stay() -> None:
    remembering, handle = Process(), ("acme", None)
    app = ConnectedApp(name="acme", api_version="67.0")
    remembering.remember(handle, TOKEN, app, expires=1090, looked_at=990)
    copy = remembering.copies[handle]
    assert (copy.token, copy.connection_id, copy.api_version) == (TOKEN, app.pk, "67.0")
    assert (copy.expires, copy.next_look) == (1090, 995)
    copy.uses.count = 7
    remembering.forget(handle)
    remembering.forget(handle)
    assert not remembering.copies
    remembering.remember(handle, TOKEN, app, expires=1090, looked_at=990)
    remembering.remember(("acme", "other"), TOKEN, app, expires=1090, looked_at=990)
    assert [each.uses.count for each in remembering.copies.values()] == [7, 0]


def test_who_waits_for_the_same_sign_in_waits_at_the_same_lock() -> None:
    waiting, row = Process(), uuid4()
    assert waiting.lock(row) is waiting.lock(row)
    assert waiting.lock(row) is not waiting.lock(uuid4())
    assert waiting.lock(("acme", None)) is not waiting.lock(("acme", "other"))


@pytest.mark.parametrize(
    ("skews", "warnings"),
    [
        ([29.9, -29.9, None], 0),
        ([30.0, 3600.0, None, -45.0], 1),
        ([-30.0, -31.0], 1),
        ([45.0, 30.0], 1),
        ([45.0, 2.0, 45.0], 2),
        ([1.0, 30.0], 1),
        ([0.0, 30.0, 29.0, 30.0], 2),
        ([30.0, 30.0], 1),
    ],
)
def test_a_clock_that_goes_wrong_is_warned_of_once(
    skews: list[float | None], warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    noting = Process()
    assert noting.clock_skew_seconds(LOGIN) == 0.0
    for skew in skews:
        noting.note_clock(LOGIN, skew)
    assert noting.clock_skew_seconds(LOGIN) == [skew for skew in skews if skew is not None][-1]
    assert noting.clock_skew_seconds("https://other.my.salesforce.com") == 0.0
    assert len(caplog.records) == warnings
    if warnings:
        first = next(skew for skew in skews if skew is not None and abs(skew) >= 30)
        told = f"our clock is {first:.0f} s ahead of that of acme.my.salesforce.com: set it by NTP"
        assert caplog.messages[0] == told


def test_each_sign_in_notes_the_clock_of_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the assertion that was made beforehand, and the warm connections of this process."""
    given: list[Any] = []

    def run(*arguments: Any) -> Any:
        given.append(arguments)
        return SimpleNamespace(clock_skew_seconds=12.5)

    monkeypatch.setattr(process.signin, "run", run)
    signing, request = Process(), SimpleNamespace(login_url=LOGIN)
    outcomes = [signing.sign_in(request, "signed"), signing.sign_in(request)]  # type: ignore[arg-type]
    assert given == [(request, signing.http, "signed"), (request, signing.http, None)]
    assert [outcome.clock_skew_seconds for outcome in outcomes] == [12.5, 12.5]
    assert signing.clock_skew_seconds(LOGIN) == 12.5


def test_a_key_is_opened_once_until_another_one_is_stored(
    salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, opening = salesforce_org.connect("acme").signing_key, Process()
    key = opening.private_key(stored)
    again = SigningKey.objects.get()
    assert opening.private_key(again) is key
    other = keystore.make(name="other")
    assert opening.private_key(other) is not key
    stored.private_key = other.private_key
    with pytest.raises(EncryptionKeyMissing) as damaged:  # it was sealed for another row, so it was looked at
        opening.private_key(stored)
    assert damaged.value.code == "secret_damaged"
    assert opening.private_key(again) is key
    stored.private_key = None
    with pytest.raises(InvalidPrivateKey, match=f"The signing key “{stored.name}” holds no private key"):
        opening.private_key(stored)
    held = SigningKey(name="held", signer="safe", signer_reference="key/1")
    with monkeypatch.context() as patch:
        patch.setattr(process.signers, "held_key", lambda *asked: asked)
        assert opening.private_key(held) == ("safe", "key/1")
    with pytest.raises(EncryptionKeyMissing, match="held outside by “safe”"):
        opening.private_key(held)


def test_begun_anew_nothing_is_remembered(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    get_token("acme")
    before = tokens.current()
    assert before.copies
    assert tokens.reset() is tokens.current() is not before
    after = tokens.current()
    empty = [after.copies, after.uses, after.held, after.newest_versions, after.uncounted_logins]
    assert empty == [{}] * 5
    assert len(after.executors) == 0
    assert after.only_connection == (0.0, "")
    assert after.http is not before.http


TWO_FORKS = """
import json, traceback
names = sys.argv[1:]
early = {name: get_client(name) for name in names}  # made before the fork, as a module-level client is
def ask(name):
    client = early[name]
    return [client.identity().organization_id, client.query("SELECT Id FROM Organization").records[0]["Id"]]
expected = {name: ask(name) for name in names}  # everything is warm now
# A thread that holds a lock at the moment of the fork does not exist in the child.
lock = tokens.current().lock(AccessToken.objects.get(connection__name=names[0]).pk)
lock.acquire()
django.db.connections.close_all()
children = []
for number in (0, 1):
    child = os.fork()
    if child == 0:
        wrong = 0
        try:
            for turn in range(200):
                name = names[(turn + number) % 2]
                wrong += ask(name) != expected[name]
        except BaseException:
            traceback.print_exc()
            os._exit(99)
        os._exit(min(wrong, 98))
    children.append(child)
lock.release()
mine = sum(ask(names[turn % 2]) != expected[names[turn % 2]] for turn in range(200))
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
print(json.dumps([mine, *codes]))
"""


def test_two_forks_of_a_warm_process_mix_up_nothing(
    salesforce_org: ConnectableOrg, process_environment: dict[str, str]
) -> None:
    with stand_in() as other:
        salesforce_org.connect("one")
        other.connect("two")
        process = processes.start(
            TWO_FORKS,
            process_environment,
            f"x://{salesforce_org.url.split('://')[1]},{other.url.split('://')[1]}",
            "one",
            "two",
        )
        assert processes.finish(process, 120).strip() == "[0, 0, 0]"
        assert salesforce_org.token_requests == other.token_requests == 1
