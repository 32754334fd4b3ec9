"""What pages of crashes, and mails to ADMINS, tell of a request and of the settings."""

from __future__ import annotations

import re

from django.http import HttpRequest, QueryDict
from django.utils.datastructures import MultiValueDict
from django.views.debug import SafeExceptionReporterFilter


class DiscreetReports(SafeExceptionReporterFilter):
    """Hides what Django's own shows: all that was posted, and settings whose values are addresses with a password in them.

    Django hides inputs of views that ask for it, so not when something breaks on the way to the view, and none while DEBUG is on.
    """

    hidden_settings = re.compile(
        rf"{SafeExceptionReporterFilter.hidden_settings.pattern}|(BROKER|DATABASE|CACHE|REDIS|PROXY)_URL|CHANNELS|LOCATION|COOKIE",
        re.IGNORECASE,
    )

    def is_active(self, request: HttpRequest | None) -> bool:
        return True

    def get_post_parameters(self, request: HttpRequest | None) -> MultiValueDict[str, str]:
        told = QueryDict(mutable=True)
        for name in request.POST if request is not None else ():
            told[name] = self.cleansed_substitute
        return told
