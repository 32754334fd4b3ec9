"""The Celery app of the site: `celery -A sfjwt_site worker`."""

from __future__ import annotations

import logging.config
import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings
from kombu.transport import TRANSPORT_ALIASES

from sfjwt_site import request_ids  # noqa: F401 - hears of tasks that are sent and begun
from sfjwt_site.environment import load_env_file

# In a worker this module is loaded first; elsewhere whoever set Django up has decided on `.env` already.
if not settings.configured:
    load_env_file()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sfjwt_site.settings")

# kombu's own file-system transport loses messages when two processes write; ours takes its name.
TRANSPORT_ALIASES["filesystem"] = "sfjwt_site.filesystem_broker:Transport"
# Its Redis transport ends the worker over a message that can't be read.
for _scheme in ("redis", "rediss"):
    TRANSPORT_ALIASES[_scheme] = "sfjwt_site.redis_broker:Transport"

app = Celery("sfjwt_site", task_cls="sfjwt_site.messages:CarefulTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def use_django_logging(**kwargs: Any) -> None:
    """One log format for all processes: with a receiver here Celery leaves logging alone."""
    logging.config.dictConfig(settings.LOGGING)
