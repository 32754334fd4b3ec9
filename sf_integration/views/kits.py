"""The set-up kit as a download, of a connection and of an unfinished set-up."""

from __future__ import annotations

import re
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.text import slugify

from ..access import Deed
from ..models import ConnectedApp, ConnectionDraft
from ..salesforce import setup_kit
from ..salesforce.errors import InvalidInput
from ..salesforce.setup_kit import Kit
from ..services import kits
from .gate import for_connection
from .guide import for_draft, posted

_OBJECTS = re.compile(r"[\w.:,; ]{1,1000}", re.ASCII)
"""What may stand in an address: no key or token that somebody pasted in the wrong place."""


@for_connection(Deed.MAKE_KIT)
def connection(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
    """A button: whoever comes by GET is led to the connection."""
    if request.method != "POST":
        return redirect(connection)
    try:
        objects = setup_kit.read_objects(request.POST["objects"]) if "objects" in request.POST else None
        return _download(kits.of_connection(connection, actor=request.user, objects=objects), connection.name)
    except InvalidInput as error:
        return _refused(request, error, connection.get_absolute_url())


@for_draft
@posted
def prepare(request: HttpRequest, draft: ConnectionDraft) -> HttpResponse:
    """Settle objects and consumer key, and lead back to the guide, which then has the download."""
    try:
        kits.prepare_draft(
            draft,
            actor=request.user,
            objects=setup_kit.read_objects(request.POST.get("objects", "")),
            org_mints_key="org_mints_key" in request.POST,
        )
    except InvalidInput as error:
        return _refused(request, error, reverse("sf_integration:draft", args=[draft.pk]))
    return redirect(f"{reverse('sf_integration:draft', args=[draft.pk])}?kit=ready#kit")


@for_draft
def draft(request: HttpRequest, draft: ConnectionDraft) -> HttpResponse:
    """The kit as it was prepared."""
    try:
        return _download(kits.of_draft(draft, actor=request.user), slugify(draft.name) or "connection")
    except InvalidInput as error:
        return _refused(request, error, reverse("sf_integration:draft", args=[draft.pk]))


def _refused(request: HttpRequest, error: InvalidInput, page: str) -> HttpResponse:
    """Back to the page, with the objects as they were typed."""
    messages.error(request, str(error))
    typed = request.POST.get("objects", "")
    query = f"?{urlencode({'objects': typed})}" if _OBJECTS.fullmatch(typed) else ""
    return redirect(f"{page}{query}#kit")


def _download(kit: Kit, name: str) -> HttpResponse:
    return HttpResponse(
        setup_kit.to_zip(kit),
        content_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{name}-setup-kit.zip"'},
    )
