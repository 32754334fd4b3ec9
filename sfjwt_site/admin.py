"""The site's admin: connections first, and each kind of row told in a sentence."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

_APPS = ("sf_integration", "auth", "django_celery_beat", "axes")


class Site(admin.AdminSite):
    def get_urls(self) -> list[Any]:
        """Without the way from a row's id to its page: it asks for no right, and tells names of hidden connections."""
        return [each for each in super().get_urls() if getattr(each, "name", "") != "view_on_site"]

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        apps = super().get_app_list(request, app_label)
        for app in apps:
            for model in app["models"]:
                model["what"] = getattr(self._registry[model["model"]], "what", "")
            app["models"].sort(key=_place)
        return sorted(apps, key=lambda app: _index(_APPS, app["app_label"]))


def _place(model: dict[str, Any]) -> int:
    from sf_integration.admin import ORDER  # which registers at this site, so it is loaded after it

    return _index(ORDER, model["model"])


def _index(order: tuple[Any, ...], one: Any) -> int:
    return order.index(one) if one in order else len(order)
