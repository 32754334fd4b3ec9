"""The data. Models say true sentences about themselves; they never open a connection and `save()` does nothing else."""

from __future__ import annotations

import datetime as dt
import hashlib
import string
import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Self

from django.conf import settings as django_settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Expression, F, Q
from django.db.models.functions import Coalesce, Lower
from django.urls import reverse
from django.utils import timezone

from . import hosts, state
from .conf import settings
from .fields import SealedField, keyring
from .salesforce import diagnosis, ids, soql, young_apps
from .salesforce.errors import InvalidInput, NotAllowedHere
from .state import ConnectionState

SESSION_MINUTES = (15, 30, 60, 120, 240, 480, 720, 1440)
"""The values Salesforce offers. Source: Metadata API Developer Guide, ProfileSessionSetting."""
EXTRA_USERNAME_IDLES_AFTER = dt.timedelta(hours=24)
EXTRA_USERNAME_FORGOTTEN_AFTER = dt.timedelta(days=30)
UPLOAD_IS_LATE_AFTER = dt.timedelta(days=14)
UNDO_FOR = dt.timedelta(days=7)
"""How long a promoted signing key can be taken back."""
EARLY_ENDS_THAT_TELL = 3
"""Sessions in a row that ended before the session length: fewer may be an admin's doing, or chance."""

RESERVED_NAMES = ("new", "guide", "explain", "import", "export", "keys")
"""Pages beside those of the connections, at addresses that a connection of this name would have."""

SIGN_IN_FIELDS = {"login_url", "audience", "consumer_key", "username", "signing_key"}
"""What a sign-in depends on."""

_TO_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)

_name = RegexValidator(
    r"\A[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?\Z",
    "Use lower-case letters, digits, hyphens and underscores, as in acme-prod.",
)


def session_length(minutes: int) -> str:
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h"


def _days(number: int) -> str:
    return {0: "less than a day", 1: "1 day"}.get(number, f"{number} days")


def normal_username(username: str) -> str:
    """As AccessToken has it. Salesforce does not tell case apart; beyond A to Z databases and Python lower differently."""
    return username.translate(_TO_LOWER)


class NormalUsername(Lower):
    """`normal_username` in SQL."""

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template='LOWER(%(expressions)s COLLATE "C")', **context)


class Base(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)

    class Meta:
        abstract = True


class SigningKey(Base):
    """A key pair and its certificate; may serve many connections."""

    class Origin(models.TextChoices):
        MADE = "made", "made here"
        UPLOADED = "uploaded", "uploaded"

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
    def can_be_opened(self) -> bool:
        """Whether the encryption key that sealed it is configured here; opens nothing."""
        return self.private_key is not None and self.private_key.key_id in keyring().key_ids

    @property
    def sealing_problem(self) -> str:
        """What keeps the private key from being opened, as far as its stored form tells; empty for nothing."""
        if self.can_be_opened:
            return ""
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


class AppKind(models.TextChoices):
    """Same fields, same flow; other menus, and only the old kind is found through login.salesforce.com."""

    EXTERNAL_CLIENT_APP = "external_client_app", "External Client App"
    CONNECTED_APP = "connected_app", "Connected App"


class ConnectedAppQuerySet(models.QuerySet["ConnectedApp"]):
    def with_state(self, now: dt.datetime | None = None) -> Self:
        """Adds `effective_environment`, `state` (the enum's word) and `state_rank`, in the same query."""
        now = now or timezone.now()
        return (
            self.annotate(effective_environment=state.effective_environment())
            .annotate(
                state=state.annotation(
                    now=now, environments=settings.ALLOWED_ENVIRONMENTS, key_ids=keyring().key_ids
                )
            )
            .annotate(state_rank=state.rank_annotation())
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
        max_length=60, unique=True, validators=[_name], help_text="The handle in code, e.g. acme-prod."
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
        choices=AppKind.choices,
        blank=True,
        db_default="",
        help_text="What the org's admin made; empty: not known here.",
    )
    consumer_key = models.CharField(
        max_length=512, help_text="Of the External Client App or Connected App; also called client id."
    )
    username = models.CharField(
        max_length=255, help_text="Username of the integration user, not its e-mail address."
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
        help_text="Name, edition, instance and id of the org, as it said at the last check.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = ConnectedAppQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        verbose_name = "Connected App profile"
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
                encryption_key_id=key.private_key.key_id if key.private_key else None,
                failing_since=self.failing_since,
                last_checked_at=self.last_checked_at,
                last_success_at=self.last_success_at,
                has_warnings=bool(self.warnings),
                certificate_ends=key.not_after,
            ),
            now=now or timezone.now(),
            environments=settings.ALLOWED_ENVIRONMENTS,
            key_ids=keyring().key_ids,
        )

    def state_sentence(self, now: dt.datetime | None = None) -> str:
        """The state's reason in words."""
        now = now or timezone.now()
        current = self.connection_state(now)
        if current is ConnectionState.FAILING and self.last_error:
            cause = str(self.last_error.get("cause") or current.meaning)
            return f"{cause} {self.young_app_hint(now)}".rstrip()
        if current is ConnectionState.NEEDS_ATTENTION:
            return " ".join(self.attention(now))
        if current is ConnectionState.ENCRYPTION_KEY_MISSING:
            return f"Its signing key is {self.signing_key.sealing_problem}."
        if current is ConnectionState.NOT_ALLOWED_HERE:
            return f"This installation may not call {self.known_environment} orgs."
        return current.meaning

    def failure_sentence(self, now: dt.datetime) -> str:
        """As `state_sentence`, for one connection at a time: a failure of a new app is told with its next try."""
        cause = self.state_sentence(now).removesuffix(self.young_app_hint(now)).rstrip()
        return f"{cause} {self.young_app_hint(now, self.next_try_at())}".rstrip()

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
        """When beat signs in again after a failure; None when nothing holds it back. One query."""
        row = self.tokens.filter(username=normal_username(self.username)).first()
        return row.next_try_at if row else None

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


@dataclass(frozen=True)
class SessionAdvice:
    """That sessions end before the connection's session length says so."""

    sentence: str
    minutes: int | None
    """The session length that would fit; None when Salesforce has no shorter one."""

    @classmethod
    def of(cls, session_minutes: int, life_minutes: float) -> Self:
        """`life_minutes`: the shortest of the last sessions. The session length that fits is the next one below it."""
        told = f"Sessions here end after about {max(round(life_minutes), 1)} min"
        fitting = max((each for each in SESSION_MINUTES if each <= life_minutes), default=SESSION_MINUTES[0])
        if fitting >= session_minutes:
            return cls(f"{told}, sooner than any session length of Salesforce's: something ends them.", None)
        return cls(f"{told}, your session length says {session_length(session_minutes)}.", fitting)


class ConnectionDraft(Base):
    """A connection on its way through the set-up guide: what is known so far, and which steps are done."""

    made_by = models.ForeignKey(django_settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=60, blank=True, validators=[_name])
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


class AccessTokenQuerySet(models.QuerySet["AccessToken"]):
    def free_to_claim(self, now: dt.datetime | Expression) -> Self:
        return self.filter(Q(claimed_until__isnull=True) | Q(claimed_until__lt=now))

    def due_for_refresh(self, now: dt.datetime) -> Self:
        """What beat renews: what may be called here, past `refresh_at` (or never signed in), past the gate, claimed by nobody.

        An edit since the last result (another settings fingerprint) is found when the row is claimed.
        """
        own = Q(username=NormalUsername("connection__username"))
        return (
            self.filter(
                connection__enabled=True, connection__signing_key__private_key__key_id__in=keyring().key_ids
            )
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


class ConnectionCheck(Base):
    """One run of the diagnosis, kept for a time."""

    connection = models.ForeignKey(ConnectedApp, on_delete=models.CASCADE, related_name="checks")
    at = models.DateTimeField(default=timezone.now, db_index=True)
    asked_by = models.CharField(max_length=150, help_text="A person, `beat` or `command line`.")
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
    api_used = models.PositiveIntegerField(null=True)
    api_limit = models.PositiveIntegerField(null=True)

    class Meta:
        ordering = ("-at",)
        indexes = [models.Index(fields=["connection", "-at"], name="sf_check_history")]

    def __str__(self) -> str:
        return f"{self.connection_id} {self.at:%Y-%m-%d %H:%M:%S}"


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

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor} {self.act} {self.subject}"


class ApiClient(Base):
    """A caller of the HTTP token API."""

    name = models.CharField(max_length=100, unique=True)
    prefix = models.CharField(max_length=12, unique=True, editable=False)
    api_key_sha256 = models.CharField(max_length=64, editable=False)
    connections = models.ManyToManyField(ConnectedApp, blank=True, related_name="api_clients")
    usernames = models.JSONField(default=list, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Heartbeat(models.Model):
    """When a periodic job last ran; tells a silent scheduler."""

    name = models.CharField(max_length=60, primary_key=True)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} {self.at:%Y-%m-%d %H:%M:%S}"

    @classmethod
    def beat(cls, name: str) -> None:
        cls.objects.update_or_create(name=name, defaults={"at": timezone.now()})
