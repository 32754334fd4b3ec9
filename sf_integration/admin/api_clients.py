"""The programs that take tokens over HTTP. An API key is shown in the answer that makes it, and never again."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from .. import audit
from ..access import Deed
from ..conf import settings
from ..forms import ApiClientForm
from ..models import ApiClient, ConnectedApp
from ..services import api_clients, api_keys
from ..services.api_clients import IssuedKey
from ..services.api_keys import EXPIRES_SOON, ClientState
from ..templatetags.sf_integration_tags import CLIENT_STATES, client_pill, when
from .cells import exactly
from .filters import Choice, Choices, Filter
from .permissions import Deeds, ManagedAdmin

_MOST_NAMES = 5
_REPLACED = "replaced"
"""Names the input that says which API key is to be replaced."""


class ByState(Choice):
    title = _("state")
    parameter_name = "state"

    def choices_for(self, request: HttpRequest) -> Choices:
        return [(state.value, words) for state, (_colour, _icon, words) in CLIENT_STATES.items()]

    def fitting(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        return rows.filter(_in_state(ClientState(value), timezone.now()))


class ByConnection(Filter):
    title = _("connection")
    parameter_name = "connection"

    def narrowed(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        return rows.filter(connections__name=value)


@admin.register(ApiClient)
class ApiClientAdmin(ManagedAdmin):
    what = _("Programs outside that take tokens over HTTP, each with an API key of its own.")
    form = ApiClientForm
    list_display = ("name", "shown_state", "shown_connections", "expires_on", "last_use", "begins")
    list_filter = (ByState, ByConnection)
    search_fields = ("name", "prefix", "notes")
    search_help_text = _("Name, notes or how the API key begins")
    actions = None
    add_fieldsets = ((None, {"fields": ("name", "connections", "usernames", "expires", "notes")}),)
    _KEY_FIELDS = ("begins", "used_last", "made")
    fieldsets = (
        (None, {"fields": ("shown_state", "name", "connections", "usernames", "expires", "notes")}),
        (_("API key"), {"fields": _KEY_FIELDS}),
    )
    revoked_fieldsets = (
        (None, {"fields": ("shown_state", "revoked", "name", "shown_connections", "usernames", "notes")}),
        (_("API key"), {"fields": _KEY_FIELDS}),
    )
    readonly_fields = ("shown_state", *_KEY_FIELDS)

    used_last = exactly("last_used_at", _("Last use"))
    made = exactly("created_at", _("Made"))
    revoked = exactly("revoked_at", _("Revoked"))

    # ---- who may ----

    deeds = Deeds(*4 * [Deed.MANAGE_API_CLIENTS])

    def has_change_permission(self, request: HttpRequest, obj: ApiClient | None = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.revoked_at is None)

    def has_delete_permission(self, request: HttpRequest, obj: ApiClient | None = None) -> bool:
        """One that is in force is revoked first, so that nobody takes its silence for a fault."""
        return super().has_delete_permission(request, obj) and obj is not None and obj.revoked_at is not None

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiClient]:
        names = ConnectedApp.objects.only("name").order_by("name")
        return api_clients.manageable(request.user).prefetch_related(Prefetch("connections", names))

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """As a scanner tells it, with `sfk_` before the part that finds the row."""
        return super().get_search_results(
            request, queryset, search_term.removeprefix("sfk_").removesuffix("_")
        )

    # ---- what is shown ----

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {"is_off": not settings.TOKEN_API} | (extra_context or {}))

    def get_fieldsets(self, request: HttpRequest, obj: ApiClient | None = None) -> Any:
        if obj is None:
            return self.add_fieldsets
        return self.fieldsets if self.has_change_permission(request, obj) else self.revoked_fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: ApiClient | None = None) -> Any:
        return self.readonly_fields if obj else ()

    def get_form(
        self, request: HttpRequest, obj: ApiClient | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        kwargs["fields"] = ApiClientForm.Meta.fields  # `expires` is the form's own
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.actor = request.user
        return form

    @admin.display(description=_("State"))
    def shown_state(self, client: ApiClient) -> str:
        return client_pill(api_keys.state_of(client, timezone.now()))

    @admin.display(description=_("Connections"))
    def shown_connections(self, client: ApiClient) -> str:
        found = client.connections.all()
        if not found:
            return gettext("none, so it gets no tokens")
        names = format_html_join(
            ", ",
            '<a href="{}">{}</a>',
            (
                (reverse("admin:sf_integration_connectedapp_change", args=[each.pk]), each.name)
                for each in found[:_MOST_NAMES]
            ),
        )
        more = len(found) - _MOST_NAMES
        if more <= 0:
            return names
        return format_html("{} {}", names, gettext("and %(more)d more") % {"more": more})

    @admin.display(description=_("Expires"), ordering="expires_at")
    def expires_on(self, client: ApiClient) -> str:
        return when(client.expires_at, never=gettext("never"))

    @admin.display(description=_("Last use"), ordering="last_used_at")
    def last_use(self, client: ApiClient) -> str:
        return when(client.last_used_at, never=gettext("never"))

    @admin.display(description=_("API key begins with"))
    def begins(self, client: ApiClient) -> str:
        """To find the one that a secret scanner has found."""
        return format_html("<code>sfk_{}_</code>", client.prefix)

    # ---- doing ----

    def save_model(self, request: HttpRequest, obj: ApiClient, form: Any, change: bool) -> None:
        """The form has stored it."""
        request.issued_key = form.issued  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: ApiClient, post_url_continue: Any = None) -> Any:
        return self._shown_once(request, request.issued_key)  # type: ignore[attr-defined]

    def delete_model(self, request: HttpRequest, obj: ApiClient) -> None:
        audit.record("deleted API client", obj, actor=request.user)
        super().delete_model(request, obj)

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                f"<uuid:client_id>/{name}/",
                self.admin_site.admin_view(view),
                name=f"sf_integration_apiclient_{name}",
            )
            for name, view in (("replace", self.replace_view), ("revoke", self.revoke_view))
        ]
        return [*own, *super().get_urls()]

    def replace_view(self, request: HttpRequest, client_id: UUID) -> HttpResponse:
        """Asks, then shows another API key."""
        client = self._in_force(request, client_id)
        if request.method != "POST":
            return self._page(
                request, client, "replace.html", title=gettext("Replace the API key?"), replaced=_REPLACED
            )
        if request.POST.get(_REPLACED) != client.prefix:  # the page was sent twice
            messages.info(request, gettext("The API key was replaced already."))
            return _to_page(client)
        issued = api_clients.replace_key(client, actor=request.user)
        self.log_change(request, client, gettext("API key replaced."))
        return self._shown_once(request, issued)

    def revoke_view(self, request: HttpRequest, client_id: UUID) -> HttpResponse:
        """Asks, then ends it for good."""
        client = self._in_force(request, client_id)
        if request.method != "POST":
            return self._page(request, client, "revoke.html", title=gettext("Revoke this API client?"))
        api_clients.revoke(client, actor=request.user)
        self.log_change(request, client, gettext("Revoked."))
        told = gettext("%(name)s is revoked: its API key is refused, everywhere within five seconds.")
        messages.success(request, told % {"name": client.name})
        return _to_page(client)

    def _in_force(self, request: HttpRequest, client_id: UUID) -> ApiClient:
        client = get_object_or_404(self.get_queryset(request), pk=client_id)
        if not self.has_change_permission(request, client):
            raise PermissionDenied
        return client

    def _shown_once(self, request: HttpRequest, issued: IssuedKey) -> TemplateResponse:
        """In the answer to the POST itself, which nobody keeps: a message or an address would be stored on the way."""
        client = issued.client
        title = gettext("API key of %(name)s") % {"name": client.name}
        return self._page(
            request,
            client,
            "api_key.html",
            title=title,
            api_key=issued.api_key,
            example=_example(request, client),
        )

    def _page(
        self, request: HttpRequest, client: ApiClient, template: str, **context: Any
    ) -> TemplateResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "client": client,
            "is_off": not settings.TOKEN_API,
            **context,
        }
        return TemplateResponse(request, f"admin/sf_integration/apiclient/{template}", context)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Saving leads to the API key, from where one goes on."""
        context |= {
            "is_off": not settings.TOKEN_API,
            "show_save_and_add_another": False,
            "show_save_and_continue": False,
        }
        return super().render_change_form(request, context, *args, **kwargs)


def _in_state(state: ClientState, now: dt.datetime) -> Q:
    """As `state_of` judges."""
    soon, stays = now + EXPIRES_SOON, Q(revoked_at=None)
    match state:
        case ClientState.REVOKED:
            return ~stays
        case ClientState.EXPIRED:
            return stays & Q(expires_at__lte=now)
        case ClientState.EXPIRES_SOON:
            return stays & Q(expires_at__gt=now, expires_at__lte=soon)
    return stays & (Q(expires_at=None) | Q(expires_at__gt=soon))


def _to_page(client: ApiClient) -> HttpResponse:
    return redirect(reverse("admin:sf_integration_apiclient_change", args=[client.pk]))


def _example(request: HttpRequest, client: ApiClient) -> str:
    """How a shell asks for a token; the API key comes from its environment. Empty where the API is not mounted."""
    try:
        url = request.build_absolute_uri(reverse("sf_token_api:jwtauth"))
    except NoReverseMatch:
        return ""
    connection = client.connections.order_by("name").first()
    body = json.dumps({"connection": connection.name if connection else "NAME"})
    return (
        f"curl {url} \\\n"
        '  -H "Authorization: Bearer $SF_API_KEY" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d '{body}'"
    )
