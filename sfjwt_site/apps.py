from __future__ import annotations

from django.apps import AppConfig


class SiteConfig(AppConfig):
    name = "sfjwt_site"
    label = "sfjwt_site"
    verbose_name = "Site"

    def ready(self) -> None:
        # Web processes send tasks too: without the Celery app loaded, `.delay()` would look for another broker.
        from sfjwt_site import celery  # noqa: F401
