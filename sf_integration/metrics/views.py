"""The door of `/metrics`: a token for scrapers, or else sign-in and permission."""

from __future__ import annotations

import hmac

from django.db import DatabaseError, InterfaceError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from .. import access
from ..access import SHELL, Deed
from ..conf import settings
from ..sign_in import login_required

_PLAIN = "text/plain; charset=utf-8"


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponseBase:
    """All to who shows METRICS_TOKEN. Where none is set, to people who may read it, about the connections visible to them."""
    if not settings.METRICS_TOKEN:
        return _to_people(request)
    if not _shows_token(request):
        said = "Send the METRICS_TOKEN of this site as “Authorization: Bearer …”.\n"
        return HttpResponse(
            said, status=401, content_type=_PLAIN, headers={"WWW-Authenticate": 'Bearer realm="metrics"'}
        )
    return _told(request, SHELL)


@login_required
def _to_people(request: HttpRequest) -> HttpResponse:
    access.require(request.user, Deed.SEE_METRICS)
    return _told(request, request.user)


def _shows_token(request: HttpRequest) -> bool:
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    sent = shown.strip().encode("latin-1", "replace")  # the bytes that came
    same = hmac.compare_digest(sent, settings.METRICS_TOKEN.encode())
    return same and scheme.lower() == "bearer"


def _told(request: HttpRequest, user: object) -> HttpResponse:
    try:
        from .collector import exposition  # here, since a site without the extra `metrics` works too
    except ModuleNotFoundError as exc:
        if exc.name != "prometheus_client":
            raise
        raise Http404("The extra “metrics” is not installed.") from exc
    try:
        body, content_type = exposition(user, request.headers.get("Accept", ""))
    except (DatabaseError, InterfaceError):
        return HttpResponse("The database does not answer.\n", status=503, content_type=_PLAIN)
    return HttpResponse(body, content_type=content_type)
