"""PEM blocks in text that editors, mails, clipboards and environment variables have been at."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from . import der

_KNOWN = "|".join(
    (
        "(?:RSA |EC |DSA |ENCRYPTED |OPENSSH )?PRIVATE KEY",
        "(?:RSA |SSH2 )?PUBLIC KEY",
        "(?:NEW )?CERTIFICATE REQUEST",
        "(?:TRUSTED |X509 )?CERTIFICATE",
        "(?:EC|DSA|DH) PARAMETERS",
        "PKCS7|CMS",
    )
)
# A known label needs no dashes behind it. Any number of dashes before it: word processors make one of two. What may
# repeat is bounded, and a run of dashes is tried once, so that no text takes long.
_DASHES = r"(?<!-)-+[ \t]{0,4}"
_BEGIN = re.compile(
    rf"{_DASHES}BEGIN {{1,4}}(?:(?P<label>{_KNOWN})(?:[ \t]{{0,4}}-+|\s|$)|(?P<other>[A-Z0-9 ]{{1,60}}?) {{0,4}}-+)"
)
_END = re.compile(rf"{_DASHES}END {{1,4}}[A-Z][A-Z0-9 ]{{0,60}}-*")
# Without line breaks only the cipher tells where its IV ends. One that is too short makes `cryptography` panic.
_ENCRYPTED_HEAD = re.compile(
    r"[\s>|]*Proc-Type:\s*4\s*,\s*ENCRYPTED[\s>|\"'`,]*DEK-Info:\s*"
    r"(AES-(?:128|192|256)-CBC\s*,\s*[0-9A-Fa-f]{32}|DES(?:-EDE3)?-CBC\s*,\s*[0-9A-Fa-f]{16})"
)
_ODD_HEAD = re.compile(rb"Proc.Type:4ENCRYPTED")
# What quoting, mails and lists of strings leave between the lines; nothing of it can be part of base64.
_LITTER = re.compile(r"[\s>|\"'`,;\\]+")
_URLSAFE = str.maketrans("-_", "+/")

ONE_LINE = "It stood on one line; its line breaks were restored."
INDENTED = "Blanks and marks at its lines were taken off."
NO_END = "Its missing END line was added."
NO_DASHES = "The missing dashes of its BEGIN line were added."
QUOTED = "Quotation marks around it were taken off."
TEXT_AROUND = "Text around it was left out."


@dataclass(frozen=True)
class Block:
    label: str
    """As between BEGIN and the dashes: `RSA PRIVATE KEY`."""
    pem: bytes
    """The block alone, as OpenSSL would write it."""
    body: bytes
    """What the base64 holds; empty when it is none."""

    @property
    def is_private_key(self) -> bool:
        return self.label.endswith("PRIVATE KEY")

    @property
    def is_traditionally_encrypted(self) -> bool:
        return b"Proc-Type: 4,ENCRYPTED" in self.pem

    @property
    def is_encrypted_otherwise(self) -> bool:
        """With those two lines, but a cipher of which we don't know where its IV ends."""
        return _ODD_HEAD.search(self.pem.replace(b"\n", b"")) is not None


def blocks(text: str, notes: list[str]) -> tuple[list[Block], str]:
    """All blocks in the order of the text, and the text outside of them; what had to be put right is added to `notes`."""
    found, outside, begin = [], "", _BEGIN.search(text)
    start = 0
    while begin:
        following = _BEGIN.search(text, begin.end())
        limit = following.start() if following else len(text)
        end = _END.search(text, begin.end(), limit)
        outside += text[start : begin.start()]
        label = " ".join((begin["label"] or begin["other"]).split())
        notes += [] if begin[0].endswith("-") else [NO_DASHES]
        found.append(_block(label, text[begin.end() : end.start() if end else limit], bool(end), notes))
        start, begin = end.end() if end else limit, following
    outside += text[start:]
    if found:
        _note_outside(outside, notes)
    return found, outside


def _note_outside(outside: str, notes: list[str]) -> None:
    rest = outside.strip()
    if not rest:
        return
    notes.append(TEXT_AROUND if rest.strip("\"'` \n") else QUOTED)


def _block(label: str, text: str, ended: bool, notes: list[str]) -> Block:
    head, text = _split_head(text)
    body = _LITTER.sub("", text)
    _note_lines(text, notes)
    if "+" not in body and "/" not in body:
        body = body.translate(_URLSAFE)
    if not ended and not head:
        body, ended = _completed(body)
        notes += [NO_END] if ended else []
    wrapped = [body[place : place + 64] for place in range(0, len(body), 64)]
    lines = [f"-----BEGIN {label}-----", *head, *wrapped]
    if ended:
        lines.append(f"-----END {label}-----")
    return Block(label, ("\n".join(lines) + "\n").encode(errors="replace"), _decoded(body))


def _note_lines(text: str, notes: list[str]) -> None:
    text = text.strip("\n")
    lines = [line for line in text.split("\n") if line]
    if len(lines) == 1 and len(text) > 80:
        notes.append(ONE_LINE)
    elif any(_LITTER.search(line) for line in lines):
        notes.append(INDENTED)


def _split_head(text: str) -> tuple[list[str], str]:
    """The two lines of an encrypted traditional key, and the rest."""
    found = _ENCRYPTED_HEAD.match(text)
    if not found:
        return [], text
    return ["Proc-Type: 4,ENCRYPTED", "DEK-Info: " + re.sub(r"\s", "", found[1]), ""], text[found.end() :]


def _completed(body: str) -> tuple[str, bool]:
    """A body whose END is missing, cut where its DER ends; False when it is cut off before that."""
    whole = re.match(r"[A-Za-z0-9+/]*={0,2}", body)
    data = _decoded(whole[0][: len(whole[0]) // 4 * 4]) if whole else b""
    try:
        return base64.b64encode(data[: der.length_of(data)]).decode(), True
    except der.Malformed:
        return body, False


def _decoded(body: str) -> bytes:
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        return b""
