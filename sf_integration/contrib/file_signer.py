"""Signing keys in a folder and never in the database, nor in its back-ups: the example of a signer, and of use as it is.

    SF_INTEGRATION = {
        "SIGNERS": {
            "folder": {"BACKEND": "sf_integration.contrib.file_signer.FileSigner", "OPTIONS": {"folder": "/etc/acme/keys"}}
        }
    }

A key is known by its file's name, as acme.pem: PEM without a passphrase, readable by its owner only.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from .. import ActionNeeded


class FileSigner:
    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._loaded: dict[str, tuple[int, RSAPrivateKey]] = {}
        """By file name, with the time of the file's last change in nanoseconds."""

    def sign(self, reference: str, message: bytes) -> bytes:
        """Raises ActionNeeded for a file that is not there, or not as it has to be."""
        return self._key(reference).sign(message, PKCS1v15(), hashes.SHA256())

    def _key(self, name: str) -> RSAPrivateKey:
        if not name or name != Path(name).name or name.startswith(".") or not name.isprintable():
            raise _unusable(f"“{name}” is no name of a file in the signer's folder.")
        path = self._folder / name
        if not path.is_file():  # a pipe would be waited for
            raise _unusable(f"There is no file {name} in the signer's folder.")
        try:
            with path.open("rb") as file:
                about = os.fstat(file.fileno())
                if about.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                    raise _unusable(f"The file {name} is open to others than its owner: chmod 600.")
                changed, key = self._loaded.get(name, (0, None))
                if key is None or changed != about.st_mtime_ns:
                    key = _load(file, name)
                    self._loaded[name] = about.st_mtime_ns, key
        except OSError as exc:
            raise _unusable(f"The file {name} can't be read: {exc.strerror}.") from exc
        return key


def _load(file: BinaryIO, name: str) -> RSAPrivateKey:
    # The content gets no name: variables of a traceback are shown to people.
    try:
        key = load_pem_private_key(file.read(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _unusable(f"The file {name} holds no private key as PEM without a passphrase.") from None
    if not isinstance(key, RSAPrivateKey):
        raise _unusable(f"The file {name} holds a key that is not RSA.")
    return key


def _unusable(cause: str) -> ActionNeeded:
    return ActionNeeded(
        cause, remedy="Mend it on every host.", who="whoever runs this site", code="signer_refused"
    )
