"""A search that finds nothing proves nothing, so first it has to find what is planted: in every spelling, whole and in part."""

from __future__ import annotations

import base64
import gzip
import html
import io
import json
import quopri
import secrets
import zipfile
from collections.abc import Callable
from urllib.parse import quote

import pytest
from django.core import signing

from .search import Search

pytestmark = pytest.mark.once

TEXT = f'Zwölf & <Boxkämpfer> "{secrets.token_hex(12)}" +/=\\ {secrets.token_urlsafe(60)}'
AROUND = "before %s after"


def in_zip(text: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", text)
    return file.getvalue()


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


SPELT: dict[str, Callable[[str], bytes | str]] = {
    "as it is": lambda text: AROUND % text,
    "its first half": lambda text: AROUND % text[: len(text) // 2],
    "its second half": lambda text: AROUND % text[len(text) // 2 :],
    "fifteen characters of it": lambda text: AROUND % text[70:85],
    "broken into lines": lambda text: "\n".join(text[start : start + 20] for start in range(0, len(text), 20)),
    "hex": lambda text: AROUND % text.encode().hex(),
    "upper hex": lambda text: AROUND % text.encode().hex().upper(),
    "hex with colons": lambda text: text.encode().hex(":"),
    "repr of bytes": lambda text: repr({"value": text.encode()}),
    "in JSON": lambda text: json.dumps({"value": text}),
    "in a page": lambda text: f"<p>{html.escape(text)}</p>",
    "in an address": lambda text: f"https://x/?q={quote(text, safe='')}",
    "in a mail": lambda text: quopri.encodestring(f"Dear all, {text}".encode()),
    "utf-16": lambda text: text.encode("utf-16"),
    "base64": in_base64,
    "base64 in a longer text": lambda text: in_base64(f"abcd{text}efgh"),
    "base64 in a longer text, shifted": lambda text: in_base64(f"abcde{text}efgh"),
    "base64 in a longer text, shifted again": lambda text: in_base64(f"abcdef{text}efgh"),
    "base64 without padding": lambda text: in_base64(f"ab{text}").rstrip("="),
    "base64url": lambda text: base64.urlsafe_b64encode(f"a{text}".encode()),
    "base64url without padding": lambda text: base64.urlsafe_b64encode(f"ab{text}".encode()).rstrip(b"="),
    "base64 in base64": lambda text: in_base64(f"a{in_base64(f'b{text}')}"),
    "gzip": lambda text: gzip.compress((AROUND % text).encode()),
    "zip": in_zip,
    "zip in gzip": lambda text: gzip.compress(in_zip(text)),
    "a session of Django": lambda text: signing.dumps({"a": "b" * 50, "value": text}, compress=True),
    "a signed cookie": lambda text: signing.dumps({"value": text}),
}  # fmt: skip


def as_bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


@pytest.mark.parametrize("how", SPELT)
def test_a_secret_is_found_however_it_is_written(how: str) -> None:
    search = Search({"it": TEXT})
    assert search.found_in(as_bytes(SPELT[how](TEXT))) == {"it"}
    other = "".join(secrets.choice("abcdefghijklm") for _ in TEXT)
    assert search.found_in(as_bytes(SPELT[how](other))) == set()


@pytest.mark.parametrize("how", ["hex", "base64", "repr of bytes", "base64url", "gzip"])
def test_bytes_are_found_too(how: str) -> None:
    raw = secrets.token_bytes(64)
    spelt = {
        "hex": raw.hex().encode(),
        "base64": base64.b64encode(b"ab" + raw),
        "base64url": base64.urlsafe_b64encode(b"a" + raw),
        "repr of bytes": repr(raw).encode(),
        "gzip": gzip.compress(b"x" + raw),
    }
    assert Search({"it": raw}).found_in(spelt[how]) == {"it"}


def test_what_is_public_is_no_find() -> None:
    public, secret = secrets.token_hex(30), secrets.token_hex(30)
    search = Search({"it": public + secret}, public=[public])
    assert search.found_in(public.encode()) == set()
    assert search.found_in(secret.encode()) == {"it"}


@pytest.mark.parametrize(
    "written", [repr, quote, lambda few: few.hex(":")], ids=["repr", "address", "fingerprint"]
)
def test_a_few_bytes_written_long_are_no_find(written: Callable[[bytes], str]) -> None:
    """Such as the length of a text in a pickle."""
    search = Search({"it": bytes(range(64))})
    assert search.found_in(written(bytes(range(8))).encode()) == set()
    assert search.found_in(written(bytes(range(32))).encode()) == {"it"}


def test_what_is_too_short_to_be_found_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        Search({"it": "abc"})
