"""A sign-in and the calls after it, as a script would print them: for a person who looks for a fault, or for a ticket.

No assertion and no token is in it, only their lengths; nor is anything that looks like one, wherever the host put it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from . import oauth
from .errors import SalesforceError
from .http import Answer, Call, excerpt, mask
from .signin import Outcome, SignIn

HEADERS = ("Date", "Content-Type", "Server", "Retry-After", "X-SFDC-Request-Id", "X-Request-Id")
"""Of an answer, what helps to find it in the host's log. All others may hold cookies and the like."""
_LONGEST_HEADER = 200
_LONGEST_FIELD = 1000
_MOST_FIELDS = 50
_LONGEST_EXCERPT = 1000
_ANSWER_SHOWN = {
    "error",
    "error_description",
    "id",
    "instance_url",
    "issued_at",
    "scope",
    "token_format",
    "token_type",
}
# What an assertion or a token is when it comes back in pieces: wrapped into lines, or without its beginning.
_LONG_WORD = re.compile(r"[\w+=-]{40,}(?:\.[\w+=-]+|[.\s]+[\w+=-]{16,})*", re.ASCII)


def describe(request: SignIn, outcome: Outcome) -> dict[str, Any]:
    """What was sent and what came back, as JSON."""
    claims = request.claims(time.time() - outcome.seconds)
    answer = outcome.answer
    refused = answer is not None and answer.status >= 400
    return {
        "endpoint": oauth.token_url(request.login_url),
        "header": {"alg": "RS256", "typ": "JWT"},
        "claims": claims.as_json(),
        "form": {
            "grant_type": oauth.GRANT_TYPE,
            "assertion": f"({outcome.assertion_length} characters)",
        },
        "status": answer.status if answer else None,
        "headers": _headers(answer.headers) if answer else {},
        "answer": _harmless(answer) if answer else None,
        "error": _hidden(str(outcome.error)) if outcome.error and not refused else "",
        "milliseconds": round(outcome.seconds * 1000),
        "clock_skew_seconds": outcome.clock_skew_seconds,
    }


def with_calls(described: Mapping[str, Any], calls: Iterable[Call]) -> dict[str, Any]:
    """A description with the other calls of the run, in order."""
    others = [asdict(call) | {"url": _plain(call.url)} for call in calls if call.url != described["endpoint"]]
    return {**described, "calls": others}


def as_text(described: Mapping[str, Any]) -> str:
    """The description for people, as lines."""
    return "\n".join([*_request_lines(described), "", *_answer_lines(described), *_call_lines(described)])


def _request_lines(described: Mapping[str, Any]) -> Iterable[str]:
    form = described.get("form") or {}
    yield f"POST {described['endpoint']}"
    yield "Content-Type: application/x-www-form-urlencoded"
    yield ""
    yield f"grant_type={form.get('grant_type', oauth.GRANT_TYPE)}"
    yield f"&assertion={form.get('assertion', '')}"
    yield ""
    yield "The assertion's header and claims:"
    yield _json(described["header"])
    yield _json(described["claims"], indent=2)


def _answer_lines(described: Mapping[str, Any]) -> Iterable[str]:
    status, took = described["status"], f"after {described['milliseconds']} ms"
    if error := described.get("error"):
        yield f"Came to nothing {took}: {error}"
    if status is None:
        return
    yield f"Answered {status} {took}"
    headers = described.get("headers") or {}
    yield from (f"{name}: {headers[name]}" for name in HEADERS if name in headers)
    yield ""
    answer = described["answer"]
    yield answer if isinstance(answer, str) else _json(answer, indent=2)


def _json(value: object, indent: int | None = None) -> str:
    # Sorted: PostgreSQL keeps an object's names in an order of its own.
    return json.dumps(value, ensure_ascii=False, indent=indent, sort_keys=True)


def _call_lines(described: Mapping[str, Any]) -> Sequence[str]:
    calls = described.get("calls") or []
    lines = [
        f"{call['status'] or '---'} {call['milliseconds']:>6} ms  {call['method']} {call['url']}"
        + (f"\n{'':15}{call['soql']}" if call.get("soql") else "")
        for call in calls
    ]
    return ["", "The other calls of this run:", *lines] if lines else []


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: _hidden(headers[name])[:_LONGEST_HEADER] for name in HEADERS if name in headers}


def _harmless(answer: Answer) -> object:
    try:
        data = answer.json()
    except SalesforceError:
        return _excerpt(answer)
    if not isinstance(data, dict):
        return _excerpt(answer)
    return {
        _hidden(name)[:_LONGEST_FIELD]: _hidden(text)[:_LONGEST_FIELD]
        if name in _ANSWER_SHOWN
        else _length(text)
        for name, text in ((name, str(value)) for name, value in islice(data.items(), _MOST_FIELDS))
    }


def _excerpt(answer: Answer) -> str:
    # Cut last: half of something long would not be known for what it is.
    return _hidden(excerpt(answer.body, length=20_000))[:_LONGEST_EXCERPT]


def _hidden(text: str) -> str:
    """Without tokens and assertions, whole or in pieces."""
    # What has its beginning first: without it, the rest of a token with several dots is not known for what it is.
    return _LONG_WORD.sub(lambda match: _length(match.group()), mask(text))


def _length(secret: str) -> str:
    return f"({len(secret)} characters)"


def _plain(url: str) -> str:
    """Without user and password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
