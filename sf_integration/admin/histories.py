"""What the app writes down: tokens (never their value), checks, audit events. Read-only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone

from .. import access
from ..access import Act
from ..models import AccessToken, AuditEvent, ConnectionCheck
from ..templatetags.sf_integration_tags import state_pill, when
from .ladders import shown_ladder
from .permissions import ReadOnlyAdmin
from .revoking import revoke


@admin.register(AccessToken)
class AccessTokenAdmin(ReadOnlyAdmin):
    list_display = ("connection", "username", "in_force", "issued", "expires", "renewal", "failures")
    list_select_related = ("connection__signing_key",)
    search_fields = ("connection__name", "username")
    actions = ("revoke_tokens",)
    fields = (
        "connection",
        "username",
        "in_force",
        "instance_url",
        "scopes",
        "issued_at",
        "expected_expiry",
        "refresh_at",
        "failures",
        "last_problem",
        "last_try_at",
        "next_try_at",
        "logins",
        "logins_since",
        "early_ends",
        "last_used_at",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[AccessToken]:
        return AccessToken.objects.filter(connection__in=access.visible_to(request.user)).order_by(
            "connection__name", "username"
        )

    @admin.action(description="Revoke", permissions=["run_checks"])
    def revoke_tokens(self, request: HttpRequest, queryset: QuerySet[AccessToken]) -> TemplateResponse | None:
        return revoke(self, request, queryset, queryset)

    @admin.display(description="Token in force", boolean=True)
    def in_force(self, row: AccessToken) -> bool:
        return row.has_token(timezone.now())

    @admin.display(description="Issued", ordering="issued_at")
    def issued(self, row: AccessToken) -> str:
        return when(row.issued_at)

    @admin.display(description="Expected expiry", ordering="expected_expiry")
    def expires(self, row: AccessToken) -> str:
        return when(row.expected_expiry, never="—")

    @admin.display(description="Next renewal", ordering="refresh_at")
    def renewal(self, row: AccessToken) -> str:
        return when(row.refresh_at, never="—")

    @admin.display(description="Last error")
    def last_problem(self, row: AccessToken) -> str:
        return str((row.last_error or {}).get("message", "—"))


@admin.register(ConnectionCheck)
class ConnectionCheckAdmin(ReadOnlyAdmin):
    list_display = ("at", "connection", "shown_state", "kind", "asked_by", "took")
    list_filter = ("healthy", "light", "at")
    list_select_related = ("connection",)
    search_fields = ("connection__name", "asked_by")
    fields = (
        "connection",
        "at",
        "asked_by",
        "shown_state",
        "kind",
        "took",
        "api_used",
        "api_limit",
        "ladder",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ConnectionCheck]:
        return ConnectionCheck.objects.filter(connection__in=access.visible_to(request.user))

    @admin.display(description="State then", ordering="state")
    def shown_state(self, check: ConnectionCheck) -> str:
        return state_pill(check.state)

    @admin.display(description="Kind")
    def kind(self, check: ConnectionCheck) -> str:
        return "light" if check.light else "full"

    @admin.display(description="Took", ordering="milliseconds")
    def took(self, check: ConnectionCheck) -> str:
        return f"{check.milliseconds} ms"

    @admin.display(description="Steps")
    def ladder(self, check: ConnectionCheck) -> str:
        return shown_ladder(check)


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("at", "actor", "act", "subject", "username", "names", "count")
    list_filter = ("act", "at")
    search_fields = ("actor", "subject", "username")
    fields = ("at", "actor", "act", "subject", "subject_id", "username", "names", "count")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEvent]:
        events = AuditEvent.objects.all()
        if request.user.is_superuser:
            return events
        return events.filter(subject_id__in=access.visible_to(request.user).values("pk"))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return access.may(request.user, Act.MANAGE_KEYS)

    @admin.display(description="Fields")
    def names(self, event: AuditEvent) -> str:
        return ", ".join(event.fields) or "—"
