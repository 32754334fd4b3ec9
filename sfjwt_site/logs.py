"""How log lines look: plain ones for people, or an object of JSON each for machines. Knows no Django: gunicorn asks too.

No text of others can make a line of its own: what ends lines, or steers terminals, is written as an escape.
"""

from __future__ import annotations

import logging
import re
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

FORMATS = ("line", "json")

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request, or the task, that this is done for; empty outside of any."""

# Line ends and other control characters but the tab, what turns the direction of writing, and what no file can take.
_STEERING = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


class LineFormatter(logging.Formatter):
    """`time level logger message`, in UTC. Tracebacks are indented: what begins at the left margin is a record."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name} {message}", style="{")

    def formatMessage(self, record: logging.LogRecord) -> str:
        return _escaped(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        return _indented(super().formatStack(stack_info))


class JsonLineFormatter(JsonFormatter):
    """`time, level, logger, message, request_id`, then what else the line was given, as far as it is plain values."""

    def __init__(self) -> None:
        super().__init__("%(message)s", json_ensure_ascii=True)

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        at = datetime.fromtimestamp(record.created, UTC)
        log_data |= {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": getattr(record, "request_id", request_id.get()),
        }
        log_data |= {name: value for name, value in _fields(record).items() if name not in log_data}
        if traceback := message_dict.get("exc_info"):
            log_data["traceback"] = traceback


def formatter(name: str) -> logging.Formatter:
    return JsonLineFormatter() if name == "json" else LineFormatter()


def configuration(name: str) -> dict[str, Any]:
    """For Django's LOGGING. Raises ValueError for a format that there is not."""
    if name not in FORMATS:
        raise ValueError(f"LOG_FORMAT={name}: write one of {', '.join(FORMATS)}.")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"chosen": {"()": "sfjwt_site.logs.formatter", "name": name}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "chosen"}},
        "root": {"handlers": ["stderr"], "level": "INFO"},
        "loggers": {
            # Django's own handlers print twice what root prints already, and mail to nobody.
            "django": {"handlers": [], "level": "INFO", "propagate": True},
            "django.server": {"handlers": [], "level": "INFO", "propagate": True},
            "axes": {"level": "WARNING"},
        },
    }


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """Objects, such as the request that Django's lines bring along, stay out: their text may hold anything."""
    return {
        name: value
        for name, value in record.__dict__.items()
        if name not in RESERVED_ATTRS and isinstance(value, str | int | float | bool)
    }


def _escaped(text: str) -> str:
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _indented(text: str) -> str:
    return "\n".join(f"    {_escaped(line)}" for line in text.split("\n"))
