"""What the gunicorn of the soak test serves: the token a caller would get, told by its times alone."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable

import django
import jwt

django.setup()

from django.db import close_old_connections  # noqa: E402

from sf_integration import get_token  # noqa: E402
from sf_integration.salesforce.errors import SalesforceError  # noqa: E402

# Warm before gunicorn forks, as in a site that calls Salesforce while it loads.
get_token("row-0")


def application(environ: dict[str, str], start_response: Callable[..., object]) -> Iterable[bytes]:
    try:
        token = get_token(environ["PATH_INFO"].strip("/"))
        claims = jwt.decode(token.value, options={"verify_signature": False})
        told = {"pid": os.getpid(), "left_seconds": claims["exp"] - time.time(), "for": claims["client_id"]}
    except SalesforceError as exc:
        told = {"pid": os.getpid(), "error": f"{type(exc).__name__}: {exc}"}
    finally:
        close_old_connections()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]
