"""Celery messages in Redis: one that can't be read is dropped, where kombu's own transport would end the worker."""

from __future__ import annotations

import logging
from typing import Any

from kombu.transport import redis

logger = logging.getLogger(__name__)

UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


class Channel(redis.Channel):
    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except self.connection_errors:  # type: ignore[attr-defined]
            raise
        except UNREADABLE as exc:
            # It is out of the list already, so that it comes to nobody else.
            logger.error("A message can't be read and is dropped: %s.", type(exc).__name__)
            return True


class Transport(redis.Transport):
    Channel = Channel
