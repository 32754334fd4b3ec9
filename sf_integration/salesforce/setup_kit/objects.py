"""Which objects and fields the permission set opens, as people type it: `Account, Contact:write, Contact.Birthdate`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from .. import soql
from ..errors import InvalidInput


class Rights(StrEnum):
    """Each includes those before it."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"


@dataclass(frozen=True)
class FieldAccess:
    name: str
    """Without the object's."""
    editable: bool = False


@dataclass(frozen=True)
class ObjectAccess:
    name: str
    rights: Rights = Rights.READ
    fields: tuple[FieldAccess, ...] = ()


def read_objects(text: str) -> tuple[ObjectAccess, ...]:
    """Objects in `text` by name. `Object`, `Object.Field`, either with `:read` (as without), `:write` (create and edit
    too) or, of an object, `:delete`; commas, blanks or lines between.

    Raises InvalidInput, naming what is wrong.
    """
    items = [item for item in re.split(r"[\s,;]+", text) if item]
    read = [_split(item) for item in items]
    _refuse_twice(name for name, _ in read)
    rights = {name: given for name, given in read if "." not in name}
    as_given = {name.lower(): name for name in rights}
    fields: dict[str, list[FieldAccess]] = {name: [] for name in rights}
    for name, given in sorted(read):
        if "." not in name:
            continue
        sobject, _, field = name.partition(".")
        sobject = as_given.get(sobject.lower(), sobject)
        _require_object(name, sobject, given, rights)
        fields[sobject].append(FieldAccess(field, given is Rights.WRITE))
    return tuple(ObjectAccess(name, rights[name], tuple(fields[name])) for name in sorted(rights))


def _split(item: str) -> tuple[str, Rights]:
    name, _, word = item.partition(":")
    parts = name.split(".")
    if len(parts) > 2:
        raise InvalidInput(f"“{name[:90]}” is no field of one object: write it as Contact.Birthdate.")
    soql.name(parts[0])
    for field in parts[1:]:
        soql.name(field, "field")
    try:
        rights = Rights(word.lower() or Rights.READ)
    except ValueError as exc:
        raise InvalidInput(
            f"“{word[:40]}” behind {name} is no right: write {name}:read, {name}:write or {name}:delete."
        ) from exc
    if rights is Rights.DELETE and len(parts) > 1:
        raise InvalidInput(f"A field can't be deleted from: write {name}:read or {name}:write.")
    return name, rights


def _refuse_twice(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise InvalidInput(f"{name} is named twice: leave one of the two out.")
        seen.add(name.lower())


def _require_object(field: str, name: str, given: Rights, rights: dict[str, Rights]) -> None:
    if name not in rights:
        raise InvalidInput(f"The field {field} needs its object too: add {name}.")
    if given is Rights.WRITE and rights[name] is Rights.READ:
        raise InvalidInput(
            f"{field}:write needs an object that may be written: add {name}:write, or take {field}:read."
        )
