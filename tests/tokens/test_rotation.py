"""Signing keys changed without a gap: the org takes the new certificate at a moment that nobody tells us."""

from __future__ import annotations

import datetime as dt
import itertools
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import pytest
from django.db import connection as database
from django.db import transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sf_integration import access, get_client, get_token, health, keystore, tokens
from sf_integration.models import (
    UNDO_FOR,
    AccessToken,
    AuditEvent,
    ConnectedApp,
    SigningKey,
    settings_fingerprint,
)
from sf_integration.salesforce.errors import AuthenticationError, WrongOrg
from sf_integration.services import rotation
from sf_integration.signals import signing_key_promoted
from sf_integration.testing import Request
from sf_integration.testing.django import ConnectableOrg
from sf_integration.tokens import process
from tests import processes

from .test_concurrency import in_thread
from .test_sweep import connect_many

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def next_key() -> SigningKey:
    return keystore.make(name="next")


def stage(key: SigningKey, name: str = "acme") -> None:
    ConnectedApp.objects.filter(name=name).update(staged_signing_key=key, staged_at=timezone.now())


def upload(org: ConnectableOrg, key: SigningKey) -> None:
    """What the org's admin does."""
    org.app.replace_certificate(key.certificate)


def expire() -> None:
    AccessToken.objects.update(expected_expiry=timezone.now(), refresh_at=timezone.now())
    tokens.reset()


def make_due() -> None:
    AccessToken.objects.update(refresh_at=timezone.now() - dt.timedelta(minutes=1))


def connection(name: str = "acme") -> ConnectedApp:
    return ConnectedApp.objects.select_related("signing_key", "previous_signing_key").get(name=name)


def refused_sign_ins(org: ConnectableOrg) -> int:
    return sum(asked.status != 200 for asked in token_requests(org))


# ---- the org takes the new certificate ------------------------------------------------------------------------------


def test_caller_gets_its_token_and_the_connection_the_staged_key(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    old = salesforce_org.connect("acme").signing_key
    get_token("acme")
    stage(next_key)
    upload(salesforce_org, next_key)
    expire()
    token = get_token("acme")
    assert salesforce_org.find_session(token.value)
    now = connection()
    assert (now.signing_key, now.staged_signing_key_id, now.previous_signing_key) == (next_key, None, old)
    assert now.failing_since is None
    assert refused_sign_ins(salesforce_org) == 1
    tokens.reset()
    assert get_token("acme") == token
    expire()
    get_token("acme")
    assert refused_sign_ins(salesforce_org) == 1


def test_sweep_promotes(salesforce_org: ConnectableOrg, next_key: SigningKey) -> None:
    salesforce_org.connect("acme")
    get_token("acme")
    stage(next_key)
    upload(salesforce_org, next_key)
    make_due()
    assert tokens.refresh_due() == tokens.Tally(renewed=1)
    assert connection().signing_key == next_key
    make_due()
    assert tokens.refresh_due() == tokens.Tally(renewed=1)
    assert refused_sign_ins(salesforce_org) == 1


def test_check_by_hand_promotes_and_is_stored(salesforce_org: ConnectableOrg, next_key: SigningKey) -> None:
    health.check_connection(salesforce_org.connect("acme"), asked_by="alice")
    stage(next_key)
    upload(salesforce_org, next_key)
    before = connection().last_checked_at
    ran = health.check_connection(connection(), asked_by="alice")
    assert ran.healthy
    now = connection()
    assert now.signing_key == next_key
    assert now.last_checked_at > before
    assert now.checked_fingerprint == settings_fingerprint(now, now.username)


def test_memory_copies_and_tokens_of_other_users_go_on(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    extra = salesforce_org.add_user("ops@nordhafen.example").username
    salesforce_org.connect("acme", extra_usernames=[extra])
    others = get_token("acme", username=extra)
    get_token("acme")
    stage(next_key)
    upload(salesforce_org, next_key)
    AccessToken.objects.exclude(username=extra).update(expected_expiry=timezone.now())
    in_memory = tokens.current()
    tokens.reset()
    get_token("acme")
    before = salesforce_org.token_requests
    assert get_token("acme", username=extra) == others
    for copy in in_memory.copies.values():
        copy.next_look = 0
    process._current = in_memory
    assert get_token("acme", username=extra) == others
    assert salesforce_org.token_requests == before


def test_extra_user_promotes_too(salesforce_org: ConnectableOrg, next_key: SigningKey) -> None:
    extra = salesforce_org.add_user("ops@nordhafen.example").username
    salesforce_org.connect("acme", extra_usernames=[extra])
    own = get_token("acme")
    stage(next_key)
    upload(salesforce_org, next_key)
    get_token("acme", username=extra)
    assert connection().signing_key == next_key
    tokens.reset()
    assert get_token("acme") == own


def test_connection_that_fails_already_gets_over_it_once_a_key_is_staged(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    salesforce_org.connect("acme")
    upload(salesforce_org, next_key)
    for _ in range(3):
        AccessToken.objects.update(next_try_at=timezone.now())
        with pytest.raises(AuthenticationError):
            get_token("acme")
    with pytest.raises(AuthenticationError):
        get_token("acme")
    assert connection().failing_since
    rotation.start([connection()], actor=access.SHELL, new_key=next_key)
    get_token("acme")
    assert connection().signing_key == next_key
    assert connection().failing_since is None


def test_servers_that_still_go_by_the_old_certificate_are_signed_in_to(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    old = salesforce_org.connect("acme").signing_key
    stage(next_key)
    upload(salesforce_org, next_key)
    get_token("acme")
    upload(salesforce_org, old)  # as another server of the org has it for up to ten minutes
    expire()
    get_token("acme")
    assert connection().signing_key == next_key
    assert connection().failing_since is None
    ConnectedApp.objects.update(promoted_at=timezone.now() - UNDO_FOR)
    expire()
    with pytest.raises(AuthenticationError):
        get_token("acme")


# ---- many at once ---------------------------------------------------------------------------------------------------

RACER = """
print("ready", flush=True)
sys.stdin.readline()
print(get_token("acme", username=sys.argv[1] or None).value != "")
"""


def test_of_processes_that_race_one_promotes(
    salesforce_org: ConnectableOrg, next_key: SigningKey, process_environment: dict[str, str]
) -> None:
    users = [salesforce_org.add_user(f"ops{number}@nordhafen.example").username for number in range(3)]
    salesforce_org.connect("acme", extra_usernames=users)
    stage(next_key)
    upload(salesforce_org, next_key)
    salesforce_org.fail("slow", seconds=0.3, times=8)
    racers = [processes.start(RACER, process_environment, salesforce_org.url, user) for user in ["", *users]]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    assert [processes.finish(racer).split() for racer in racers] == [["True"]] * 4
    assert AuditEvent.objects.filter(act="promoted signing key").count() == 1
    before = salesforce_org.token_requests
    for user in (None, *users):
        get_token("acme", username=user)
    assert salesforce_org.token_requests == before  # what each of them got is everybody's


def test_promotion_is_audited_and_signalled_once(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    told = []

    def listen(sender: object, **facts: object) -> None:
        told.append((facts["connection"].name, facts["previous"].name, facts["signing_key"].name))  # type: ignore[attr-defined]

    salesforce_org.connect("acme")
    stage(next_key)
    upload(salesforce_org, next_key)
    signing_key_promoted.connect(listen)
    try:
        get_token("acme")
        expire()
        get_token("acme")
    finally:
        signing_key_promoted.disconnect(listen)
    assert told == [("acme", "acme", "next")]
    event = AuditEvent.objects.get(act="promoted signing key")
    assert (event.actor, event.subject) == ("sign-in", "acme")


# ---- inside a caller's transaction ----------------------------------------------------------------------------------


def test_promotion_waits_for_the_end_of_a_transaction_that_rolls_back(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    salesforce_org.connect("acme")
    stage(next_key)
    upload(salesforce_org, next_key)
    with transaction.atomic():
        inside = get_token("acme")
        assert get_token("acme") == inside
        assert connection().signing_key != next_key
        transaction.set_rollback(True)
    for copy in tokens.current().copies.values():
        copy.next_look = 0
    assert get_token("acme") == inside
    assert connection().signing_key == next_key
    assert salesforce_org.token_requests == 2


def test_promotion_comes_with_the_commit(salesforce_org: ConnectableOrg, next_key: SigningKey) -> None:
    salesforce_org.connect("acme")
    stage(next_key)
    upload(salesforce_org, next_key)
    with transaction.atomic():
        inside = get_token("acme")
    assert connection().signing_key == next_key
    tokens.reset()
    assert get_token("acme") == inside


# ---- what must not happen -------------------------------------------------------------------------------------------


def test_staged_key_costs_no_request_while_the_present_one_is_taken(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    salesforce_org.connect("acme")
    stage(next_key)
    get_token("acme")
    for _ in range(3):
        make_due()
        tokens.refresh_due()
    assert salesforce_org.token_requests == salesforce_org.logins == 4
    assert connection().staged_trial is None


@pytest.mark.parametrize("spoil", ["other encryption key", "damaged", "erased"])
def test_staged_key_that_does_not_open_spoils_nothing(
    salesforce_org: ConnectableOrg, next_key: SigningKey, spoil: str
) -> None:
    salesforce_org.connect("acme")
    stage(next_key)
    with database.cursor() as cursor:
        stored = {
            "other encryption key": str(next_key.private_key.ciphertext).replace(
                next_key.private_key.key_id, "00000000"
            ),
            "damaged": "v1.nonsense",
            "erased": None,
        }[spoil]
        cursor.execute("UPDATE sf_integration_signingkey SET private_key = %s WHERE name = 'next'", [stored])
    get_token("acme")
    make_due()
    assert tokens.refresh_due() == tokens.Tally(renewed=1)
    upload(salesforce_org, next_key)
    expire()
    with pytest.raises(AuthenticationError):
        get_token("acme")
    assert connection().signing_key.name == "acme"


def test_other_refusals_are_told_as_they_are(salesforce_org: ConnectableOrg, next_key: SigningKey) -> None:
    salesforce_org.connect("acme")
    stage(next_key)
    salesforce_org.user.approved = False
    with pytest.raises(AuthenticationError) as refused:
        get_token("acme")
    assert refused.value.error != "invalid_grant" or "assertion" not in refused.value.description
    assert salesforce_org.token_requests == 1
    upload(salesforce_org, next_key)
    AccessToken.objects.update(next_try_at=timezone.now())
    with pytest.raises(AuthenticationError) as refused:
        get_token("acme")  # the new certificate is known: what stands in the way now is the user
    assert "assertion" not in refused.value.description
    assert connection().signing_key.name == "acme"


def test_token_of_another_org_promotes_nothing(salesforce_org: ConnectableOrg, next_key: SigningKey) -> None:
    salesforce_org.connect("acme", expected_org_id="00D000000000062EAA")
    stage(next_key)
    upload(salesforce_org, next_key)
    with pytest.raises(WrongOrg):
        get_token("acme")
    assert connection().signing_key.name == "acme"


def test_staging_costs_a_sweep_no_query(salesforce_org: ConnectableOrg, next_key: SigningKey) -> None:
    counted = []
    connect_many(salesforce_org, 5)
    tokens.refresh_due()
    for staged in (None, next_key):
        ConnectedApp.objects.update(staged_signing_key=staged)
        make_due()
        with CaptureQueriesContext(database) as captured:
            assert tokens.refresh_due().renewed == 5
        counted.append(len(captured))
    assert counted[0] == counted[1]


# ---- the setting off ------------------------------------------------------------------------------------------------


def test_with_the_setting_off_calls_go_on_and_a_person_promotes(
    salesforce_org: ConnectableOrg, next_key: SigningKey, settings: Any
) -> None:
    settings.SF_INTEGRATION = {**settings.SF_INTEGRATION, "PROMOTE_STAGED_KEYS": False}
    salesforce_org.connect("acme")
    stage(next_key)
    upload(salesforce_org, next_key)
    token = get_token("acme")
    tokens.reset()
    assert get_token("acme") == token
    now = connection()
    assert (now.signing_key.name, now.failing_since) == ("acme", None)
    assert rotation.stand(now).stage is rotation.Stage.ACCEPTED
    assert not rotation.cancel(now, actor=access.SHELL).done
    assert rotation.promote(now, actor=access.SHELL).done
    assert connection().signing_key == next_key
    tokens.reset()
    assert get_token("acme") == token
    assert AuditEvent.objects.get(act="promoted signing key").actor == "command line"


# ---- the old way back -----------------------------------------------------------------------------------------------


def test_undo_is_right_whichever_certificate_the_org_has(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    old = salesforce_org.connect("acme").signing_key
    stage(next_key)
    upload(salesforce_org, next_key)
    token = get_token("acme")
    assert rotation.undo(connection(), actor=access.SHELL).done
    now = connection()
    assert (now.signing_key, now.staged_signing_key, now.previous_signing_key) == (old, next_key, None)
    assert rotation.stand(now).stage is rotation.Stage.UNDONE
    tokens.reset()
    assert get_token("acme") == token
    expire()
    get_token("acme")  # the org still has the new one
    assert connection().signing_key == next_key
    upload(salesforce_org, old)
    assert rotation.undo(connection(), actor=access.SHELL).done
    expire()
    get_token("acme")
    assert connection().signing_key == old


def test_undo_lapses_after_seven_days(salesforce_org: ConnectableOrg, next_key: SigningKey) -> None:
    salesforce_org.connect("acme")
    stage(next_key)
    upload(salesforce_org, next_key)
    get_token("acme")
    ConnectedApp.objects.update(promoted_at=timezone.now() - UNDO_FOR)
    assert not rotation.undo(connection(), actor=access.SHELL).done
    assert connection().signing_key == next_key


def test_cancel_while_a_promotion_is_under_way(salesforce_org: ConnectableOrg, next_key: SigningKey) -> None:
    """Cancelled between the answer and its storing: the token is served, the present key stays."""
    salesforce_org.connect("acme")
    stage(next_key)
    upload(salesforce_org, next_key)
    seen = connection()
    salesforce_org.fail("slow", seconds=1.0, times=2)
    with ThreadPoolExecutor(1) as pool:
        caller = pool.submit(in_thread, lambda: get_token("acme"))
        time.sleep(0.5)
        assert rotation.cancel(seen, actor=access.SHELL).done
        token = caller.result()
    assert salesforce_org.find_session(token.value)
    now = connection()
    assert (now.signing_key.name, now.staged_signing_key_id) == ("acme", None)
    tokens.reset()
    assert get_token("acme") == token


def test_cancel_after_the_promotion_does_nothing(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    salesforce_org.connect("acme")
    stage(next_key)
    seen = connection()
    upload(salesforce_org, next_key)
    get_token("acme")
    outcome = rotation.cancel(seen, actor=access.SHELL)
    assert not outcome.done
    assert "meanwhile" in outcome.sentence
    assert connection().signing_key == next_key


# ---- forty at once --------------------------------------------------------------------------------------------------

FORTY = 40
PHASE_SECONDS = 9.0
CALLERS = 4


class Load:
    """Callers that query without a pause, and a beat that sweeps without one, until told to stop."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.calls: Counter[str] = Counter()
        self.failed: list[BaseException] = []
        self._stop = threading.Event()
        self._threads = [
            *(threading.Thread(target=in_thread, args=(self._call,)) for _ in range(CALLERS)),
            threading.Thread(target=in_thread, args=(self._beat,)),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        while not self._stop.is_set():
            name = random.choice(self.names)
            try:
                with get_client(name) as sf:
                    assert sf.query("SELECT Id FROM Account LIMIT 1").records
                self.calls[name] += 1
            except BaseException as exc:  # noqa: BLE001
                self.failed.append(exc)

    def _beat(self) -> None:
        while not self._stop.is_set():
            try:
                tokens.refresh_due()
            except BaseException as exc:  # noqa: BLE001
                self.failed.append(exc)
            self._stop.wait(0.2)


def forty_orgs(first: ConnectableOrg) -> dict[str, ConnectableOrg]:
    """Each with its own app that knows the one shared key, and tokens that live two seconds."""
    shared = first.connect("org-00").signing_key
    orgs = {"org-00": first}
    for number in range(1, FORTY):
        org = first.add_org(username=f"integration@org{number:02}.example")
        org.app.replace_certificate(shared.certificate)
        orgs[f"org-{number:02}"] = org
        ConnectedApp.objects.create(
            name=f"org-{number:02}",
            login_url=org.url,
            consumer_key=org.app.consumer_key,
            username=org.user.username,
            signing_key=shared,
        )
    for org in orgs.values():
        org.token_format, org.session_seconds = "jwt", 2
    return orgs


def token_requests(org: ConnectableOrg) -> list[Request]:
    return [each for each in org.requests if each.path == "/services/oauth2/token"]


def sign_ins(org: ConnectableOrg, since: float, until: float) -> Counter[bool]:
    """Of that time: how many went well, how many did not."""
    return Counter(each.status == 200 for each in token_requests(org) if since <= each.at < until)


@pytest.mark.long
def test_forty_connections_change_over_one_by_one_and_no_call_fails(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    orgs = forty_orgs(salesforce_org)
    connections = list(ConnectedApp.objects.select_related("signing_key").order_by("name"))
    rotation.start(connections, actor=access.SHELL, new_key=next_key)
    order = random.sample(list(orgs), FORTY)
    moments = sorted(random.uniform(0, PHASE_SECONDS) for _ in order)

    with Load(list(orgs)) as load:
        begun = time.time()
        time.sleep(PHASE_SECONDS)
        first = time.time()
        for name, moment in zip(order, moments, strict=True):
            time.sleep(max(first + moment - time.time(), 0))
            upload(orgs[name], next_key)
        last = time.time()
        time.sleep(PHASE_SECONDS)
    ended = time.time()

    assert not load.failed
    assert set(load.calls) == set(orgs)
    phases = list(itertools.pairwise((begun, first, last, ended)))
    for name, org in orgs.items():
        assert min(sign_ins(org, *phase)[True] for phase in phases) >= 5, name
        # The one sign-in that met the new certificate is refused once; none before it, none after it.
        assert sign_ins(org, 0, ended)[False] == 1, name
        refused_at = next(each.at for each in token_requests(org) if each.status != 200)
        assert first - 1 < refused_at < last + 3, name
    assert set(ConnectedApp.objects.values_list("signing_key__name", flat=True)) == {"next"}
    assert AuditEvent.objects.filter(act="promoted signing key").count() == FORTY
