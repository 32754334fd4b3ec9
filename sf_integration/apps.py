from __future__ import annotations

from django.apps import AppConfig


class SfIntegrationConfig(AppConfig):
    name = "sf_integration"
    verbose_name = "Salesforce connections"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        pass
