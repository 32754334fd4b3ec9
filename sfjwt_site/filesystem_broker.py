"""Celery messages as files, for one machine without a broker.

kombu's own file-system transport writes a message in place, so that a reader may take half of it and loses it,
and ends the worker over an empty file (celery/kombu issue 1551). Here a file appears whole or not at all, and one
that can't be read is set aside.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps, loads

logger = logging.getLogger(__name__)

SET_ASIDE_SECONDS = 24 * 3600.0


class Channel(filesystem.Channel):
    """Messages lie in `data_folder_in` until a reader renames them into its private `processed_folder`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._messages = Path(self.data_folder_in)
        self._taken = Path(self.processed_folder)
        for folder in (self._messages, self._taken, self.control_folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._prune()

    def _put(self, queue: str, payload: dict[str, Any], **kwargs: Any) -> None:
        # Names sort by time, so messages are taken in the order they were sent.
        name = f"{time.time_ns()}_{uuid.uuid4().hex}.{queue}.msg"
        _write(self._messages / name, dumps(payload))

    def _get(self, queue: str) -> dict[str, Any]:
        for name in sorted(os.listdir(self._messages)):
            if name.partition(".")[2] != f"{queue}.msg":
                continue
            taken = self._taken / name
            try:
                os.rename(self._messages / name, taken)
            except FileNotFoundError:
                continue  # another reader was faster
            try:
                payload: dict[str, Any] = loads(taken.read_bytes())
                self._require_whole(payload)
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                os.utime(taken)
                logger.error("Message %s can't be read and is set aside in %s.", name, self._taken)
                continue
            taken.unlink()
            return payload
        raise Empty

    def _require_whole(self, payload: dict[str, Any]) -> None:
        """Read it as kombu does next, where an error would end the worker. Raises whatever is wrong with it."""
        message = self.Message(payload, channel=self)
        if message.body is None or "exchange" not in message.delivery_info:
            raise ValueError

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        entry = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
        with (self.control_folder / ".lock").open("w") as lock:
            filesystem.lock(lock, filesystem.LOCK_EX)
            table = self.get_table(exchange)
            if entry not in table:
                _write(self._exchange_file(exchange), dumps([entry, *table]))

    def _prune(self) -> None:
        """Forget what was set aside a day ago, and what died between taking and reading."""
        oldest = time.time() - SET_ASIDE_SECONDS
        for path in self._taken.iterdir():
            try:
                if path.stat().st_mtime < oldest:
                    path.unlink()
            except FileNotFoundError:
                continue  # another process prunes too


class Transport(filesystem.Transport):
    Channel = Channel


def _write(path: Path, text: str) -> None:
    """Make `path` appear with all of `text`, or not at all, even if the machine stops in between."""
    # The ending keeps readers off: they look for the name of a queue, then ".msg".
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        with temporary.open("x") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)  # a full disk must not be filled further
        raise
