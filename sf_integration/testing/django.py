"""The stand-in org for tests of Django code: one call makes a connection to it.

Imports the app, as nothing else of this package but the pytest plugin does.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any, cast

from django.conf import settings
from django.test import override_settings
from django.test.utils import TestContextDecorator

from .. import keystore, tokens
from ..models import ConnectedApp
from . import credentials
from .orgs import Org
from .standin import StandIn


class ConnectableOrg(Org):
    """An org that the app under test can be connected to."""

    def connect(self, name: str = "acme", **fields: Any) -> ConnectedApp:
        """A stored connection to this org; `fields` are those of ConnectedApp, overriding what fits the org."""
        app = self.app
        if app.private_key_pem is None:
            raise ValueError("The org trusts somebody's own certificate: its private key is not known here.")
        values: dict[str, Any] = {
            "login_url": self.url,
            "consumer_key": app.consumer_key,
            "username": self.user.username,
        } | fields
        if "signing_key" not in values:
            values["signing_key"] = keystore.take_in(
                app.private_key_pem.encode(), name=name, certificate=app.certificate_pem.encode()
            )
        connection = ConnectedApp(name=name, **values)
        connection.full_clean()
        connection.save(force_insert=True)
        return connection


class stand_in(TestContextDecorator):  # noqa: N801 - used as a context manager, as override_settings is
    """A running stand-in that the settings allow to be called; gives its org.

    Process memory is emptied before and after, so that no test sees another's tokens.
    `options` are those of StandIn.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        if not {"certificate_pem", "state_dir"} & set(options):
            # Making a key pair takes a tenth of a second: one for all stand-ins of a test run.
            options["private_key_pem"], options["certificate_pem"] = _key_pair()
        self._server = StandIn(org_type=ConnectableOrg, **options)

    @property
    def server(self) -> StandIn:
        return self._server

    def enable(self) -> ConnectableOrg:
        tokens.reset()
        self._server.start()
        configured = copy.copy(getattr(settings, "SF_INTEGRATION", {}))
        host = self._server.url.split("://")[1]
        configured["ALLOWED_HOSTS"] = [*configured.get("ALLOWED_HOSTS", ()), host]
        self._settings = override_settings(SF_INTEGRATION=configured)
        self._settings.enable()
        return cast("ConnectableOrg", self._server.org)

    def disable(self) -> None:
        self._settings.disable()
        self._server.stop()
        tokens.current().http.close()
        tokens.reset()


class SalesforceOrgMixin:
    """For unittest-style test cases: `self.salesforce_org` is a running stand-in org."""

    salesforce_org: ConnectableOrg

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        context = stand_in()
        self.salesforce_org = context.enable()
        self.addCleanup(context.disable)  # type: ignore[attr-defined]


@cache
def _key_pair() -> tuple[str, str]:
    return credentials.make_key_and_certificate("stand-in")
