"""Programs that take tokens over HTTP: `api-clients`, `make-api-key`, `revoke-api-key`, `try-api-key`."""

from __future__ import annotations

import argparse
import datetime as dt
import getpass
import sys
from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import Prefetch
from django.utils import timezone
from rich.text import Text

from ... import access
from ...access import Deed
from ...conf import settings
from ...models import ApiClient, ConnectedApp
from ...salesforce.errors import InvalidInput
from ...salesforce.secret import Secret
from ...services import api_clients, api_keys
from ...services.profiles import listed
from .verb import Output, Verb, connection_for, require_terminal

_DEFAULT_DAYS = 365
_MOST_DAYS = 3650
_LONGEST = 1_000
"""Bytes of standard input that are looked at: an API key has 60."""
_STATE_STYLES = {"active": "green", "expires soon": "yellow", "expired": "red", "revoked": "dim"}


def _list(options: argparse.Namespace, output: Output) -> bool:
    names = ConnectedApp.objects.only("name")
    clients = _visible(options.actor).prefetch_related(Prefetch("connections", names)).order_by("name")
    if output.as_json:
        output.data([_as_json(client) for client in clients])
    elif clients:
        output.table(
            ["API client", "State", "Connections", "Expires", "Last use"],
            [
                [
                    client.name,
                    Text(state := str(api_keys.state_of(client, timezone.now())), _STATE_STYLES[state]),
                    ", ".join(_connections(client)),
                    _moment(client.expires_at),
                    _moment(client.last_used_at),
                ]
                for client in clients
            ],
        )
    else:
        output.say(
            "There are no API clients yet. Make one with: manage.py salesforce make-api-key NAME --connection C"
        )
    _tell_if_off(output)
    return True


def _make(options: argparse.Namespace, output: Output) -> bool:
    require_terminal(output, "API key", yes=options.yes)
    connections = [
        connection_for(name, Deed.TAKE_TOKEN, actor=options.actor)
        for name in dict.fromkeys(options.connection)
    ]
    with transaction.atomic():  # an API key that can't be printed, as on a full disk, is not made
        issued = api_clients.make(
            options.name,
            connections=connections,
            usernames=options.username,
            expires_at=_expiry(options),
            notes=options.notes,
            actor=options.actor,
        )
        output.raw(issued.api_key)
        output.flush()
    output.note(
        f"This API key of “{issued.client.name}” is shown this once and can't be read again: only its hash is stored."
    )
    _tell_of_unlisted_users(issued.client.usernames, connections, output)
    _tell_if_off(output)
    return True


def _revoke(options: argparse.Namespace, output: Output) -> bool:
    client = _visible(options.actor).filter(name=options.name).first()
    if client is None:
        raise InvalidInput(f"There is no API client “{options.name}”. See: manage.py salesforce api-clients")
    api_clients.revoke(client, actor=options.actor)
    output.line(f"{client.name} is revoked for good: within five seconds its API key is refused everywhere.")
    return True


def _try(options: argparse.Namespace, output: Output) -> bool:
    """Who holds an API key may know what it is good for: no other right is asked for."""
    client = api_keys.authenticate(_read_api_key())
    if output.as_json:
        output.data(_as_json(client))
    else:
        users = f", also as {listed(client.usernames)}" if client.usernames else ""
        output.line(
            f"The API key is good. It is that of “{client.name}” and takes tokens of "
            f"{listed(_connections(client) or ['no connection'])}{users}."
        )
        output.line(f"Expires: {_moment(client.expires_at)}")
    _tell_if_off(output)
    return True


def _visible(actor: Any) -> Any:
    """The API clients that `actor` may manage. Raises AccessDenied."""
    access.require(actor, Deed.MANAGE_API_CLIENTS)
    return api_clients.manageable(actor)


def _read_api_key() -> Secret:
    """From standard input, as the arguments of a command can be seen by others. Its line end does not count."""
    if sys.stdin.isatty():
        text = getpass.getpass("API key: ").strip()
    else:
        text = sys.stdin.buffer.read(_LONGEST).decode(errors="replace").strip()
    if not text:
        raise InvalidInput("No API key came in: pipe it into the command, or paste it when asked.")
    return Secret(text)


def _expiry(options: argparse.Namespace) -> dt.datetime | None:
    if options.no_expiry:
        return None
    if not 1 <= options.expires_days <= _MOST_DAYS:
        raise InvalidInput(f"--expires-days takes 1 to {_MOST_DAYS} days; for ever is --no-expiry.")
    return timezone.now() + dt.timedelta(days=options.expires_days)


def _as_json(client: ApiClient) -> dict[str, object]:
    return {
        "name": client.name,
        "state": str(api_keys.state_of(client, timezone.now())),
        "connections": _connections(client),
        "usernames": client.usernames,
        "expires_at": client.expires_at and client.expires_at.isoformat(),
        "last_used_at": client.last_used_at and client.last_used_at.isoformat(),
    }


def _connections(client: ApiClient) -> list[str]:
    return sorted(connection.name for connection in client.connections.all())


def _moment(at: dt.datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else "never"


def _tell_of_unlisted_users(
    usernames: Iterable[str], connections: Iterable[ConnectedApp], output: Output
) -> None:
    """They may be listed later, so this is no mistake yet."""
    unlisted = [name for name in usernames if not any(each.allows(name) for each in connections)]
    if unlisted:
        output.note(
            f"No connection of it lists {listed(unlisted)} yet: until one does, no token is given for that user."
        )


def _tell_if_off(output: Output) -> None:
    if not settings.TOKEN_API:
        output.note("The HTTP token API is switched off here, so no API key is taken yet: SF_TOKEN_API=on.")


def _make_arguments(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    parser.add_argument(
        "--connection",
        metavar="C",
        nargs="+",
        action="extend",
        required=True,
        help="those it may take tokens of",
    )
    parser.add_argument(
        "--username",
        metavar="U",
        nargs="+",
        action="extend",
        default=[],
        help="Salesforce users it may ask for beside each connection's own; the connection must list them too",
    )
    expiry = parser.add_mutually_exclusive_group()
    expiry.add_argument(
        "--expires-days", type=int, default=_DEFAULT_DAYS, metavar="N", help="default: %(default)s"
    )
    expiry.add_argument("--no-expiry", action="store_true", help="good until it is revoked")
    parser.add_argument(
        "--notes", default="", metavar="TEXT", help="which program this is, and who looks after it"
    )
    parser.add_argument("--yes", action="store_true", help="also when the output is no terminal")


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the API client")


VERBS = (
    Verb(
        "api-clients",
        "the programs that may take tokens over HTTP",
        _list,
        arguments=lambda parser: None,
        examples=["api-clients", "api-clients --json"],
        deed=Deed.MANAGE_API_CLIENTS,
    ),
    Verb(
        "make-api-key",
        "let a program take tokens over HTTP; prints its API key, this once",
        _make,
        arguments=_make_arguments,
        examples=[
            "make-api-key stock-sync --connection acme-prod",
            'make-api-key reports --connection acme-prod globex --expires-days 90 --notes "BI team"',
            "make-api-key stock-sync --connection acme-prod --yes | vault kv put secret/stock-sync api_key=-",
        ],
        details="The API key is a password for the orgs. It stands alone on standard output; here only its hash is kept.",
        prints_data=False,
        deed=Deed.MANAGE_API_CLIENTS,
    ),
    Verb(
        "revoke-api-key",
        "refuse a program's API key from now on, for good",
        _revoke,
        arguments=_name,
        examples=["revoke-api-key stock-sync"],
        details="Tokens that the program has taken stay good until their sessions end: see revoke.",
        prints_data=False,
        deed=Deed.MANAGE_API_CLIENTS,
    ),
    Verb(
        "try-api-key",
        "whose an API key is and what it may; reads it from standard input",
        _try,
        arguments=lambda parser: None,
        examples=["try-api-key", "try-api-key < api-key.txt", "try-api-key --json < api-key.txt"],
        details="At a terminal it asks for the API key without showing it. Exits 1 when it is unknown, expired or revoked. "
        "It counts as a use.",
    ),
)
