"""Text of hosts made harmless: anything like a secret is masked, and what upsets terminals and databases is taken out."""

from __future__ import annotations

import re


def excerpt(body: bytes, length: int = 200) -> str:
    """The start of a body as plain text: tags removed, anything like a token masked."""
    text = body[:20_000].decode("utf-8", "replace")
    text = re.sub(r"(?is)<(script|style)\b.*?</\1>|<[^>]*>?", " ", text)
    return " ".join(mask(text).split())[:length] or "(empty)"


def mask(text: str) -> str:
    """`text` with JWTs and session ids replaced by their length, and without what upsets terminals and databases."""
    return _SECRET.sub(
        lambda match: f"[{len(match.group())} characters hidden]",
        _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text),
    )


def as_told(value: object) -> str:
    """A name of theirs, whatever it came as, short enough to be stored with each check and shown in each list."""
    return mask(str(value))[:_LONGEST_NAME]


_LONGEST_NAME = 255
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
# Each may come back wrapped into lines.
_SECRET = re.compile(
    r"\beyJ[\w-]+(?:\.[\w-]*){0,2}(?:\s+[\w-]{20,}(?:\.[\w-]*){0,2})*"
    r"|\b00D\w{12,15}(?:!|%(?:25)?21)[\w.%]+(?:\s+[\w.%]{20,})*"
    # An assertion without its beginning. Consumer keys are shorter.
    r"|\b[A-Za-z0-9_-]{100,}(?:\s+[A-Za-z0-9_-]{20,})*"
)
