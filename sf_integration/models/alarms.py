"""What people are told of: one row per matter from when it begins to when it ends, and the messages about it."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from .base import Base


class Alarm(Base):
    """One matter: an outage of a host is one, however many connections it concerns."""

    class Kind(models.TextChoices):
        CONNECTION = "connection", "connection fails"
        HOST = "host", "host does not answer"
        ATTENTION = "attention", "connection needs attention"
        CERTIFICATE = "certificate", "certificate ends"
        ENCRYPTION_KEY = "encryption_key", "encryption key or signer missing"
        SCHEDULER = "scheduler", "scheduler is silent"

    MILD = (Kind.ATTENTION, Kind.CERTIFICATE)
    """Kinds by which all works yet."""

    kind = models.CharField(max_length=20, choices=Kind.choices)
    about = models.CharField(
        max_length=255,
        help_text="Which one: id of the connection or signing key, host, id of the encryption key.",
    )
    title = models.CharField(max_length=200, help_text="What people call it.")
    since = models.DateTimeField(help_text="When the matter itself began.")
    raised_at = models.DateTimeField(default=timezone.now, db_index=True, help_text="When it was noticed.")
    level = models.PositiveSmallIntegerField(
        default=0,
        help_text="How loudly it was told: rises by the days it lasts, or by the stages of a certificate.",
    )
    told_at = models.DateTimeField(null=True, help_text="When it was last told; never: it may pass yet.")
    count = models.PositiveIntegerField(default=1, help_text="How many connections it concerns at most.")
    facts = models.JSONField(default=dict, help_text="What is wrong: {cause, who, remedy, where, code}.")
    connections = models.JSONField(
        default=list, help_text="Ids of the connections that it concerned at one time or other."
    )
    told = models.JSONField(
        default=dict, help_text="Who was told, each with the id of the first message about it."
    )
    calm_since = models.DateTimeField(
        null=True, help_text="When it was first seen to be over; it is, once that has lasted."
    )
    ended_at = models.DateTimeField(null=True)
    ending = models.CharField(
        max_length=20, blank=True, help_text="Why it ended: recovered, paused, deleted, merged, settled."
    )

    class Meta:
        ordering = ("-raised_at",)
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "about"], condition=models.Q(ended_at=None), name="sf_one_open_alarm"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.title}"


class AlarmMessage(Base):
    """A message on its way to one recipient. Stored with what it tells of, so that whoever dies loses none."""

    target = models.CharField(
        max_length=254, help_text="`mail:` and an address, or `channel:` and the name of one; never its URL."
    )
    in_reply_to = models.UUIDField(null=True, help_text="An earlier message about the same alarm.")
    subject = models.CharField(max_length=250)
    tone = models.CharField(
        max_length=10, default="info", help_text="How chats colour it: failure, warning, success or info."
    )
    body = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, db_index=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, help_text="None: sent, or given up.")
    claimed_until = models.DateTimeField(null=True)
    problem = models.CharField(
        max_length=200,
        blank=True,
        help_text="Why the last try failed: its kind, never an address with a secret.",
    )

    class Meta:
        ordering = ("-created_at",)
        indexes = [
            models.Index(
                fields=["next_try_at"], condition=models.Q(next_try_at__isnull=False), name="sf_unsent"
            )
        ]

    @property
    def recipient(self) -> str:
        """The address, or the name of the channel."""
        return self.target.partition(":")[2]

    def __str__(self) -> str:
        return f"{self.created_at:%Y-%m-%d %H:%M} {self.subject}"
