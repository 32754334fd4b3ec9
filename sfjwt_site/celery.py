"""The Celery app of the site: `celery -A sfjwt_site worker`."""

from __future__ import annotations

import logging.config
import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings
from kombu.transport import TRANSPORT_ALIASES

from sfjwt_site.environment import load_env_file

# In a worker this module is loaded first; elsewhere whoever set Django up has decided on `.env` already.
if not settings.configured:
    load_env_file()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sfjwt_site.settings")

# kombu's own file-system transport loses messages when two processes write; ours takes its name.
TRANSPORT_ALIASES["filesystem"] = "sfjwt_site.filesystem_broker:Transport"

app = Celery("sfjwt_site")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def use_django_logging(**kwargs: Any) -> None:
    """One log format for all processes: with a receiver here Celery leaves logging alone."""
    logging.config.dictConfig(settings.LOGGING)
