"""The column that holds a sealed secret.

A plain Django field can't: it never sees its row, and `update()` skips `pre_save`. So the column's Python value is a frozen
`Sealed` that knows where it belongs, made by `seal` and opened by its own `open()`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Case, Value, When
from django.db.models.expressions import Col
from django.db.models.functions import Cast

from . import crypto
from .conf import settings
from .salesforce.errors import EncryptionKeyMissing
from .salesforce.secret import SecretBytes


@dataclass(frozen=True)
class Sealed:
    ciphertext: str = field(repr=False)
    """The stored form, of no use without the encryption key."""
    key_id: str
    context: str = ""
    """Model, field and row that it was sealed for; set when it is read from a row."""
    was_stored: bool = field(default=False, repr=False, compare=False)
    """Read from a row: then it may be written back as it is, however damaged."""

    def open(self) -> SecretBytes:
        """The secret. Raises EncryptionKeyMissing, with code `secret_damaged` for a value that does not belong to this row."""
        try:
            return SecretBytes(keyring().open(self.ciphertext, self.context))
        except crypto.UnknownKey as exc:
            raise _missing(exc.key_id) from exc
        except crypto.Tampered as exc:
            raise _damaged() from exc


def seal(model: type[models.Model], field_name: str, row_id: UUID, secret: bytes) -> Sealed:
    """Seal a secret for one column of one row. Raises EncryptionKeyMissing when no key is configured."""
    secret = SecretBytes(secret)
    context = _context(model, field_name, row_id)
    require_key()
    stored = keyring().seal(secret, context)
    return Sealed(stored, crypto.key_id_of(stored), context)


def require_key() -> str:
    """The id of the encryption key that seals. Raises EncryptionKeyMissing when none is configured."""
    if not keyring().keys:
        raise EncryptionKeyMissing(
            "The encryption key that is configured is malformed, so no secret can be stored."
            if settings.ENCRYPTION_KEYS
            else "No encryption key is configured, so no secret can be stored.",
            remedy="Set SF_ENCRYPTION_KEYS to a base64url key of 32 bytes.",
            who="whoever runs this site",
        )
    return keyring().key_ids[0]


def keyring() -> crypto.Keyring:
    """The configured encryption keys. A malformed key counts as none: nothing can be stored or opened with it."""
    return _keyring(settings.ENCRYPTION_KEYS)


@lru_cache(maxsize=4)
def _keyring(keys: Sequence[str]) -> crypto.Keyring:
    try:
        return crypto.Keyring.from_text(keys)
    except crypto.MalformedKey:
        return crypto.Keyring(())


if TYPE_CHECKING:
    _TextField = models.TextField[Any, Any]
else:
    _TextField = models.TextField


class SealedField(_TextField):
    """Holds a `Sealed` or None. Lists and forms never open it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["editable"] = False
        super().__init__(*args, **kwargs)

    def contribute_to_class(self, cls: type[models.Model], name: str, private_only: bool = False) -> None:
        super().contribute_to_class(cls, name, private_only)
        if not cls._meta.abstract:
            setattr(cls, name, _BoundAttribute(self, name))

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Sealed | None:
        if not value:
            return None
        try:
            return Sealed(value, crypto.key_id_of(value), was_stored=True)
        except crypto.Tampered:
            # One unreadable row must not take a whole list down; it fails when it is opened.
            return Sealed(value, "", was_stored=True)

    def to_python(self, value: Any) -> Sealed | None:
        """For fixtures: the stored form, as `value_to_string` wrote it."""
        if value is None or isinstance(value, Sealed):
            return value
        if value == "":
            return None
        if not crypto.is_sealed(str(value)):
            raise ValidationError("A secret can be loaded in its sealed form only.")
        return Sealed(value, crypto.key_id_of(value))

    def get_prep_value(self, value: Any) -> str | None:
        if value is None or value == "":
            return None
        if not isinstance(value, Sealed):
            raise _not_sealed(self.name, type(value).__name__)
        if not value.was_stored and not crypto.is_sealed(value.ciphertext):
            raise _not_sealed(self.name, "Sealed made by hand")
        return value.ciphertext

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        """Expressions come here too, on their way into INSERT and UPDATE; Django would write whatever they give."""
        if hasattr(value, "as_sql") and not _gives_sealed(value):
            raise _not_sealed(self.name, type(value).__name__)
        return super().get_db_prep_save(value, connection)

    def value_to_string(self, obj: models.Model) -> str:
        sealed = self.value_from_object(obj)
        return sealed.ciphertext if sealed else ""


@SealedField.register_lookup
class KeyId(models.Transform):
    """`private_key__key_id__in=[...]`: rows by the encryption key that sealed them, without opening any."""

    lookup_name = "key_id"
    output_field = models.CharField()

    def as_sql(self, compiler: Any, connection: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """As `crypto.key_id_of`; empty for what is no sealed value, NULL for nothing."""
        column, params = compiler.compile(self.lhs)
        head, start = len(crypto.HEAD), len(crypto.HEAD) + 1
        point = start + crypto.KEY_ID_LENGTH
        begins = f"SUBSTR({column}, 1, {head}) = '{crypto.HEAD}' AND SUBSTR({column}, {point}, 1) = '.'"
        length = f"CASE WHEN {begins} THEN {crypto.KEY_ID_LENGTH} ELSE 0 END"
        return f"SUBSTR({column}, {start}, {length})", (*params, *params, *params)


class _BoundAttribute(models.query_utils.DeferredAttribute):
    """Tells the value which row it came from; a value sealed for another row keeps its own context and won't open here."""

    def __init__(self, sealed_field: SealedField, name: str) -> None:
        super().__init__(sealed_field)
        self._name = name

    def __get__(self, instance: models.Model | None, cls: type[models.Model] | None = None) -> Any:
        value = super().__get__(instance, cls)
        if instance is None or not isinstance(value, Sealed):
            return value
        context = _context(type(instance), self._name, instance.pk)
        return Sealed(value.ciphertext, value.key_id, context, value.was_stored)

    def __set__(self, instance: models.Model, value: Any) -> None:
        if value is not None and not isinstance(value, Sealed) and value != "":
            raise _not_sealed(self._name, type(value).__name__)
        instance.__dict__[self._name] = value or None


def _context(model: type[models.Model], field_name: str, row_id: UUID) -> str:
    concrete: Any = model._meta.concrete_model
    return f"{concrete._meta.label_lower}.{field_name}.{row_id}"


def _gives_sealed(expression: Any) -> bool:
    """Whether an expression can give nothing but sealed values: those of sealed columns, and those that such a field lets pass."""
    if isinstance(expression, When):
        return _gives_sealed(expression.result)
    if isinstance(expression, (Case, Cast)):
        return all(map(_gives_sealed, expression.get_source_expressions()))
    if isinstance(expression, Value) and expression.value is None:
        return True
    let_pass = isinstance(expression, (Col, Value)) or getattr(expression, "is_bound_by_its_field", False)
    return let_pass and isinstance(expression._output_field_or_none, SealedField)


def _not_sealed(name: str, kind: str) -> TypeError:
    return TypeError(f"{name} takes a Sealed value, never a {kind}: use fields.seal().")


def _missing(key_id: str) -> EncryptionKeyMissing:
    return EncryptionKeyMissing(
        f"This secret was sealed with an encryption key that is not configured here (id {key_id}).",
        remedy="Add that key to SF_ENCRYPTION_KEYS, or replace the signing key.",
        who="whoever runs this site",
    )


def _damaged() -> EncryptionKeyMissing:
    return EncryptionKeyMissing(
        "This stored secret is damaged, or was copied here from another row.",
        remedy="Replace it: import the signing key again.",
        who="whoever runs this site",
        code="secret_damaged",
    )
