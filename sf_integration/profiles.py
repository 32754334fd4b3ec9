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

_NEEDED = ("login_url", "consumer_key", "username")
_WORDS = {"login_url": "login URL", "consumer_key": "consumer key", "signing_key": "private key"}


@dataclass(frozen=True)
class KeyMaterial:
    """A signing key as it lies in a file."""

    data: bytes = field(repr=False)
    passphrase: str | None = field(default=None, repr=False)
    certificate: bytes | None = None


@dataclass(frozen=True)
class Saved:
    connection: ConnectedApp
    outcome: Literal["created", "changed", "same"]
    changed: tuple[str, ...]
    """Names of the fields that are new or other than before, `certificate` among them."""


class Incomplete(InvalidInput):
    """A new connection lacks something; `missing` names the fields."""

    def __init__(self, name: str, missing: tuple[str, ...]) -> None:
        super().__init__(
            f"“{name}” would be a new connection, and its {', '.join(word(part) for part in missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing."
        )
        self.missing = missing


@transaction.atomic
def save(
    name: str,
    values: Mapping[str, Any],
    *,
    actor: Any,
    key: KeyMaterial | SigningKey | None = None,
    certificate: bytes | None = None,
) -> Saved:
    """Make the connection `name`, or change what `values` (by field of ConnectedApp) say otherwise.

    Without a `key` the present one stays; `certificate` is then that of the present key. Calls nobody.
    Raises InvalidInput, InvalidPrivateKey, NotAllowedHere, EncryptionKeyMissing or AccessDenied, and then nothing is
    changed at all.
    """
    connection = ConnectedApp.objects.select_related("signing_key").filter(name=name).first()
    access.require(actor, access.Act.MANAGE_KEYS, connection)
    is_new = connection is None
    if connection is None:
        connection = ConnectedApp(name=name)
        _require_complete(name, values, key)
    before = _facts(connection)
    for field_name, value in values.items():
        setattr(connection, field_name, _required(field_name, value) if field_name in _NEEDED else value)
    if "login_url" in values:
        # Before the field's own validation, which knows whole URLs only.
        connection.login_url = hosts.normal_login_url(connection.login_url)
        hosts.require_allowed(connection.login_url)
    _set_key(connection, name, key, certificate)
    _validate(connection)
    after = _facts(connection)
    changed = tuple(fact for fact in after if after[fact] != before.get(fact))
    if is_new:
        connection.save(force_insert=True)
    elif changed:
        connection.save(update_fields=[fact for fact in changed if fact != "certificate"])
    if changed:
        audit.record("created" if is_new else "changed", connection, actor=actor, fields=map(_shown, changed))
    outcome: Literal["created", "changed", "same"] = "created" if is_new else "changed" if changed else "same"
    return Saved(connection, outcome, tuple(_shown(fact) for fact in changed if fact not in _WORKED_OUT))


def word(field_name: str) -> str:
    """What people call a field."""
    return _WORDS.get(field_name, field_name.replace("_", " "))


_WORKED_OUT = ("environment", "environment_for")


def _facts(connection: ConnectedApp) -> dict[str, Any]:
    """All that is set by people or worked out from it, by attribute; nothing for a connection that is not there yet."""
    if connection._state.adding and not connection.signing_key_id:
        return {}
    names = [
        field.attname
        for field in connection._meta.concrete_fields
        if not field.primary_key and (field.editable or field.name in _WORKED_OUT)
    ]
    facts = {name: getattr(connection, name) for name in names}
    return facts | {"certificate": connection.signing_key.certificate_fingerprint}
