"""Who is told: mail addresses and channels, by the settings and by the connections themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from django.conf import settings as django_settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from ..conf import settings
from ..models import Alarm, ConnectedAppQuerySet

if TYPE_CHECKING:
    from .matters import Member

MAIL, CHANNEL = "mail:", "channel:"
_OF_THE_SITE = (Alarm.Kind.ENCRYPTION_KEY, Alarm.Kind.SCHEDULER)
_PRINTING = ("django.core.mail.backends.console.", "django.core.mail.backends.dummy.")
_MOST_ADDRESSES = 20
"""Of one connection: whoever may edit it makes no mailing list of it."""
_LOUD = 1
"""From this level on the site's contacts are told of everything."""


def recipients(kind: str, members: Sequence[Member], level: int) -> dict[str, list[Member]]:
    """Each target, with the connections that it is told of: its own; of a channel with tags, those with one of them."""
    found: dict[str, list[Member]] = {}
    for member in members:
        for address in member.addresses:
            found.setdefault(MAIL + address, []).append(member)
    if kind in _OF_THE_SITE or level >= _LOUD or not all(member.addresses for member in members):
        found |= {MAIL + address: [*members] for address in site_addresses()}
    for name, channel in settings.ALARM_CHANNELS.items():
        tags = {tag.casefold() for tag in channel.tags}
        concerned = [member for member in members if not tags or tags & member.tags]
        if concerned or not tags:
            found[CHANNEL + name] = concerned
    return found


def site_targets() -> list[str]:
    """What the settings name."""
    return [
        *(MAIL + address for address in site_addresses()),
        *(CHANNEL + name for name in settings.ALARM_CHANNELS),
    ]


def site_addresses() -> tuple[str, ...]:
    return _valid(settings.ALARM_MAIL)


def addresses_in(text: str) -> tuple[str, ...]:
    """The first few, one per line; what is none is passed over."""
    return _valid(text.splitlines())[:_MOST_ADDRESSES] if text else ()


def mail_is_set_up() -> bool:
    """Whether mail leaves this machine, as far as Django's settings tell."""
    return not django_settings.EMAIL_BACKEND.startswith(_PRINTING)


def unusable(connections: ConnectedAppQuerySet, *, most: int) -> Iterator[tuple[str, str]]:
    """Name of a connection, and a line of its contacts that is no address."""
    given = connections.exclude(our_contacts="").order_by("name").values_list("name", "our_contacts")
    for name, text in given.iterator():
        for line in filter(None, map(str.strip, text.splitlines())):
            if not is_address(line):
                yield name, line[:100]
                most -= 1
            if not most:
                return


def is_address(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return text.isascii() and text.isprintable() and len(MAIL + text) <= 254


def _valid(texts: Collection[str]) -> tuple[str, ...]:
    """Each once, whatever its case: mailboxes that differ by case alone are met nowhere."""
    stripped = (text.strip() for text in texts)
    return tuple(dict.fromkeys(text.lower() for text in stripped if is_address(text)))
