from __future__ import annotations

from typing import Any

from celery.signals import worker_process_init
from django.core.mail import mail_managers
from django.dispatch import receiver

from sf_integration.signals import connection_health_changed

from .salesforce import warm
from .tasks import push_waiting


@receiver(connection_health_changed)
def follow_health(sender: Any, connection: Any, previous: Any, state: Any, **kwargs: Any) -> None:
    """Tell the back office, and push what waited once the org answers again."""
    mail_managers(f"{connection.name}: {state.value}", connection.state_sentence())
    if state.is_healthy and not previous.is_healthy:
        push_waiting.delay(connection.name)


@worker_process_init.connect
def warm_worker(**kwargs: Any) -> None:
    warm()
