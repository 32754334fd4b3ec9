"""What the app writes down: tokens (never their value), checks, events, the audit trail. Read-only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from .. import access
from ..access import Deed
from ..models import AccessToken, AuditEvent, CheckDay, ConnectionCheck, ConnectionEvent
from ..services import trail
from ..state import ConnectionState
from ..templatetags.sf_integration_tags import state_pill, when
from .cells import EMPTY, exactly
from .filters import Choice, Choices, Day, Filter, YesNo
from .ladders import shown_ladder
from .permissions import Deeds, ReadOnlyAdmin, action
from .revoking import revoke


class OfVisible(ReadOnlyAdmin):
    """Rows of the connections that the person may see."""

    list_select_related = ("connection",)
    moment = exactly("at", gettext_lazy("When"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        # For superusers too a condition would be true, but not free.
        return (
            rows if request.user.is_superuser else rows.filter(connection__in=access.visible_to(request.user))
        )

    def named(self, row: Any) -> str:
        return str(row.connection)


class InForce(YesNo):
    title = gettext_lazy("token in force")
    parameter_name = "in_force"

    def fitting(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        """As far as the times tell; whether it fits the settings is for the column."""
        in_force = {"value__isnull": False, "expected_expiry__gt": timezone.now()}
        return rows.filter(**in_force) if value == "1" else rows.exclude(**in_force)


@admin.register(AccessToken)
class AccessTokenAdmin(OfVisible):
    what = gettext_lazy("When each was issued and ends. Their values are sealed and shown nowhere.")
    list_display = ("connection", "username", "in_force", "issued", "expires", "renewal", "failures")
    list_select_related = ("connection__signing_key",)
    list_filter = (InForce,)
    search_fields = ("connection__name", "username")
    search_help_text = gettext_lazy("Connection or username")
    actions = ("revoke_tokens",)
    ordering = ("connection__name", "username")
    fields = (
        "connection",
        "username",
        "in_force",
        "instance_url",
        "scopes",
        "issued_at_exactly",
        "expiry_exactly",
        "renewal_exactly",
        "failures",
        "last_problem",
        "last_try",
        "next_try",
        "logins",
        "counted_since",
        "early_ends",
        "last_used",
    )
    issued_at_exactly = exactly("issued_at", gettext_lazy("Issued"))
    expiry_exactly = exactly("expected_expiry", gettext_lazy("Expected expiry"))
    renewal_exactly = exactly("refresh_at", gettext_lazy("Next renewal"))
    last_try = exactly("last_try_at", gettext_lazy("Last try"))
    next_try = exactly("next_try_at", gettext_lazy("Not tried before"))
    counted_since = exactly("logins_since", gettext_lazy("Logins since"))
    last_used = exactly("last_used_at", gettext_lazy("Last used"))

    @action(Deed.REVOKE, gettext_lazy("Revoke"))
    def revoke_tokens(self, request: HttpRequest, queryset: QuerySet[AccessToken]) -> TemplateResponse | None:
        return revoke(self, request, queryset, queryset)

    @admin.display(description=gettext_lazy("Token in force"), boolean=True)
    def in_force(self, row: AccessToken) -> bool:
        return row.has_token(timezone.now())

    @admin.display(description=gettext_lazy("Issued"), ordering="issued_at")
    def issued(self, row: AccessToken) -> str:
        return when(row.issued_at)

    @admin.display(description=gettext_lazy("Expected expiry"), ordering="expected_expiry")
    def expires(self, row: AccessToken) -> str:
        return when(row.expected_expiry, never=EMPTY)

    @admin.display(description=gettext_lazy("Next renewal"), ordering="refresh_at")
    def renewal(self, row: AccessToken) -> str:
        return when(row.refresh_at, never=EMPTY)

    @admin.display(description=gettext_lazy("Last error"))
    def last_problem(self, row: AccessToken) -> str:
        return str((row.last_error or {}).get("message", EMPTY))


class StateThen(Choice):
    title = gettext_lazy("state then")
    parameter_name = "state"

    def choices_for(self, request: HttpRequest) -> Choices:
        return [(state.value, _(state.value)) for state in ConnectionState]


class WorstState(StateThen):
    title = gettext_lazy("worst state")
    parameter_name = "worst_state"


class Kind(YesNo):
    title = gettext_lazy("kind")
    parameter_name = "light"
    words = (gettext_lazy("light"), gettext_lazy("full"))


class AskedBy(Filter):
    title = gettext_lazy("asked by")
    parameter_name = "asked_by"


@admin.register(ConnectionCheck)
class ConnectionCheckAdmin(OfVisible):
    what = gettext_lazy("Each run of the diagnosis, step by step.")
    list_display = ("moment", "connection", "shown_state", "kind", "asked_by", "took")
    list_filter = (StateThen, Kind, AskedBy, Day)
    search_fields = ("connection__name",)
    search_help_text = gettext_lazy("Connection")
    fields = (
        "connection",
        "moment",
        "asked_by",
        "shown_state",
        "kind",
        "took",
        "api_used",
        "api_limit",
        "ladder",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ConnectionCheck]:
        return super().get_queryset(request).defer("steps", "trace")

    @admin.display(description=gettext_lazy("State then"), ordering="state")
    def shown_state(self, check: ConnectionCheck) -> str:
        return state_pill(check.state)

    @admin.display(description=gettext_lazy("Kind"))
    def kind(self, check: ConnectionCheck) -> str:
        return str(Kind.words[0 if check.light else 1])

    @admin.display(description=gettext_lazy("Took"), ordering="milliseconds")
    def took(self, check: ConnectionCheck) -> str:
        return f"{check.milliseconds} ms"

    @admin.display(description=gettext_lazy("Steps"))
    def ladder(self, check: ConnectionCheck) -> str:
        return shown_ladder(check)


@admin.register(CheckDay)
class CheckDayAdmin(OfVisible):
    what = gettext_lazy("All checks of a connection on one day; kept longer than the checks themselves.")
    list_display = ("day", "connection", "shown_state", "found", "median", "slowest")
    list_filter = (WorstState,)
    search_fields = ("connection__name",)
    search_help_text = gettext_lazy("Connection")
    fields = ("connection", "day", "shown_state", "found", "median", "slowest", "api_used", "api_limit")

    @admin.display(description=gettext_lazy("Worst state"), ordering="worst_state")
    def shown_state(self, day: CheckDay) -> str:
        return state_pill(day.worst_state)

    @admin.display(description=gettext_lazy("Found it working"), ordering="healthy")
    def found(self, day: CheckDay) -> str:
        told = ngettext("%(healthy)d of %(checks)d check", "%(healthy)d of %(checks)d checks", day.checks)
        return told % {"healthy": day.healthy, "checks": day.checks}

    @admin.display(description=gettext_lazy("Median"), ordering="median_milliseconds")
    def median(self, day: CheckDay) -> str:
        return f"{day.median_milliseconds} ms"

    @admin.display(description=gettext_lazy("Slowest"), ordering="slowest_milliseconds")
    def slowest(self, day: CheckDay) -> str:
        return f"{day.slowest_milliseconds} ms"


class EventKind(Choice):
    title = gettext_lazy("what")
    parameter_name = "kind"

    def choices_for(self, request: HttpRequest) -> Choices:
        return ConnectionEvent.Kind.choices


@admin.register(ConnectionEvent)
class ConnectionEventAdmin(OfVisible):
    what = gettext_lazy("Sign-ins, refusals, ended sessions, changes of state.")
    list_display = ("moment", "connection", "kind", "code", "username", "took")
    list_filter = (EventKind, Day)
    search_fields = ("connection__name", "username", "code")
    search_help_text = gettext_lazy("Connection, username or code")
    fields = ("moment", "connection", "kind", "code", "username", "took")

    @admin.display(description=gettext_lazy("Took"), ordering="milliseconds")
    def took(self, event: ConnectionEvent) -> str:
        return EMPTY if event.milliseconds is None else f"{event.milliseconds} ms"


class ByAct(Choice):
    title = gettext_lazy("act")
    parameter_name = "act"

    def choices_for(self, request: HttpRequest) -> Choices:
        return [(act, act) for act in trail.acts()]


class ByActor(Filter):
    title = gettext_lazy("actor")
    parameter_name = "actor"


class BySubject(Filter):
    title = gettext_lazy("subject")
    parameter_name = "subject"


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    deeds = Deeds(view=Deed.SEE_AUDIT)
    what = gettext_lazy("Who did what. Append-only; names of fields, never values.")
    list_display = ("moment", "actor", "act", "subject", "username", "names", "count")
    list_filter = (ByActor, ByAct, BySubject, Day)
    search_fields = ("actor", "subject", "username")
    search_help_text = gettext_lazy("Actor, subject or username")
    moment = exactly("at", gettext_lazy("When"))
    fields = ("moment", "actor", "act", "subject", "subject_id", "username", "names", "count")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEvent]:
        return trail.visible_events(request.user)

    def named(self, event: AuditEvent) -> str:
        return f"{event.actor} {event.act} {event.subject}".strip()

    @admin.display(description=gettext_lazy("Fields"))
    def names(self, event: AuditEvent) -> str:
        return ", ".join(event.fields) or EMPTY
