"""Signing keys that are held outside: the database has their certificate alone."""

from __future__ import annotations

import io
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test import Client
from django.utils import timezone

from sf_integration import get_token, health, keystore, signers, tokens
from sf_integration.models import UNDO_FOR, AccessToken, AuditEvent, ConnectedApp, ConnectionCheck, SigningKey
from sf_integration.salesforce import assertion, keys
from sf_integration.salesforce.errors import (
    ActionNeeded,
    EncryptionKeyMissing,
    InvalidInput,
    LoginUnavailable,
)
from sf_integration.services import rotation
from sf_integration.state import ConnectionState
from sf_integration.testing.django import ConnectableOrg
from sf_integration.tokens import rows

from .test_command_line import salesforce
from .tokens.test_rotation import connection, expire, stage, upload
from .tokens.test_sweep import make_due

pytestmark = pytest.mark.django_db(transaction=True)

PLANTED = "planted-credential"


class Safe:
    """A key management service; what it knows and does is set by the tests."""

    keys: ClassVar[dict[str, RSAPrivateKey]] = {}
    asked: ClassVar[list[str]] = []
    made: ClassVar[list[object]] = []
    before: ClassVar[Callable[[], object]]

    def __init__(self) -> None:
        self.made.append(self)

    def sign(self, reference: str, message: bytes) -> bytes:
        self.asked.append(reference)
        type(self).before()
        return self.keys[reference].sign(message, padding.PKCS1v15(), hashes.SHA256())


def nothing() -> None:
    """What happens before a signature, unless a test says otherwise."""


def broken_factory() -> Safe:
    raise OSError(PLANTED)


class Hanging:
    """A signer whose making never comes to an end, until a test lets it."""

    over: ClassVar[threading.Event] = threading.Event()

    def __init__(self) -> None:
        self.over.wait()


@cache
def other_key() -> RSAPrivateKey:
    return keys.make_key()


def certificate_of(key: RSAPrivateKey) -> bytes:
    return keys.make_certificate(key, common_name="outside").pem.encode()


@pytest.fixture
def safe(salesforce_org: ConnectableOrg, settings) -> Iterator[type[Safe]]:
    key = load_pem_private_key(str(salesforce_org.app.private_key_pem).encode(), None)
    assert isinstance(key, RSAPrivateKey)
    Safe.keys = {"arn:acme": key, "arn:other": other_key()}
    Safe.asked, Safe.made, Safe.before = [], [], nothing
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"SIGNERS": {"safe": "tests.test_signers.Safe"}}
    signers.reset()
    yield Safe
    signers.reset()


def held_key(org: ConnectableOrg) -> SigningKey:
    """The app's signing key, held by the safe."""
    certificate = org.app.certificate_pem.encode()
    proved = keystore.prove_outside(signer="safe", reference="arn:acme", certificate=certificate)
    return keystore.store_outside(proved, name="held")


def register(
    reference: str = "arn:other", *, signer: str = "safe", key: RSAPrivateKey | None = None
) -> SigningKey:
    certificate = certificate_of(key or other_key())
    proved = keystore.prove_outside(signer=signer, reference=reference, certificate=certificate)
    return keystore.store_outside(proved, name="other")


def forget_signers(settings) -> None:
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"SIGNERS": {}}


def fail_with(error: Exception) -> Callable[..., object]:
    def fail(*_: object) -> None:
        raise error

    return fail


def pem(key: RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


# ---- signing in -----------------------------------------------------------------------------------------------------


def test_token_is_signed_for_outside(salesforce_org: ConnectableOrg, safe: type[Safe]) -> None:
    key = held_key(salesforce_org)
    salesforce_org.connect("acme", signing_key=key)
    assert salesforce_org.find_session(get_token("acme").value)
    assert (key.origin, key.private_key, key.size) == ("outside", None, 2048)
    assert safe.asked == ["arn:acme"] * 2  # once when it was registered
    assert len(safe.made) == 1


def test_what_is_raised_is_told_by_its_class_and_tried_again(
    salesforce_org: ConnectableOrg, safe: type[Safe], caplog
) -> None:
    salesforce_org.connect("acme", signing_key=held_key(salesforce_org))
    safe.before = fail_with(RuntimeError(PLANTED))
    with caplog.at_level(logging.INFO), pytest.raises(LoginUnavailable, match="RuntimeError") as caught:
        get_token("acme")
    row = AccessToken.objects.get()
    assert caught.value.code == row.last_error["code"] == "signer_unavailable"
    assert row.last_error["kind"] == "passing"
    assert PLANTED not in f"{caught.getrepr(showlocals=True)}{caplog.text}{row.last_error}"
    assert salesforce_org.token_requests == 0
    safe.before = nothing
    AccessToken.objects.update(next_try_at=None)
    assert get_token("acme")


def test_signer_says_itself_that_a_person_must_act(salesforce_org: ConnectableOrg, safe: type[Safe]) -> None:
    salesforce_org.connect("acme", signing_key=held_key(salesforce_org))
    safe.before = fail_with(ActionNeeded("The key is disabled.", remedy="Enable it.", code="signer_refused"))
    with pytest.raises(ActionNeeded, match="The key is disabled"):
        get_token("acme")
    assert AccessToken.objects.get().last_error["kind"] == "set-up"
    assert connection().connection_state() is ConnectionState.FAILING


def test_hanging_signer_costs_no_more_than_its_time(
    salesforce_org: ConnectableOrg, safe: type[Safe], monkeypatch
) -> None:
    salesforce_org.connect("acme", signing_key=held_key(salesforce_org))
    monkeypatch.setattr(assertion, "SIGNER_SECONDS", 0.2)
    monkeypatch.setattr(signers, "MOST_AT_ONCE", 1)
    signers.reset()
    over = threading.Event()
    safe.before = over.wait
    try:
        started = time.monotonic()
        with pytest.raises(LoginUnavailable, match=r"no answer in 0\.2 seconds"):
            get_token("acme")
        AccessToken.objects.update(next_try_at=None)
        with pytest.raises(LoginUnavailable, match="1 calls of it hang"):
            get_token("acme")
        assert time.monotonic() - started < 2
        assert safe.asked == ["arn:acme"] * 2
    finally:
        over.set()
    safe.before = nothing
    AccessToken.objects.update(next_try_at=None)
    assert get_token("acme")


def test_signer_whose_making_hangs_holds_up_no_other(safe: type[Safe], settings) -> None:
    settings.SF_INTEGRATION["SIGNERS"] |= {"hanging": "tests.test_signers.Hanging"}
    Hanging.over.clear()
    try:
        with pytest.raises(LoginUnavailable, match="no answer"):
            signers.held_key("hanging", "arn:other").sign(b"x", timeout_seconds=0.1)
        assert signers.held_key("safe", "arn:other").sign(b"x", timeout_seconds=2)
    finally:
        Hanging.over.set()


def test_thread_that_cannot_start_costs_no_place(safe: type[Safe], monkeypatch) -> None:
    monkeypatch.setattr(signers, "MOST_AT_ONCE", 1)
    signers.reset()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail_with(RuntimeError("can't start new thread")))
        with pytest.raises(LoginUnavailable, match="no more threads"):
            signers.held_key("safe", "arn:other").sign(b"x", timeout_seconds=0.1)
    assert signers.held_key("safe", "arn:other").sign(b"x", timeout_seconds=2)


def test_what_is_no_signature_is_told(salesforce_org: ConnectableOrg, safe: type[Safe], monkeypatch) -> None:
    salesforce_org.connect("acme", signing_key=held_key(salesforce_org))
    monkeypatch.setattr(Safe, "sign", lambda *given: "a text")
    with pytest.raises(LoginUnavailable, match=r"did not sign \(str\)"):
        get_token("acme")


def test_slow_signer_delays_nobody_else(salesforce_org: ConnectableOrg, safe: type[Safe]) -> None:
    held = held_key(salesforce_org)
    for number in range(50):
        name = f"held{number}@nordhafen.example"
        salesforce_org.add_user(name)
        salesforce_org.connect(f"held{number}", signing_key=held, username=name)
    SigningKey.objects.filter(pk=held.pk).update(fingerprint="another")
    salesforce_org.connect("stored")
    rows.ensure(ConnectedApp.objects.all())
    # Those held outside come first, and are more than the threads.
    AccessToken.objects.filter(connection__name="stored").update(refresh_at=timezone.now())
    waited: list[bool] = []

    def wait_for_the_other() -> None:
        give_up_at = time.monotonic() + 1
        while salesforce_org.token_requests == 0 and time.monotonic() < give_up_at:
            time.sleep(0.01)
        waited.append(time.monotonic() < give_up_at)

    safe.before = wait_for_the_other
    assert tokens.refresh_due().renewed == 51
    assert waited == [True] * 50


def test_child_of_a_fork_asks_a_signer_of_its_own(safe: type[Safe]) -> None:
    register()
    parent, child = signers._current, os.fork()
    if child == 0:
        os._exit(0 if signers._current is not parent else 1)
    assert os.waitpid(child, 0)[1] == 0


# ---- a signer that is not configured --------------------------------------------------------------------------------


def test_missing_signer_is_told_and_nothing_is_tried(
    salesforce_org: ConnectableOrg, safe: type[Safe], settings
) -> None:
    salesforce_org.connect("acme", signing_key=held_key(salesforce_org))
    forget_signers(settings)
    found = connection()
    assert found.connection_state() is ConnectionState.ENCRYPTION_KEY_MISSING
    assert "held outside by “safe”, a signer that is not configured here" in found.state_sentence()
    tokens.refresh_due()
    assert not AccessToken.objects.get().last_try_at
    with pytest.raises(EncryptionKeyMissing, match="no signer of that name") as caught:
        get_token("acme")
    assert caught.value.code == "signer_missing"
    check = health.check_connection(connection(), asked_by="tests")
    assert step(check)["code"] == "signer_missing"


def test_signer_that_cannot_be_made_is_told_by_the_class_of_its_fault(safe: type[Safe], settings) -> None:
    register()
    settings.SF_INTEGRATION["SIGNERS"] = {"safe": "tests.test_signers.broken_factory"}
    with pytest.raises(EncryptionKeyMissing, match=r"broken_factory: OSError\.") as caught:
        signers.held_key("safe", "arn:other").sign(b"x", timeout_seconds=1)
    assert PLANTED not in str(caught.value)


@pytest.mark.parametrize(
    ("configured", "word"),
    [
        ({"kms": "acme.signing.KmsSigner"}, "No module named 'acme'"),
        ({"kms": {"OPTIONS": {}}}, "doesn't look like a module path"),
        ({"kms": "tests.test_signers.PLANTED"}, "can't be called"),
        ({"": "tests.test_signers.Safe"}, "it is no name"),
    ],
)
def test_system_check_names_what_leads_nowhere(settings, configured, word) -> None:
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"SIGNERS": configured}
    with pytest.raises(SystemCheckError, match=r"sf_integration\.E004") as caught:
        call_command("check", tags=["sf_integration"])
    assert word in str(caught.value)


def test_signers_that_keys_need_are_named_by_check_and_counted_by_probe(
    safe: type[Safe], settings, client: Client
) -> None:
    register()
    assert "W004" not in database_check()
    assert client.get("/readyz").json()["missing_signers"] == 0
    forget_signers(settings)
    assert "The signer “safe” is not configured here" in database_check()
    assert client.get("/readyz").json()["missing_signers"] == 1


def database_check() -> str:
    told = io.StringIO()
    call_command("check", databases=["default"], stderr=told)
    return told.getvalue()


# ---- registering ----------------------------------------------------------------------------------------------------


def test_signer_and_certificate_must_belong_together(safe: type[Safe]) -> None:
    with pytest.raises(InvalidInput, match="does not fit the certificate"):
        register("arn:acme", key=other_key())
    with pytest.raises(LoginUnavailable, match="KeyError"):
        register("arn:unknown")
    with pytest.raises(EncryptionKeyMissing, match="no signer of that name"):
        register(signer="nobody")
    assert not SigningKey.objects.exists()


@pytest.mark.parametrize("reference", ["", "x" * 501, "arn\x00"])
def test_reference_must_be_one(safe: type[Safe], reference: str) -> None:
    with pytest.raises(InvalidInput, match="1 to 500 characters"):
        register(reference)
    assert safe.asked == []


def test_certificate_must_be_one_that_salesforce_takes(safe: type[Safe]) -> None:
    elliptic = keys.make_certificate(ec.generate_private_key(ec.SECP256R1()), common_name="x")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="not of an RSA key with 2048 bits"):
        keystore.prove_outside(signer="safe", reference="arn:other", certificate=elliptic.pem.encode())


def test_key_that_is_registered_again_gets_its_new_reference(safe: type[Safe]) -> None:
    row = register()
    safe.keys["arn:moved"] = other_key()
    assert register("arn:moved") == row
    row.refresh_from_db()
    assert (row.name, row.signer_reference, row.warned_stage) == ("other", "arn:moved", None)


def test_key_that_is_hidden_is_neither_named_nor_changed(
    salesforce_org: ConnectableOrg, safe: type[Safe], tmp_path: Path
) -> None:
    hidden = register()
    salesforce_org.connect("hidden", signing_key=hidden).groups.add(Group.objects.create(name="others"))
    rights = Permission.objects.filter(codename__in=("view_health", "manage_keys"))
    User.objects.create_user("mia").user_permissions.set(rights)
    safe.keys["arn:mine"] = other_key()
    path = tmp_path / "mine.crt"
    path.write_bytes(certificate_of(other_key()))
    asked = (
        "register-key",
        "mine",
        "--signer",
        "safe",
        "--reference",
        "arn:mine",
        "--certificate-file",
        path,
    )
    ran = salesforce(*asked, "--as", "mia")
    assert (ran.status, ran.out) == (1, "")
    assert "is stored here already" in ran.err
    assert hidden.name not in ran.err
    hidden.refresh_from_db()
    assert hidden.signer_reference == "arn:other"


def test_key_whose_private_key_is_stored_is_not_called_held_outside(safe: type[Safe]) -> None:
    keystore.take_in(pem(other_key()), name="stored")
    with pytest.raises(InvalidInput, match="stored here already, as “stored”"):
        register()


def test_private_key_that_is_held_outside_does_not_come_in(safe: type[Safe], settings) -> None:
    row = register()
    for _ in range(2):
        assert keystore.take_in(pem(other_key()), name="again") == row
        row.refresh_from_db()
        assert (row.private_key, row.signer) == (None, "safe")
        forget_signers(settings)


# ---- the check ------------------------------------------------------------------------------------------------------


def step(check: ConnectionCheck, name: str = "signing_key") -> dict[str, str]:
    return next(each for each in check.steps if each["step"] == name)


def test_check_by_hand_has_something_signed_and_beat_does_not(
    salesforce_org: ConnectableOrg, safe: type[Safe]
) -> None:
    salesforce_org.connect("acme", signing_key=held_key(salesforce_org))
    safe.asked.clear()
    check = health.check_connection(connection(), asked_by="tests")
    assert (check.healthy, len(safe.asked)) == (True, 2)
    assert step(check)["message"].startswith("held, held outside by safe, 2048 bits, certificate to ")
    assert "(" in check.trace["form"]["assertion"]
    assert health.check_connection(connection(), asked_by="beat", renew=False).healthy
    assert len(safe.asked) == 2


def test_values_are_tried_without_saving_them(salesforce_org: ConnectableOrg, safe: type[Safe]) -> None:
    salesforce_org.connect("acme", signing_key=held_key(salesforce_org))
    found = connection()
    trial = health.try_values(found, tokens.current().private_key(found.signing_key))
    assert (trial.healthy, trial.session_ended) == (True, True)


def test_check_tells_a_signer_that_has_another_key_by_now(
    salesforce_org: ConnectableOrg, safe: type[Safe]
) -> None:
    salesforce_org.connect("acme", signing_key=held_key(salesforce_org))
    safe.keys["arn:acme"] = other_key()
    check = health.check_connection(connection(), asked_by="tests")
    assert (check.healthy, step(check)["status"]) == (False, "failed")
    assert "does not fit the certificate" in step(check)["message"]


# ---- rotation -------------------------------------------------------------------------------------------------------


def test_stored_key_is_left_for_one_held_outside(salesforce_org: ConnectableOrg, safe: type[Safe]) -> None:
    old = salesforce_org.connect("acme").signing_key
    get_token("acme")
    new = register()
    stage(new)
    upload(salesforce_org, new)
    make_due()
    assert tokens.refresh_due().renewed == 1
    assert (connection().signing_key, connection().previous_signing_key) == (new, old)


def test_key_held_outside_is_left_and_nothing_of_it_erased(
    salesforce_org: ConnectableOrg, safe: type[Safe], admin_user
) -> None:
    old = held_key(salesforce_org)
    salesforce_org.connect("acme", signing_key=old)
    get_token("acme")
    with pytest.raises(InvalidInput, match="held outside, by safe"):
        rotation.start([connection()], actor=admin_user)
    started = rotation.start([connection()], actor=admin_user, new_key=register())
    assert [each.done for each in started.outcomes] == [True]
    upload(salesforce_org, started.key)
    expire()
    get_token("acme")
    assert connection().signing_key == started.key
    ConnectedApp.objects.update(previous_signing_key=None)
    SigningKey.objects.filter(pk=old.pk).update(replaced_at=timezone.now() - 2 * UNDO_FOR)
    assert rotation.retire_unused() == 0
    old.refresh_from_db()
    assert (old.signer_reference, old.retired_at) == ("arn:acme", None)


def test_what_was_chosen_for_the_next_key_stays_on_the_page_that_refuses_it(
    salesforce_org: ConnectableOrg, safe: type[Safe], admin_client: Client
) -> None:
    key = held_key(salesforce_org)
    salesforce_org.connect("acme", signing_key=key)
    start = f"/connections/keys/{key.pk}/rotation/start/"
    page = admin_client.post(
        start, {"stored": "", "bits": "4096", "days": "77"}, follow=True
    ).content.decode()
    assert "is held outside, by safe" in page
    assert 'value="77"' in page


def test_staged_key_whose_signer_is_missing_does_no_harm(
    salesforce_org: ConnectableOrg, safe: type[Safe], settings
) -> None:
    salesforce_org.connect("acme")
    stage(register())
    forget_signers(settings)
    assert get_token("acme")


# ---- the admin ------------------------------------------------------------------------------------------------------

ADD = "/admin/sf_integration/signingkey/add/"


def test_admin_registers_a_key_held_outside(safe: type[Safe], admin_client: Client) -> None:
    given = {
        "name": "vault",
        "signer": "safe",
        "reference": "arn:other",
        "certificate": certificate_of(other_key()).decode(),
    }
    assert admin_client.post(ADD, given).status_code == 302
    key = SigningKey.objects.get()
    assert (key.name, key.signer, key.signer_reference, key.private_key) == (
        "vault",
        "safe",
        "arn:other",
        None,
    )
    assert AuditEvent.objects.get().fields == ["name", "reference", "signer", "signing_key"]
    page = admin_client.get(f"/admin/sf_integration/signingkey/{key.pk}/change/").content.decode()
    assert "held outside, by safe" in page
    assert "arn:other" in page
    assert "is stored already" in admin_client.post(ADD, given | {"name": "twice"}).content.decode()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"reference": ""}, "Say who holds the key"),
        ({"signer": ""}, "Say who holds the key"),
        ({"certificate": ""}, "Give the certificate of the key"),
        ({"make_key": "on", "certificate": ""}, "Either give a key pair"),
        ({"reference": "arn:acme"}, "does not fit the certificate"),
        ({"reference": "arn:unknown"}, "did not sign (KeyError)"),
        ({"certificate": "nonsense"}, "not a certificate"),
    ],
)
def test_admin_tells_what_is_wrong(safe: type[Safe], admin_client: Client, changed, told) -> None:
    given = {
        "name": "vault",
        "signer": "safe",
        "reference": "arn:other",
        "certificate": certificate_of(other_key()).decode(),
    }
    page = admin_client.post(ADD, given | changed)
    assert told in page.content.decode()
    assert not SigningKey.objects.exists()


def test_admin_refuses_a_key_whose_private_key_was_erased_here(
    safe: type[Safe], admin_client: Client
) -> None:
    keystore.take_in(pem(other_key()), name="erased")
    SigningKey.objects.update(private_key=None)
    given = {"name": "vault", "signer": "safe", "reference": "arn:other"}
    page = admin_client.post(ADD, given | {"certificate": certificate_of(other_key()).decode()})
    assert "stored already, as “erased”" in page.content.decode()
    assert not SigningKey.objects.exclude(signer="").exists()


def test_admin_offers_it_only_where_a_signer_is_configured(
    safe: type[Safe], admin_client: Client, settings
) -> None:
    assert "Held outside by" in admin_client.get(ADD).content.decode()
    forget_signers(settings)
    assert "Held outside by" not in admin_client.get(ADD).content.decode()


# ---- the command line -----------------------------------------------------------------------------------------------


def test_command_registers_a_key_held_outside(safe: type[Safe], tmp_path: Path) -> None:
    file = tmp_path / "acme.crt"
    file.write_bytes(certificate_of(other_key()))
    options = ("--signer", "safe", "--certificate-file", file)
    refused = salesforce("register-key", "vault", *options, "--reference", "arn:acme")
    assert (refused.status, SigningKey.objects.count()) == (1, 0)
    assert "does not fit the certificate" in refused.err
    ran = salesforce("register-key", "vault", *options, "--reference", "arn:other")
    assert ran.status == 0, ran.err
    assert "held outside by safe" in ran.out
    assert AuditEvent.objects.get().act == "registered key"
    again = salesforce("register-key", "another", *options, "--reference", "arn:other", "--json")
    assert again.json["name"] == SigningKey.objects.get().name == "vault"  # type: ignore[index]
