"""Connections on their way through the set-up guide."""

from __future__ import annotations

from django.conf import settings as django_settings
from django.db import models
from django.utils import timezone

from .base import Base
from .connections import AppKind, ConnectedApp, valid_name
from .signing_keys import SigningKey


class ConnectionDraft(Base):
    """A connection on its way through the set-up guide: what is known so far, and which steps are done."""

    made_by = models.ForeignKey(django_settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=60, blank=True, validators=[valid_name])
    label = models.CharField(max_length=100, blank=True)
    app_kind = models.CharField(max_length=20, choices=AppKind.choices, default=AppKind.EXTERNAL_CLIENT_APP)
    login_url = models.CharField(max_length=255, blank=True)
    username = models.CharField(max_length=255, blank=True)
    consumer_key = models.CharField(max_length=512, blank=True)
    signing_key = models.ForeignKey(
        SigningKey, on_delete=models.PROTECT, related_name="drafts", null=True, blank=True
    )
    objects_wanted = models.JSONField(
        default=list, help_text="API names of the objects that the permission set should open."
    )
    steps_done = models.JSONField(default=list, help_text="Ids of steps of the guide.")
    connection = models.ForeignKey(
        ConnectedApp,
        on_delete=models.CASCADE,
        related_name="drafts",
        null=True,
        blank=True,
        help_text="The one made from it, until it has been green.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("-updated_at",)

    def __str__(self) -> str:
        return self.label or self.name or "a new connection"
