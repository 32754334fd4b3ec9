from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from django.db import transaction

from sf_integration import keystore
from sf_integration.models import SigningKey
from sf_integration.salesforce import keys
from sf_integration.salesforce.errors import EncryptionKeyMissing, InvalidInput, InvalidPrivateKey

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
        keystore.add_certificate(row, other.certificate.encode())


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
