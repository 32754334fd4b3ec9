"""The stand-in org for tests of Django code: one call makes a connection to it.

Imports the app, as nothing else of this package but the pytest plugin does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any, cast
from unittest import mock

from django.conf import settings
from django.test import override_settings

from .. import crypto, keystore, tokens
from ..conf import settings as app_settings
from ..models import ConnectedApp
from ..token_api import uses
from . import credentials
from .apps import App
from .orgs import Org
from .standin import StandIn


class ConnectableOrg(Org):
    """An org that the app under test can be connected to."""

    def connect(self, name: str = "acme", *, app: App | None = None, **fields: Any) -> ConnectedApp:
        """A stored connection to this org; `fields` are those of ConnectedApp, overriding what fits the org.

        app: the one to sign in to; the org's first if left out.
        """
        app = app or self.app
        if app.private_key_pem is None:
            raise ValueError("The org trusts somebody's own certificate: its private key is not known here.")
        values: dict[str, Any] = {
            "login_url": self.url,
            "consumer_key": app.consumer_key,
            "username": self.user.username,
        } | fields
        if "signing_key" not in values:
            values["signing_key"] = keystore.store(
                _proved(app.private_key_pem, app.certificate_pem), name=name
            )
        connection = ConnectedApp(name=name, **values)
        connection.full_clean()
        connection.save(force_insert=True)
        return connection


@lru_cache(maxsize=100)
def _proved(private_key_pem: str, certificate_pem: str) -> keystore.ProvedKey:
    """To prove a key takes longer than all the rest of a connection."""
    return keystore.prove(private_key_pem.encode(), certificate=certificate_pem.encode())


@contextmanager
def stand_in(**options: Any) -> Iterator[ConnectableOrg]:
    """A running stand-in that the settings allow to be called. `options` are arguments of StandIn.

    Process memory is emptied before and after, so that no test sees another's tokens. Meanwhile loopback is called without
    the environment's proxy, the certificate authority of `tls=True` is trusted, and a project without an encryption key
    has one.
    """
    if not {"certificate_pem", "state_dir"} & set(options):
        # Making a key pair takes a tenth of a second: one for all stand-ins of a test run.
        options["private_key_pem"], options["certificate_pem"] = _key_pair()
    tokens.reset()
    configured = dict(getattr(settings, "SF_INTEGRATION", {}))
    hosts = configured["ALLOWED_HOSTS"] = [*app_settings.ALLOWED_HOSTS]
    configured["ENCRYPTION_KEYS"] = app_settings.ENCRYPTION_KEYS or (crypto.new_key(),)
    with StandIn(org_type=ConnectableOrg, on_open=hosts.append, **options) as server:
        environment = _environment(server)
        try:
            with override_settings(SF_INTEGRATION=configured), mock.patch.dict(os.environ, environment):
                yield cast("ConnectableOrg", server.org)
        finally:
            tokens.current().http.close()
            tokens.reset()
            uses.forget()


class SalesforceOrgMixin:
    """For unittest-style test cases: `self.salesforce_org` is a running stand-in org, a new one for each test."""

    salesforce_org_options: Mapping[str, Any] = {}
    """Arguments of StandIn, such as `{"tls": True, "is_sandbox": True}`."""
    salesforce_org: ConnectableOrg

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        org = stand_in(**self.salesforce_org_options)
        self.salesforce_org = self.enterContext(org)  # type: ignore[attr-defined]


def _environment(server: StandIn) -> dict[str, str]:
    """What lets HTTP clients of this process reach the stand-in: past a proxy, trusting its certificates."""
    unproxied = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    environment = {"no_proxy": ",".join(filter(None, (unproxied, "127.0.0.1", "localhost")))}
    if server.ca_file:
        environment["REQUESTS_CA_BUNDLE"] = str(server.ca_file)
    return environment


@cache
def _key_pair() -> tuple[str, str]:
    return credentials.make_key_and_certificate("stand-in")
