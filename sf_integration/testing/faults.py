"""Trouble on demand: what an org, its edge proxy or the wire in between may do instead of answering."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .messages import HTML, JSON, Answer, oauth_error, rest_error

Place = Literal["token", "rest", "identity", "any"]
Delivery = Literal["whole", "drip", "cut", "close", "huge"]

PLACES = ("token", "rest", "identity", "any")

_MAINTENANCE = (
    "<html><head><title>Maintenance</title></head><body><h1>Scheduled maintenance</h1>"
    "<p>We are down for maintenance. Sorry for the inconvenience. We'll be back shortly.</p></body></html>"
)
_BAD_GATEWAY = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
_LOGIN_PAGE = (
    "<!DOCTYPE html><html><head><title>Login</title></head><body><form id='login'></form></body></html>"
)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a fault does to one request. Without an answer of its own the org's true one is sent."""

    answer: Answer | None = None
    wait_seconds: float = 0.0
    """Waited before the request is looked at."""
    delivery: Delivery = "whole"
    byte_seconds: float = 0.0
    """With "drip": the pause after each byte."""
    part: Literal["both", "headers", "body"] = "both"
    """With "drip": what comes byte by byte."""


def _unknown_error(place: str) -> Effect:
    if place == "token":
        return Effect(oauth_error("unknown_error", "retry your request"))
    message = (
        "An unexpected error occurred. Please include this ErrorId if you contact support: 1234567890-12345"
    )
    return Effect(rest_error(500, "UNKNOWN_EXCEPTION", message))


def _html(status: int, page: str) -> Effect:
    return Effect(Answer(status, page.encode(), HTML))


def _redirect(place: str, *, location: str = "https://elsewhere.example/", status: int = 302) -> Effect:
    return Effect(Answer(status, b"", HTML, (("Location", location),)))


def _garbage(place: str, *, body: str = '{"access_token":"00D') -> Effect:
    return Effect(Answer(200, body.encode(), JSON))


def _slow(place: str, *, seconds: float) -> Effect:
    return Effect(wait_seconds=seconds)


def _drip(place: str, *, seconds: float, part: Literal["both", "headers", "body"] = "both") -> Effect:
    return Effect(delivery="drip", byte_seconds=seconds, part=part)


def _refuse(place: str, *, error: str, description: str, status: int = 400) -> Effect:
    return Effect(oauth_error(error, description, status))


def _answer(
    place: str,
    *,
    status: int = 200,
    body: Any = b"",
    content_type: str = JSON,
    headers: Mapping[str, str] | None = None,
) -> Effect:
    """body: text or bytes as they are; all else becomes JSON."""
    extra = tuple((headers or {}).items())
    text = body if isinstance(body, str | bytes) else json.dumps(body, ensure_ascii=False)
    return Effect(Answer(status, text.encode() if isinstance(text, str) else text, content_type, extra))


def _rest_error(place: str, *, status: int, code: str, message: str) -> Effect:
    return Effect(rest_error(status, code, message))


KINDS: dict[str, Callable[..., Effect]] = {
    "unknown_error": _unknown_error,
    "maintenance": lambda place: _html(503, _MAINTENANCE),
    "bad_gateway": lambda place: _html(502, _BAD_GATEWAY),
    "html": lambda place: _html(200, _LOGIN_PAGE),
    "redirect": _redirect,
    "garbage": _garbage,
    "slow": _slow,
    "drip": _drip,
    "cut": lambda place: Effect(delivery="cut"),
    "close": lambda place: Effect(delivery="close"),
    "huge": lambda place: Effect(delivery="huge"),
    "refuse": _refuse,
    "answer": _answer,
    "rest_error": _rest_error,
}


def _require_known(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"unknown fault {kind!r}; known: {', '.join(KINDS)}")


@dataclass(slots=True)
class Fault:
    """Trouble that waits for its requests."""

    kind: str
    where: str
    """One of PLACES, or the beginning of a path."""
    left: int | None
    """How many requests it still spoils; None: all, until it is taken away."""
    options: dict[str, Any]

    def meets(self, place: str, path: str) -> bool:
        return path.startswith(self.where) if self.where.startswith("/") else self.where in (place, "any")


@dataclass(slots=True)
class Faults:
    """The faults waiting for their requests, oldest first."""

    _queue: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, where: str, times: int | None, options: dict[str, Any]) -> None:
        """Queue a fault; a wrong kind, place or option is told here, not at the request."""
        _require_known(kind)
        if where not in PLACES and not where.startswith("/"):
            raise ValueError(
                f"unknown place {where!r}; known: {', '.join(PLACES)}, or a path from its first slash"
            )
        if times is not None and times < 1:
            raise ValueError("times must be at least 1, or None for all")
        KINDS[kind](where, **options)
        with self._lock:
            self._queue.append(Fault(kind, where, times, options))

    def clear(self, kind: str | None = None) -> None:
        """Take faults away: those of a kind, or all."""
        if kind is not None:
            _require_known(kind)
        with self._lock:
            self._queue = [waiting for waiting in self._queue if kind not in (None, waiting.kind)]

    def waiting(self) -> list[Fault]:
        with self._lock:
            return [replace(fault) for fault in self._queue]

    def take(self, place: str, path: str) -> Effect | None:
        """What is to happen to a request at this place ("other" is met by "any" or its path only)."""
        with self._lock:
            fault = next((waiting for waiting in self._queue if waiting.meets(place, path)), None)
            if fault is None:
                return None
            if fault.left is not None:
                fault.left -= 1
                if fault.left <= 0:
                    # By identity: two faults told alike are still two.
                    self._queue = [waiting for waiting in self._queue if waiting is not fault]
        return KINDS[fault.kind](place, **fault.options)
