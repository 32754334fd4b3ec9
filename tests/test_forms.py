from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import override_settings

from sf_integration import crypto, keystore
from sf_integration.forms import (
    LARGEST_UPLOAD,
    ConnectedAppForm,
    LinesField,
    NewSigningKeyForm,
    QueryForm,
    RecordForm,
)
from sf_integration.models import ConnectedApp, SigningKey
from sf_integration.salesforce import keys

from .salesforce.test_key_damage import random_strings

pytestmark = pytest.mark.django_db

PASSPHRASE = "moss-4-lantern"


def pem(key: Any, passphrase: str | None = None) -> str:
    sealing = (
        serialization.BestAvailableEncryption(passphrase.encode())
        if passphrase
        else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealing).decode()


KEY, OTHER_KEY = keys.make_key(), keys.make_key()
CERTIFICATE = keys.make_certificate(KEY, common_name="acme").pem
OTHER_CERTIFICATE = keys.make_certificate(OTHER_KEY, common_name="other").pem
PUBLIC_KEY = (
    KEY.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
SHORT_KEY = pem(rsa.generate_private_key(65537, 1024))
CURVE_KEY = pem(ec.generate_private_key(ec.SECP256R1()))

VALUES = {
    "name": "acme",
    "login_url": "https://acme.my.salesforce.com",
    "consumer_key": "3MVG9consumer",
    "username": "integration@acme.example",
    "session_minutes": "120",
    "sample_sobject": "Account",
    "enabled": "on",
}


def form(
    files: dict[str, SimpleUploadedFile] | None = None, instance: ConnectedApp | None = None, **values: str
) -> ConnectedAppForm:
    return ConnectedAppForm({**VALUES, **values}, files or {}, instance=instance)


def errors_of(bound: Any) -> dict[str, str]:
    return {name: " ".join(errors) for name, errors in bound.errors.items()}


# ---- a signing key in every way -------------------------------------------------------------------------------------


def test_pasted_key_and_certificate_are_stored_sealed() -> None:
    bound = form(private_key=pem(KEY), certificate=CERTIFICATE)
    assert not bound.errors
    saved = bound.save()
    assert saved.signing_key.fingerprint == keys.fingerprint(KEY)
    assert saved.signing_key.certificate == CERTIFICATE
    assert saved.signing_key.private_key.open() == keys.to_der(KEY)
    assert bound.changed_names == ["consumer_key", "login_url", "name", "signing_key", "username"]


def test_uploaded_key_with_passphrase_is_taken() -> None:
    files = {
        "private_key_file": SimpleUploadedFile("server.key", pem(KEY, PASSPHRASE).encode()),
        "certificate_file": SimpleUploadedFile("server.crt", CERTIFICATE.encode()),
    }
    saved = form(files, passphrase=PASSPHRASE).save()
    assert saved.signing_key.private_key.open() == keys.to_der(KEY)


def test_key_pair_is_made_here() -> None:
    saved = form(make_key="on").save()
    assert saved.signing_key.origin == SigningKey.Origin.MADE
    assert saved.signing_key.certificate.startswith("-----BEGIN CERTIFICATE-----")


def test_stored_key_is_chosen() -> None:
    stored = keystore.take_in(pem(KEY).encode(), name="shared")
    assert form(signing_key=str(stored.pk)).save().signing_key == stored
    assert SigningKey.objects.count() == 1


def test_edit_without_key_keeps_the_key() -> None:
    saved = form(make_key="on").save()
    bound = form(instance=saved, signing_key=str(saved.signing_key_id), username="other@acme.example")
    assert bound.save().signing_key == saved.signing_key
    assert bound.changed_names == ["username"]


def test_pasted_key_replaces_the_chosen_one_of_before() -> None:
    saved = form(make_key="on").save()
    old = saved.signing_key
    bound = form(instance=saved, signing_key=str(old.pk), private_key=pem(KEY))
    assert bound.is_valid(), bound.errors
    assert bound.save().signing_key.fingerprint == keys.fingerprint(KEY)
    assert SigningKey.objects.filter(pk=old.pk).exists()


def test_missing_certificate_is_added_to_the_stored_key() -> None:
    stored = keystore.take_in(pem(KEY).encode(), name="shared")
    form(signing_key=str(stored.pk), certificate=CERTIFICATE).save()
    stored.refresh_from_db()
    assert stored.certificate == CERTIFICATE


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "field", "sentence"),
    [
        ({"private_key": "nonsense"}, "private_key", "This is not a private key."),
        ({"private_key": PUBLIC_KEY}, "private_key", "This is a public key, not an RSA private key."),
        ({"private_key": CERTIFICATE}, "private_key", "This is a certificate, not an RSA private key."),
        ({"private_key": pem(KEY)[:400]}, "private_key", "damaged or cut off"),
        ({"private_key": SHORT_KEY}, "private_key", "1024 bits; at least 2048 are needed"),
        ({"private_key": CURVE_KEY}, "private_key", "not RSA"),
        ({"private_key": pem(KEY, PASSPHRASE)}, "passphrase", "protected by a passphrase"),
        ({"private_key": pem(KEY, PASSPHRASE), "passphrase": "wrong"}, "passphrase", "does not open"),
        (
            {"private_key": pem(KEY), "certificate": OTHER_CERTIFICATE},
            "certificate",
            "belongs to another key",
        ),
        ({"private_key": pem(KEY), "certificate": PUBLIC_KEY}, "certificate", "This is not a certificate."),
        ({"private_key": pem(KEY), "make_key": "on"}, "make_key", "not both"),
        ({}, "signing_key", "Choose a signing key"),
        ({"make_key": "on", "login_url": "http://acme.my.salesforce.com"}, "login_url", "plain http"),
        (
            {"make_key": "on", "login_url": "https://evil.example"},
            "login_url",
            "neither a host of Salesforce nor listed",
        ),
        ({"make_key": "on", "login_url": "https://na1.salesforce.com"}, "login_url", "My Domain"),
        ({"make_key": "on", "login_url": "ftp://acme.my.salesforce.com"}, "login_url", "begin it with https"),
        (
            {"make_key": "on", "login_url": "https://u:p@acme.my.salesforce.com"},
            "login_url",
            "is not a login URL",
        ),
        ({"make_key": "on", "login_url": ""}, "login_url", "required"),
        ({"make_key": "on", "consumer_key": "  "}, "consumer_key", "required"),
        ({"make_key": "on", "username": ""}, "username", "required"),
        ({"make_key": "on", "name": "Acme Prod"}, "name", "lower-case letters"),
        ({"make_key": "on", "sample_fields": "Name; DROP"}, "sample_fields", "can't be the field's API name"),
    ],
)
def test_bad_input_is_refused_with_a_sentence_and_stores_nothing(
    values: dict[str, str], field: str, sentence: str
) -> None:
    found = errors_of(form(**values))
    assert sentence in found.get(field, ""), found
    assert not SigningKey.objects.exists()
    assert not ConnectedApp.objects.exists()


def test_login_url_is_normalised() -> None:
    assert (
        form(make_key="on", login_url=" ACME.my.salesforce.com/ ").save().login_url
        == "https://acme.my.salesforce.com"
    )


def test_huge_file_is_refused() -> None:
    files = {"private_key_file": SimpleUploadedFile("server.key", b"x" * (LARGEST_UPLOAD + 1))}
    assert "too large" in errors_of(form(files))["private_key_file"]


@override_settings(SF_INTEGRATION={"ENCRYPTION_KEYS": []})
def test_without_encryption_key_no_private_key_is_taken() -> None:
    bound = form(make_key="on")
    assert "SF_ENCRYPTION_KEYS" in errors_of(bound)["__all__"]
    assert not SigningKey.objects.exists()


def test_secrets_are_not_shown_back_after_a_mistake_elsewhere() -> None:
    secret = pem(KEY, PASSPHRASE)
    bound = form(private_key=secret, passphrase=PASSPHRASE, username="")
    html = bound.as_p()
    assert "Give the private key again" in errors_of(bound)["private_key"]
    assert PASSPHRASE not in html
    assert secret.splitlines()[5] not in html
    assert 'name="consumer_key" value="3MVG9consumer"' in html


@pytest.mark.parametrize("beside", [True, False])
def test_a_private_key_pasted_as_the_certificate_is_not_shown_back(beside: bool) -> None:
    secret = pem(KEY)
    certificate = keys.make_certificate(KEY, common_name="own").pem
    bound = form(certificate=(certificate if beside else "") + secret, username="")
    html = bound.as_p()
    assert bound.errors
    assert secret.splitlines()[5] not in html
    assert secret not in repr(bound.cleaned_data)
    html = form(certificate=certificate, username="").as_p()
    assert certificate.splitlines()[5] in html, "one that is given as asked need not be pasted again"


def test_known_key_pair_is_not_stored_twice() -> None:
    keystore.take_in(pem(KEY).encode(), name="shared")
    bound = NewSigningKeyForm({"name": "again", "private_key": pem(KEY)})
    assert errors_of(bound)["private_key"] == "This key pair is stored already."
    bound = NewSigningKeyForm({"name": "again", "private_key": pem(KEY)})
    bound.visible_keys = SigningKey.objects.all()
    assert "stored already, as “shared”" in errors_of(bound)["private_key"]


# ---- lists and lookups ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a\nb", "a, b", " a \r\n\r\n b ,"])
def test_lines_are_a_list(text: str) -> None:
    field = LinesField()
    assert field.clean(text) == ["a", "b"]
    assert not field.has_changed(["a", "b"], text)
    assert field.has_changed(["b"], text)


def test_fields_of_a_record_are_names() -> None:
    asked = {"sobject": "Account", "record": "001Dn00000Gi7HJIAZ", "fields": " Name,AccountNumber ,Name,"}
    bound = RecordForm(asked)
    assert bound.is_valid()
    assert bound.cleaned_data["fields"] == ["Name", "AccountNumber"]
    assert "can't be the field's API name" in errors_of(RecordForm(asked | {"fields": "Name,a b"}))["fields"]


@pytest.mark.parametrize(
    "soql", ["SELECT Id FROM Account", "select Id\nfrom Account;", "  SELECT\nId FROM Account ; "]
)
def test_query_is_a_select_without_its_semicolon(soql: str) -> None:
    bound = QueryForm({"soql": soql})
    assert bound.is_valid()
    assert bound.cleaned_data["soql"].endswith("Account")
    assert bound.sobjects() == ["Account"]


# ---- repair and refusal ---------------------------------------------------------------------------------------------


def test_certificate_in_the_same_text_is_stored_with_the_key() -> None:
    bound = form(private_key=f"Hi,\n\n{pem(KEY)}\n{CERTIFICATE}\nBest regards")
    assert bound.is_valid(), bound.errors
    assert bound.key_notes
    assert bound.save().signing_key.certificate == CERTIFICATE


def test_a_private_key_is_proved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    proofs: list[bytes] = []
    take = keys.take
    monkeypatch.setattr(
        keys, "take", lambda data, passphrase=None: (proofs.append(data), take(data, passphrase))[1]
    )
    form(private_key=pem(KEY), certificate=CERTIFICATE).save()
    bound = NewSigningKeyForm({"name": "other", "private_key": pem(OTHER_KEY)})
    bound.save()
    assert len(proofs) == 2


def test_known_key_pair_that_cannot_be_opened_is_taken_again(settings: Any) -> None:
    stored = keystore.take_in(pem(KEY).encode(), name="shared")
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"ENCRYPTION_KEYS": [crypto.new_key()]}
    bound = NewSigningKeyForm({"name": "again", "private_key": pem(KEY)})
    assert bound.is_valid(), bound.errors
    assert bound.save() == stored
    assert SigningKey.objects.get().can_sign


def test_random_strings_get_errors_of_the_form_and_nothing_else() -> None:
    for data in random_strings(300, seed=7):
        upload = {"private_key_file": SimpleUploadedFile("server.key", data)}
        pasted = {
            "name": "x",
            "private_key": data.decode("latin-1"),
            "passphrase": "ü",
            "certificate": data.decode("latin-1"),
        }
        for bound in (
            NewSigningKeyForm({"name": "x", "passphrase": "ü"}, upload),
            NewSigningKeyForm(pasted),
        ):
            bound.is_valid()
            assert "-----BEGIN" not in str(bound.errors)
