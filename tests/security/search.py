"""Finds secrets in whatever spelling, whole or in part.

All windows of WINDOW bytes of every spelling of every secret stand in one table; of what is searched, every STRIDE-th window is
looked up. So any part of a secret of `WINDOW + STRIDE - 1` bytes is found, and the cost does not depend on how many secrets
there are. Spellings that take three or four letters for a byte are looked for in windows that are WIDE times as long: few bytes
are found in anything by chance, such as zeros in a pickle.
"""

from __future__ import annotations

import base64
import gzip
import html
import io
import json
import quopri
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from urllib.parse import quote, quote_plus

WINDOW = 12
STRIDE = 4
WIDE = 3

Secret = str | bytes


def spellings(secret: Secret) -> Iterator[bytes]:
    """How a secret may be written down: for a page or JSON, in hex, in base64 of any alignment."""
    raw = secret if isinstance(secret, bytes) else secret.encode()
    yield raw
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    yield from in_base64(raw)
    if isinstance(secret, str):
        yield json.dumps(secret)[1:-1].encode()
        yield html.escape(secret).encode()
        # Base64 within base64, as of a token in a signed cookie within a message of Celery.
        for inner in set(in_base64(raw)):
            yield from in_base64(inner)


def wide_spellings(secret: Secret) -> Iterator[bytes]:
    """Those that take several letters for a byte: of Python, addresses, mails and fingerprints."""
    raw = secret if isinstance(secret, bytes) else secret.encode()
    yield raw.hex(":").encode()
    yield repr(raw)[2:-1].encode()
    yield quote(raw, safe="").encode()
    yield quote_plus(raw).encode()
    yield quopri.encodestring(raw)
    if isinstance(secret, str):
        yield secret.encode("utf-16-le")


def in_base64(raw: bytes) -> Iterator[bytes]:
    """Which letters come out depends on where in a longer text it begins."""
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + raw)[4 if offset else 0 :].rstrip(b"=")
        # The last letter depends on what follows.
        yield encoded[:-1]
        yield encoded[:-1].translate(bytes.maketrans(b"+/", b"-_"))


def windows(data: bytes, step: int = 1, width: int = WINDOW) -> Iterator[bytes]:
    for start in range(0, len(data) - width + 1, step):
        yield data[start : start + width]


class Search:
    """For named secrets. `public`: what may be seen though a secret contains it, such as the modulus of a key pair."""

    def __init__(self, secrets: dict[str, Secret], public: Iterable[Secret] = ()) -> None:
        self.table: dict[bytes, str] = {}
        for name, secret in secrets.items():
            if len(secret) < WINDOW + STRIDE - 1:
                raise ValueError(f"{name} is too short to be found")
            self.table |= dict.fromkeys(_all_windows(secret), name)
        for each in public:
            for window in _all_windows(each):
                self.table.pop(window, None)
        # Zeros, lines and the like.
        for window in [window for window in self.table if len(set(window)) < 4]:
            del self.table[window]

    def found_in(self, data: bytes) -> set[str]:
        """Names of the secrets of which `data` has a part, packed or not."""
        return {name for name, _ in self._finds(data)}

    def told(self, data: bytes) -> list[str]:
        """As `found_in`, with where: for messages of a test that fails."""
        return [f"{name}: …{around!r}…" for name, around in islice(self._finds(data), 5)]

    def _finds(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        table = self.table
        for part in unpacked(data):
            for wide in (1, WIDE):
                step = STRIDE * wide
                for number, window in enumerate(windows(part, step, WINDOW * wide)):
                    if window in table:
                        yield table[window], part[max(0, number * step - 120) : number * step + 60]


def _all_windows(secret: Secret) -> Iterator[bytes]:
    for spelling in spellings(secret):
        yield from windows(spelling)
    for spelling in wide_spellings(secret):
        yield from windows(spelling, width=WINDOW * WIDE)


_PACKED_TEXT = re.compile(rb"eJ[\w-]{20,}")
"""Base64url of zlib, as Django's sessions and signed cookies have it."""


def unpacked(data: bytes) -> Iterator[bytes]:
    """`data` itself, and what is packed in it."""
    yield data
    for inner in _members(data):
        yield from unpacked(inner)


def _members(data: bytes) -> Iterator[bytes]:
    if data.startswith(b"\x1f\x8b"):
        yield gzip.decompress(data)
    if data.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield name.encode() + b"\n" + archive.read(name)
    for match in _PACKED_TEXT.finditer(data):
        try:
            packed = base64.urlsafe_b64decode(match[0] + b"=" * (-len(match[0]) % 4))
            yield zlib.decompressobj().decompress(packed, 1_000_000)
        except (ValueError, zlib.error):
            continue
