"""What the HTTP token API is held against: a Django view without middleware that answers the same JSON, made once."""

from __future__ import annotations

import os

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY=os.environ["SECRET_KEY"])
django.setup()

_ANSWER = {
    "access_token": "00D" + "x" * 109,
    "instance_url": "https://acme.my.salesforce.com",
    "id": "https://login.salesforce.com/id/00Dxx0000001gPFEAY/005xx000001SwiUAAS",
    "token_type": "Bearer",
    "scope": "api refresh_token",
    "issued_at": "2026-03-01T09:00:00Z",
    "expected_expiry": "2026-03-01T11:00:00Z",
}


@csrf_exempt
def view(request: HttpRequest) -> JsonResponse:
    answer = JsonResponse(_ANSWER)
    answer.headers["Content-Length"] = str(len(answer.content))  # else gunicorn answers in chunks
    return answer


urlpatterns = [path("api/jwtauth", view)]
application = WSGIHandler()
