from __future__ import annotations

from django.apps import AppConfig


class SfIntegrationConfig(AppConfig):
    name = "sf_integration"
    verbose_name = "Salesforce connections"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: F401 - registers the system checks
        from .services import (
            drafts,  # noqa: F401 - listens to changes of state
            rights,
        )

        rights.listen()
