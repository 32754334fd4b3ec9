"""What the databases hold and the settings lack; run where databases are asked for, as by `check --database default`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core import checks
from django.db import DatabaseError, transaction

from ..models import missing_signers
from ..sealed_columns import missing_keys


@checks.register("sf_integration", "database")
def check_stored_key_ids(databases: Sequence[str] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """Runs where databases are asked for: `check --database default`, and `migrate` before it begins."""
    return [
        checks.Warning(
            f"Encryption key missing (id {key_id}): it sealed {what} in the database “{alias}”, and is not configured here.",
            hint="Add it to SF_ENCRYPTION_KEYS, behind the others. If it is lost, give these signing keys again; tokens are renewed "
            "by themselves. All that other keys sealed goes on.",
            id="sf_integration.W003",
        )
        for alias in databases or ()
        for key_id, what in _missing_keys(alias).items()
    ]


@checks.register("sf_integration", "database")
def check_stored_signers(databases: Sequence[str] | None = None, **_: Any) -> list[checks.CheckMessage]:
    return [
        checks.Warning(
            f"The signer “{signer}” is not configured here; it holds signing keys that the database “{alias}” knows of.",
            hint='Name it in SF_INTEGRATION["SIGNERS"], or choose other signing keys for their connections.',
            id="sf_integration.W004",
        )
        for alias in databases or ()
        for signer in _unknown_signers(alias)
    ]


def _unknown_signers(alias: str) -> list[str]:
    """As `_missing_keys`."""
    try:
        with transaction.atomic(using=alias):
            return missing_signers(alias)
    except DatabaseError:
        return []


def _missing_keys(alias: str) -> dict[str, str]:
    """Empty when the tables aren't there yet, or can't be asked: others tell of that."""
    try:
        with transaction.atomic(using=alias):
            return missing_keys([alias])
    except DatabaseError:
        return {}
