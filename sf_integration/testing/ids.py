"""Salesforce record ids: 15 case-sensitive characters, or 18 with a checksum of their case."""

from __future__ import annotations

import re
import secrets
import string

_CHECKSUM_ALPHABET = string.ascii_uppercase + "012345"
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Z0-5]{3})?", re.ASCII)
_POD = "Dn"


def checksum(id15: str) -> str:
    """The three letters that tell which of the 15 characters are upper case."""
    groups = (id15[0:5], id15[5:10], id15[10:15])
    return "".join(
        _CHECKSUM_ALPHABET[sum(1 << place for place, char in enumerate(group) if "A" <= char <= "Z")]
        for group in groups
    )


def to_18(record_id: str) -> str:
    """The 18-character form of an id given in either form."""
    return record_id[:15] + checksum(record_id[:15])


def is_well_formed(record_id: str) -> bool:
    """Whether this is an id by its characters, its length and, in the long form, its checksum."""
    if not _ID.fullmatch(record_id):
        return False
    return len(record_id) == 15 or record_id == to_18(record_id)


def numbered(prefix: str, number: int) -> str:
    """The 18-character id of the `number`-th record with this three-character prefix."""
    digits = ""
    # Real ids don't begin at one; a start like this keeps all five places busy.
    rest = number + 17 * 62**4
    while rest:
        rest, digit = divmod(rest, 62)
        digits = _BASE62[digit] + digits
    return to_18(f"{prefix}{_POD}{digits:0>10}")


def random_id(prefix: str) -> str:
    """An 18-character id nobody else has."""
    tail = "".join(secrets.choice(_BASE62) for _ in range(6))
    return to_18(f"{prefix}{_POD}0000{tail}")
