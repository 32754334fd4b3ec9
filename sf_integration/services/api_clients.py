"""Programs that take tokens over HTTP: made, changed and revoked by people. `api_keys` knows them again when they call.

Who gives a program connections gives it their tokens, and so needs the rights to manage and to take them, for each one that
the program has.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from .. import access, audit
from ..access import Deed
from ..models import ApiClient, ConnectedApp, normal_username
from ..salesforce.errors import InvalidInput
from . import api_keys

_LONGEST_USERNAME = 255  # that AccessToken has room for


@dataclass(frozen=True)
class IssuedKey:
    """An API key at the only moment when it is known; the database has its hash."""

    client: ApiClient
    api_key: str = field(repr=False)


def manageable(actor: Any) -> QuerySet[ApiClient]:
    """The clients that `actor` may manage: those none of whose connections is hidden from them."""
    everything = ApiClient.objects.all()
    if not access.may(actor, Deed.MANAGE_API_CLIENTS):
        return everything.none()
    if actor.is_superuser:
        return everything
    hidden = ConnectedApp.objects.exclude(pk__in=access.visible_to(actor).values("pk"))
    return everything.exclude(connections__in=hidden)


def make(
    name: str,
    *,
    connections: Iterable[ConnectedApp],
    usernames: Iterable[str] = (),
    expires_at: dt.datetime | None = None,
    notes: str = "",
    actor: Any,
) -> IssuedKey:
    """A new client with an API key. Raises InvalidInput, or AccessDenied for a connection whose tokens `actor` may not take."""
    connections = [*connections]
    _require(actor, connections)
    client = ApiClient(
        name=_valid_name(name),
        usernames=_valid_usernames(usernames),
        expires_at=_valid_expiry(expires_at),
        notes=notes.strip(),
    )
    api_key = api_keys.new_key(client)
    with transaction.atomic():
        _save(client, force_insert=True)
        client.connections.set(connections)
        audit.record("made API client", client, actor=actor)
    return IssuedKey(client, api_key)


def replace_key(client: ApiClient, *, actor: Any) -> IssuedKey:
    """A new API key; the old one stops at once, elsewhere within five seconds. Raises AccessDenied, InvalidInput if revoked."""
    _require_client(actor, client)
    before = client.prefix
    api_key = api_keys.new_key(client)
    client.last_used_at = None  # tells whether the new one has arrived
    with transaction.atomic():
        client.save(update_fields=["prefix", "api_key_sha256", "last_used_at"])
        audit.record("replaced API key", client, actor=actor)
    api_keys.forget(before)
    return IssuedKey(client, api_key)


def change(
    client: ApiClient,
    *,
    connections: Iterable[ConnectedApp],
    usernames: Iterable[str],
    expires_at: dt.datetime | None,
    notes: str,
    name: str,
    actor: Any,
) -> list[str]:
    """Set all of it; the names of the fields that are other than before. Raises AccessDenied or InvalidInput."""
    connections = [*connections]
    _require_client(actor, client)
    _require(actor, connections)
    wanted: dict[str, Any] = {
        "name": _valid_name(name),
        "usernames": _valid_usernames(usernames),
        "expires_at": expires_at if expires_at == client.expires_at else _valid_expiry(expires_at),
        "notes": notes.strip(),
    }
    changed = [field for field, value in wanted.items() if getattr(client, field) != value]
    with transaction.atomic():
        if {*client.connections.values_list("pk", flat=True)} != {each.pk for each in connections}:
            client.connections.set(connections)
            changed.append("connections")
        for field_name, value in wanted.items():
            setattr(client, field_name, value)
        if changed:
            _save(client, update_fields=[*wanted])
            audit.record("changed API client", client, actor=actor, fields=changed)
    api_keys.forget(client.prefix)
    return sorted(changed)


def revoke(client: ApiClient, *, actor: Any) -> None:
    """For good: its API key is refused at once, elsewhere within five seconds. Done before: nothing happens."""
    _require_manageable(actor, client)
    now = timezone.now()
    with transaction.atomic():
        if ApiClient.objects.filter(pk=client.pk, revoked_at=None).update(revoked_at=now):
            audit.record("revoked API client", client, actor=actor)
            client.revoked_at = now
    api_keys.forget(client.prefix)


def _save(client: ApiClient, **how: Any) -> None:
    try:
        with transaction.atomic():
            client.save(**how)
    except IntegrityError as exc:
        raise InvalidInput(
            _("There is an API client “%(name)s” already: choose another name.") % {"name": client.name}
        ) from exc


def _require(actor: Any, connections: Collection[ConnectedApp]) -> None:
    """Raise AccessDenied unless `actor` may give out the tokens of these."""
    access.require_all(actor, Deed.MANAGE_API_CLIENTS, connections)


def _require_manageable(actor: Any, client: ApiClient) -> ApiClient:
    """The client as it is stored now."""
    found = manageable(actor).filter(pk=client.pk).first()
    if found is None:
        raise access.denied(Deed.MANAGE_API_CLIENTS)
    return found


def _require_client(actor: Any, client: ApiClient) -> None:
    if _require_manageable(actor, client).revoked_at is not None:
        raise InvalidInput(
            _("The API client “%(name)s” was revoked, for good: make a new one.") % {"name": client.name}
        )


def _valid_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > 100 or not name.isprintable():
        raise InvalidInput(_("Give the API client a name of up to 100 printable characters."))
    return name


def _valid_usernames(usernames: Iterable[str]) -> list[str]:
    """Each once, whatever its case; in their order."""
    given = {normal_username(each.strip()): each.strip() for each in usernames if each.strip()}
    for username in given.values():
        if "@" not in username or not username.isprintable() or len(username) > _LONGEST_USERNAME:
            raise InvalidInput(
                _("“%(username)s” is no Salesforce username: it has the form of an e-mail address.")
                % {"username": username}
            )
    return [*given.values()]


def _valid_expiry(expires_at: dt.datetime | None) -> dt.datetime | None:
    if expires_at is None:
        return None
    if timezone.is_naive(expires_at):
        expires_at = timezone.make_aware(expires_at)
    if expires_at <= timezone.now():
        raise InvalidInput(_("The expiry lies in the past: choose a later time, or none."))
    return expires_at
