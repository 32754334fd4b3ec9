from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin import apps as admin


class SiteConfig(AppConfig):
    name = "sfjwt_site"
    label = "sfjwt_site"
    verbose_name = "Site"

    def ready(self) -> None:
        # Web processes send tasks too: without the Celery app loaded, `.delay()` would look for another broker.
        from sfjwt_site import celery  # noqa: F401


class SiteAdminConfig(admin.AdminConfig):
    default = False
    default_site = "sfjwt_site.admin.Site"
