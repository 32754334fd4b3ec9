"""Who may do what in the admin: our own permissions decide, as everywhere else; Django's per-model ones don't."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.text import capfirst

from .. import access
from ..access import Act
from .paging import Newest


class ManagedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """See with `view_health`, change with `manage_keys`."""

    what: str | Promise
    """What its rows are, for an index of the admin that tells it."""

    empty_value_display = "—"
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    class Media:
        css = {"all": ["sf_integration/tokens.css", "sf_integration/ladder.css", "sf_integration/admin.css"]}

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return access.may(request.user, Act.VIEW_HEALTH)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return access.may(request.user, Act.MANAGE_KEYS)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return access.may(request.user, Act.MANAGE_KEYS)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return access.may(request.user, Act.MANAGE_KEYS)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        shown = {"title": capfirst(self.opts.verbose_name_plural)}
        return super().changelist_view(request, shown | (extra_context or {}))

    def named(self, row: Any) -> str:
        """What the title of its page calls it."""
        return str(row)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        if row := context.get("original"):
            context |= {"title": self.named(row), "subtitle": capfirst(self.opts.verbose_name)}
        return super().render_change_form(request, context, *args, **kwargs)

    def has_run_checks_permission(self, request: HttpRequest) -> bool:
        """For actions."""
        return access.may(request.user, Act.RUN_CHECKS)


class ReadOnlyAdmin(ManagedAdmin):
    """Written by the app, read by people."""

    actions: Sequence[str] | None = None
    paginator = Newest

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        shown = {"counts_no_further": Newest.MOST}
        return super().changelist_view(request, shown | (extra_context or {}))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
