"""Who calls: an API client that shows its API key, and does not call too often."""

from __future__ import annotations

import logging

from django.http import HttpRequest

from ..conf import settings
from ..models import ApiClient
from ..salesforce.errors import ApiKeyRefused
from ..services import api_keys
from . import reading, throttle

REFUSALS_PER_MINUTE = 30
"""From one address. Beyond, only API keys that were good here before are looked at: others at the same proxy go on."""

_REFUSALS = "refused API keys from one address"

log = logging.getLogger("sf_integration.token_api")


def caller(request: HttpRequest) -> ApiClient:
    """Raises ApiKeyRefused or TooManyCalls."""
    address = request.META.get("REMOTE_ADDR", "")
    api_key = reading.api_key(request)
    if not api_keys.is_familiar(api_key):
        throttle.require_below(f"refused.{address}", limit=REFUSALS_PER_MINUTE, called=_REFUSALS)
    try:
        client = api_keys.authenticate(api_key)
    except ApiKeyRefused as refused:
        throttle.count(f"refused.{address}", limit=REFUSALS_PER_MINUTE, called=_REFUSALS)
        log.warning("refused an API key shown from %s: %s", address, refused.code)
        raise
    throttle.count(client.prefix, limit=settings.TOKEN_API_CALLS_PER_MINUTE)
    return client
