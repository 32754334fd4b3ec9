"""The control face of a stand-in org, from outside: asked and told over HTTP, as any program on its machine may.

Only the connection's own login host is called, and only on this machine itself: what is no stand-in is never asked twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from .. import hosts, tokens
from ..models import ConnectedApp
from ..salesforce.answers import json_of
from ..salesforce.errors import InvalidInput, TransportError
from ..salesforce.http import NoAuth
from ..tokens import renewal

PATH = "/stand-in"
LOOK_SECONDS, TELL_SECONDS = 1.0, 3.0
"""It is on this machine, and a page waits for it; some orders take it a moment, such as to make a certificate."""
_MAX_BYTES = 1_000_000


class NoStandIn(Exception):
    """What answers at the connection's login URL takes no orders: it is another program, or a real org."""


@dataclass(frozen=True)
class Order:
    """What a stand-in is told: an action and its arguments, or, without an action, settings."""

    action: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Overview:
    """How the org is at the moment."""

    org_id: str
    has_moved: bool
    settings: Mapping[str, Any]
    faults: Sequence[Mapping[str, Any]]

    @classmethod
    def from_json(cls, told: Any) -> Self:
        """Raises NoStandIn when this is not what a stand-in shows."""
        try:
            org, faults = told["org"], [dict(fault) for fault in told["faults"]]
            return cls(org["id"], org["instance_url"] != org["url"], dict(told["settings"]), faults)
        except (KeyError, TypeError, ValueError) as exc:
            raise NoStandIn from exc


@dataclass(frozen=True)
class StandIn:
    """The stand-in that a connection leads to."""

    address: str

    @classmethod
    def of(cls, connection: ConnectedApp) -> Self:
        """Raises NoStandIn when the connection leads elsewhere, NotAllowedHere when its org may not be called."""
        parts = urlsplit(connection.login_url)
        if not hosts.is_loopback(parts.hostname or ""):
            raise NoStandIn
        renewal.require_callable(connection)
        return cls(f"{parts.scheme}://{parts.netloc}{PATH}")

    def look(self) -> Overview:
        """Raises TransportError when nothing answers, else NoStandIn when it is none."""
        return Overview.from_json(self._ask("GET", "", LOOK_SECONDS))

    def tell(self, order: Order) -> None:
        """Raises InvalidInput with the stand-in's own sentence when it doesn't take the order, else as `look`."""
        self._ask("POST" if order.action else "PATCH", order.action, TELL_SECONDS, json=order.values)

    def _ask(self, method: str, action: str, seconds: float, **body: Any) -> Any:
        url = f"{self.address}/{action}".removesuffix("/")
        try:
            response = tokens.current().http.request(
                method, url, auth=NoAuth(), timeout_seconds=seconds, max_bytes=_MAX_BYTES, **body
            )
            answer = json_of(response)
        except TransportError as error:
            if error.status_code is None:
                raise
            raise NoStandIn from error
        if response.status_code == 400 and isinstance(answer, dict) and "error" in answer:
            raise InvalidInput(f"The stand-in says: {answer['error']}")
        if response.status_code != 200:
            raise NoStandIn
        return answer
