"""Who may do what in the admin: our own permissions decide, as everywhere else; Django's per-model ones don't."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.shortcuts import redirect
from django.utils.functional import Promise
from django.utils.text import capfirst

from .. import access
from ..access import Deed
from ..presentation.paging import Newest


@dataclass(frozen=True)
class Deeds:
    """What a page of the admin does; None: nobody does that there."""

    view: Deed
    add: Deed | None = None
    change: Deed | None = None
    delete: Deed | None = None


class ManagedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    deeds: Deeds

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
        return self._may(request, self.deeds.view)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._may(request, self.deeds.add)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.deeds.change)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.deeds.delete)

    @staticmethod
    def _may(request: HttpRequest, deed: Deed | None) -> bool:
        return deed is not None and access.may(request.user, deed)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        # Django filters by any column that an address names, and PostgreSQL takes no NUL.
        if "%00" in (query := request.META["QUERY_STRING"]):
            return redirect(f"{request.path}?{query.replace('%00', '')}")
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


class ReadOnlyAdmin(ManagedAdmin):
    """Written by the app, read by people."""

    deeds = Deeds(view=Deed.SEE)
    actions: Sequence[str] | None = None
    paginator = Newest

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        shown = {"counts_no_further": Newest.MOST}
        return super().changelist_view(request, shown | (extra_context or {}))


def action(deed: Deed, description: str | Promise) -> Callable[[Any], Any]:
    """For an action of a list: who may not do the deed is not offered it, and is refused it."""
    return admin.action(description=description, permissions=[_called(deed)])  # type: ignore[arg-type]


def _called(deed: Deed) -> str:
    return f"{deed.name.lower()}_deed"


def _asks_for(deed: Deed) -> Callable[[ManagedAdmin, HttpRequest], bool]:
    return lambda model_admin, request: access.may(request.user, deed)


for _deed in Deed:  # Django asks the class by such names
    setattr(ManagedAdmin, f"has_{_called(_deed)}_permission", _asks_for(_deed))
