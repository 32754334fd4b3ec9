"""What pages of crashes, and mails to ADMINS, tell of a request and of the settings."""

from __future__ import annotations

from django.http import HttpRequest, QueryDict
from django.utils.datastructures import MultiValueDict

from sf_integration.sensitive import AlwaysSafe


class DiscreetReports(AlwaysSafe):
    """Hides all that was posted: views say which of their inputs are secret, but a request may break on its way to the view."""

    def get_post_parameters(self, request: HttpRequest | None) -> MultiValueDict[str, str]:
        told = QueryDict(mutable=True)
        for name in request.POST if request is not None else ():
            told[name] = self.cleansed_substitute
        return told
