from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.text import Truncator

from .. import access, audit
from ..access import Act
from ..forms import ConnectedAppForm
from ..models import AccessToken, ConnectedApp, ConnectedAppQuerySet
from ..sensitive import takes_secret_inputs
from ..services import corrections, leaving, operations
from ..services.operations import Outcome
from ..state import ConnectionState
from ..templatetags.sf_integration_tags import state_pill, when
from ..tokens import rows
from ..views.offers import Offers
from . import trying
from .ladders import shown_ladder, shown_problems
from .revoking import revoke, tell
from .signing_keys import tell_of_new_key
from .transfers import ManyAtOnceAdmin

_SAVE_AND_TEST = "_test"
_WITH_KEYS = "with_keys"


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state.value, state.value) for state in ConnectionState]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(state=self.value()) if self.value() else queryset


@admin.register(ConnectedApp)
class ConnectedAppAdmin(ManyAtOnceAdmin):
    form = ConnectedAppForm
    list_display = (
        "name",
        "state_and_reason",
        "shown_environment",
        "username",
        "certificate_ends",
        "last_check",
    )
    list_filter = (StateFilter, "environment", "enabled")
    list_select_related = ("signing_key",)
    list_per_page = 50
    show_full_result_count = False
    search_fields = ("name", "label", "username", "login_url")
    actions = ("check_now", "renew_now", "revoke_tokens", "pause", "resume", "accept_refreshed")
    view_on_site = False  # the button “Health page” leads there
    HEALTH = (
        "shown_state",
        "sentence",
        "what_to_do",
        "shown_environment",
        "last_check",
        "last_success",
        "ladder",
    )
    readonly_fields = HEALTH
    fieldsets = (
        (
            "Health",
            {"fields": HEALTH},
        ),
        (None, {"fields": ("name", "label", "enabled")}),
        (
            "Salesforce",
            {
                "fields": ("login_url", "app_kind", "consumer_key", "username", "audience"),
                "description": "As in the External Client App or Connected App of the org.",
            },
        ),
        (
            "Signing key",
            {
                "fields": (
                    "signing_key",
                    "private_key",
                    "private_key_file",
                    "passphrase",
                    "certificate",
                    "certificate_file",
                    "make_key",
                ),
                "description": "Choose a stored one, or give one, or have one made. What is given is stored encrypted "
                "and never shown again.",
            },
        ),
        (
            "Details",
            {
                "classes": ("collapse",),
                "fields": (
                    "session_minutes",
                    "api_version",
                    "sample_sobject",
                    "sample_fields",
                    "extra_usernames",
                    "expected_org_id",
                    "staged_signing_key",
                ),
            },
        ),
        (
            "People and notes",
            {
                "classes": ("collapse",),
                "fields": ("visible_to_groups", "tags", "our_contacts", "org_contacts", "notes"),
            },
        ),
    )

    # ---- what is shown ----

    def get_queryset(self, request: HttpRequest) -> ConnectedAppQuerySet:
        return access.visible_to(request.user).with_state().order_by(*self.get_ordering(request))

    def get_ordering(self, request: HttpRequest) -> list[Any]:
        return ["state_rank", "name"]

    def get_fieldsets(self, request: HttpRequest, obj: ConnectedApp | None = None) -> Any:
        shown = self.fieldsets if obj else self.fieldsets[1:]
        if self.has_change_permission(request, obj):
            return shown
        inputs = set(ConnectedAppForm.KEY_FIELDS)
        return [
            (title, options | {"fields": [name for name in options["fields"] if name not in inputs]})
            for title, options in shown
        ]

    @admin.display(description="State")
    def shown_state(self, connection: ConnectedApp) -> str:
        return state_pill(connection.connection_state())

    @admin.display(description="State", ordering="state_rank")
    def state_and_reason(self, connection: ConnectedApp) -> str:
        reason = Truncator(connection.state_sentence()).chars(240)
        return format_html(
            '{}<span class="sf-reason">{}</span>', state_pill(connection.connection_state()), reason
        )

    @admin.display(description="Why")
    def sentence(self, connection: ConnectedApp) -> str:
        advice = connection.session_advice()
        sentence = connection.failure_sentence(timezone.now())
        return " ".join(filter(None, (sentence, advice.sentence if advice else "")))

    @admin.display(description="What to do")
    def what_to_do(self, connection: ConnectedApp) -> str:
        return shown_problems(connection)

    @admin.display(description="Steps of the last check")
    def ladder(self, connection: ConnectedApp) -> str:
        check = connection.checks.select_related("connection").first()
        return shown_ladder(check) if check else "No check has run yet."

    @admin.display(description="Environment", ordering="environment")
    def shown_environment(self, connection: ConnectedApp) -> str:
        return connection.known_environment

    @admin.display(description="Certificate ends", ordering="signing_key__not_after")
    def certificate_ends(self, connection: ConnectedApp) -> str:
        return when(connection.signing_key.not_after, never="unknown: add the certificate")

    @admin.display(description="Last check", ordering="last_checked_at")
    def last_check(self, connection: ConnectedApp) -> str:
        return when(connection.last_checked_at)

    @admin.display(description="Groups")
    def visible_to_groups(self, connection: ConnectedApp) -> str:
        """For those who can't change it, who see no input."""
        return ", ".join(map(str, connection.groups.order_by("name"))) or "everyone with the permission"

    @admin.display(description="Last success")
    def last_success(self, connection: ConnectedApp) -> str:
        return when(connection.last_success_at, exact=True)

    # ---- saving ----

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, *args, **kwargs)
        return trying.form_to_try(request, form) if trying.is_asked_for(request) else form

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """The foreign keys are signing keys."""
        chosen_from = access.visible_keys(request.user).filter(retired_at__isnull=True)
        return super().formfield_for_foreignkey(db_field, request, queryset=chosen_from, **kwargs)

    @method_decorator(takes_secret_inputs("private_key", "passphrase", "certificate"))
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """As Django's, and the tests that its buttons ask for: after the transaction, since they call Salesforce."""
        if trying.is_asked_for(request):
            access.require(request.user, Act.RUN_CHECKS)
        response = super().changeform_view(request, *args, **kwargs)
        if trying.is_asked_for(request) and isinstance(response, TemplateResponse):
            return trying.answer(request, response)
        saved: ConnectedApp | None = getattr(request, "saved_connection", None)
        if saved is None or _SAVE_AND_TEST not in request.POST:
            return response
        tell(request, operations.check(saved, actor=request.user))
        return redirect(reverse("admin:sf_integration_connectedapp_change", args=[saved.pk]))

    def save_model(self, request: HttpRequest, obj: ConnectedApp, form: Any, change: bool) -> None:
        obj.save(update_fields=form.changed_columns if change else None)
        audit.record("changed" if change else "added", obj, actor=request.user, fields=form.changed_names)
        if change and "staged_signing_key" in form.changed_data and obj.next_signing_key_id:
            rows.open_for_another_key(obj)
        if form.login_url_note and "login_url" in form.changed_data:
            messages.info(
                request, f"Taken from the address you pasted: {obj.login_url}. {form.login_url_note}"
            )
        if form.gives_key:
            tell_of_new_key(request, form, obj.signing_key)
        request.saved_connection = obj  # type: ignore[attr-defined]
        if change and "name" in form.changed_data:
            before = form.initial["name"]
            messages.warning(
                request,
                f"The connection “{before}” is now called “{obj.name}”: code, jobs and settings that ask for “{before}” are "
                "refused (unknown_connection) until they are changed.",
            )

    # ---- deleting ----

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """As Django's, told who used it and what becomes of its signing key."""
        connection = self.get_object(request, object_id)
        if connection is not None:
            extra_context = {
                **(extra_context or {}),
                "uses": leaving.uses(connection),
                "keys_left_over": leaving.keys_left_over([connection], actor=request.user),
                "with_keys": _WITH_KEYS,
            }
        return super().delete_view(request, object_id, extra_context)

    def delete_model(self, request: HttpRequest, obj: ConnectedApp) -> None:
        self._delete(request, [obj], with_keys=_WITH_KEYS in request.POST)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ConnectedApp]) -> None:
        self._delete(request, queryset)

    def _delete(
        self, request: HttpRequest, connections: Iterable[ConnectedApp], *, with_keys: bool = False
    ) -> None:
        """The sessions are ended after the commit, since that calls Salesforce."""
        left = leaving.delete(connections, actor=request.user, with_keys=with_keys)

        def end_sessions() -> None:
            for outcome in left.end():
                tell(request, outcome)

        transaction.on_commit(end_sessions, robust=True)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Tokens and checks go with their connection, though nobody may delete them one by one. For several at once it is
        said here who used them."""
        shown, counts, _, protected = super().get_deleted_objects(objs, request)
        page = request.resolver_match and request.resolver_match.url_name
        if page and page.endswith("_changelist"):
            shown = [_last_use(connection) for connection in objs] + shown
        return shown, counts, set(), protected

    # ---- doing ----

    def get_urls(self) -> list[URLPattern]:
        check = path(
            "<uuid:connection_id>/check/",
            self.admin_site.admin_view(self.check_view),
            name="sf_integration_connectedapp_check",
        )
        return [check, *super().get_urls()]

    def check_view(self, request: HttpRequest, connection_id: UUID) -> HttpResponse:
        """The button “Test connection”: of what is stored."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        connection = get_object_or_404(
            self.get_queryset(request).select_related("signing_key"), pk=connection_id
        )
        access.require(request.user, Act.RUN_CHECKS, connection)
        tell(request, operations.check(connection, actor=request.user))
        return HttpResponseRedirect(reverse("admin:sf_integration_connectedapp_change", args=[connection.pk]))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        may_check = self.has_run_checks_permission(request)
        context |= {
            "may_check": may_check,
            "may_try": may_check and access.may(request.user, Act.MANAGE_KEYS),
            "save_and_test": _SAVE_AND_TEST,
            "try_button": trying.BUTTON,
        }
        if connection := context.get("original"):
            may_manage = access.may(request.user, Act.MANAGE_KEYS)
            context["offers"] = Offers.of(connection, may_run=may_check, may_manage=may_manage)
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.action(description="Check now", permissions=["run_checks"])
    def check_now(self, request: HttpRequest, queryset: QuerySet[ConnectedApp]) -> None:
        self._each(request, queryset, operations.check)

    @admin.action(description="Sign in anew", permissions=["run_checks"])
    def renew_now(self, request: HttpRequest, queryset: QuerySet[ConnectedApp]) -> None:
        self._each(request, queryset, operations.renew)

    @admin.action(description="Revoke tokens", permissions=["run_checks"])
    def revoke_tokens(
        self, request: HttpRequest, queryset: QuerySet[ConnectedApp]
    ) -> TemplateResponse | None:
        """Of all users of these connections."""
        # By subquery: the list is annotated and sorted.
        found = AccessToken.objects.filter(connection__in=queryset.order_by().values("pk"))
        return revoke(self, request, queryset, found)

    @admin.action(description="Pause", permissions=["run_checks"])
    def pause(self, request: HttpRequest, queryset: QuerySet[ConnectedApp]) -> None:
        self._each(request, queryset, operations.pause)

    @admin.action(description="Resume", permissions=["run_checks"])
    def resume(self, request: HttpRequest, queryset: QuerySet[ConnectedApp]) -> None:
        self._each(request, queryset, operations.resume)

    @admin.action(description="Accept refreshed sandboxes", permissions=["change"])
    def accept_refreshed(self, request: HttpRequest, queryset: QuerySet[ConnectedApp]) -> None:
        """Production orgs are left to the connection's own page, where somebody has to look."""
        self._each(request, queryset, corrections.accept_refreshed)

    def _each(
        self, request: HttpRequest, queryset: Iterable[ConnectedApp], act: Callable[..., Outcome]
    ) -> None:
        for connection in queryset:
            tell(request, act(connection, actor=request.user))


def _last_use(connection: ConnectedApp) -> str:
    """For the question before several are deleted."""
    found = leaving.uses(connection)
    if not found:
        return f"{connection.name}: no use is known of in the last 30 days"
    who = ", ".join(dict.fromkeys(use.who for use in found))
    return f"{connection.name}: used in the last 30 days by {who}, last on {found[0].last:%Y-%m-%d}"
