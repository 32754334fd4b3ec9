"""What a call carries to prove itself. Always by an auth object: a header set by hand is what `.netrc` would overwrite."""

from __future__ import annotations

import requests
from requests.auth import AuthBase

from .addresses import require_same_origin


class NoAuth(AuthBase):
    """Says that a call carries no credentials; with auth=None requests would look into `.netrc`."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class BearerAuth(AuthBase):
    """The access token, for one host only."""

    def __init__(self, token_value: str, instance_url: str) -> None:
        self._token_value = token_value
        self._instance_url = instance_url

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        require_same_origin(request.url or "", self._instance_url)
        request.headers["Authorization"] = f"Bearer {self._token_value}"
        return request
