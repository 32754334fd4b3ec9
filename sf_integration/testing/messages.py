"""What comes in and what goes out: one request, one answer, and the shapes of Salesforce's errors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl

JSON = "application/json;charset=UTF-8"
HTML = "text/html;charset=UTF-8"


@dataclass(frozen=True, slots=True)
class Incoming:
    """One HTTP request as the server read it."""

    method: str
    path: str
    """Decoded, without the query."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Looked up without regard to case."""
    body: bytes
    called_url: str
    """Scheme and host the caller used, without a trailing slash."""

    def form(self) -> dict[str, str]:
        """Parameters of the query and, if it is a form, of the body; the body wins. Source: OAuth endpoints."""
        parameters = dict(self.query)
        content_type = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if content_type == "application/x-www-form-urlencoded":
            parameters.update(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))
        return parameters


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer before it is put on the wire."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    error: str | None = None
    """Salesforce's error code, for the list of requests."""
    user: str | None = None
    """Username the request acted for, for the list of requests."""

    def of(self, username: str) -> Answer:
        return replace(self, user=username)

    def with_header(self, name: str, value: str) -> Answer:
        return replace(self, headers=(*self.headers, (name, value)))


@dataclass(frozen=True, slots=True)
class Request:
    """What is remembered of a request: never a body, a query, a token or an assertion."""

    method: str
    path: str
    status: int | None
    """None when the connection was closed without an answer."""
    error: str | None
    user: str | None


class Refused(Exception):
    """Ends the handling of a request with an answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.error)
        self.answer = answer


def json_answer(data: Any, status: int = 200, *, pretty: bool = False) -> Answer:
    """Salesforce's JSON is compact and on one line, unless asked to be pretty."""
    layout: dict[str, Any] = {"indent": 2} if pretty else {"separators": (",", ":")}
    return Answer(status, json.dumps(data, ensure_ascii=False, **layout).encode())


def rest_error(status: int, code: str, message: str, fields: Sequence[str] | None = None) -> Answer:
    """The array every REST resource answers with when it refuses."""
    entry: dict[str, Any] = {"message": message, "errorCode": code}
    if fields is not None:
        entry["fields"] = list(fields)
    return Answer(status, json.dumps([entry], ensure_ascii=False, separators=(",", ":")).encode(), error=code)


def oauth_error(error: str, description: str, status: int = 400) -> Answer:
    """The object with exactly two keys that the OAuth endpoints answer with when they refuse."""
    body = {"error": error, "error_description": description}
    return Answer(status, json.dumps(body, separators=(",", ":")).encode(), error=error)


def not_found() -> Answer:
    return rest_error(404, "NOT_FOUND", "The requested resource does not exist")
