"""What sites are filled with. Runs in their processes."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connection
from django.utils import timezone

from sf_integration import keystore, tokens
from sf_integration.models import AccessToken, ConnectedApp, SigningKey

from .salesforce import Address, App

NAME = "bench"
API_VERSION = "67.0"


def usernames(numbers: Iterable[int]) -> list[str]:
    return [f"user{number}@bench.example" for number in numbers]


def connect(address: Address) -> None:
    """The one connection of measures that need no more."""
    key = take_in(address.app)
    _connection(address, address.app, key, NAME, address.username).save(force_insert=True)


def add(address: Address, numbers: range) -> None:
    """Connections with a user each, which share the keys of the org's apps, and their rows, due from the start."""
    keys = [take_in(app) for app in address.apps]
    made = []
    for number, username in zip(numbers, usernames(numbers), strict=True):
        which = number % len(keys)
        made.append(_connection(address, address.apps[which], keys[which], f"{NAME}-{number}", username))
    ConnectedApp.objects.bulk_create(made, batch_size=1000)
    for _ in tokens.due_batches():
        pass  # to hand out what is due, it makes the rows that are missing
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as the database itself does sooner or later


def make_due() -> None:
    """As long after the last sign-in as beat would come; neither gate nor fuse holds back what is measured."""
    now = timezone.now()
    AccessToken.objects.update(refresh_at=now, next_try_at=None, last_try_at=None, logins=0)


def take_in(app: App) -> SigningKey:
    """The app's key as stored; proved only once, which takes longer than anything else here."""
    name = f"key {app.consumer_key[-12:]}"
    known = SigningKey.objects.filter(name=name).first()
    return known or keystore.take_in(
        app.private_key_pem.encode(), name=name, certificate=app.certificate_pem.encode()
    )


def _connection(address: Address, app: App, key: SigningKey, name: str, username: str) -> ConnectedApp:
    made = ConnectedApp(
        name=name,
        login_url=address.url,
        consumer_key=app.consumer_key,
        username=username,
        signing_key=key,
        api_version=API_VERSION,
    )
    made.clean()
    return made
