"""The connections: Connected App profiles, with the facts that tokens and health store about them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Self

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils import timezone

from .. import hosts, state
from ..conf import settings
from ..salesforce import diagnosis, ids, soql, young_apps
from ..salesforce.errors import InvalidInput, NotAllowedHere
from ..state import ConnectionState
from .base import Base, normal_username
from .sessions import SESSION_MINUTES, SessionAdvice, session_length
from .signing_keys import SigningKey, can_sign

if TYPE_CHECKING:
    from .tokens import AccessToken

UPLOAD_IS_LATE_AFTER = dt.timedelta(days=14)
UNDO_FOR = dt.timedelta(days=7)
"""How long a promoted signing key can be taken back."""
RESERVED_NAMES = ("audit", "new", "guide", "explain", "import", "export", "keys", "selected", "alarms")
"""Pages beside those of the connections, at addresses that a connection of this name would have."""
LONGEST_USERNAME = 255
SIGN_IN_FIELDS = {"login_url", "audience", "consumer_key", "username", "signing_key"}
"""What a sign-in depends on."""

valid_name = RegexValidator(
    r"\A[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?\Z",
    "Use lower-case letters, digits, hyphens and underscores, as in acme-prod.",
)


class AppKind(models.TextChoices):
    """Same fields, same flow; other menus, and only the old kind is found through login.salesforce.com."""

    EXTERNAL_CLIENT_APP = "external_client_app", "External Client App"
    CONNECTED_APP = "connected_app", "Connected App"


class ConnectedAppQuerySet(models.QuerySet["ConnectedApp"]):
    def with_state(self, now: dt.datetime | None = None) -> Self:
        """Adds `effective_environment`, `state` (the enum's word) and `state_rank`, in the same query."""
        facts: dict[str, Any] = {
            "now": now or timezone.now(),
            "environments": settings.ALLOWED_ENVIRONMENTS,
            "usable_keys": SigningKey.objects.filter(can_sign()),
        }
        return self.annotate(effective_environment=state.effective_environment()).annotate(
            state=state.annotation(**facts), state_rank=state.annotation(**facts, words=False)
        )

    def sick_first(self) -> Self:
        return self.with_state().order_by("state_rank", "name")

    def note_failure(self, now: dt.datetime, error: dict[str, str]) -> None:
        """Store the error; since when it fails stays as it was."""
        self.update(failing_since=Coalesce(F("failing_since"), now), last_error=error)


class ConnectedApp(Base):
    """One Connected App profile: everywhere but in the admin it is called a connection."""

    class Environment(models.TextChoices):
        PRODUCTION = "production", "production"
        SANDBOX = "sandbox", "sandbox"
        SCRATCH = "scratch", "scratch org"
        DEVELOPER = "developer", "Developer Edition"
        TRAILHEAD = "trailhead", "Trailhead"

    name = models.CharField(
        max_length=60, unique=True, validators=[valid_name], help_text="The handle in code, e.g. acme-prod."
    )
    label = models.CharField(max_length=100, blank=True, help_text="For people; empty: the name.")
    login_url = models.URLField(
        "login URL",
        max_length=255,
        help_text="The org's My Domain URL, e.g. https://acme.my.salesforce.com (Setup → My Domain).",
    )
    audience = models.CharField(
        max_length=255, blank=True, help_text="Empty: the login URL, which is right for nearly every org."
    )
    app_kind = models.CharField(
        "kind of app",
        max_length=20,
        choices=AppKind,
        blank=True,
        db_default="",
        help_text="What the org's admin made; empty: not known here.",
    )
    consumer_key = models.CharField(
        max_length=512, help_text="Of the External Client App or Connected App; also called client id."
    )
    username = models.CharField(
        max_length=LONGEST_USERNAME, help_text="Username of the integration user, not its e-mail address."
    )
    extra_usernames = models.JSONField(
        "allowed extra usernames",
        default=list,
        blank=True,
        help_text='Other users that code may ask tokens for, e.g. ["ops@acme.example"].',
    )
    signing_key = models.ForeignKey(SigningKey, on_delete=models.PROTECT, related_name="connections")
    staged_signing_key = models.ForeignKey(
        SigningKey,
        on_delete=models.PROTECT,
        related_name="staged_connections",
        null=True,
        blank=True,
        help_text="The next one: in force by itself once the org takes it.",
    )
    staged_at = models.DateTimeField(null=True, editable=False)
    staged_trial = models.JSONField(
        null=True,
        editable=False,
        help_text="The last sign-in with the staged signing key: {fingerprint, at, accepted, code, words}.",
    )
    previous_signing_key = models.ForeignKey(
        SigningKey,
        on_delete=models.PROTECT,
        related_name="previous_connections",
        null=True,
        editable=False,
        help_text="The one before the promotion, as long as that can be undone.",
    )
    promoted_at = models.DateTimeField(null=True, editable=False)
    api_version = models.CharField(
        "API version",
        max_length=5,
        blank=True,
        validators=[RegexValidator(r"\A\d{2,3}\.0\Z", "Write it as 67.0.")],
        help_text="Empty: the newest one the org and this app know, set by the first check.",
    )
    session_minutes = models.PositiveIntegerField(
        "session length",
        choices=[(minutes, session_length(minutes)) for minutes in SESSION_MINUTES],
        default=120,
        help_text="The time-out of the app's, profile's or org's session settings.",
    )
    sample_sobject = models.CharField("sample sObject", max_length=80, default="Account", blank=True)
    sample_fields = models.JSONField("sample fields", default=list, blank=True)
    expected_org_id = models.CharField(
        "expected org id",
        max_length=18,
        blank=True,
        help_text="Pinned by the first successful check; another org is then refused.",
    )
    environment = models.CharField(
        max_length=12, choices=Environment.choices, default=Environment.PRODUCTION, editable=False
    )
    environment_for = models.TextField(
        blank=True,
        editable=False,
        help_text="The `environment_subject` that `environment` was worked out for.",
    )
    tags = models.JSONField(default=list, blank=True)
    our_contacts = models.TextField(
        blank=True, help_text="Who looks after it here; one e-mail address per line."
    )
    org_contacts = models.TextField(
        "the org's admins", blank=True, help_text="Who can act in Salesforce; one e-mail address per line."
    )
    groups = models.ManyToManyField(
        "auth.Group",
        through="GroupAccess",
        blank=True,
        help_text="Who may see it; empty: everyone with the permission.",
    )
    enabled = models.BooleanField(default=True, help_text="Off: paused, nothing is called.")
    notes = models.TextField(blank=True)

    # Facts, stored by tokens and health.
    last_checked_at = models.DateTimeField(null=True, editable=False)
    last_full_check_at = models.DateTimeField(null=True, editable=False)
    checked_fingerprint = models.CharField(
        max_length=64,
        blank=True,
        editable=False,
        help_text="Hash of the settings that the last full check saw.",
    )
    settings_since = models.DateTimeField(
        null=True, editable=False, help_text="When a check first saw the present sign-in settings."
    )
    last_success_at = models.DateTimeField(null=True, editable=False)
    failing_since = models.DateTimeField(null=True, editable=False)
    last_error = models.JSONField(
        null=True,
        editable=False,
        help_text="The present failure: {step, code, seen, cause, who, remedy, where, words}.",
    )
    told_state = models.CharField(
        max_length=30,
        default=ConnectionState.NOT_CHECKED_YET.value,
        editable=False,
        help_text="The state that listeners were told of last.",
    )
    warnings = models.JSONField(default=list, editable=False)
    organization = models.JSONField(
        default=dict,
        editable=False,
        help_text="What the org said of itself, and who answered, each with the `environment_subject` of then.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = ConnectedAppQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        verbose_name = "Connected App profile"
        # Few of many: what is told of outages looks at these alone.
        indexes = [
            models.Index(
                fields=["failing_since"], condition=models.Q(failing_since__isnull=False), name="sf_failing"
            )
        ]
        permissions = [
            ("view_health", "Can see connections and their health"),
            ("run_checks", "Can check, renew and pause connections"),
            ("look_up_records", "Can look up records and run SOQL"),
            ("manage_keys", "Can manage connections and signing keys"),
            ("take_tokens", "Can take access tokens out"),
        ]

    def __str__(self) -> str:
        return self.label or self.name

    def get_absolute_url(self) -> str:
        return reverse("sf_integration:detail", args=[self.name])

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        """Take off blanks around first, so that nothing but blanks counts as nothing."""
        self.consumer_key = self.consumer_key.strip()
        self.username = self.username.strip()
        super().clean_fields(exclude)

    def clean(self) -> None:
        """Normalise the addresses and work out the environment. Raises ValidationError for what can't work."""
        if self.name in RESERVED_NAMES:
            raise ValidationError(
                {"name": f"“{self.name}” is the address of a page here: choose another name."}
            )
        self._clean_login_url()
        self._clean_expected_org()
        self.audience = self.audience.strip().rstrip("/")
        if self.audience and not self.audience.startswith(("https://", "http://")):
            raise ValidationError({"audience": "The audience is a whole URL, beginning with https://."})
        self._clean_app_kind()
        self._clean_lists()
        if self.environment_for != self.environment_subject:
            self.environment = hosts.environment_of(self.login_url)
            self.environment_for = self.environment_subject

    def _clean_login_url(self) -> None:
        if not self.login_url:
            return  # the field itself says that it is needed, or why it was refused
        try:
            self.login_url = hosts.normal_login_url(self.login_url)
            hosts.require_allowed(self.login_url)
        except (InvalidInput, NotAllowedHere) as exc:
            raise ValidationError({"login_url": str(exc)}) from exc

    def _clean_app_kind(self) -> None:
        problem = hosts.app_kind_problem(self.app_kind, login_url=self.login_url, audience=self.audience)
        if problem:
            field, sentence = problem
            raise ValidationError({field: sentence})

    def _clean_expected_org(self) -> None:
        if not self.expected_org_id:
            return
        try:
            self.expected_org_id = ids.to_18(self.expected_org_id)
        except InvalidInput as exc:
            raise ValidationError({"expected_org_id": str(exc)}) from exc

    def _clean_lists(self) -> None:
        for field in ("extra_usernames", "sample_fields", "tags"):
            value = getattr(self, field) or []
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise ValidationError({field: 'Give a list of texts, e.g. ["one", "two"].'})
            setattr(self, field, [item.strip() for item in value if item.strip()])
        if any(len(username) > LONGEST_USERNAME for username in self.extra_usernames):
            raise ValidationError(
                {"extra_usernames": f"A username has {LONGEST_USERNAME} characters at most."}
            )
        try:
            if self.sample_sobject:
                soql.name(self.sample_sobject)
            for field in self.sample_fields:
                soql.field_path(field)
        except InvalidInput as exc:
            raise ValidationError({"sample_fields": str(exc)}) from exc

    @property
    def effective_audience(self) -> str:
        return self.audience or hosts.default_audience(self.login_url)

    @property
    def environment_subject(self) -> str:
        """What decides which org is met: one login host serves orgs of several kinds."""
        return f"{self.login_url} {self.consumer_key} {self.username}"

    @property
    def known_environment(self) -> str:
        """As `state.effective_environment`, for one row."""
        return self.environment if self.environment_for == self.environment_subject else "production"

    @property
    def kind_is_known(self) -> bool:
        """Whether host or org told it; else `known_environment` is the strictest, in case it is that."""
        if self.environment_for != self.environment_subject:
            return False
        told = self.told.get("environment") or hosts.environment_told_by(self.login_url)
        return self.environment != self.Environment.PRODUCTION or bool(told)

    @property
    def told(self) -> dict[str, Any]:
        """What the org said of itself, as long as it was said under the present settings."""
        return self._said_now(self.organization)

    @property
    def met(self) -> dict[str, str]:
        """Who answered last under the present settings: {username, org_id, newest_version}."""
        return self._said_now(self.organization.get("met", {}))

    def _said_now(self, said: dict[str, Any]) -> dict[str, Any]:
        return said if said.get("subject", self.environment_subject) == self.environment_subject else {}

    @property
    def session(self) -> dt.timedelta:
        return dt.timedelta(minutes=self.session_minutes)

    def allows(self, username: str) -> bool:
        """Salesforce's usernames don't depend on case."""
        return normal_username(username) in map(normal_username, (self.username, *self.extra_usernames))

    def connection_state(self, now: dt.datetime | None = None) -> ConnectionState:
        key = self.signing_key
        return state.derive(
            state.Facts(
                enabled=self.enabled,
                environment=self.known_environment,
                key_can_sign=key.can_sign,
                failing_since=self.failing_since,
                last_checked_at=self.last_checked_at,
                last_success_at=self.last_success_at,
                has_warnings=bool(self.warnings),
                certificate_ends=key.not_after,
            ),
            now=now or timezone.now(),
            environments=settings.ALLOWED_ENVIRONMENTS,
        )

    def state_sentence(self, now: dt.datetime | None = None) -> str:
        """The state's reason in words."""
        now = now or timezone.now()
        return f"{self.state_cause(now)} {self.young_app_hint(now)}".rstrip()

    def failure_sentence(self, now: dt.datetime) -> str:
        """As `state_sentence`, for one connection at a time: a failure of a new app is told with its next try."""
        return f"{self.state_cause(now)} {self.young_app_hint(now, self.next_try_at())}".rstrip()

    def state_cause(self, now: dt.datetime) -> str:
        """As `state_sentence`, whatever the age of the app."""
        current = self.connection_state(now)
        if current is ConnectionState.FAILING and self.last_error:
            return str(self.last_error.get("cause") or current.meaning)
        if current is ConnectionState.NEEDS_ATTENTION:
            return " ".join(self.attention(now))
        if current is ConnectionState.ENCRYPTION_KEY_MISSING:
            return f"Its signing key is {self.signing_key.signing_problem}."
        if current is ConnectionState.NOT_ALLOWED_HERE:
            unknown = "" if self.kind_is_known else "The kind of this org is not known yet. "
            return f"{unknown}This installation may not call {self.known_environment} orgs."
        return current.meaning

    def young_app_hint(self, now: dt.datetime, next_try_at: dt.datetime | None = None) -> str:
        """That the failure may be one of a new app, which needs patience only; else nothing."""
        if self.connection_state(now) is not ConnectionState.FAILING or not self.last_error:
            return ""
        return young_apps.hint(
            self.last_error.get("code", ""),
            self.last_error.get("words", ""),
            saved_at=self.settings_since or self.created_at,
            now=now,
            next_try_at=timezone.localtime(next_try_at) if next_try_at else None,
        )

    def next_try_at(self) -> dt.datetime | None:
        """When beat signs in again after a failure; None when nothing holds it back. One query, none for prefetched tokens."""
        return next((row.next_try_at for row in self.tokens.all() if row.is_own), None)

    def note_edit(self, changed: Collection[str]) -> set[str]:
        """Remember the moment when an edit of the fields `changed` concerns the sign-in. Returns what is to be written too."""
        noted = set()
        if "staged_signing_key" in changed:
            self.staged_at = timezone.now()
            noted.add("staged_at")
        if SIGN_IN_FIELDS & set(changed):
            self.settings_since = timezone.now()
            noted.add("settings_since")
        return noted | (self._end_rotation() if "signing_key" in changed else set())

    def _end_rotation(self) -> set[str]:
        """Somebody chose a signing key: there is no promotion to undo, and what was chosen is no longer the next one."""
        self.previous_signing_key = self.promoted_at = None
        ended = {"previous_signing_key", "promoted_at"}
        if self.staged_signing_key_id != self.signing_key_id:
            return ended
        self.staged_signing_key = self.staged_at = self.staged_trial = None
        return ended | {"staged_signing_key", "staged_at", "staged_trial"}

    @property
    def next_signing_key_id(self) -> uuid.UUID | None:
        """The staged one, unless it is in force already."""
        return self.staged_signing_key_id if self.staged_signing_key_id != self.signing_key_id else None

    def can_undo_promotion(self, now: dt.datetime) -> bool:
        return (
            self.previous_signing_key_id is not None
            and self.promoted_at is not None
            and now < self.promoted_at + UNDO_FOR
        )

    def spare_signing_key(self, now: dt.datetime) -> SigningKey | None:
        """What to sign with when the org doesn't know the present one's certificate: the staged one; else the one before it,
        which some of the org's servers may still go by.

        Source: Salesforce Help: a changed app is known everywhere after up to ten minutes.
        """
        if self.next_signing_key_id is not None:
            return self.staged_signing_key
        return self.previous_signing_key if self.can_undo_promotion(now) else None

    def summary(self, now: dt.datetime) -> dict[str, str]:
        """The connection as `salesforce list --json` and health.json begin it."""
        return {
            "name": self.name,
            "label": self.label,
            "state": self.connection_state(now).value,
            "sentence": self.state_sentence(now),
            "environment": self.known_environment,
            "username": self.username,
        }

    def attention(self, now: dt.datetime) -> list[str]:
        """What should be looked at soon, in a sentence each."""
        return [str(warning.get("message", "")) for warning in self.present_warnings(now)]

    def present_warnings(self, now: dt.datetime) -> list[dict[str, str]]:
        """The stored warnings and the certificate's end, which is read live: {step, code, message, cause, remedy, who, where}."""
        if self.signing_key.ending_stage(now) is None:
            return [*self.warnings]
        told = f"The certificate {self.signing_key.end_in_words(now)}."
        known = diagnosis.explain("certificate_ending")
        facts = {name: getattr(known, name) for name in ("code", "cause", "remedy", "who", "where")}
        if self.next_signing_key_id:
            facts["remedy"] = "Have the certificate of the staged signing key uploaded to the app."
        if self.next_signing_key_id and self.staged_at and self.staged_at <= now - UPLOAD_IS_LATE_AFTER:
            told += f" The next one has been waiting to be uploaded since {self.staged_at:%Y-%m-%d}."
        return [*self.warnings, {"step": "signing_key", "message": told} | facts]

    def session_advice(self, tokens: Iterable[AccessToken] | None = None) -> SessionAdvice | None:
        """What the ends of its sessions say about its session length; None when they fit. `tokens`: its rows, if at hand."""
        early = [row for row in (self.tokens.all() if tokens is None else tokens) if row.ended_early_of_late]
        lives = [row.shortest_life_seconds / 60 for row in early]
        if not lives or min(lives) >= self.session_minutes:
            return None
        return SessionAdvice.of(self.session_minutes, min(lives))


class GroupAccess(Base):
    """That a group may see a connection. The group can't be deleted meanwhile: without any, everyone would see it."""

    connection = models.ForeignKey(ConnectedApp, on_delete=models.CASCADE, related_name="+")
    group = models.ForeignKey("auth.Group", on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["connection", "group"], name="sf_one_access_per_group")
        ]
        verbose_name = "access of a group"
        verbose_name_plural = "access of groups"

    def __str__(self) -> str:
        return f"{self.group} may see {self.connection.name}"
