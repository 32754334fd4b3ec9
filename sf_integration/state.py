"""The state of a connection: one enum, one pure function, and the same as a queryset annotation.

Pages, JSON, command line, metrics, signal and alarms use this and nothing else.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Any

from django.db.models import Case, CharField, Expression, F, IntegerField, Q, Value, When
from django.db.models.functions import Concat
from django.utils.translation import gettext_noop as _

CERTIFICATE_STAGES = (60, 30, 14, 7, 1, 0)
"""Days before a certificate's end at which it is warned of, once each; 0: it has ended."""
CERTIFICATE_WARNING = dt.timedelta(days=CERTIFICATE_STAGES[0])
IDLE_AFTER = dt.timedelta(hours=25)
"""Longer than the daily check: after this, calling a connection healthy would be a claim about the past."""


class ConnectionState(Enum):
    """In the order of sorting: sick first. Pages translate the words, JSON and command line print them as they are."""

    FAILING = _("Failing")
    NEEDS_ATTENTION = _("Needs attention")
    ENCRYPTION_KEY_MISSING = _("Encryption key missing")
    NOT_ALLOWED_HERE = _("Not allowed here")
    PAUSED = _("Paused")
    NOT_CHECKED_YET = _("Not checked yet")
    IDLE = _("Idle")
    HEALTHY = _("Healthy")

    @classmethod
    def named(cls, word: str) -> ConnectionState | None:
        """The state of this word, None for one of another release: histories outlive the words they were written in."""
        return next((state for state in cls if state.value == word), None)

    @property
    def rank(self) -> int:
        return _RANKS[self]

    @property
    def colour(self) -> str:
        """Name of a design token of the style sheet; never the only sign of the state."""
        return _COLOURS[self]

    @property
    def meaning(self) -> str:
        """What the word says, for legends and tooltips."""
        return _MEANINGS[self]

    @property
    def is_healthy(self) -> bool:
        """Whether it works: exit codes and JSON go by this."""
        return self in (ConnectionState.HEALTHY, ConnectionState.NEEDS_ATTENTION)


_RANKS = {state: rank for rank, state in enumerate(ConnectionState)}
_COLOURS = {
    ConnectionState.FAILING: "bad",
    ConnectionState.NEEDS_ATTENTION: "warn",
    ConnectionState.ENCRYPTION_KEY_MISSING: "bad",
    ConnectionState.NOT_ALLOWED_HERE: "mute",
    ConnectionState.PAUSED: "mute",
    ConnectionState.NOT_CHECKED_YET: "info",
    ConnectionState.IDLE: "info",
    ConnectionState.HEALTHY: "good",
}
_MEANINGS = {
    ConnectionState.FAILING: _("Signing in or a check fails."),
    ConnectionState.NEEDS_ATTENTION: _("It works, but something should be looked at soon."),
    ConnectionState.ENCRYPTION_KEY_MISSING: _(
        "Its signing key can't be used: the encryption key that sealed it, or the signer that holds it, is not configured here."
    ),
    ConnectionState.NOT_ALLOWED_HERE: _("This installation may not call orgs of this kind."),
    ConnectionState.PAUSED: _("Switched off; nothing is called."),
    ConnectionState.NOT_CHECKED_YET: _("No check has run yet; beat runs one within a minute or two."),
    ConnectionState.IDLE: _("It worked, but nothing has been asked of the org for more than a day."),
    ConnectionState.HEALTHY: _("It works."),
}


@dataclass(frozen=True)
class Facts:
    """What is stored about a connection, as far as its state depends on it."""

    enabled: bool
    environment: str
    key_can_sign: bool
    """Whether the encryption key that sealed the signing key, or the signer that holds it outside, is configured here."""
    failing_since: dt.datetime | None
    last_checked_at: dt.datetime | None
    last_success_at: dt.datetime | None
    has_warnings: bool
    certificate_ends: dt.datetime | None


def derive(facts: Facts, *, now: dt.datetime, environments: Collection[str]) -> ConnectionState:
    """The first that holds, in this order. `environments` are allowed here."""
    if not facts.enabled:
        return ConnectionState.PAUSED
    if facts.environment not in environments:
        return ConnectionState.NOT_ALLOWED_HERE
    if not facts.key_can_sign:
        return ConnectionState.ENCRYPTION_KEY_MISSING
    if facts.failing_since is not None:
        return ConnectionState.FAILING
    if facts.last_checked_at is None or facts.last_success_at is None:
        return ConnectionState.NOT_CHECKED_YET
    if facts.last_success_at < now - IDLE_AFTER:
        return ConnectionState.IDLE
    ending = facts.certificate_ends is not None and facts.certificate_ends <= now + CERTIFICATE_WARNING
    if facts.has_warnings or ending:
        return ConnectionState.NEEDS_ATTENTION
    return ConnectionState.HEALTHY


def annotation(
    *, now: dt.datetime, environments: Collection[str], usable_keys: Any, words: bool = True
) -> Expression:
    """`derive` as SQL over ConnectedApp rows annotated with `effective_environment`; a test holds the two together.

    The state's word, or its rank for sorting. `usable_keys`: a queryset of the signing keys that can sign here.
    As subqueries, keys are looked at once each and not once for every connection that has them.
    """

    def when(state: ConnectionState, condition: Q) -> When:
        return When(condition, then=Value(state.value if words else state.rank))

    ending = usable_keys.filter(not_after__lte=now + CERTIFICATE_WARNING)
    return Case(
        when(ConnectionState.PAUSED, Q(enabled=False)),
        when(ConnectionState.NOT_ALLOWED_HERE, _not_allowed(list(environments))),
        when(ConnectionState.ENCRYPTION_KEY_MISSING, ~Q(signing_key__in=usable_keys)),
        when(ConnectionState.FAILING, Q(failing_since__isnull=False)),
        when(
            ConnectionState.NOT_CHECKED_YET, Q(last_checked_at__isnull=True) | Q(last_success_at__isnull=True)
        ),
        when(ConnectionState.IDLE, Q(last_success_at__lt=now - IDLE_AFTER)),
        when(ConnectionState.NEEDS_ATTENTION, ~Q(warnings=[]) | Q(signing_key__in=ending)),
        default=Value(ConnectionState.HEALTHY.value if words else ConnectionState.HEALTHY.rank),
        output_field=CharField() if words else IntegerField(),
    )


def _not_allowed(environments: list[str]) -> Q:
    """The same as its last part alone. The stored environment, at hand, decides for nearly every row; comparing the
    settings that it was worked out for takes longer than all the rest."""
    stored, effective = ~Q(environment__in=environments), ~Q(effective_environment__in=environments)
    return stored & effective if "production" in environments else stored | effective


def effective_environment(prefix: str = "") -> Expression:
    """The stored environment, as long as it was worked out for the present settings; else unknown, i.e. production.

    `prefix` leads to the ConnectedApp from other models. The same for one row: `ConnectedApp.known_environment`.
    """
    present = Concat(
        f"{prefix}login_url", Value(" "), f"{prefix}consumer_key", Value(" "), f"{prefix}username"
    )
    return Case(
        When(**{f"{prefix}environment_for": present}, then=F(f"{prefix}environment")),
        default=Value("production"),
        output_field=CharField(),
    )
