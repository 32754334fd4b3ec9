"""Key pairs and their certificates."""

from __future__ import annotations

import datetime as dt

from django.db import models
from django.db.models import Q
from django.utils import timezone

from .. import state
from ..conf import settings
from ..fields import SealedField, keyring
from .base import Base


def _days(number: int) -> str:
    return {0: "less than a day", 1: "1 day"}.get(number, f"{number} days")


def can_sign(prefix: str = "") -> Q:
    """As `SigningKey.can_sign`, in SQL; `prefix` leads to the signing key from other models."""
    opened = Q(**{f"{prefix}private_key__key_id__in": keyring().key_ids})
    return opened | Q(**{f"{prefix}signer__in": list(settings.SIGNERS)})


def missing_signers(alias: str | None = None) -> list[str]:
    """Names of signers that hold signing keys and are not configured here."""
    known = ["", *settings.SIGNERS]
    held = SigningKey.objects.using(alias).exclude(signer__in=known).order_by("signer")
    return list(held.values_list("signer", flat=True).distinct())


class SigningKey(Base):
    """A key pair and its certificate; may serve many connections."""

    class Origin(models.TextChoices):
        MADE = "made", "made here"
        UPLOADED = "uploaded", "uploaded"
        OUTSIDE = "outside", "held outside"

    name = models.CharField(max_length=100, unique=True)
    private_key = SealedField(null=True)
    certificate = models.TextField(blank=True, help_text="PEM; the one uploaded to Salesforce.")
    fingerprint = models.CharField(
        max_length=64, editable=False, help_text="SHA-256 of the public key; tells key pairs apart."
    )
    certificate_fingerprint = models.CharField(max_length=64, blank=True, editable=False)
    not_before = models.DateTimeField(null=True, blank=True, editable=False)
    not_after = models.DateTimeField("certificate ends", null=True, blank=True, editable=False)
    size = models.PositiveIntegerField("bits", editable=False)
    origin = models.CharField(max_length=10, choices=Origin.choices, default=Origin.UPLOADED, editable=False)
    signer = models.CharField(
        max_length=50,
        blank=True,
        db_default="",
        editable=False,
        help_text="Which of SF_INTEGRATION's SIGNERS holds the private key; empty: it is stored here.",
    )
    signer_reference = models.CharField(
        max_length=500,
        blank=True,
        db_default="",
        editable=False,
        help_text="What the signer knows the key by, as an ARN or a file's name.",
    )
    warned_stage = models.SmallIntegerField(
        null=True, editable=False, help_text="The last stage before the certificate's end that was warned of."
    )
    replaced_at = models.DateTimeField(
        null=True, editable=False, help_text="When a connection first left it for its staged one."
    )
    retired_at = models.DateTimeField(
        null=True, editable=False, help_text="When its private key was erased, as nothing used it any more."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def can_sign(self) -> bool:
        """Whether what it takes is configured here: the encryption key that sealed it, or the signer that holds it. Opens
        nothing, asks nobody."""
        if self.signer:
            return self.signer in settings.SIGNERS
        return self.private_key is not None and self.private_key.key_id in keyring().key_ids

    @property
    def signing_problem(self) -> str:
        """What keeps it from signing here, as far as its stored form tells; empty for nothing."""
        if self.can_sign:
            return ""
        if self.signer:
            return f"held outside by “{self.signer}”, a signer that is not configured here"
        if self.private_key is None and self.retired_at:
            return f"retired: its private key was erased on {self.retired_at:%Y-%m-%d}"
        if self.private_key is None:
            return "stored without its private key"
        if not self.private_key.key_id:
            return "damaged: what is stored is no sealed value"
        return f"sealed with an encryption key that is not configured here (id {self.private_key.key_id})"

    def days_left(self, now: dt.datetime) -> int | None:
        """Whole days until the certificate ends; negative afterwards, None when the date is unknown."""
        return (self.not_after - now).days if self.not_after else None

    def ending_stage(self, now: dt.datetime) -> int | None:
        """The nearest of state.CERTIFICATE_STAGES that the certificate has come to; None before the first."""
        if self.not_after is None:
            return None
        left = self.not_after - now
        return min(
            (each for each in state.CERTIFICATE_STAGES if left <= dt.timedelta(days=each)), default=None
        )

    def end_in_words(self, now: dt.datetime) -> str:
        """`ends in 12 days`, `ended 3 days ago`; empty when the date is unknown."""
        days = self.days_left(now)
        if days is None:
            return ""
        if days < 0:
            return f"ended {_days((now - self.not_after).days)} ago"  # type: ignore[operator]
        return f"ends in {_days(days)}"
