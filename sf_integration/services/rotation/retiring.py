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
    # Who leaves a key by hand leaves no trace: so its time begins when it was last seen to be needed.
    SigningKey.objects.filter(_needed(), replaced_at__lt=now).update(replaced_at=now)
    lapsed = ConnectedApp.objects.filter(previous_signing_key__isnull=False)
    lapsed.filter(promoted_at__lte=now - UNDO_FOR).update(previous_signing_key=None)
    return sum(_retire(key_id, now) for key_id in _left(now).values_list("pk", flat=True))


def _needed() -> Q:
    """Keys that a connection or a draft uses or stages."""
    this = OuterRef("pk")
    used = ConnectedApp.objects.filter(Q(signing_key=this) | Q(staged_signing_key=this))
    return Q(Exists(used)) | Q(Exists(ConnectionDraft.objects.filter(signing_key=this)))


def _left(now: dt.datetime) -> QuerySet[SigningKey]:
    """Keys replaced long ago that nobody needs or could go back to."""
    back = ConnectedApp.objects.filter(previous_signing_key=OuterRef("pk"))
    return SigningKey.objects.filter(
        ~_needed(), ~Exists(back), replaced_at__lte=now - UNDO_FOR, private_key__isnull=False
    )


def _retire(key_id: UUID, now: dt.datetime) -> bool:
    """Looks once more with the row held: whoever stages it has to hold it too."""
    with transaction.atomic():
        key = SigningKey.objects.select_for_update().filter(pk=key_id).first()
        if key is None or not _left(now).filter(pk=key_id).exists():
            return False
        SigningKey.objects.filter(pk=key_id).update(private_key=None, retired_at=now)
        audit.record("retired signing key", key, actor=BY_ITSELF)
    log.info("signing key %s: retired, nothing uses it any more", key.name)
    return True
