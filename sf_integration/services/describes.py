"""What an org says its objects and fields are, kept for an hour: names, labels and types, nothing of any record.

Kept per connection and for its present sign-in settings: another user may see other objects.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields as fields_of
from typing import Any, TypeVar
from zlib import crc32

from django.core.cache import cache
from django.utils.translation import gettext as _

from .. import api
from ..models import ConnectedApp
from ..models.tokens import settings_fingerprint
from ..salesforce import soql
from ..salesforce.describe import DescribedObject, Field, ObjectName
from ..salesforce.errors import InvalidInput, NotFound, SalesforceError

KEPT_SECONDS = 3600
_MOST_ASKED_AT_ONCE = 8
# What is kept by another release, in another form, is not met.
_FORM = crc32(
    repr([each.name for kind in (ObjectName, DescribedObject, Field) for each in fields_of(kind)]).encode()
)
_log = logging.getLogger(__name__)
_Kept = TypeVar("_Kept")


class Describes:
    """The descriptions of one connection's org. What begins with `known` asks nobody."""

    def __init__(self, connection: ConnectedApp) -> None:
        settings = settings_fingerprint(connection, connection.username)
        self._prefix = f"sf_integration:describe:{_FORM:x}:{connection.pk.hex}:{settings[:32]}"
        self._client = api.get_client(connection.name)

    def known_sobjects(self) -> Sequence[ObjectName]:
        return self._read("objects") or ()

    def sobjects(self) -> Sequence[ObjectName]:
        """All that have records."""
        return self._kept("objects", self._client.described_objects)

    def known_sobject(self, name: str) -> DescribedObject | None:
        found: DescribedObject | None = self._read(_key_of(name))
        return found

    def sobject(self, name: str) -> DescribedObject:
        """By its API name. Raises NotFound when there is none of this name."""
        return self._kept(_key_of(name), lambda: self._client.described_object(name))

    def by_prefix(self, record_id: str) -> ObjectName | None:
        """The object that ids with this beginning belong to."""
        return next((each for each in self.sobjects() if each.key_prefix == record_id[:3]), None)

    def of(self, names: Iterable[str]) -> Mapping[str, DescribedObject]:
        """Those of these objects that can be described: labels are worth a call, and no failure."""
        found: dict[str, DescribedObject] = {}
        for name in list(dict.fromkeys(names))[:_MOST_ASKED_AT_ONCE]:
            with suppress(SalesforceError):  # such as one that is hidden
                found[name] = self.sobject(name)
        return found

    def _kept(self, what: str, ask: Callable[[], _Kept]) -> _Kept:
        found: _Kept | None = self._read(what)
        if found is None:
            found = ask()
            self._write(what, found)
        return found

    def _read(self, what: str) -> Any:
        """A cache that is down costs a call to the org, not the page."""
        try:
            return cache.get(f"{self._prefix}:{what}")
        except Exception as error:  # noqa: BLE001 - each backend has errors of its own
            _log.warning("The cache could not be read (%s); the org is asked instead.", type(error).__name__)
            return None

    def _write(self, what: str, value: object) -> None:
        try:
            cache.set(f"{self._prefix}:{what}", value, KEPT_SECONDS)
        except Exception as error:  # noqa: BLE001
            _log.warning("The cache could not be written (%s).", type(error).__name__)


def _key_of(name: str) -> str:
    """Short and plain whatever somebody typed: caches take no blanks."""
    try:
        return f"object:{soql.name(name).lower()}"
    except InvalidInput:
        return "object:"


def named(describes: Describes, text: str) -> str:
    """The API name of the object that is called so, by its label too. Raises NotFound when none is."""
    names = {word.casefold(): each.name for each in describes.sobjects() for word in (each.label, each.name)}
    if found := names.get(text.casefold()):
        return found
    near = difflib.get_close_matches(text.casefold(), names, n=1, cutoff=0.7)
    hint = _(" Did you mean %(name)s?") % {"name": names[near[0]]} if near else ""
    told = _("No object is called “%(text)s”.%(hint)s") % {"text": text, "hint": hint}
    raise NotFound(told, status_code=404, error_code="INVALID_TYPE")
