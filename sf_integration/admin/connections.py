from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import CASCADE, ManyToOneRel, QuerySet
from django.forms import ModelChoiceField
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.text import format_lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from .. import access, audit
from ..access import Deed
from ..forms import ConnectedAppForm
from ..models import ApiClient, ConnectedApp
from ..presentation.offers import Offers
from ..presentation.telling import tell, tell_with_advice
from ..sensitive import takes_secret_inputs
from ..services import leaving, operations
from ..templatetags.sf_integration_tags import state_pill, when
from ..tokens import rows
from . import trying
from .connection_list import ConnectionListAdmin
from .ladders import shown_ladder, shown_problems
from .signing_keys import tell_of_new_key
from .transfers import ManyAtOnceAdmin

_SAVE_AND_TEST = "_test"
_WITH_KEYS = "with_keys"


@admin.register(ConnectedApp)
class ConnectedAppAdmin(ConnectionListAdmin, ManyAtOnceAdmin):
    what = _("A way into an org: its address, app, user and signing key. Elsewhere called a connection.")
    form = ConnectedAppForm
    view_on_site = False  # the button “Health page” leads there
    HEALTH_FIELDS = (
        "shown_state",
        "sentence",
        "what_to_do",
        "org",
        "last_check",
        "last_success",
        "ladder",
    )
    readonly_fields = (*HEALTH_FIELDS, "called_by")
    HEALTH = (_("Health"), {"fields": HEALTH_FIELDS})
    NAMES = (None, {"fields": ("name", "label", "enabled")})
    SALESFORCE = (
        _("In Salesforce"),
        {
            "fields": ("app_kind", "login_url", "consumer_key", "username", "audience"),
            "description": _("As they stand in the org, in its External Client App or Connected App."),
        },
    )
    _NEVER_SHOWN = _("What is given is stored encrypted and never shown again.")
    KEY = (
        _("Signing key"),
        {
            "fields": ("signing_key", *ConnectedAppForm.KEY_FIELDS),
            "description": format_lazy(
                "{} {}", _("Choose a stored one, or give one, or have one made."), _NEVER_SHOWN
            ),
        },
    )
    STORED_KEY = (_("Signing key"), {"fields": ("signing_key", "staged_signing_key")})
    ANOTHER_KEY = (
        _("Another signing key, given or made here"),
        {
            "classes": ("collapse",),
            "fields": ConnectedAppForm.KEY_FIELDS,
            "description": format_lazy(
                "{} {}",
                _NEVER_SHOWN,
                _("The org refuses it until it has its certificate; a staged one takes over without a gap."),
            ),
        },
    )
    PEOPLE = (
        _("People, tags and notes"),
        {
            "classes": ("collapse",),
            "fields": ("tags", "visible_to_groups", "our_contacts", "org_contacts", "notes"),
        },
    )
    PROGRAMS = (_("Programs that may take its tokens over HTTP"), {"fields": ("called_by",)})
    DETAILS = (
        _("Session, API and check"),
        {
            "classes": ("collapse",),
            "fields": (
                "session_minutes",
                "extra_usernames",
                "expected_org_id",
                "api_version",
                "sample_sobject",
                "sample_fields",
            ),
        },
    )

    # ---- what is shown ----

    def get_fieldsets(self, request: HttpRequest, obj: ConnectedApp | None = None) -> Any:
        if obj is None:
            return (self.NAMES, self.SALESFORCE, self.KEY, self.PEOPLE, self.DETAILS)
        another = (self.ANOTHER_KEY,) if self.has_change_permission(request, obj) else ()
        about = (self.HEALTH, self.NAMES, self.SALESFORCE, self.STORED_KEY)
        programs = (self.PROGRAMS,) if obj.api_clients.filter(revoked_at=None).exists() else ()
        return (*about, *another, *programs, self.PEOPLE, self.DETAILS)

    @admin.display(description=_("State"))
    def shown_state(self, connection: ConnectedApp) -> str:
        return state_pill(connection.connection_state())

    @admin.display(description=_("Why"))
    def sentence(self, connection: ConnectedApp) -> str:
        advice = connection.session_advice()
        sentence = connection.failure_sentence(timezone.now())
        return " ".join(filter(None, (sentence, advice.sentence if advice else "")))

    @admin.display(description=_("What to do"))
    def what_to_do(self, connection: ConnectedApp) -> str:
        return shown_problems(connection)

    @admin.display(description=_("Steps of the last check"))
    def ladder(self, connection: ConnectedApp) -> str:
        check = connection.checks.select_related("connection").first()
        return shown_ladder(check) if check else gettext("No check has run yet.")

    @admin.display(description=_("Last check"))
    def last_check(self, connection: ConnectedApp) -> str:
        return when(connection.last_checked_at)

    @admin.display(description=_("Groups"))
    def visible_to_groups(self, connection: ConnectedApp) -> str:
        """For those who can't change it, who see no input."""
        return ", ".join(map(str, connection.groups.order_by("name"))) or gettext(
            "everyone with the permission"
        )

    @admin.display(description=_("API clients"))
    def called_by(self, connection: ConnectedApp) -> str:
        """By name; their own pages are for fewer people than this one."""
        found = connection.api_clients.filter(revoked_at=None).order_by("name")
        return format_html_join(
            ", ",
            "{} ({})",
            ((each.name, _last_call(each)) for each in found),
        )

    @admin.display(description=_("Last success"))
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

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """A signing key is chosen here; what else can be done to it stands on its own page."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(field, ModelChoiceField):
            field.widget.can_change_related = field.widget.can_delete_related = False
        return field

    @method_decorator(takes_secret_inputs("private_key", "passphrase", "certificate"))
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """As Django's, and the tests that its buttons ask for: after the transaction, since they call Salesforce."""
        if trying.is_asked_for(request):
            access.require(request.user, Deed.TRY_VALUES)
        if _SAVE_AND_TEST in request.POST:
            access.require(request.user, Deed.CHECK)
        response = super().changeform_view(request, *args, **kwargs)
        if trying.is_asked_for(request) and isinstance(response, TemplateResponse):
            return trying.answer(request, response)
        saved: ConnectedApp | None = getattr(request, "saved_connection", None)
        if saved is None or _SAVE_AND_TEST not in request.POST:
            return response
        tell_with_advice(request, operations.check(saved, actor=request.user))
        return redirect(reverse("admin:sf_integration_connectedapp_change", args=[saved.pk]))

    def save_model(self, request: HttpRequest, obj: ConnectedApp, form: Any, change: bool) -> None:
        obj.save(update_fields=form.changed_columns if change else None)
        audit.record("changed" if change else "created", obj, actor=request.user, fields=form.changed_names)
        if change and "staged_signing_key" in form.changed_data and obj.next_signing_key_id:
            rows.open_for_another_key(obj)
        if form.login_url_note and "login_url" in form.changed_data:
            told = gettext("Taken from the address you pasted: %(url)s.") % {"url": obj.login_url}
            messages.info(request, f"{told} {form.login_url_note}")
        if form.gives_key:
            tell_of_new_key(request, form, obj.signing_key)
        request.saved_connection = obj  # type: ignore[attr-defined]
        if change and "name" in form.changed_data:
            told = gettext(
                "The connection “%(before)s” is now called “%(now)s”: code, jobs and settings that ask for “%(before)s” are "
                "refused (unknown_connection) until they are changed."
            )
            messages.warning(request, told % {"before": form.initial["name"], "now": obj.name})

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
        """Tokens and checks go with their connection, though nobody may delete them one by one. They are counted in the
        database and not listed: there may be thousands. In their place it is said who used the connection."""
        ids = [connection.pk for connection in objs]
        counts = {ConnectedApp._meta.verbose_name_plural: len(ids)}
        for relation in ConnectedApp._meta.get_fields(include_hidden=True):
            if isinstance(relation, ManyToOneRel) and relation.on_delete is CASCADE:
                rows = relation.related_model._base_manager.filter(**{f"{relation.field.name}__in": ids})
                if count := rows.count():
                    counts[relation.related_model._meta.verbose_name_plural] = count
        used = leaving.uses_of(objs)
        return [_last_use(connection.name, used[connection.pk]) for connection in objs], counts, set(), []

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
        access.require(request.user, Deed.CHECK, connection)
        tell_with_advice(request, operations.check(connection, actor=request.user))
        return HttpResponseRedirect(reverse("admin:sf_integration_connectedapp_change", args=[connection.pk]))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        may_check = access.may(request.user, Deed.CHECK)
        context |= {
            "may_check": may_check,
            "may_try": access.may(request.user, Deed.TRY_VALUES),
            "save_and_test": _SAVE_AND_TEST,
            "try_button": trying.BUTTON,
        }
        if connection := context.get("original"):
            may_manage = access.may(request.user, Deed.CHANGE)
            context["offers"] = Offers.of(connection, may_run=may_check, may_manage=may_manage)
        return super().render_change_form(request, context, *args, **kwargs)


def _last_call(client: ApiClient) -> str:
    if client.last_used_at is None:
        return gettext("not used yet")
    return format_html("{} {}", gettext("last use"), when(client.last_used_at))


def _last_use(name: str, found: Sequence[leaving.Use]) -> str:
    """For the question before several are deleted."""
    if not found:
        return gettext("%(name)s: no use is known of in the last 30 days") % {"name": name}
    told = gettext("%(name)s: used in the last 30 days by %(who)s, last on %(day)s")
    who = ", ".join(dict.fromkeys(use.who for use in found))
    return told % {"name": name, "who": who, "day": f"{found[0].last:%Y-%m-%d}"}
