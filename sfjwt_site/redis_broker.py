"""Celery messages in Redis, where kombu's own transport would end the worker: by a message that can't be read, which is dropped,
and by a server that goes away during a task, which is waited for."""

from __future__ import annotations

import logging
from typing import Any

from kombu.transport import redis
from redis.exceptions import ConnectionError as RedisConnectionError

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

    def _connparams(self, *args: Any, **options: Any) -> Any:
        """A channel that outlives its connection is asked to put back the messages under way: what it raises then has to be
        an error that Celery reconnects after."""
        if self.connection.client is None:
            raise RedisConnectionError("the connection of this channel was given up")
        return super()._connparams(*args, **options)  # type: ignore[misc]


class Transport(redis.Transport):
    Channel = Channel
