"""Who may do what in the admin: our own permissions decide, as everywhere else; Django's per-model ones don't."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from .. import access
from ..access import Act


class ManagedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """See with `view_health`, change with `manage_keys`."""

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

    def has_run_checks_permission(self, request: HttpRequest) -> bool:
        """For actions."""
        return access.may(request.user, Act.RUN_CHECKS)


class ReadOnlyAdmin(ManagedAdmin):
    """Written by the app, read by people."""

    actions: Sequence[str] | None = None
    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
