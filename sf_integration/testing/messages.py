"""What comes in and what goes out: one request, one answer, and the shapes of Salesforce's errors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

JSON = "application/json;charset=UTF-8"
HTML = "text/html;charset=UTF-8"
# Answered before a resource is reached: recorded with the code as first key.
_PLATFORM_CODES = ("NOT_FOUND", "METHOD_NOT_ALLOWED", "PROCESSING_HALTED")
SECRET_PARAMETERS = frozenset(
    (
        "assertion",
        "token",
        "access_token",
        "oauth_token",
        "refresh_token",
        "client_secret",
        "password",
        "code",
        "sid",
    )
)
_SECRET = re.compile(r"\b00D\w{12,15}!|\beyJ[\w-]+\.|PRIVATE KEY-----", re.ASCII)
_SCHEMES = ("bearer", "oauth", "basic")


@dataclass(frozen=True, slots=True)
class Incoming:
    """One HTTP request as the server read it."""

    method: str
    path: str
    """Decoded, without the query."""
    raw_path: str
    """As it was sent, without the query: a blank or a slash in it may be encoded."""
    query: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    """Looked up without regard to case."""
    body: bytes = field(repr=False)
    host: str
    """The Host header: name and port the caller used."""
    called_url: str
    """Scheme and host the caller used, without a trailing slash."""
    shared_login_url: str | None = None
    """`https://login.salesforce.com` or `https://test.salesforce.com` when it came to the login host all orgs share."""

    def form(self) -> dict[str, str]:
        """Parameters of the query and, if it is a form, of the body; the body wins. Source: OAuth endpoints."""
        parameters = dict(self.query)
        content_type = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if content_type == "application/x-www-form-urlencoded":
            parameters.update(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))
        return parameters

    def shown_parameters(self) -> dict[str, str]:
        """The parameters, secrets as their lengths: what is named like one, and what looks like one."""
        return {
            name: shown_length(value) if name.lower() in SECRET_PARAMETERS or _is_secret(value) else value
            for name, value in self.form().items()
        }

    def shown_authorization(self) -> str | None:
        """The scheme of the Authorization header and the length of the rest."""
        authorization = self.headers.get("Authorization", "")
        scheme, _, rest = authorization.partition(" ")
        if rest and scheme.lower() in _SCHEMES:
            return f"{scheme} {shown_length(rest)}"
        return shown_length(authorization) if authorization else None


def _is_secret(value: str) -> bool:
    """Whether there is a session id, a JWT or a private key in it, whatever name it came under."""
    return _SECRET.search(value) is not None


def shown_length(secret: str) -> str:
    return f"({len(secret)} characters)"


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer before it is put on the wire."""

    status: int
    body: bytes = field(default=b"", repr=False)
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
    """What is remembered of a request: never its body, and secrets as their lengths."""

    at: float
    """When it came, by the org's clock: seconds since 1970 UTC."""
    method: str
    host: str
    path: str
    parameters: Mapping[str, str]
    """Of the query and of a form."""
    authorization: str | None
    """The scheme and the length of what follows it."""
    status: int | None
    """None when the connection was closed without an answer."""
    error: str | None
    user: str | None
    milliseconds: float
    """Until the answer was there to be sent."""


class Refused(Exception):
    """Ends the handling of a request with an answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.error)
        self.answer = answer


def json_answer(data: Any, status: int = 200, *, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """Salesforce's JSON is compact and on one line, unless asked to be pretty."""
    return Answer(
        status, json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode(), headers=headers
    )


def as_asked(answer: Answer, request: Incoming) -> Answer:
    """The answer with its JSON laid out for people, if the request says so by `X-PrettyPrint: 1`."""
    if request.headers.get("X-PrettyPrint") != "1" or answer.content_type != JSON or not answer.body:
        return answer
    try:
        body = json.loads(answer.body)
    except ValueError:
        return answer  # given by hand, and no JSON
    return replace(
        answer, body=json.dumps(body, ensure_ascii=False, indent=2, separators=(",", " : ")).encode()
    )


def rest_error(status: int, code: str, message: str, fields: Sequence[str] | None = None) -> Answer:
    """The array every REST resource answers with when it refuses."""
    entry: dict[str, Any] = {"message": message, "errorCode": code}
    if code in _PLATFORM_CODES:
        entry = {"errorCode": code, "message": message}
    if fields is not None:
        entry["fields"] = list(fields)
    return Answer(status, json.dumps([entry], ensure_ascii=False, separators=(",", ":")).encode(), error=code)


def oauth_error(error: str, description: str, status: int = 400) -> Answer:
    """The object with exactly two keys that the OAuth endpoints answer with when they refuse."""
    body = {"error": error, "error_description": description}
    return Answer(status, json.dumps(body, separators=(",", ":")).encode(), error=error)


def not_found() -> Answer:
    return rest_error(404, "NOT_FOUND", "The requested resource does not exist")


def unknown_here(what: str, way_out: str) -> str:
    """The sentence for what Salesforce has and the stand-in has not: better than a wrong result."""
    return f"This stand-in does not know {what}; give the answer with {way_out}."


def resource_unknown_here(path: str) -> Answer:
    """Salesforce has this resource, the stand-in has not."""
    return rest_error(404, "NOT_FOUND", unknown_here(path, f"org.answer_path({path!r}, …)"))
