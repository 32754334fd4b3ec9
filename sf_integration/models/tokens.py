"""The tokens, a row for each user of a connection."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Self

from django.db import models
from django.db.models import Expression, F, Q
from django.utils import timezone

from .. import state
from ..conf import settings
from ..fields import SealedField
from .base import Base, NormalUsername, normal_username
from .connections import ConnectedApp
from .sessions import EARLY_ENDS_THAT_TELL
from .signing_keys import SigningKey, can_sign

EXTRA_USERNAME_IDLES_AFTER = dt.timedelta(hours=24)
EXTRA_USERNAME_FORGOTTEN_AFTER = dt.timedelta(days=30)
FARTHEST_CLAIM = dt.timedelta(minutes=1)
"""Claims last seconds: one that ends later was made by a clock that was far ahead, perhaps by a process that died."""


class AccessTokenQuerySet(models.QuerySet["AccessToken"]):
    def free_to_claim(self, now: dt.datetime | Expression, farthest: Expression | None = None) -> Self:
        """`farthest`: FARTHEST_CLAIM from now, where that is an expression that can't be added to."""
        lapsed = Q(claimed_until__lt=now) | Q(claimed_until__gt=farthest or now + FARTHEST_CLAIM)
        return self.filter(Q(claimed_until__isnull=True) | lapsed)

    def due_for_refresh(self, now: dt.datetime) -> Self:
        """What beat renews: what may be called here, past `refresh_at` (or never signed in), past the gate, claimed by nobody.

        An edit since the last result (another settings fingerprint) is found when the row is claimed.
        """
        own = Q(username=NormalUsername("connection__username"))
        return (
            self.filter(can_sign("connection__signing_key__"), connection__enabled=True)
            .alias(environment=state.effective_environment("connection__"))
            .filter(environment__in=settings.ALLOWED_ENVIRONMENTS)
            .filter(own | Q(last_used_at__gt=now - EXTRA_USERNAME_IDLES_AFTER))
            .filter(Q(refresh_at__isnull=True) | Q(refresh_at__lte=now))
            .filter(Q(next_try_at__isnull=True) | Q(next_try_at__lte=now))
            .free_to_claim(now)
            .order_by(F("refresh_at").asc(nulls_first=True))
        )


class AccessToken(Base):
    """The one truth about the token of (connection, username). Written by `tokens` only."""

    connection = models.ForeignKey(ConnectedApp, on_delete=models.CASCADE, related_name="tokens")
    username = models.CharField(max_length=255, help_text="Lower case.")
    value = SealedField(null=True)
    instance_url = models.CharField(max_length=255, blank=True)
    identity_url = models.CharField(max_length=255, blank=True)
    scopes = models.CharField(max_length=1000, blank=True)
    issued_at = models.DateTimeField(null=True)
    expected_expiry = models.DateTimeField(null=True)
    refresh_at = models.DateTimeField(null=True, db_index=True)
    fingerprint = models.CharField(max_length=64, blank=True, help_text="Keyed hash of the token.")
    settings_fingerprint = models.CharField(
        max_length=64, blank=True, help_text="Hash of the settings that all of this holds for."
    )
    version = models.PositiveBigIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0, help_text="In a row.")
    last_error = models.JSONField(null=True)
    last_try_at = models.DateTimeField(null=True)
    next_try_at = models.DateTimeField(null=True, help_text="The only gate: nobody signs in before.")
    logins_since = models.DateTimeField(null=True)
    logins = models.PositiveIntegerField(default=0, help_text="Since `logins_since`, at most an hour ago.")
    claimed_by = models.CharField(max_length=64, blank=True)
    claimed_until = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    uses = models.PositiveBigIntegerField(
        default=0, db_default=0, help_text="How often it was handed out; told by each process once a minute."
    )
    early_ends = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text="Sessions in a row that the org ended before the session length.",
    )
    shortest_life_seconds = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Of these sessions."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = AccessTokenQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["connection", "username"], name="sf_one_token_per_user")
        ]
        # Every claim counts the user's logins over all connections.
        indexes = [models.Index(fields=["username"], name="sf_token_username")]
        ordering = ("connection", "username")

    def __str__(self) -> str:
        return f"{self.connection_id} {self.username}"

    def has_token(self, now: dt.datetime) -> bool:
        """Whether the stored token should be good, as far as time and settings tell; opens nothing."""
        return (
            self.value is not None
            and self.expected_expiry is not None
            and now < self.expected_expiry
            and self.fits_settings
        )

    @property
    def is_own(self) -> bool:
        """Whether it is that of the connection's own user."""
        return self.username == normal_username(self.connection.username)

    @property
    def ended_early_of_late(self) -> bool:
        return self.early_ends >= EARLY_ENDS_THAT_TELL and self.fits_settings

    @property
    def fits_settings(self) -> bool:
        """Whether token and failures are those of the present settings. If not: no token, no back-off."""
        return self.settings_fingerprint == settings_fingerprint(self.connection, self.username)


def settings_fingerprint(connection: ConnectedApp, username: str, *, key: SigningKey | None = None) -> str:
    """Hash of all that a token was issued for. Another hash means: no token, no back-off. `key`: instead of the present one."""
    parts = (
        connection.login_url,
        connection.effective_audience,
        connection.consumer_key,
        username.lower(),
        (key or connection.signing_key).fingerprint,
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
