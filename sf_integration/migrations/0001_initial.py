import uuid

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import sf_integration.fields


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ConnectedApp",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "name",
                    models.CharField(
                        help_text="The handle in code, e.g. acme-prod.",
                        max_length=60,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?\\Z",
                                "Use lower-case letters, digits, hyphens and underscores, as in acme-prod.",
                            )
                        ],
                    ),
                ),
                (
                    "label",
                    models.CharField(blank=True, help_text="For people; empty: the name.", max_length=100),
                ),
                (
                    "login_url",
                    models.URLField(
                        help_text="The org's My Domain URL, e.g. https://acme.my.salesforce.com (Setup → My Domain).",
                        max_length=255,
                        verbose_name="login URL",
                    ),
                ),
                (
                    "audience",
                    models.CharField(
                        blank=True,
                        help_text="Empty: the login URL, which is right for nearly every org.",
                        max_length=255,
                    ),
                ),
                (
                    "app_kind",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("external_client_app", "External Client App"),
                            ("connected_app", "Connected App"),
                        ],
                        db_default="",
                        help_text="What the org's admin made; empty: not known here.",
                        max_length=20,
                        verbose_name="kind of app",
                    ),
                ),
                (
                    "consumer_key",
                    models.CharField(
                        help_text="Of the External Client App or Connected App; also called client id.",
                        max_length=512,
                    ),
                ),
                (
                    "username",
                    models.CharField(
                        help_text="Username of the integration user, not its e-mail address.", max_length=255
                    ),
                ),
                (
                    "extra_usernames",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text='Other users that code may ask tokens for, e.g. ["ops@acme.example"].',
                        verbose_name="allowed extra usernames",
                    ),
                ),
                ("staged_at", models.DateTimeField(editable=False, null=True)),
                (
                    "staged_trial",
                    models.JSONField(
                        editable=False,
                        help_text="The last sign-in with the staged signing key: {fingerprint, at, accepted, code, words}.",
                        null=True,
                    ),
                ),
                ("promoted_at", models.DateTimeField(editable=False, null=True)),
                (
                    "api_version",
                    models.CharField(
                        blank=True,
                        help_text="Empty: the newest one the org and this app know, set by the first check.",
                        max_length=5,
                        validators=[
                            django.core.validators.RegexValidator("\\A\\d{2,3}\\.0\\Z", "Write it as 67.0.")
                        ],
                        verbose_name="API version",
                    ),
                ),
                (
                    "session_minutes",
                    models.PositiveIntegerField(
                        choices=[
                            (15, "15 min"),
                            (30, "30 min"),
                            (60, "1 h"),
                            (120, "2 h"),
                            (240, "4 h"),
                            (480, "8 h"),
                            (720, "12 h"),
                            (1440, "24 h"),
                        ],
                        default=120,
                        help_text="The time-out of the app's, profile's or org's session settings.",
                        verbose_name="session length",
                    ),
                ),
                (
                    "sample_sobject",
                    models.CharField(
                        blank=True, default="Account", max_length=80, verbose_name="sample sObject"
                    ),
                ),
                ("sample_fields", models.JSONField(blank=True, default=list, verbose_name="sample fields")),
                (
                    "expected_org_id",
                    models.CharField(
                        blank=True,
                        help_text="Pinned by the first successful check; another org is then refused.",
                        max_length=18,
                        verbose_name="expected org id",
                    ),
                ),
                (
                    "environment",
                    models.CharField(
                        choices=[
                            ("production", "production"),
                            ("sandbox", "sandbox"),
                            ("scratch", "scratch org"),
                            ("developer", "Developer Edition"),
                            ("trailhead", "Trailhead"),
                        ],
                        default="production",
                        editable=False,
                        max_length=12,
                    ),
                ),
                (
                    "environment_for",
                    models.TextField(
                        blank=True,
                        editable=False,
                        help_text="The `environment_subject` that `environment` was worked out for.",
                    ),
                ),
                ("tags", models.JSONField(blank=True, default=list)),
                (
                    "our_contacts",
                    models.TextField(
                        blank=True, help_text="Who looks after it here; one e-mail address per line."
                    ),
                ),
                (
                    "org_contacts",
                    models.TextField(
                        blank=True,
                        help_text="Who can act in Salesforce; one e-mail address per line.",
                        verbose_name="the org's admins",
                    ),
                ),
                ("enabled", models.BooleanField(default=True, help_text="Off: paused, nothing is called.")),
                ("notes", models.TextField(blank=True)),
                ("last_checked_at", models.DateTimeField(editable=False, null=True)),
                ("last_full_check_at", models.DateTimeField(editable=False, null=True)),
                (
                    "checked_fingerprint",
                    models.CharField(
                        blank=True,
                        editable=False,
                        help_text="Hash of the settings that the last full check saw.",
                        max_length=64,
                    ),
                ),
                (
                    "settings_since",
                    models.DateTimeField(
                        editable=False,
                        help_text="When a check first saw the present sign-in settings.",
                        null=True,
                    ),
                ),
                ("last_success_at", models.DateTimeField(editable=False, null=True)),
                ("failing_since", models.DateTimeField(editable=False, null=True)),
                (
                    "last_error",
                    models.JSONField(
                        editable=False,
                        help_text="The present failure: {step, code, seen, cause, who, remedy, where, words}.",
                        null=True,
                    ),
                ),
                (
                    "told_state",
                    models.CharField(
                        default="Not checked yet",
                        editable=False,
                        help_text="The state that listeners were told of last.",
                        max_length=30,
                    ),
                ),
                ("warnings", models.JSONField(default=list, editable=False)),
                (
                    "organization",
                    models.JSONField(
                        default=dict,
                        editable=False,
                        help_text="What the org said of itself, and who answered, each with the `environment_subject` of then.",
                    ),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                "verbose_name": "Connected App profile",
                "ordering": ("name",),
                "permissions": [
                    ("view_health", "Can see connections and their health"),
                    ("run_checks", "Can check, renew and pause connections"),
                    ("look_up_records", "Can look up records and run SOQL"),
                    ("manage_keys", "Can manage connections and signing keys"),
                    ("take_tokens", "Can take access tokens out"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Heartbeat",
            fields=[
                ("name", models.CharField(max_length=60, primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="SigningKey",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("name", models.CharField(max_length=100, unique=True)),
                ("private_key", sf_integration.fields.SealedField(editable=False, null=True)),
                (
                    "certificate",
                    models.TextField(blank=True, help_text="PEM; the one uploaded to Salesforce."),
                ),
                (
                    "fingerprint",
                    models.CharField(
                        editable=False,
                        help_text="SHA-256 of the public key; tells key pairs apart.",
                        max_length=64,
                    ),
                ),
                ("certificate_fingerprint", models.CharField(blank=True, editable=False, max_length=64)),
                ("not_before", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "not_after",
                    models.DateTimeField(
                        blank=True, editable=False, null=True, verbose_name="certificate ends"
                    ),
                ),
                ("size", models.PositiveIntegerField(editable=False, verbose_name="bits")),
                (
                    "origin",
                    models.CharField(
                        choices=[
                            ("made", "made here"),
                            ("uploaded", "uploaded"),
                            ("outside", "held outside"),
                        ],
                        default="uploaded",
                        editable=False,
                        max_length=10,
                    ),
                ),
                (
                    "signer",
                    models.CharField(
                        blank=True,
                        db_default="",
                        editable=False,
                        help_text="Which of SF_INTEGRATION's SIGNERS holds the private key; empty: it is stored here.",
                        max_length=50,
                    ),
                ),
                (
                    "signer_reference",
                    models.CharField(
                        blank=True,
                        db_default="",
                        editable=False,
                        help_text="What the signer knows the key by, as an ARN or a file's name.",
                        max_length=500,
                    ),
                ),
                (
                    "warned_stage",
                    models.SmallIntegerField(
                        editable=False,
                        help_text="The last stage before the certificate's end that was warned of.",
                        null=True,
                    ),
                ),
                (
                    "replaced_at",
                    models.DateTimeField(
                        editable=False,
                        help_text="When a connection first left it for its staged one.",
                        null=True,
                    ),
                ),
                (
                    "retired_at",
                    models.DateTimeField(
                        editable=False,
                        help_text="When its private key was erased, as nothing used it any more.",
                        null=True,
                    ),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="Alarm",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("connection", "connection fails"),
                            ("host", "host does not answer"),
                            ("attention", "connection needs attention"),
                            ("certificate", "certificate ends"),
                            ("encryption_key", "encryption key or signer missing"),
                            ("scheduler", "scheduler is silent"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "about",
                    models.CharField(
                        help_text="Which one: id of the connection or signing key, host, id of the encryption key.",
                        max_length=255,
                    ),
                ),
                ("title", models.CharField(help_text="What people call it.", max_length=200)),
                ("since", models.DateTimeField(help_text="When the matter itself began.")),
                (
                    "raised_at",
                    models.DateTimeField(
                        db_index=True, default=django.utils.timezone.now, help_text="When it was noticed."
                    ),
                ),
                (
                    "level",
                    models.PositiveSmallIntegerField(
                        default=0,
                        help_text="How loudly it was told: rises by the days it lasts, or by the stages of a certificate.",
                    ),
                ),
                (
                    "told_at",
                    models.DateTimeField(
                        help_text="When it was last told; never: it may pass yet.", null=True
                    ),
                ),
                (
                    "count",
                    models.PositiveIntegerField(
                        default=1, help_text="How many connections it concerns at most."
                    ),
                ),
                (
                    "facts",
                    models.JSONField(
                        default=dict, help_text="What is wrong: {cause, who, remedy, where, code}."
                    ),
                ),
                (
                    "connections",
                    models.JSONField(
                        default=list,
                        help_text="Ids of the connections that it concerned at one time or other.",
                    ),
                ),
                (
                    "told",
                    models.JSONField(
                        default=dict,
                        help_text="Who was told, each with the id of the first message about it.",
                    ),
                ),
                (
                    "calm_since",
                    models.DateTimeField(
                        help_text="When it was first seen to be over; it is, once that has lasted.", null=True
                    ),
                ),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "ending",
                    models.CharField(
                        blank=True,
                        help_text="Why it ended: recovered, paused, deleted, merged, settled.",
                        max_length=20,
                    ),
                ),
            ],
            options={
                "ordering": ("-raised_at",),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at", None)),
                        fields=("kind", "about"),
                        name="sf_one_open_alarm",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AlarmMessage",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "target",
                    models.CharField(
                        help_text="`mail:` and an address, or `channel:` and the name of one; never its URL.",
                        max_length=254,
                    ),
                ),
                (
                    "in_reply_to",
                    models.UUIDField(help_text="An earlier message about the same alarm.", null=True),
                ),
                ("subject", models.CharField(max_length=250)),
                (
                    "tone",
                    models.CharField(
                        default="info",
                        help_text="How chats colour it: failure, warning, success or info.",
                        max_length=10,
                    ),
                ),
                ("body", models.TextField()),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("sent_at", models.DateTimeField(db_index=True, null=True)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("next_try_at", models.DateTimeField(help_text="None: sent, or given up.", null=True)),
                ("claimed_until", models.DateTimeField(null=True)),
                (
                    "problem",
                    models.CharField(
                        blank=True,
                        help_text="Why the last try failed: its kind, never an address with a secret.",
                        max_length=200,
                    ),
                ),
            ],
            options={
                "ordering": ("-created_at",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("next_try_at__isnull", False)),
                        fields=["next_try_at"],
                        name="sf_unsent",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AuditEvent",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("at", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
                ("actor", models.CharField(max_length=150)),
                ("act", models.CharField(max_length=40)),
                (
                    "subject",
                    models.CharField(
                        blank=True, help_text="Name of the connection, key or API client.", max_length=150
                    ),
                ),
                ("subject_id", models.UUIDField(null=True)),
                ("username", models.CharField(blank=True, max_length=255)),
                ("fields", models.JSONField(default=list, help_text="Names of what changed, never values.")),
                ("count", models.PositiveIntegerField(default=1)),
            ],
            options={
                "ordering": ("-at",),
                "indexes": [
                    models.Index(fields=["subject_id", "-at"], name="sf_audit_of_subject"),
                    models.Index(fields=["actor", "-at"], name="sf_audit_by_actor"),
                    models.Index(fields=["act", "-at"], name="sf_audit_by_act"),
                    models.Index(fields=["subject", "-at"], name="sf_audit_by_name"),
                    models.Index(fields=["username", "-at"], name="sf_audit_by_username"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ApiClient",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("name", models.CharField(max_length=100, unique=True)),
                (
                    "prefix",
                    models.CharField(
                        editable=False,
                        help_text="How its API key begins; finds the row.",
                        max_length=12,
                        unique=True,
                    ),
                ),
                ("api_key_sha256", models.CharField(editable=False, max_length=64)),
                (
                    "usernames",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Salesforce users it may ask for beside each connection's own; the connection must list them too.",
                    ),
                ),
                (
                    "notes",
                    models.TextField(
                        blank=True, db_default="", help_text="Which program this is, and who looks after it."
                    ),
                ),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(editable=False, null=True)),
                ("last_used_at", models.DateTimeField(editable=False, null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "connections",
                    models.ManyToManyField(
                        blank=True,
                        help_text="Those it may take tokens of; none: no tokens.",
                        related_name="api_clients",
                        to="sf_integration.connectedapp",
                    ),
                ),
            ],
            options={
                "verbose_name": "API client",
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="GroupAccess",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "connection",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="sf_integration.connectedapp",
                    ),
                ),
                (
                    "group",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="auth.group"
                    ),
                ),
            ],
            options={
                "verbose_name": "access of a group",
                "verbose_name_plural": "access of groups",
            },
        ),
        migrations.AddField(
            model_name="connectedapp",
            name="groups",
            field=models.ManyToManyField(
                blank=True,
                help_text="Who may see it; empty: everyone with the permission.",
                through="sf_integration.GroupAccess",
                to="auth.group",
            ),
        ),
        migrations.CreateModel(
            name="RecentLookup",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("sobject", models.CharField(max_length=80)),
                ("record_id", models.CharField(max_length=18)),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "connection",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="sf_integration.connectedapp",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("-at",),
            },
        ),
        migrations.CreateModel(
            name="ConnectionDraft",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "name",
                    models.CharField(
                        blank=True,
                        max_length=60,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?\\Z",
                                "Use lower-case letters, digits, hyphens and underscores, as in acme-prod.",
                            )
                        ],
                    ),
                ),
                ("label", models.CharField(blank=True, max_length=100)),
                (
                    "app_kind",
                    models.CharField(
                        choices=[
                            ("external_client_app", "External Client App"),
                            ("connected_app", "Connected App"),
                        ],
                        default="external_client_app",
                        max_length=20,
                    ),
                ),
                ("login_url", models.CharField(blank=True, max_length=255)),
                ("username", models.CharField(blank=True, max_length=255)),
                ("consumer_key", models.CharField(blank=True, max_length=512)),
                (
                    "objects_wanted",
                    models.JSONField(
                        default=list,
                        help_text="API names of the objects that the permission set should open.",
                    ),
                ),
                ("steps_done", models.JSONField(default=list, help_text="Ids of steps of the guide.")),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "connection",
                    models.ForeignKey(
                        blank=True,
                        help_text="The one made from it, until it has been green.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="drafts",
                        to="sf_integration.connectedapp",
                    ),
                ),
                (
                    "made_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "signing_key",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="drafts",
                        to="sf_integration.signingkey",
                    ),
                ),
            ],
            options={
                "ordering": ("-updated_at",),
            },
        ),
        migrations.AddField(
            model_name="connectedapp",
            name="previous_signing_key",
            field=models.ForeignKey(
                editable=False,
                help_text="The one before the promotion, as long as that can be undone.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="previous_connections",
                to="sf_integration.signingkey",
            ),
        ),
        migrations.AddField(
            model_name="connectedapp",
            name="signing_key",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="connections",
                to="sf_integration.signingkey",
            ),
        ),
        migrations.AddField(
            model_name="connectedapp",
            name="staged_signing_key",
            field=models.ForeignKey(
                blank=True,
                help_text="The next one: in force by itself once the org takes it.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="staged_connections",
                to="sf_integration.signingkey",
            ),
        ),
        migrations.CreateModel(
            name="Total",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "what",
                    models.CharField(
                        choices=[("sign-in", "sign-in"), ("check", "check"), ("sweep", "sweep")],
                        max_length=20,
                    ),
                ),
                (
                    "outcome",
                    models.CharField(
                        help_text="Of a sign-in `ok` or the code; of a check its state; of a sweep empty.",
                        max_length=100,
                    ),
                ),
                ("count", models.PositiveBigIntegerField(default=0)),
                ("milliseconds", models.PositiveBigIntegerField(default=0)),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("what", "outcome"), name="sf_one_total")],
            },
        ),
        migrations.CreateModel(
            name="CheckDay",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("day", models.DateField(db_index=True)),
                ("checks", models.PositiveIntegerField()),
                ("healthy", models.PositiveIntegerField(help_text="How many of them found it working.")),
                ("worst_state", models.CharField(max_length=30)),
                ("median_milliseconds", models.PositiveIntegerField()),
                ("slowest_milliseconds", models.PositiveIntegerField()),
                (
                    "api_used",
                    models.PositiveIntegerField(
                        help_text="The most that one of them saw.", null=True, verbose_name="API calls used"
                    ),
                ),
                ("api_limit", models.PositiveIntegerField(null=True, verbose_name="API calls allowed")),
                (
                    "connection",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="check_days",
                        to="sf_integration.connectedapp",
                    ),
                ),
            ],
            options={
                "ordering": ("-day",),
                "constraints": [
                    models.UniqueConstraint(fields=("connection", "day"), name="sf_one_row_per_day")
                ],
            },
        ),
        migrations.CreateModel(
            name="AccessToken",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("username", models.CharField(help_text="Lower case.", max_length=255)),
                ("value", sf_integration.fields.SealedField(editable=False, null=True)),
                ("instance_url", models.CharField(blank=True, max_length=255)),
                ("identity_url", models.CharField(blank=True, max_length=255)),
                ("scopes", models.CharField(blank=True, max_length=1000)),
                ("issued_at", models.DateTimeField(null=True)),
                ("expected_expiry", models.DateTimeField(null=True)),
                ("refresh_at", models.DateTimeField(db_index=True, null=True)),
                (
                    "fingerprint",
                    models.CharField(blank=True, help_text="Keyed hash of the token.", max_length=64),
                ),
                (
                    "settings_fingerprint",
                    models.CharField(
                        blank=True,
                        help_text="Hash of the settings that all of this holds for.",
                        max_length=64,
                    ),
                ),
                ("version", models.PositiveBigIntegerField(default=0)),
                ("failures", models.PositiveIntegerField(default=0, help_text="In a row.")),
                ("last_error", models.JSONField(null=True)),
                ("last_try_at", models.DateTimeField(null=True)),
                (
                    "next_try_at",
                    models.DateTimeField(help_text="The only gate: nobody signs in before.", null=True),
                ),
                ("logins_since", models.DateTimeField(null=True)),
                (
                    "logins",
                    models.PositiveIntegerField(
                        default=0, help_text="Since `logins_since`, at most an hour ago."
                    ),
                ),
                ("claimed_by", models.CharField(blank=True, max_length=64)),
                ("claimed_until", models.DateTimeField(null=True)),
                ("last_used_at", models.DateTimeField(null=True)),
                (
                    "uses",
                    models.PositiveBigIntegerField(
                        db_default=0,
                        default=0,
                        help_text="How often it was handed out; told by each process once a minute.",
                    ),
                ),
                (
                    "early_ends",
                    models.PositiveIntegerField(
                        db_default=0,
                        default=0,
                        help_text="Sessions in a row that the org ended before the session length.",
                    ),
                ),
                (
                    "shortest_life_seconds",
                    models.PositiveIntegerField(db_default=0, default=0, help_text="Of these sessions."),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "connection",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tokens",
                        to="sf_integration.connectedapp",
                    ),
                ),
            ],
            options={
                "ordering": ("connection", "username"),
                "indexes": [models.Index(fields=["username"], name="sf_token_username")],
                "constraints": [
                    models.UniqueConstraint(fields=("connection", "username"), name="sf_one_token_per_user")
                ],
            },
        ),
        migrations.CreateModel(
            name="ConnectionCheck",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("at", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
                (
                    "asked_by",
                    models.CharField(help_text="A person, “beat” or “command line”.", max_length=150),
                ),
                ("healthy", models.BooleanField()),
                (
                    "light",
                    models.BooleanField(default=False, help_text="Stored facts and one cheap call only."),
                ),
                ("state", models.CharField(max_length=30)),
                (
                    "steps",
                    models.JSONField(
                        default=list,
                        help_text="[{step, status, code, message, cause, remedy, who, where, milliseconds}] in order.",
                    ),
                ),
                (
                    "trace",
                    models.JSONField(
                        help_text="The sign-in, if there was one: what was sent and answered, secrets as their lengths.",
                        null=True,
                    ),
                ),
                ("milliseconds", models.PositiveIntegerField(default=0)),
                ("api_used", models.PositiveIntegerField(null=True, verbose_name="API calls used")),
                ("api_limit", models.PositiveIntegerField(null=True, verbose_name="API calls allowed")),
                (
                    "connection",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="checks",
                        to="sf_integration.connectedapp",
                    ),
                ),
            ],
            options={
                "ordering": ("-at",),
                "indexes": [models.Index(fields=["connection", "-at", "state"], name="sf_check_history")],
            },
        ),
        migrations.CreateModel(
            name="ConnectionEvent",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("at", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("signed in", "signed in"),
                            ("sign-in failed", "sign-in failed"),
                            ("session ended", "session ended by the org"),
                            ("state changed", "state changed"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "username",
                    models.CharField(
                        blank=True, help_text="Lower case, as AccessToken has it.", max_length=255
                    ),
                ),
                (
                    "code",
                    models.CharField(
                        blank=True,
                        help_text="What Salesforce or we called it; after a change the new state.",
                        max_length=100,
                    ),
                ),
                (
                    "milliseconds",
                    models.PositiveIntegerField(help_text="How long the sign-in took.", null=True),
                ),
                (
                    "connection",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="events",
                        to="sf_integration.connectedapp",
                    ),
                ),
            ],
            options={
                "ordering": ("-at",),
                "indexes": [models.Index(fields=["connection", "-at"], name="sf_event_history")],
            },
        ),
        migrations.AddConstraint(
            model_name="groupaccess",
            constraint=models.UniqueConstraint(
                fields=("connection", "group"), name="sf_one_access_per_group"
            ),
        ),
        migrations.AddConstraint(
            model_name="recentlookup",
            constraint=models.UniqueConstraint(
                fields=("user", "connection", "record_id"), name="sf_one_lookup_per_record"
            ),
        ),
        migrations.AddIndex(
            model_name="connectedapp",
            index=models.Index(
                condition=models.Q(("failing_since__isnull", False)),
                fields=["failing_since"],
                name="sf_failing",
            ),
        ),
    ]
