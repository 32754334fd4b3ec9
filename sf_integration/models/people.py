"""Who uses the connections: programs with an API key, and the lookups of people."""

from __future__ import annotations

from django.conf import settings as django_settings
from django.db import models
from django.utils import timezone

from .base import Base
from .connections import ConnectedApp


class ApiClient(Base):
    """A program outside that may take tokens over HTTP with an API key, of which only the hash is kept."""

    name = models.CharField(max_length=100, unique=True)
    prefix = models.CharField(
        max_length=12, unique=True, editable=False, help_text="How its API key begins; finds the row."
    )
    api_key_sha256 = models.CharField(max_length=64, editable=False)
    connections = models.ManyToManyField(
        ConnectedApp,
        blank=True,
        related_name="api_clients",
        help_text="Those it may take tokens of; none: no tokens.",
    )
    usernames = models.JSONField(
        default=list,
        blank=True,
        help_text="Salesforce users it may ask for beside each connection's own; the connection must list them too.",
    )
    notes = models.TextField(
        blank=True, db_default="", help_text="Which program this is, and who looks after it."
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("name",)
        verbose_name = "API client"

    def __str__(self) -> str:
        return self.name


class RecentLookup(Base):
    """That somebody looked a record up: its id, never what was found. Seen by that person alone."""

    user = models.ForeignKey(django_settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    connection = models.ForeignKey(ConnectedApp, on_delete=models.CASCADE, related_name="+")
    sobject = models.CharField(max_length=80)
    record_id = models.CharField(max_length=18)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-at",)
        constraints = [
            models.UniqueConstraint(
                fields=["user", "connection", "record_id"], name="sf_one_lookup_per_record"
            )
        ]

    def __str__(self) -> str:
        return f"{self.sobject} {self.record_id}"
