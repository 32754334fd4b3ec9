"""Connections made and updated from plain values: those of the command line, a file of many, the set-up guide."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import IntegrityError, transaction

from .. import access, audit, hosts, keystore
from ..keystore import ProvedKey
from ..models import ConnectedApp, SigningKey
from ..salesforce.errors import InvalidInput
from ..salesforce.secret import hidden

Outcome = Literal["created", "changed", "same"]
REQUIRED = ("login_url", "consumer_key", "username", "signing_key")
FIELDS = (
    "label",
    "login_url",
    "audience",
    "app_kind",
    "consumer_key",
    "username",
    "session_minutes",
    "api_version",
    "sample_sobject",
    "sample_fields",
    "extra_usernames",
    "expected_org_id",
    "tags",
    "our_contacts",
    "org_contacts",
    "enabled",
    "notes",
)
"""What `save` can set; the signing key and its certificate come by themselves."""


@dataclass(frozen=True)
class KeyMaterial:
    """A signing key as it lies in a file, PEM or DER."""

    data: bytes = field(repr=False)
    passphrase: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("data", "passphrase"):
            object.__setattr__(self, name, hidden(getattr(self, name)))


@dataclass(frozen=True)
class Saved:
    connection: ConnectedApp
    outcome: Outcome
    changed: tuple[str, ...]
    """Names of the fields that are new or other than before; `certificate` is the signing key's."""
    note: str = ""
    """What was made of the login URL, when it was the address of a page."""


class Refused(InvalidInput):
    """A connection can't be as it was asked for; `problems` says why, by field. NON_FIELD_ERRORS stands for all of it."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        told = [
            text if name == NON_FIELD_ERRORS else f"{word(name)}: {text}" for name, text in problems.items()
        ]
        super().__init__(" ".join(told))
        self.problems = dict(problems)


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
    values: Mapping[str, object],
    *,
    actor: Any,
    key: KeyMaterial | ProvedKey | SigningKey | None = None,
    certificate: bytes | None = None,
    must_be_new: bool = False,
    may_use_key: bool = False,
) -> Saved:
    """Make the connection `name`, or set those of its FIELDS that `values` names, each of its field's type. Nobody is called.

    Without a `key` the present one stays. `must_be_new` refuses to touch one that is there. `may_use_key`: that a stored
    key may be used was settled when it was given or chosen.

    Raises InvalidInput (mostly Refused), InvalidPrivateKey, NotAllowedHere, EncryptionKeyMissing or AccessDenied, and then
    nothing at all is changed.
    """
    if not set(values) <= set(FIELDS):
        raise TypeError(f"not to be set here: {sorted(set(values) - set(FIELDS))}")
    found = _stored(name, must_be_new=must_be_new)
    access.require(actor, access.Deed.CHANGE, found)
    if found is None:
        _require_complete(name, values, key)
    connection = found or ConnectedApp(name=name)
    before = _snapshot(connection, values) if found else {}
    note = _set_values(connection, values)
    if isinstance(key, SigningKey) and key.pk != connection.signing_key_id and not may_use_key:
        # One given as a file is its holder's to use; one chosen has to be in sight.
        access.require_key(actor, key)
    with _race_told():
        _set_signing_key(connection, key, certificate, actor)
    if found and _snapshot(connection, values) == before:
        return Saved(connection, "same", (), note)
    _validate(connection)
    after = _snapshot(connection, values)
    changed = tuple(sorted(fact for fact, value in after.items() if value != before.get(fact, "")))
    if not changed:
        return Saved(connection, "same", (), note)
    _write(connection, changed, is_new=found is None)
    outcome: Outcome = "changed" if found else "created"
    audit.record(outcome, connection, actor=actor, fields=changed)
    return Saved(connection, outcome, changed, note)


def word(field_name: str) -> str:
    """What people call a field."""
    return {"login_url": "login URL", "signing_key": "signing key"}.get(
        field_name, field_name.replace("_", " ")
    )


def listed(words: Any) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else str(last)


def _stored(name: str, *, must_be_new: bool) -> ConnectedApp | None:
    found = ConnectedApp.objects.select_related("signing_key").filter(name=name).first()
    if found and must_be_new:
        raise InvalidInput(f"There is a connection “{name}” already: choose another name.")
    return found


@contextmanager
def _race_told() -> Iterator[None]:
    """Who makes the same at the same time meets the other at the name of its signing key, which is stored first, or at its own."""
    try:
        yield
    except IntegrityError as exc:
        raise Refused({"name": "Somebody else has just made one of this name: try once more."}) from exc


def _write(connection: ConnectedApp, changed: Collection[str], *, is_new: bool) -> None:
    if is_new:
        with _race_told():
            connection.save(force_insert=True)
        return
    columns = {"environment", "environment_for", *changed, *connection.note_edit(changed)}
    connection.save(update_fields=columns - {"certificate"})


def _require_complete(name: str, values: Mapping[str, object], key: object) -> None:
    given = {*values, "signing_key"} if key else {*values}
    missing = tuple(field_name for field_name in REQUIRED if field_name not in given)
    if missing:
        raise Incomplete(name, missing)


def _snapshot(connection: ConnectedApp, names: Mapping[str, object]) -> dict[str, object]:
    return {name: getattr(connection, name) for name in names} | {
        "signing_key": connection.signing_key_id,
        "certificate": connection.signing_key.certificate_fingerprint,
    }


def _set_values(connection: ConnectedApp, values: Mapping[str, object]) -> str:
    """Gives what was made of the login URL, when it was the address of a page."""
    before = connection.login_url
    for name in REQUIRED:
        if name in values and not str(values[name]).strip():
            raise Refused({NON_FIELD_ERRORS: f"The {word(name)} is empty: fill it in."})
    for name, value in values.items():
        setattr(connection, name, value)
    if "login_url" not in values:
        return ""
    connection.login_url, note = _login_url(before, str(values["login_url"]))
    return note


def _login_url(stored: str, given: str) -> tuple[str, str]:
    """Before the field's own validation, which takes whole URLs only. The one `stored` already is not judged again."""
    try:
        if hosts.normal_login_url(given) == stored:
            return stored, ""
        address = hosts.read_login_url(given)
    except InvalidInput as exc:
        raise Refused({"login_url": str(exc)}) from exc
    return address.login_url, address.note


def _set_signing_key(
    connection: ConnectedApp,
    key: KeyMaterial | ProvedKey | SigningKey | None,
    certificate: bytes | None,
    actor: Any,
) -> None:
    if isinstance(key, ProvedKey):
        connection.signing_key = keystore.store(key, name=connection.name)
        return
    if isinstance(key, KeyMaterial):
        connection.signing_key = keystore.take_in(
            key.data, name=connection.name, passphrase=key.passphrase, certificate=certificate
        )
        return
    if key is not None:
        connection.signing_key = key
    if certificate is not None:
        visible = access.visible_keys(actor)
        keystore.add_certificate(connection.signing_key, certificate, visible=visible)


def _validate(connection: ConnectedApp) -> None:
    try:
        connection.full_clean()
    except ValidationError as exc:
        problems = {name: " ".join(messages) for name, messages in exc.message_dict.items()}
        raise Refused(problems) from exc
