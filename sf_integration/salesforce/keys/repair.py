"""From the bytes somebody gave to the PEM blocks or the DER in them, with notes of what was repaired on the way."""

from __future__ import annotations

import base64
import codecs
import re
from dataclasses import dataclass

from . import der, mistakes, pem

BYTE_ORDER_MARK = "Its byte order mark was taken off."
UTF_16 = "It was text in UTF-16, as Windows saves it, and was turned into plain text."
LINE_ENDS = "Its line ends were changed from Windows' or old Mac's."
ESCAPES = r"Line breaks and letters written with a backslash, as \n, were restored."
TYPOGRAPHY = "Typographic dashes, quotes and blanks were put right."
BASE64 = "It was packed in base64, which was undone."
BYTES_BEHIND = "Bytes behind its end were left out."

_LAYERS = 4
"""Twice base64 around text or DER, and one to spare."""
_SHORTEST_BASE64 = 100
_BASE64_LINES = re.compile(r"(?:[A-Za-z0-9+/_-]{16,}[ \t\n]*)*[A-Za-z0-9+/_-]+={0,2}")
# What stands before a value, as in YAML and JSON, or in a Dockerfile; its letters could be base64 too.
_NAMES = re.compile(r"(?<![\w.-])[\w.-]{1,100}[\"']?[ \t]{0,4}:")
_PACKED_BEGIN = re.compile(r"(?<![ \t])[ \t]+(?=LS0tLS1CRUdJTi)")
_QUOTE_MARKS = re.compile(r"^[ \t>|]+", re.MULTILINE)
_BYTES_ASTRAY = 4
# A run of backslashes is tried once, so that no text takes long.
_ESCAPED_BREAK = re.compile(r"(?<!\\)\\+(?:r\\*\\n|[nr])")
_ESCAPED_LETTER = re.compile(r"(?<!\\)\\+u([0-9A-Fa-f]{4})")
_LINE_END_BACKSLASH = re.compile(r"(?<!\\)\\+(?=\n|$)")
_TYPOGRAPHY = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d", "-")
    | dict.fromkeys("\u00a0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B))), " ")
    | dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff", "")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u2018\u2019\u201a\u201b\u2039\u203a", '"')
    | dict.fromkeys("\u2028\u2029\u0085\v\f", "\n")
)


@dataclass(frozen=True)
class Repaired:
    blocks: tuple[pem.Block, ...]
    der: bytes
    """What was given, or packed in base64, without BEGIN and END; empty when nothing was."""
    mistake: str
    """When there is neither: what it is instead, as `a web page`; empty when nobody can tell."""
    notes: tuple[str, ...]


def repair(data: bytes) -> Repaired:
    """Never raises. What is damaged for good is left so; whoever reads it says so."""
    notes: list[str] = []
    blocks: list[pem.Block] = []
    mistake = ""
    for _ in range(_LAYERS):
        if der.looks_like_der(data):
            return Repaired(tuple(blocks), _cut(data, notes), "", _once(notes))
        mistake = mistake or mistakes.of_bytes(data)
        found, outside = pem.blocks(_plain(_text(data, notes), notes), notes)
        blocks += found
        mistake = mistake or mistakes.of_text(outside)
        # A private key in base64 may lie beside its certificate in PEM.
        wanting = not mistake and not any(block.is_private_key for block in blocks)
        data = _unpacked(outside) if wanting else b""
        if not data:
            break
        notes.append(BASE64)
    return Repaired(tuple(blocks), b"", "" if blocks else mistake, _once(notes))


def _once(notes: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(notes))


def _cut(data: bytes, notes: list[str]) -> bytes:
    try:
        end = der.length_of(data)
    except der.Malformed:
        return data
    if end < len(data):
        notes.append(BYTES_BEHIND)
    return data[:end]


def _text(data: bytes, notes: list[str]) -> str:
    if utf_16 := _utf_16(data):
        notes.append(UTF_16)
        text = data.decode(utf_16, errors="replace").removeprefix("\ufeff")
    else:
        text = _one_byte_text(data)
        if text.startswith("\ufeff"):
            notes.append(BYTE_ORDER_MARK)
            text = text.removeprefix("\ufeff")
    if "\r" in text:
        notes.append(LINE_ENDS)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _one_byte_text(data: bytes) -> str:
    text = data.decode(errors="replace")
    # A few bytes astray, as of a word that was taken for base64, don't make it another encoding.
    return text if text.count("\ufffd") <= _BYTES_ASTRAY else data.decode("cp1252", errors="replace")


def _utf_16(data: bytes) -> str:
    """The encoding, by its mark, or by every other byte being zero; empty for other text."""
    if data.startswith(codecs.BOM_UTF16_LE):
        return "utf-16-le"
    if data.startswith(codecs.BOM_UTF16_BE):
        return "utf-16-be"
    if len(data) < 40 or data.count(0) * 3 < len(data):
        return ""
    return "utf-16-le" if data[1::2].count(0) > data[::2].count(0) else "utf-16-be"


def _plain(text: str, notes: list[str]) -> str:
    restored = _unescaped(text) if "\\" in text else text
    if restored != text:
        notes.append(ESCAPES)
    plain = restored.translate(_TYPOGRAPHY)
    if plain != restored:
        notes.append(TYPOGRAPHY)
    return plain


def _unescaped(text: str) -> str:
    text = _ESCAPED_LETTER.sub(lambda found: chr(int(found[1], 16)), text)
    text = _ESCAPED_BREAK.sub("\n", text).replace("\\t", " ")
    return _LINE_END_BACKSLASH.sub("", text).replace("\\/", "/")


def _unpacked(text: str) -> bytes:
    """What the base64 in the text holds: all that is PEM, as key and certificate in a Kubernetes secret are, else the longest
    stretch; nothing when there is none worth the name."""
    apart = _NAMES.sub(";", _PACKED_BEGIN.sub(";", _QUOTE_MARKS.sub("", text)))
    stretches = sorted(_BASE64_LINES.findall(apart), key=len, reverse=True)
    held = [_held(each) for each in stretches if len(each) >= _SHORTEST_BASE64]
    return b"\n".join(each for each in held if b"-----BEGIN" in each) or next(iter(held), b"")


def _held(stretch: str) -> bytes:
    packed = re.sub(r"\s", "", stretch).rstrip("=")
    if len(packed) < _SHORTEST_BASE64:
        return b""
    if len(packed) % 4 == 1:
        packed = packed[:-1]
    return base64.urlsafe_b64decode(packed.replace("+", "-").replace("/", "_") + "=" * (-len(packed) % 4))
