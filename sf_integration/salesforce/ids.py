"""Record ids: 15 case-sensitive characters, or the same 15 and a checksum of 3."""

from __future__ import annotations

import re

from .errors import InvalidInput

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?\Z")


def checksum(id15: str) -> str:
    """The three letters that make a 15-character id safe to compare without regard to case."""
    suffix = ""
    for start in (0, 5, 10):
        group = id15[start : start + 5]
        suffix += _ALPHABET[sum(1 << place for place, letter in enumerate(group) if letter.isupper())]
    return suffix


def to_18(record_id: str) -> str:
    """The 18-character form of a record id of either length.

    Raises InvalidInput, which says what is wrong, for anything that is not a record id.
    """
    record_id = record_id.strip()
    if not _ID.match(record_id):
        raise InvalidInput(
            f"“{record_id[:40]}” is not a record id: it has {len(record_id)} characters, "
            "a record id has 15 or 18 letters and digits. Copy it from the record's address in Salesforce."
        )
    id15 = record_id[:15]
    if len(record_id) == 18 and record_id[15:].upper() != checksum(id15):
        raise InvalidInput(
            f"“{record_id}” is not a record id: its last three characters should be {checksum(id15)}. "
            "A letter was mistyped or its case was changed; copy the id again."
        )
    return id15 + checksum(id15)
