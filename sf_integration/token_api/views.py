"""The addresses of the API. No session, no cookie, no redirect, nothing stored on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.log import log_response
from django.views.decorators.csrf import csrf_exempt

from ..conf import settings
from ..health import report
from ..models import ApiClient, ConnectedApp, ConnectedAppQuerySet
from ..salesforce.oauth import Token
from ..services import api_keys
from . import answers, callers, reading, taking
from .answers import Unacceptable, answer

_P = ParamSpec("_P")
_View = Callable[Concatenate[HttpRequest, _P], HttpResponse]


def _endpoint(*methods: str) -> Callable[[_View[_P]], _View[_P]]:
    """A view that is there while the API is on, for these methods, and answers whatever goes wrong in JSON."""
    allowed = ", ".join((*methods, "OPTIONS"))

    def decorate(view: _View[_P]) -> _View[_P]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: _P.args, **kwargs: _P.kwargs) -> HttpResponse:
            if not settings.TOKEN_API:
                raise Http404
            if request.method == "OPTIONS":
                return HttpResponse(status=204, headers={"Allow": allowed})
            try:
                if methods and request.method not in methods:
                    raise Unacceptable(
                        f"This address answers {allowed} only.",
                        status=405,
                        code="method_not_allowed",
                        headers={"Allow": allowed},
                    )
                response = view(request, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 - each has its answer
                response = _refusal(request, error)
            return _answered(request, response)

        # A sign-in must not wait for the end of a transaction, nor an audit event be taken back with one.
        return csrf_exempt(transaction.non_atomic_requests(guarded))

    return decorate


@_endpoint("POST")
def jwtauth(request: HttpRequest) -> HttpResponse:
    """A live token of a connection: {connection?, sub?, refused?} in, what Salesforce answered out, with its times."""
    client = callers.caller(request)
    asked = reading.texts(request, ("connection", "sub", "refused"), hide="refused")
    token = taking.take(
        client,
        connection=asked.get("connection", ""),
        username=asked.get("sub", ""),
        refused=asked.get("refused", ""),
    )
    return answer(_as_json(token))


@_endpoint("GET", "HEAD")
def connections(request: HttpRequest) -> HttpResponse:
    """Those that the caller may use, as `manage.py salesforce list --json`."""
    now = timezone.now()
    found = _of(callers.caller(request)).sick_first()
    return answer([each.summary(now) for each in found])


@_endpoint("GET", "HEAD")
def health(request: HttpRequest, name: str) -> HttpResponse:
    """What is known of one: the facts of its last check. No call."""
    client = callers.caller(request)
    found = _of(client).filter(pk=api_keys.grant(client, name).pk).first()
    if found is None:
        raise api_keys.not_granted(name)  # a moment ago it was
    return answer(report.as_json(found, timezone.now()))


@_endpoint("GET", "HEAD")
def openapi(request: HttpRequest) -> HttpResponse:
    prefix = request.path.removesuffix("/openapi.json")
    return answer({**_document(), "servers": [{"url": prefix}]})


@_endpoint()
def not_found(request: HttpRequest, rest: str) -> HttpResponse:
    raise Unacceptable(
        "There is no such address here; openapi.json lists them.", status=404, code="not_found"
    )


def _refusal(request: HttpRequest, error: Exception) -> HttpResponse:
    response = answers.of_error(error)
    if response.status_code == 503:
        # Django would take it for a fault of the site, and by its own logging settings mail each to the admins.
        log_response(
            "%s: %s",
            response.reason_phrase,
            request.path,
            response=response,
            request=request,
            level="warning",
        )
    return response


def _answered(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """To HEAD without the body, which not every server takes off."""
    if request.method == "HEAD":
        response.headers["Content-Length"] = str(len(response.content))
        response.content = b""
    return response


def _of(client: ApiClient) -> ConnectedAppQuerySet:
    return ConnectedApp.objects.filter(api_clients=client).select_related("signing_key")


@cache
def _document() -> dict[str, Any]:
    text = (Path(__file__).parent / "openapi.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def _as_json(token: Token) -> dict[str, object]:
    """In Salesforce's words. Source: Salesforce Help, "OAuth 2.0 JWT Bearer Flow", and RFC 6749 section 5.1."""
    return {
        "access_token": token.value,
        "instance_url": token.instance_url,
        "id": token.identity_url,
        "token_type": "Bearer",
        "scope": " ".join(token.scopes),
        "issued_at": token.issued_at,
        "expected_expiry": token.expected_expiry,
    }
