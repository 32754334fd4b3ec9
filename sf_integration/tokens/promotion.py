"""The staged signing key of a connection: it serves when the org no longer takes the present one, and then takes its place.

An app in Salesforce knows one certificate at a time, and nobody tells us when the org's admin uploads the next one. So the
sign-in that is refused for its signature tries the staged key at once, and its caller never learns of the change.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from django.db import DatabaseError, transaction
from django.utils import timezone

from .. import audit
from ..conf import settings
from ..models import AccessToken, ConnectedApp, SigningKey
from ..salesforce.errors import SalesforceError
from ..salesforce.signin import Outcome, SpareKey
from ..signals import send, signing_key_promoted
from . import rows
from .commits import after_commit
from .process import Process

log = logging.getLogger("sf_integration.tokens")

BY_ITSELF = "sign-in"
"""Who promoted a key, in the audit trail, when no person did."""

NOT_KNOWN = "not_known"
UNDONE = "undone"
"""Codes of a trial: the org does not know the certificate of the staged key; a person went back to the key before."""

_KEYS = {"signing_key", "staged_signing_key", "previous_signing_key"}
_FIELDS = (*_KEYS, "staged_at", "staged_trial", "promoted_at", "settings_since")


def spare(process: Process, connection: ConnectedApp) -> SpareKey | None:
    """What a sign-in may fall back on. A key that doesn't open is none: the present one must not suffer for it."""
    found = connection.spare_signing_key(timezone.now())
    if found is None:
        return None
    try:
        return SpareKey(process.private_key(found), found.fingerprint)
    except (SalesforceError, ValueError) as exc:
        log.warning(
            "connection %s: its signing key %s can't be used in reserve: %s",
            connection.name,
            found.name,
            type(exc).__name__,
        )
        return None


def note(results: Iterable[tuple[AccessToken, Outcome, SalesforceError | None]]) -> None:
    """Promote what signed in in reserve, before the tokens are written: they are issued for the promoted key then.

    Each in a short transaction of its own, so that no two sweeps can wait for each other. A database that refuses costs
    nobody the token: it is as good under the settings as they were.
    """
    for row, outcome, error in results:
        connection = row.connection
        if error is not None or outcome.key_fingerprint in ("", connection.signing_key.fingerprint):
            continue
        try:
            accept(connection, outcome.key_fingerprint, actor=BY_ITSELF)
        except DatabaseError:
            log.warning("connection %s: its staged signing key could not be promoted yet", connection.name)


def accept(connection: ConnectedApp, fingerprint: str, *, actor: Any) -> None:
    """The org took the key of this fingerprint, which is not the present one: promote it, or note that a person may.

    With the setting off its token is used all the same: the setting says who changes settings, not whether calls fail.
    """
    staged = connection.staged_signing_key if connection.next_signing_key_id else None
    if staged is None or staged.fingerprint != fingerprint:
        if not adopt(connection, fingerprint):
            log.warning("connection %s: the org took the signing key before the present one", connection.name)
    elif settings.PROMOTE_STAGED_KEYS:
        promote(connection, actor=actor)
    elif not has_accepted(connection):
        note_trial(connection, accepted=True)


def has_accepted(connection: ConnectedApp) -> bool:
    """Whether the org took the staged signing key when it was tried last."""
    return bool((trial_of(connection) or {}).get("accepted"))


def trial_of(connection: ConnectedApp) -> dict[str, Any] | None:
    """What came of the last sign-in with the staged signing key; None when that one was not tried yet."""
    staged, trial = connection.staged_signing_key, connection.staged_trial
    return trial if staged and trial and trial.get("fingerprint") == staged.fingerprint else None


def trial_facts(
    staged: SigningKey, *, accepted: bool = False, code: str = "", words: str = ""
) -> dict[str, Any]:
    """As they are stored. `code`: NOT_KNOWN, UNDONE, or that of another trouble, which `words` tell."""
    at = timezone.now().isoformat()
    return {
        "fingerprint": staged.fingerprint,
        "at": at,
        "accepted": accepted,
        "code": code,
        "words": words,
    }


def note_trial(connection: ConnectedApp, *, accepted: bool = False, code: str = "", words: str = "") -> None:
    """Store what came of a sign-in with the staged signing key, if it still is the staged one."""
    staged = connection.staged_signing_key
    if staged is None:
        return
    connection.staged_trial = trial_facts(staged, accepted=accepted, code=code, words=words)
    same = ConnectedApp.objects.filter(pk=connection.pk, staged_signing_key=staged)
    same.update(staged_trial=connection.staged_trial)


def promote(connection: ConnectedApp, *, actor: Any) -> bool:
    """Put the staged signing key in the place of the present one; of several who do this at once, one does.

    False when it was done by somebody else, or both keys are not what they were. Living tokens go on.
    """
    old, new = connection.signing_key, connection.staged_signing_key
    if new is None:
        return False
    now = timezone.now()
    changes: dict[str, Any] = {
        "signing_key": new,
        "staged_signing_key": None,
        "staged_at": None,
        "staged_trial": None,
        "previous_signing_key": old,
        "promoted_at": now,
        "settings_since": now,
    }
    if not exchange(connection, changes, act="promoted signing key", actor=actor):
        adopt(connection, new.fingerprint)
        return False
    SigningKey.objects.filter(pk=old.pk, replaced_at__isnull=True).update(replaced_at=now)
    rows.carry_over(connection, old, new)
    after_commit(_tell, connection, old, new)
    return True


def exchange(connection: ConnectedApp, changes: dict[str, Any], *, act: str, actor: Any) -> bool:
    """Write these, audited as `act`, if app and signing keys are still those of `connection`, which then has them too."""
    with transaction.atomic():
        same = ConnectedApp.objects.filter(
            pk=connection.pk,
            login_url=connection.login_url,
            consumer_key=connection.consumer_key,
            signing_key=connection.signing_key_id,
            staged_signing_key=connection.staged_signing_key_id,
            previous_signing_key=connection.previous_signing_key_id,
        )
        if not same.update(**changes):
            return False
        audit.record(act, connection, actor=actor, fields=sorted(changes.keys() & _KEYS))
    for name, value in changes.items():
        setattr(connection, name, value)
    return True


def adopt(connection: ConnectedApp, fingerprint: str) -> bool:
    """Take over what somebody else has stored meanwhile, if that made the signing key of this fingerprint the present one."""
    now = ConnectedApp.objects.select_related("signing_key").filter(pk=connection.pk).first()
    if now is None or now.signing_key.fingerprint != fingerprint:
        return False
    for name in _FIELDS:
        setattr(connection, name, getattr(now, name))
    return True


def follow(connection: ConnectedApp) -> None:
    """As `adopt`, after a sign-in that another instance of this connection made; asks only where one may have promoted."""
    if connection.next_signing_key_id and connection.staged_signing_key:
        adopt(connection, connection.staged_signing_key.fingerprint)


def _tell(connection: ConnectedApp, old: SigningKey, new: SigningKey) -> None:
    log.info("signing key promoted connection=%s from=%s to=%s", connection.name, old.name, new.name)
    send(signing_key_promoted, ConnectedApp, connection=connection, previous=old, signing_key=new)
