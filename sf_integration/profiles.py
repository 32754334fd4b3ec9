"""Connections made and updated from plain values, as the command line does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import transaction

from . import access, audit, hosts, keystore
from .models import ConnectedApp, SigningKey
from .salesforce.errors import InvalidInput

REQUIRED = ("login_url", "consumer_key", "username", "signing_key")


@dataclass(frozen=True)
class KeyMaterial:
    """A signing key as it lies in a file, PEM or DER."""

    data: bytes = field(repr=False)
    passphrase: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Saved:
    connection: ConnectedApp
    outcome: Literal["created", "changed", "same"]
    changed: tuple[str, ...]
    """Names of the fields that are new or other than before; `certificate` is the signing key's."""


class Incomplete(InvalidInput):
    """A new connection lacks something; `missing` names the fields."""

    def __init__(self, name: str, missing: tuple[str, ...]) -> None:
        verb = "is" if len(missing) == 1 else "are"
        super().__init__(
            f"There is no connection “{name}” yet, and to make it {listed(map(word, missing))} {verb} missing."
        )
        self.missing = missing


@transaction.atomic
def save(
    name: str,
    values: Mapping[str, str],
    *,
    actor: Any,
    key: KeyMaterial | SigningKey | None = None,
    certificate: bytes | None = None,
) -> Saved:
    """Make the connection `name`, or set those of its fields that `values` names. Nobody is called.

    Without a `key` the present one stays. Raises InvalidInput, InvalidPrivateKey, NotAllowedHere, EncryptionKeyMissing
    or AccessDenied, and then nothing at all is changed.
    """
    found = ConnectedApp.objects.select_related("signing_key").filter(name=name).first()
    access.require(actor, access.Act.MANAGE_KEYS, found)
    if found is None:
        _require_complete(name, values, key)
    connection = found or ConnectedApp(name=name)
    before = _snapshot(connection, values) if found else {}
    _set_values(connection, values)
    if isinstance(key, SigningKey):
        # One given as a file is its holder's to use; one chosen has to be in sight.
        access.require_key(actor, key)
    _set_signing_key(connection, key, certificate)
    _validate(connection)
    after = _snapshot(connection, values)
    changed = tuple(sorted(fact for fact, value in after.items() if value != before.get(fact, "")))
    if found is None:
        connection.save(force_insert=True)
    elif changed:
        columns = {"environment", "environment_for", *changed} - {"certificate"}
        connection.save(update_fields=columns)
    if changed:
        audit.record("changed" if found else "created", connection, actor=actor, fields=changed)
    return Saved(connection, "created" if found is None else "changed" if changed else "same", changed)


def word(field_name: str) -> str:
    """What people call a field."""
    return {"login_url": "login URL", "signing_key": "signing key"}.get(
        field_name, field_name.replace("_", " ")
    )


def listed(words: Any) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else str(last)


def _require_complete(name: str, values: Mapping[str, str], key: object) -> None:
    given = {*values, "signing_key"} if key else {*values}
    missing = tuple(field_name for field_name in REQUIRED if field_name not in given)
    if missing:
        raise Incomplete(name, missing)


def _snapshot(connection: ConnectedApp, names: Mapping[str, str]) -> dict[str, object]:
    return {name: getattr(connection, name) for name in names} | {
        "signing_key": connection.signing_key_id,
        "certificate": connection.signing_key.certificate_fingerprint,
    }


def _set_values(connection: ConnectedApp, values: Mapping[str, str]) -> None:
    for name, value in values.items():
        if name in REQUIRED and not value.strip():
            raise InvalidInput(f"The {word(name)} is empty: fill it in.")
        setattr(connection, name, value)
    if "login_url" in values:
        # Before the field's own validation, which takes whole URLs only.
        connection.login_url = hosts.normal_login_url(values["login_url"])
        hosts.require_allowed(connection.login_url)


def _set_signing_key(
    connection: ConnectedApp, key: KeyMaterial | SigningKey | None, certificate: bytes | None
) -> None:
    if isinstance(key, KeyMaterial):
        connection.signing_key = keystore.take_in(
            key.data, name=connection.name, passphrase=key.passphrase, certificate=certificate
        )
        return
    if key is not None:
        connection.signing_key = key
    if certificate is not None:
        keystore.add_certificate(connection.signing_key, certificate)


def _validate(connection: ConnectedApp) -> None:
    try:
        connection.full_clean()
    except ValidationError as exc:
        raise InvalidInput(_sentence(exc)) from exc


def _sentence(error: ValidationError) -> str:
    told = []
    for name, messages in error.message_dict.items():
        text = " ".join(messages)
        told.append(text if name == NON_FIELD_ERRORS else f"{word(name)}: {text}")
    return " ".join(told)
