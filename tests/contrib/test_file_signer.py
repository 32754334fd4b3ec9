from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from sf_integration import ActionNeeded, get_token, keystore
from sf_integration.contrib.file_signer import FileSigner
from sf_integration.models import SigningKey
from sf_integration.salesforce import keys
from sf_integration.testing.django import ConnectableOrg

from ..salesforce.conftest import app_key


def write(
    file: Path,
    key: RSAPrivateKey | ec.EllipticCurvePrivateKey,
    *,
    mode: int = 0o600,
    encryption: KeySerializationEncryption | None = None,
) -> None:
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()))
    file.chmod(mode)


def signed_by(key: RSAPrivateKey, signature: bytes) -> bool:
    key.public_key().verify(signature, b"message", padding.PKCS1v15(), hashes.SHA256())
    return True


def test_file_signs_until_it_is_another(tmp_path: Path) -> None:
    signer, file = FileSigner(tmp_path), tmp_path / "acme.pem"
    write(file, app_key())
    assert signed_by(app_key(), signer.sign("acme.pem", b"message"))
    file.write_text("nothing that is read")
    os.utime(file, ns=(0, signer._loaded["acme.pem"][0]))
    assert signed_by(app_key(), signer.sign("acme.pem", b"message"))
    other = keys.make_key()
    write(file, other)
    os.utime(file, ns=(0, 1))
    assert signed_by(other, signer.sign("acme.pem", b"message"))


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../acme.pem",
        "/etc/acme.pem",
        "keys/acme.pem",
        ".hidden.pem",
        "acme.pem\x00",
        "acme.pem/",
    ],
)
def test_only_names_of_files_in_the_folder_are_known(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    for file in (tmp_path / "acme.pem", folder / "acme.pem", folder / ".hidden.pem"):
        write(file, app_key())
    with pytest.raises(ActionNeeded, match="is no name of a file"):
        FileSigner(folder).sign(name, b"message")


def test_what_is_wrong_with_a_file_is_told(tmp_path: Path) -> None:
    write(tmp_path / "open.pem", app_key(), mode=0o640)
    write(tmp_path / "locked.pem", app_key(), encryption=BestAvailableEncryption(b"planted"))
    write(tmp_path / "elliptic.pem", ec.generate_private_key(ec.SECP256R1()))
    (tmp_path / "empty.pem").touch(mode=0o600)
    signer, told = FileSigner(tmp_path), {}
    for name in ("open", "locked", "elliptic", "empty", "missing"):
        with pytest.raises(ActionNeeded) as caught:
            signer.sign(f"{name}.pem", b"message")
        told[name] = caught.value.cause
        assert caught.value.code == "signer_refused"
    assert told == {
        "open": "The file open.pem is open to others than its owner: chmod 600.",
        "locked": "The file locked.pem holds no private key as PEM without a passphrase.",
        "elliptic": "The file elliptic.pem holds a key that is not RSA.",
        "empty": "The file empty.pem holds no private key as PEM without a passphrase.",
        "missing": "There is no file missing.pem in the signer's folder.",
    }


def test_permissions_are_looked_at_each_time(tmp_path: Path) -> None:
    signer, file = FileSigner(tmp_path), tmp_path / "acme.pem"
    write(file, app_key())
    signer.sign("acme.pem", b"message")
    file.chmod(0o644)
    with pytest.raises(ActionNeeded, match="chmod 600"):
        signer.sign("acme.pem", b"message")


@pytest.mark.django_db(transaction=True)
def test_connection_signs_in_with_a_key_in_a_folder(
    salesforce_org: ConnectableOrg, settings, tmp_path
) -> None:
    file = tmp_path / "acme.pem"
    file.touch(mode=0o600)
    file.write_text(str(salesforce_org.app.private_key_pem))
    backend = "sf_integration.contrib.file_signer.FileSigner"
    settings.SF_INTEGRATION["SIGNERS"] = {
        "folder": {"BACKEND": backend, "OPTIONS": {"folder": str(tmp_path)}}
    }
    proved = keystore.prove_outside(
        signer="folder", reference="acme.pem", certificate=salesforce_org.app.certificate_pem.encode()
    )
    salesforce_org.connect("acme", signing_key=keystore.store_outside(proved, name="acme"))
    assert salesforce_org.find_session(get_token("acme").value)
    assert not SigningKey.objects.filter(private_key__isnull=False).exists()
