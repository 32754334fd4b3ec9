"""The list of connections in the admin: its columns, filters and actions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from .. import access
from ..access import Deed
from ..models import AccessToken, AppKind, ConnectedApp, ConnectedAppQuerySet, NormalUsername
from ..presentation import many
from ..presentation.facts import Certificate, is_stand_in
from ..presentation.filters import Filters
from ..presentation.paging import IdsFirst
from ..presentation.telling import do_all, tell
from ..services import corrections, operations, selected, tagging
from ..services.operations import Outcome
from ..state import ConnectionState
from ..templatetags.sf_integration_tags import state_pill, when
from .cells import EMPTY, labelled
from .choosing import chosen_again
from .filters import UNKNOWN, ByCertificate, Choice, Choices, by_id
from .permissions import Deeds, ManagedAdmin, action
from .revoking import revoke

Act = Callable[..., Outcome]

_LONGEST_CAUSE = 120
_WHILE_WAITING = 5
_MOST_KEYS = 200
"""More are no list to choose from; the page of a key leads here too."""


class ByState(Choice):
    title = gettext_lazy("state")
    parameter_name = "state"

    def choices_for(self, request: HttpRequest) -> Choices:
        return [(state.value, _(state.value)) for state in ConnectionState]


class ByEnvironment(Choice):
    title = gettext_lazy("environment")
    parameter_name = "environment"

    def choices_for(self, request: HttpRequest) -> Choices:
        return ConnectedApp.Environment.choices

    def fitting(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        return rows.filter(effective_environment=value)


class ByTag(Choice):
    title = gettext_lazy("tag")
    parameter_name = "tag"

    def choices_for(self, request: HttpRequest) -> Choices:
        return [(tag, tag) for tag in tagging.known(access.visible_to(request.user))]

    def fitting(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        return tagging.tagged(rows, value)  # type: ignore[arg-type]


class Ending(ByCertificate):
    field = "signing_key__not_after"


class ByAppKind(Choice):
    title = gettext_lazy("kind of app")
    parameter_name = "kind"

    def choices_for(self, request: HttpRequest) -> Choices:
        return [*AppKind.choices, (UNKNOWN, _("not known here"))]

    def fitting(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        return rows.filter(app_kind="" if value == UNKNOWN else value)


class BySigningKey(Choice):
    title = gettext_lazy("signing key")
    parameter_name = "key"

    def choices_for(self, request: HttpRequest) -> Choices:
        keys = access.visible_keys(request.user).order_by("name")
        found = dict(keys.values_list("pk", "name")[:_MOST_KEYS])
        if self.chosen:
            found |= dict(by_id(keys, pk=self.chosen).values_list("pk", "name"))
        return [(str(pk), name) for pk, name in found.items()]

    def fitting(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        return rows.filter(signing_key=value)


class TagForm(forms.Form):
    tag = forms.CharField(
        label=gettext_lazy("Tag"),
        max_length=tagging.LONGEST,
        help_text=gettext_lazy("One word or a few, e.g. billing. Lists can be filtered by it."),
        widget=forms.TextInput({"list": "sf-tags", "class": "vTextField", "autocomplete": "off"}),
    )


class ConnectionListAdmin(ManagedAdmin):
    deeds = Deeds(Deed.SEE, Deed.MAKE, Deed.CHANGE, Deed.DELETE)
    list_display = ("connection", "state_and_reason", "org", "certificate_ends", "token", "last_checked")
    list_filter = (ByState, ByEnvironment, ByTag, Ending, ByAppKind, BySigningKey)
    list_select_related = ("signing_key",)
    list_per_page = 25
    paginator = IdsFirst
    search_fields = ("name", "label", "username", "login_url", "organization__name")
    search_help_text = gettext_lazy("Name, label, username, org or login URL")
    actions = (
        "check_now",
        "renew_now",
        "revoke_tokens",
        "pause",
        "resume",
        "accept_refreshed",
        "add_tag",
        "remove_tag",
    )

    def get_queryset(self, request: HttpRequest) -> ConnectedAppQuerySet:
        """With the tokens of the connections' own users."""
        own = AccessToken.objects.filter(username=NormalUsername("connection__username"))
        rows = access.visible_to(request.user).with_state().order_by(*self.get_ordering(request))
        return rows.prefetch_related(Prefetch("tokens", queryset=own, to_attr="own_tokens"))

    def get_ordering(self, request: HttpRequest) -> list[Any]:
        return ["state_rank", "name"]

    # ---- columns ----

    @admin.display(description=gettext_lazy("Connection"), ordering="name")
    def connection(self, connection: ConnectedApp) -> str:
        return format_html('{}<span class="sf-under">{}</span>', connection.name, connection.label)

    @admin.display(description=gettext_lazy("State"), ordering="state_rank")
    def state_and_reason(self, connection: ConnectedApp) -> str:
        state = connection.connection_state()
        since, now = connection.failing_since if state is ConnectionState.FAILING else None, timezone.now()
        cause = connection.state_cause(now)
        return format_html(
            '{}{}<span class="sf-under" title="{}">{} {}</span>',
            state_pill(state),
            format_html(' <span class="sf-since">{}</span>', when(since)) if since else "",
            cause,
            Truncator(cause).chars(_LONGEST_CAUSE),
            connection.young_app_hint(now),
        )

    @admin.display(description=gettext_lazy("Org and user"), ordering="username")
    def org(self, connection: ConnectedApp) -> str:
        return format_html(
            '{}{}<span class="sf-under">{}</span>{}',
            format_html("{} ", connection.told.get("name") or ""),
            _environment(connection),
            connection.username,
            format_html_join("", ' <span class="sf-tag">{}</span>', ([tag] for tag in connection.tags)),
        )

    @admin.display(description=gettext_lazy("Certificate"), ordering="signing_key__not_after")
    def certificate_ends(self, connection: ConnectedApp) -> str:
        certificate = Certificate.of(connection, timezone.now())
        warned = "sf-warned" if certificate.colour == "warn" else ""
        return labelled(
            _("Certificate"), format_html('<span class="{}">{}</span>', warned, certificate.words)
        )

    @admin.display(description=gettext_lazy("Token"))
    def token(self, connection: ConnectedApp) -> str:
        row = next(iter(connection.own_tokens), None)  # type: ignore[attr-defined]
        if row is None or not row.has_token(timezone.now()):
            return labelled(_("Token"), EMPTY)
        return labelled(_("Token"), format_html(_("expires {}"), when(row.expected_expiry)))

    @admin.display(description=gettext_lazy("Last check"), ordering="last_checked_at")
    def last_checked(self, connection: ConnectedApp) -> str:
        return labelled(_("Last check"), when(connection.last_checked_at))

    # ---- actions ----

    @action(Deed.CHECK, gettext_lazy("Check now"))
    def check_now(self, request: HttpRequest, queryset: ConnectedAppQuerySet) -> HttpResponse | None:
        return self._call(request, queryset, operations.check, selected.CHECK)

    @action(Deed.RENEW, gettext_lazy("Sign in anew"))
    def renew_now(self, request: HttpRequest, queryset: ConnectedAppQuerySet) -> HttpResponse | None:
        return self._call(request, queryset, operations.renew, selected.RENEW)

    @action(Deed.REVOKE, gettext_lazy("Revoke tokens"))
    def revoke_tokens(
        self, request: HttpRequest, queryset: QuerySet[ConnectedApp]
    ) -> TemplateResponse | None:
        """Of all users of these connections."""
        # By subquery: the list is annotated and sorted.
        found = AccessToken.objects.filter(connection__in=queryset.order_by().values("pk"))
        return revoke(self, request, queryset, found)

    @action(Deed.PAUSE, gettext_lazy("Pause"))
    def pause(self, request: HttpRequest, queryset: ConnectedAppQuerySet) -> None:
        self._switch(request, queryset, operations.pause, selected.pause)

    @action(Deed.PAUSE, gettext_lazy("Resume"))
    def resume(self, request: HttpRequest, queryset: ConnectedAppQuerySet) -> None:
        self._switch(request, queryset, operations.resume, selected.resume)

    @action(Deed.ACCEPT_ORG, gettext_lazy("Accept refreshed sandboxes"))
    def accept_refreshed(self, request: HttpRequest, queryset: ConnectedAppQuerySet) -> None:
        """Production orgs are left to the connection's own page, where somebody has to look."""
        self._each(request, queryset, corrections.accept_refreshed)

    @action(Deed.CHANGE, gettext_lazy("Add a tag"))
    def add_tag(self, request: HttpRequest, queryset: QuerySet[ConnectedApp]) -> TemplateResponse | None:
        return self._tag(request, queryset, tagging.add, _("Add the tag"))

    @action(Deed.CHANGE, gettext_lazy("Remove a tag"))
    def remove_tag(self, request: HttpRequest, queryset: QuerySet[ConnectedApp]) -> TemplateResponse | None:
        return self._tag(request, queryset, tagging.remove, _("Remove the tag"))

    def _each(self, request: HttpRequest, queryset: Iterable[ConnectedApp], act: Act) -> None:
        do_all(request, [partial(act, connection, actor=request.user) for connection in queryset])

    def _call(
        self, request: HttpRequest, queryset: ConnectedAppQuerySet, act: Act, kind: str
    ) -> HttpResponse | None:
        """A few are done while the person waits; more by the worker, with a page that tells how far it has come."""
        count = queryset.count()
        problem = many.problem(count)
        if count > _WHILE_WAITING and not problem:
            return many.begin(request, kind, queryset, Filters.of({}))
        if problem:
            messages.error(request, problem)
        else:
            self._each(request, queryset, act)
        return None

    def _switch(
        self, request: HttpRequest, queryset: ConnectedAppQuerySet, act: Act, for_all: Callable[..., Outcome]
    ) -> None:
        if queryset.count() <= _WHILE_WAITING:
            self._each(request, queryset, act)
        else:
            tell(request, for_all(queryset, actor=request.user))

    def _tag(
        self, request: HttpRequest, queryset: QuerySet[ConnectedApp], act: Callable[..., int], title: str
    ) -> TemplateResponse | None:
        """Asks for the tag, then puts it on or off."""
        form = TagForm(request.POST if "tag" in request.POST else None)
        if form.is_valid():
            count = act(queryset, form.cleaned_data["tag"], actor=request.user)
            told = ngettext("%(count)d connection was changed.", "%(count)d connections were changed.", count)
            messages.success(request, told % {"count": count})
            return None
        context = {
            **self.admin_site.each_context(request),
            **chosen_again(request, queryset),
            "title": title,
            "opts": self.opts,
            "media": self.media,
            "form": form,
            "names": list(queryset.values_list("name", flat=True)),
            "tags": tagging.known(access.visible_to(request.user)),
        }
        return TemplateResponse(request, "admin/sf_integration/tag.html", context)


def _environment(connection: ConnectedApp) -> SafeString:
    facts = {"connection": connection, "summary": {"is_stand_in": is_stand_in(connection)}}
    return render_to_string("sf_integration/partials/_badges.html", facts)
