"""Record ids: 15 case-sensitive characters, or the same 15 and a checksum of 3."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from .errors import InvalidInput

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?\Z")
_MEANT_AS_ID = re.compile(r"(?=(?:\D*\d){3})[A-Za-z0-9]{14,19}\Z")
"""One word as long as an id, or nearly so, with some digits: no name looks so, or it is put into quotes."""
_ADDRESS = re.compile(r"(?:https?://|/)\S*\Z|[\w-]+(?:\.[\w-]+)+/\S*\Z", re.IGNORECASE)
_LIGHTNING = re.compile(
    r"/(?:r|sObject)/(?:(?P<sobject>[A-Za-z]\w*)/)?(?P<id>[A-Za-z0-9]{15,18})(?![A-Za-z0-9])"
)
_WORD = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]{15,18}(?![A-Za-z0-9])")


@dataclass(frozen=True)
class Pointer:
    """What a pasted text points at."""

    record_id: str
    """18 characters."""
    sobject: str = ""
    """As the address names it; empty when it names none."""


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


def read(text: str) -> Pointer | None:
    """The record that `text` points at: its id, or the address of its page in Salesforce; None for any other text.

    The host of an address is left out of account: what is asked is always the connection's own org. Raises InvalidInput
    for what is meant as one of the two and is none.
    """
    text = text.strip()
    if _ADDRESS.match(text):
        return _in_address(text)
    return Pointer(to_18(text)) if _MEANT_AS_ID.match(text) else None


def _in_address(address: str) -> Pointer:
    """Lightning's `/lightning/r/Account/001…/view`, Classic's `/001…`, or any other with an id in it."""
    path = unquote(address)
    found = _LIGHTNING.search(path)
    if found and _is_id(found["id"]):
        return Pointer(to_18(found["id"]), found["sobject"] or "")
    for word in _WORD.findall(path):
        if _is_id(word):
            return Pointer(to_18(word))
    raise InvalidInput(
        "This address holds no record id. Open the record in Salesforce and copy the address again."
    )


def _is_id(word: str) -> bool:
    if not _MEANT_AS_ID.match(word):
        return False
    try:
        to_18(word)
    except InvalidInput:
        return False
    return True
