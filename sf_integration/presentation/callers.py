"""The programs that may take a connection's tokens over HTTP, for its page."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.urls import NoReverseMatch, reverse

from ..conf import settings
from ..models import ConnectedApp
from ..services import api_clients, api_keys
from ..services.api_keys import ClientState


@dataclass(frozen=True)
class Caller:
    name: str
    state: ClientState
    last_used_at: dt.datetime | None
    """With any of its connections."""
    url: str
    """Of its page in the admin; empty for those who may not open it."""


@dataclass(frozen=True)
class Callers:
    listed: list[Caller]
    is_off: bool
    """Whether the API is switched off, so that none of them gets anything."""

    def __bool__(self) -> bool:
        return bool(self.listed)


def of_connection(connection: ConnectedApp, user: Any, now: dt.datetime) -> Callers:
    """Without those that were revoked."""
    clients = list(connection.api_clients.filter(revoked_at=None).order_by("name"))
    manageable = (
        {client.pk for client in api_clients.manageable(user).filter(connections=connection)}
        if clients
        else set()
    )
    listed = [
        Caller(
            client.name,
            api_keys.state_of(client, now),
            client.last_used_at,
            _address(client.pk) if client.pk in manageable and user.is_staff else "",
        )
        for client in clients
    ]
    return Callers(listed, is_off=not settings.TOKEN_API)


def _address(pk: Any) -> str:
    """Empty in a site without the admin."""
    try:
        return reverse("admin:sf_integration_apiclient_change", args=[pk])
    except NoReverseMatch:
        return ""
