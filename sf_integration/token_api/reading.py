"""Requests taken apart: the API key of the header, the JSON of the body."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from django.http import HttpRequest
from django.http.request import UnreadablePostError

from ..salesforce.errors import ApiKeyRefused
from ..salesforce.secret import Secret, hidden
from .answers import Unacceptable

LARGEST_BYTES = 10_000


def api_key(request: HttpRequest) -> Secret:
    """Raises ApiKeyRefused when none is shown."""
    given = Secret(request.headers.get("authorization", ""))
    if given[:7].lower() != "bearer " or not given[7:].strip():
        raise ApiKeyRefused(
            "The request shows no API key.",
            remedy="Send the header “Authorization: Bearer” with the API key behind it.",
            who="whoever wrote the calling program",
            code="api_key_missing",
        )
    return Secret(given[7:].strip())


def texts(request: HttpRequest, known: Collection[str], *, hide: str) -> dict[str, str]:
    """The JSON object of the body, whose values are texts under `known` names; null counts as left out. Raises Unacceptable."""
    found = _object(request)
    if hide in found:
        found[hide] = hidden(found[hide])
    unknown = sorted(found.keys() - {*known})
    if unknown:
        raise Unacceptable(
            f"There is no field “{unknown[0][:60]}” here. Known: {', '.join(known)}.", code="unknown_field"
        )
    for name, value in found.items():
        if not (value is None or isinstance(value, str)):
            raise Unacceptable(f"“{name}” has to be a text.", code="invalid_field")
    return {name: value for name, value in found.items() if value}


def _object(request: HttpRequest) -> dict[str, Any]:
    if request.content_type != "application/json":
        raise Unacceptable(
            "Send JSON, and say so: “Content-Type: application/json”.",
            status=415,
            code="unsupported_media_type",
            headers={"Accept-Post": "application/json"},
        )
    body = _body(request)
    try:
        found = json.loads(body.decode())
    except (ValueError, RecursionError) as exc:
        raise Unacceptable(
            "The body is not JSON in UTF-8. Send an object, at least {}.", code="malformed_json"
        ) from exc
    if not isinstance(found, dict):
        raise Unacceptable("The body is JSON, but no object. Send one, at least {}.", code="malformed_json")
    return found


def _body(request: HttpRequest) -> bytes:
    length = request.headers.get("content-length") or ""
    if not length and "transfer-encoding" in request.headers:
        raise Unacceptable(
            "Send the body with a Content-Length, not in chunks.", status=411, code="length_required"
        )
    if length.isdecimal() and int(length) > LARGEST_BYTES:
        raise Unacceptable(
            f"The body is too large: at most {LARGEST_BYTES:,} bytes.", status=413, code="too_large"
        )
    try:
        return request.read(LARGEST_BYTES)
    except UnreadablePostError as exc:
        raise Unacceptable("The body broke off.", code="cut_off") from exc
