"""What we are held against: the tutorials' flow, simple-salesforce, google-auth and botocore, each used as its own docs do."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
import requests
from botocore.credentials import RefreshableCredentials  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from google.auth.credentials import Credentials
from google.auth.transport.requests import Request
from requests.adapters import HTTPAdapter

from .salesforce import Address

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
AN_HOUR = dt.timedelta(hours=1)


def claims(address: Address) -> dict[str, Any]:
    return {
        "iss": address.app.consumer_key,
        "sub": address.username,
        "aud": address.url,
        "exp": int(time.time()) + 180,
    }


def tutorial_login(address: Address, key_file: Path) -> str:
    """Read the key file, let PyJWT sign with its text, POST."""
    assertion = jwt.encode(claims(address), key_file.read_text(), algorithm="RS256")
    return tutorial_post(address, assertion)


def tutorial_post(address: Address, assertion: str) -> str:
    form = {"grant_type": GRANT_TYPE, "assertion": assertion}
    answer = requests.post(address.token_url, data=form, timeout=30)
    answer.raise_for_status()
    return str(answer.json()["access_token"])


def simple_salesforce_login(address: Address) -> Callable[[], object]:
    """Its JWT sign-in, led to the stand-in: it knows only hosts of Salesforce."""
    from simple_salesforce.login import SalesforceLogin

    session = requests.Session()
    session.mount("https://", _ToStandIn(address))
    return lambda: SalesforceLogin(
        username=address.username,
        consumer_key=address.app.consumer_key,
        privatekey=address.app.private_key_pem,
        session=session,
    )


class _ToStandIn(HTTPAdapter):
    def __init__(self, address: Address) -> None:
        self._token_url = address.token_url
        super().__init__()

    def send(self, request: requests.PreparedRequest, **arguments: Any) -> requests.Response:  # type: ignore[override]
        request.url = self._token_url
        return super().send(request, **arguments)


class GoogleCredentials(Credentials):
    """google-auth for this flow: its base class decides when to renew, we say how. The key is loaded once."""

    def __init__(self, address: Address) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._address = address
        self._key = load_pem_private_key(address.app.private_key_pem.encode(), None)

    def refresh(self, request: Request) -> None:
        assert isinstance(self._key, RSAPrivateKey)
        assertion = jwt.encode(claims(self._address), self._key, algorithm="RS256")
        answer = request(
            self._address.token_url,
            method="POST",
            body=urlencode({"grant_type": GRANT_TYPE, "assertion": assertion}).encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        self.token = json.loads(answer.data)["access_token"]
        self.expiry = dt.datetime.now(dt.UTC).replace(tzinfo=None) + AN_HOUR


def valid_google_credentials(address: Address) -> GoogleCredentials:
    credentials = GoogleCredentials(address)
    credentials.refresh(Request())
    return credentials


def valid_botocore_credentials() -> RefreshableCredentials:
    expiry = dt.datetime.now(dt.UTC) + AN_HOUR
    return RefreshableCredentials("key", "secret", "token", expiry, dict, "bench")
