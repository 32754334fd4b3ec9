"""API names and labels that Salesforce takes, made from any text.

An API name begins with a letter, holds A to Z, digits and single underscores, and has no underscore at its end.
Source: Metadata API Developer Guide, `fullName` and `DeveloperName`; the 80 characters of both name and label as well.
"""

from __future__ import annotations

import re
import unicodedata

LONGEST = 80
SUFFIXES = ("", "_global", "_oauth", "_oauth_defaultPolicy", "_defaultPolicy", "_Access")
"""What is hung on the app's API name. The two policies are named as the org itself would name them, so that a later
deploy edits the same records."""

_LONGEST_APP_NAME = LONGEST - max(map(len, SUFFIXES))
_NAMELESS = "Salesforce_Connection"
# Letters that Unicode doesn't take apart into a letter and its mark.
_LETTERS = str.maketrans(
    {
        "ß": "ss",
        "ẞ": "SS",
        "æ": "ae",
        "Æ": "AE",
        "œ": "oe",
        "Œ": "OE",
        "ø": "o",
        "Ø": "O",
        "đ": "d",
        "Đ": "D",
        "ð": "d",
        "Ð": "D",
        "þ": "th",
        "Þ": "Th",
        "ł": "l",
        "Ł": "L",
        "\u0131": "i",
    }
)
_NOT_IN_XML = re.compile("[\ufffe\uffff]")


def api_name(*texts: str) -> str:
    """The API name of an app called by the first of `texts` that has a Latin letter or digit; short enough for SUFFIXES."""
    name = next(filter(None, map(_folded, texts)), _NAMELESS)
    if name[0].isdigit():
        name = f"App_{name}"
    return name[:_LONGEST_APP_NAME].rstrip("_")


def label(text: str, suffix: str = "") -> str:
    """`text` with `suffix` behind, of LONGEST characters at most; nothing in it that XML can't hold."""
    room = LONGEST - len(suffix)
    text = clean(text)
    while _length(text) > room:
        text = text[:-1]
    return f"{text.rstrip()}{suffix}"


def clean(text: str) -> str:
    """`text` on one line, without control characters and halves of characters."""
    kept = (" " if letter.isspace() else letter for letter in text if letter.isspace() or _is_printed(letter))
    return " ".join("".join(kept).split())


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).translate(_LETTERS)
    without_marks = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return re.sub(r"[^A-Za-z0-9]+", "_", without_marks).strip("_")


def _is_printed(letter: str) -> bool:
    return unicodedata.category(letter) not in ("Cc", "Cs") and not _NOT_IN_XML.match(letter)


def _length(text: str) -> int:
    """As Salesforce counts, in UTF-16 units: an emoji is two (not documented; the stricter of the two ways to count)."""
    return len(text.encode("utf-16-le")) // 2
