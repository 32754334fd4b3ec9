"""Signing keys that every connection has left: their private keys are erased once no promotion can be undone any more."""

from __future__ import annotations

import datetime as dt
import logging
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from ... import audit
from ...models import UNDO_FOR, ConnectedApp, ConnectionDraft, SigningKey

log = logging.getLogger("sf_integration.services.rotation")

BY_ITSELF = "housekeeping"


def retire_unused(now: dt.datetime | None = None) -> int:
    """Erase the private keys that were replaced and serve nobody; how many. The rows stay, with certificate and dates."""
    now = now or timezone.now()
    lapsed = ConnectedApp.objects.filter(previous_signing_key__isnull=False)
    lapsed.filter(promoted_at__lte=now - UNDO_FOR).update(previous_signing_key=None)
    left = _left().filter(replaced_at__lte=now - UNDO_FOR, private_key__isnull=False)
    return sum(_retire(key_id, now) for key_id in left.values_list("pk", flat=True))


def _left() -> QuerySet[SigningKey]:
    """Keys that no connection and no draft uses, stages or could go back to."""
    this = OuterRef("pk")
    used = Q(signing_key=this) | Q(staged_signing_key=this) | Q(previous_signing_key=this)
    return SigningKey.objects.filter(
        ~Exists(ConnectedApp.objects.filter(used)), ~Exists(ConnectionDraft.objects.filter(signing_key=this))
    )


def _retire(key_id: UUID, now: dt.datetime) -> bool:
    """Looks once more with the row held: whoever stages it has to hold it too."""
    with transaction.atomic():
        key = SigningKey.objects.select_for_update().filter(pk=key_id).first()
        if key is None or not _left().filter(pk=key_id).exists():
            return False
        SigningKey.objects.filter(pk=key_id).update(private_key=None, retired_at=now)
        audit.record("retired signing key", key, actor=BY_ITSELF)
    log.info("signing key %s: retired, nothing uses it any more", key.name)
    return True
