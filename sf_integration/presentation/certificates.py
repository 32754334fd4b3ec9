"""The public certificate of a signing key as a file, to be uploaded to the app in Salesforce."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.utils.translation import gettext as _


def download(certificate: str, file_name: str) -> HttpResponse:
    """Raises Http404 where it is not known."""
    if not certificate:
        raise Http404(_("The certificate of this signing key is not known here."))
    return HttpResponse(
        certificate,
        content_type="application/x-x509-ca-cert",
        headers={"Content-Disposition": f'attachment; filename="{file_name}"'},
    )
