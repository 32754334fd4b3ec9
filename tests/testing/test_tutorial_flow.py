"""The flow of the tutorials, with nothing but pyjwt and requests."""

from __future__ import annotations

import time

import jwt
import requests

from sf_integration.testing import StandIn


def test_tutorial_signs_in_and_reads_an_account():
    with StandIn() as server:
        claims = {
            "iss": server.org.app.consumer_key,
            "sub": server.org.user.username,
            "aud": "https://login.salesforce.com",
            "exp": int(time.time()) + 300,
        }
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": jwt.encode(claims, server.org.app.private_key_pem, algorithm="RS256"),
        }
        login = requests.post(f"{server.url}/services/oauth2/token", data=form, timeout=10).json()
        account = requests.get(
            f"{login['instance_url']}/services/data/v58.0/sobjects/Account/001Dn00000Gi7HJIAZ",
            params={"fields": "Name,AccountNumber"},
            headers={"Authorization": f"Bearer {login['access_token']}"},
            timeout=10,
        ).json()

    assert account["Id"] == "001Dn00000Gi7HJIAZ"
    assert account["Name"]
    assert account["AccountNumber"]
