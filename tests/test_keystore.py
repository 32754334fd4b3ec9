from __future__ import annotations

import datetime as dt
import logging
import threading

import pytest
from cryptography.hazmat.primitives import serialization
from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from sf_integration import crypto, keystore, tasks
from sf_integration.models import ConnectedApp, SigningKey
from sf_integration.salesforce import keys
from sf_integration.salesforce.errors import EncryptionKeyMissing, InvalidInput, InvalidPrivateKey
from sf_integration.signals import certificate_ending

from .salesforce.conftest import app_certificate, app_key

pytestmark = pytest.mark.django_db


def pem(key=None, passphrase: str | None = None) -> bytes:
    encryption = (
        serialization.BestAvailableEncryption(passphrase.encode())
        if passphrase
        else serialization.NoEncryption()
    )
    return (key or app_key()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def take_in(name: str = "acme", **options) -> SigningKey:
    return keystore.take_in(options.pop("data", pem()), name=name, **options)


def test_a_key_is_taken_in_with_its_certificate():
    row = take_in(certificate=app_certificate().encode())
    row.refresh_from_db()
    assert (
        keys.fingerprint(keys.from_sealed_der(row.private_key.open()))
        == row.fingerprint
        == keys.fingerprint(app_key())
    )
    assert (row.size, row.origin, row.name) == (2048, "uploaded", "acme")
    assert row.certificate == app_certificate()
    assert row.days_left(row.not_after) == 0


def test_a_key_without_certificate_has_no_dates():
    row = take_in()
    assert (row.certificate, row.not_after) == ("", None)


def test_the_passphrase_is_used_and_not_kept():
    row = take_in(data=pem(passphrase="planted"), passphrase="planted")
    assert b"planted" not in row.private_key.open()
    assert "planted" not in str(vars(row))


def test_the_same_key_pair_is_stored_once():
    first = take_in("one")
    assert take_in("two", data=pem(passphrase="x"), passphrase="x") == first
    assert SigningKey.objects.count() == 1


def test_a_certificate_that_comes_later_completes_the_key():
    row = take_in()
    assert take_in(certificate=app_certificate().encode()).certificate == app_certificate()
    row.refresh_from_db()
    assert row.not_after
    assert row.private_key.open()


def test_a_newer_certificate_of_the_same_key_replaces_the_old():
    row = take_in(certificate=app_certificate().encode())
    newer = keys.make_certificate(app_key(), common_name="newer", days=700)
    keystore.add_certificate(row, newer.pem.encode())
    row.refresh_from_db()
    assert (row.certificate_fingerprint, row.not_after) == (newer.fingerprint, newer.not_after)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"data": b"rubbish"}, InvalidPrivateKey),
        ({"data": pem(passphrase="right")}, InvalidPrivateKey),
        ({"data": pem(passphrase="right"), "passphrase": "wrong"}, InvalidPrivateKey),
        ({"certificate": b"rubbish"}, InvalidInput),
        ({"certificate": pem()}, InvalidInput),
    ],
    ids=["rubbish", "no passphrase", "wrong passphrase", "rubbish certificate", "key as certificate"],
)
def test_bad_input_stores_nothing(options, kind):
    with pytest.raises(kind):
        take_in(**options)
    assert not SigningKey.objects.exists()


def test_a_certificate_of_another_key_stores_nothing():
    other = keys.make_certificate(keys.make_key(), common_name="other")
    with pytest.raises(InvalidInput, match="belongs to another key"):
        take_in(certificate=other.pem.encode())
    assert not SigningKey.objects.exists()


def test_a_certificate_of_another_known_key_names_it():
    row = take_in("acme")
    other = keystore.make(name="other-key")
    with pytest.raises(InvalidInput, match="It belongs to the signing key “other-key”"):
        keystore.add_certificate(row, other.certificate.encode(), visible=SigningKey.objects.all())
    with pytest.raises(InvalidInput) as caught:
        keystore.add_certificate(row, other.certificate.encode())
    assert "other-key" not in str(caught.value)


def test_without_encryption_key_nothing_is_stored(settings):
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"ENCRYPTION_KEYS": []}
    for attempt in (take_in, lambda: keystore.make(name="acme")):
        with pytest.raises(EncryptionKeyMissing):
            attempt()
    assert not SigningKey.objects.exists()


def test_a_made_key_can_sign_and_has_a_certificate():
    row = keystore.make(name="made", common_name="Acme", days=90)
    key = keys.from_sealed_der(SigningKey.objects.get().private_key.open())
    keys.require_match(key, keys.read_certificate(row.certificate.encode()))
    assert (row.origin, row.days_left(row.not_before)) == ("made", 90)


@pytest.mark.parametrize("bits", [1024, 5000])
def test_a_key_of_a_wrong_size_is_not_made(bits):
    with pytest.raises(InvalidInput):
        keystore.make(name="made", bits=bits)
    assert not SigningKey.objects.exists()


def test_names_that_are_taken_get_a_number():
    names = [keystore.make(name="acme").name for _ in range(3)]
    assert names == ["acme", "acme-2", "acme-3"]
    assert keystore.free_name("acm") == "acm"


@pytest.mark.parametrize("name", ["x" * 100, "ü" * 100])
def test_long_names_fit(name):
    rows = [keystore.make(name=name) for _ in range(2)]
    assert len({row.name for row in rows}) == 2
    assert all(len(row.name) <= 100 for row in rows)
    with transaction.atomic():
        rows[1].full_clean()


def test_a_certificate_in_the_same_file_is_stored_too():
    row = take_in(data=pem() + app_certificate().encode())
    assert row.certificate == app_certificate()


def test_a_certificate_given_goes_before_the_one_in_the_file():
    newer = keys.make_certificate(app_key(), common_name="newer", days=700)
    row = take_in(data=pem() + app_certificate().encode(), certificate=newer.pem.encode())
    assert row.certificate == newer.pem


def test_of_a_chain_the_certificate_of_the_key_is_stored():
    other = keys.make_certificate(keys.make_key(), common_name="other")
    row = take_in(certificate=other.pem.encode() + app_certificate().encode())
    assert row.certificate == app_certificate()


def test_what_was_repaired_is_told():
    proved = keystore.prove(b'"' + pem().replace(b"\n", rb"\n") + b'"')
    assert len(proved.notes) == 2
    assert keystore.store(proved, name="acme").fingerprint == keys.fingerprint(app_key())


def test_a_known_key_pair_that_cannot_be_opened_is_sealed_anew(settings):
    row = take_in("acme")
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"ENCRYPTION_KEYS": [crypto.new_key()]}
    assert not SigningKey.objects.get().can_sign
    assert take_in("again") == row
    row.refresh_from_db()
    assert row.private_key.open() == keys.to_der(app_key())
    assert row.name == "acme"


def test_the_subject_is_the_one_asked_for():
    made = keystore.make(name="made", common_name="Acme", organization="Acme GmbH", country="de", bits=3072)
    assert keys.read_certificate(made.certificate.encode()).subject == "CN=Acme,O=Acme GmbH,C=DE"
    assert made.size == 3072


# ---- warnings before the certificate ends ---------------------------------------------------------------------------


@pytest.fixture
def told():
    """What listeners were told: (name, days left, stage)."""
    found: list[tuple[str, int, int]] = []

    def listen(sender: object, signing_key: SigningKey, days_left: int, stage: int, **_: object) -> None:
        found.append((signing_key.name, days_left, stage))

    certificate_ending.connect(listen)
    yield found
    certificate_ending.disconnect(listen)


def used_key(name: str = "acme", days: float = 365) -> SigningKey:
    row = keystore.make(name=name)
    row.not_after = timezone.now() + dt.timedelta(days=days, minutes=1)
    row.save(update_fields=["not_after"])
    ConnectedApp.objects.create(name=name, login_url="https://acme.my.salesforce.com", signing_key=row)
    return row


def test_each_stage_is_told_once(told, caplog):
    row = used_key()
    begin = row.not_after - dt.timedelta(days=70)
    with caplog.at_level(logging.WARNING, "sf_integration.keystore"):
        for hours in range(0, 80 * 24, 12):
            keystore.warn_of_ends(begin + dt.timedelta(hours=hours))
    assert [stage for _, _, stage in told] == [60, 30, 14, 7, 1, 0]
    assert [days for _, days, _ in told] == [60, 30, 14, 7, 1, 0]
    assert len(caplog.messages) == 6
    assert caplog.messages[0] == "signing key acme: its certificate ends in 60 days"


def test_stages_that_were_slept_through_are_told_as_one(told):
    used_key(days=10)
    assert (keystore.warn_of_ends(), keystore.warn_of_ends()) == (1, 0)
    assert told == [("acme", 10, 14)]


def test_a_certificate_that_has_ended_is_told(told):
    used_key(days=-3)
    keystore.warn_of_ends()
    assert [stage for _, _, stage in told] == [0]


def test_a_renewed_certificate_has_stages_of_its_own(told):
    row = used_key(days=5)
    keystore.warn_of_ends()
    row.refresh_from_db()
    assert row.warned_stage == 7
    key = keys.from_sealed_der(row.private_key.open())
    keystore.add_certificate(row, keys.make_certificate(key, common_name="acme", days=40).pem.encode())
    keystore.warn_of_ends()
    assert [stage for _, _, stage in told] == [7, 60]


def test_a_certificate_that_is_renewed_just_now_is_not_told(told):
    seen = used_key(days=5)
    row = SigningKey.objects.get()
    key = keys.from_sealed_der(row.private_key.open())
    keystore.add_certificate(row, keys.make_certificate(key, common_name="acme", days=40).pem.encode())
    assert not keystore._warn(seen, timezone.now())
    assert told == []
    assert keystore.warn_of_ends() == 1


def test_keys_that_nobody_uses_are_passed_over(told):
    row = used_key(days=5)
    ConnectedApp.objects.all().delete()
    assert keystore.warn_of_ends() == 0
    other = used_key("other")
    ConnectedApp.objects.update(staged_signing_key=row)
    assert keystore.warn_of_ends() == 1
    assert told == [("acme", 5, 7)]
    assert other.warned_stage is None


def test_a_key_of_many_connections_is_told_once(told):
    row = used_key(days=5)
    for number in range(3):
        ConnectedApp.objects.create(
            name=f"more-{number}", login_url="https://x.my.salesforce.com", signing_key=row
        )
    assert keystore.warn_of_ends() == 1
    assert len(told) == 1


def test_a_listener_that_breaks_stops_nothing(told):
    def broken(**_: object) -> None:
        raise RuntimeError("broken on purpose")

    certificate_ending.connect(broken)
    try:
        used_key(days=5)
        used_key("other", days=20)
        assert keystore.warn_of_ends() == 2
    finally:
        certificate_ending.disconnect(broken)
    assert len(told) == 2


def test_the_daily_housekeeping_warns(told):
    used_key(days=5)
    tasks.housekeeping()
    assert told == [("acme", 5, 7)]


@pytest.mark.django_db(transaction=True)
def test_of_two_workers_one_tells(told):
    for number in range(5):
        used_key(f"key-{number}", days=5)
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        keystore.warn_of_ends()
        database.close()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(name for name, _, _ in told) == [f"key-{number}" for number in range(5)]
