"""What happened: checks, happenings of tokens, the audit trail, the heartbeat of the scheduler."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from .base import Base
from .connections import ConnectedApp

# The histories grow by hundreds of thousands of rows a day. Their foreign keys have no index of their own: each table has
# one that begins with the connection.


class ConnectionCheck(Base):
    """One run of the diagnosis, kept for a time."""

    connection = models.ForeignKey(
        ConnectedApp, on_delete=models.CASCADE, related_name="checks", db_index=False
    )
    at = models.DateTimeField(default=timezone.now, db_index=True)
    asked_by = models.CharField(max_length=150, help_text="A person, “beat” or “command line”.")
    healthy = models.BooleanField()
    light = models.BooleanField(default=False, help_text="Stored facts and one cheap call only.")
    state = models.CharField(max_length=30)
    steps = models.JSONField(
        default=list,
        help_text="[{step, status, code, message, cause, remedy, who, where, milliseconds}] in order.",
    )
    trace = models.JSONField(
        null=True,
        help_text="The sign-in, if there was one: what was sent and answered, secrets as their lengths.",
    )
    milliseconds = models.PositiveIntegerField(default=0)
    api_used = models.PositiveIntegerField("API calls used", null=True)
    api_limit = models.PositiveIntegerField("API calls allowed", null=True)

    class Meta:
        ordering = ("-at",)
        # The list draws a day of states for each of its rows from the index alone.
        indexes = [models.Index(fields=["connection", "-at", "state"], name="sf_check_history")]

    def __str__(self) -> str:
        return f"{self.connection_id} {self.at:%Y-%m-%d %H:%M:%S}"


class CheckDay(Base):
    """All checks of a connection on one day (UTC): what is left of them once they are too old to be kept singly."""

    connection = models.ForeignKey(
        ConnectedApp, on_delete=models.CASCADE, related_name="check_days", db_index=False
    )
    day = models.DateField(db_index=True)
    checks = models.PositiveIntegerField()
    healthy = models.PositiveIntegerField(help_text="How many of them found it working.")
    worst_state = models.CharField(max_length=30)
    median_milliseconds = models.PositiveIntegerField()
    slowest_milliseconds = models.PositiveIntegerField()
    api_used = models.PositiveIntegerField(
        "API calls used", null=True, help_text="The most that one of them saw."
    )
    api_limit = models.PositiveIntegerField("API calls allowed", null=True)

    class Meta:
        ordering = ("-day",)
        constraints = [models.UniqueConstraint(fields=["connection", "day"], name="sf_one_row_per_day")]

    def __str__(self) -> str:
        return f"{self.connection_id} {self.day:%Y-%m-%d}"


class ConnectionEvent(Base):
    """What tokens and health did by themselves; what people did is in the audit trail."""

    class Kind(models.TextChoices):
        SIGNED_IN = "signed in", "signed in"
        REFUSED = "sign-in failed", "sign-in failed"
        ENDED = "session ended", "session ended by the org"
        STATE = "state changed", "state changed"

    connection = models.ForeignKey(
        ConnectedApp, on_delete=models.CASCADE, related_name="events", db_index=False
    )
    at = models.DateTimeField(default=timezone.now, db_index=True)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    username = models.CharField(max_length=255, blank=True, help_text="Lower case, as AccessToken has it.")
    code = models.CharField(
        max_length=100, blank=True, help_text="What Salesforce or we called it; after a change the new state."
    )
    milliseconds = models.PositiveIntegerField(null=True, help_text="How long the sign-in took.")

    class Meta:
        ordering = ("-at",)
        indexes = [models.Index(fields=["connection", "-at"], name="sf_event_history")]

    def __str__(self) -> str:
        return f"{self.connection_id} {self.at:%Y-%m-%d %H:%M:%S} {self.kind}"


class AuditEvent(Base):
    """Who did what. Append-only, no foreign keys: it outlives what it tells of."""

    at = models.DateTimeField(default=timezone.now, db_index=True)
    actor = models.CharField(max_length=150)
    act = models.CharField(max_length=40)
    subject = models.CharField(
        max_length=150, blank=True, help_text="Name of the connection, key or API client."
    )
    subject_id = models.UUIDField(null=True)
    username = models.CharField(max_length=255, blank=True)
    fields = models.JSONField(default=list, help_text="Names of what changed, never values.")
    count = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ("-at",)
        indexes = [
            models.Index(fields=["subject_id", "-at"], name="sf_audit_of_subject"),
            models.Index(fields=["actor", "-at"], name="sf_audit_by_actor"),
            models.Index(fields=["act", "-at"], name="sf_audit_by_act"),
            models.Index(fields=["subject", "-at"], name="sf_audit_by_name"),
            models.Index(fields=["username", "-at"], name="sf_audit_by_username"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor} {self.act} {self.subject}"


class Total(models.Model):
    """How often something happened since the installation was made, and how long it took in all: what metrics count by.

    Histories are pruned, and a counter must never fall.
    """

    class What(models.TextChoices):
        SIGN_IN = "sign-in", "sign-in"
        CHECK = "check", "check"
        SWEEP = "sweep", "sweep"

    what = models.CharField(max_length=20, choices=What.choices)
    outcome = models.CharField(
        max_length=100, help_text="Of a sign-in `ok` or the code; of a check its state; of a sweep empty."
    )
    count = models.PositiveBigIntegerField(default=0)
    milliseconds = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["what", "outcome"], name="sf_one_total")]

    def __str__(self) -> str:
        return f"{self.what} {self.outcome}: {self.count}"


class Heartbeat(models.Model):
    """When a periodic job last ran; tells a silent scheduler."""

    name = models.CharField(max_length=60, primary_key=True)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} {self.at:%Y-%m-%d %H:%M:%S}"

    @classmethod
    def beat(cls, name: str) -> None:
        cls.objects.update_or_create(name=name, defaults={"at": timezone.now()})
