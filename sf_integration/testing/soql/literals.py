"""The values a query may compare with: texts, numbers, dates, words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from lark import Token

from ..data.store import salesforce_datetime
from .errors import SoqlError, malformed, unexpected, unknown

Kind = Literal["string", "number", "boolean", "null", "date", "datetime", "word"]

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
_CURRENCY = re.compile(r"[A-Z]{3}\d+", re.IGNORECASE)
_LARGEST_INTEGER = 2**63 - 1


@dataclass(frozen=True)
class Value:
    """One value as the query gives it."""

    kind: Kind
    value: Any
    """As it is stored; with kind "word" the word itself, which may be a date literal."""
    token: Token


def read_value(token: Token) -> Value:
    match token.type:
        case "STRING":
            return Value("string", unquote(token), token)
        case "NUMBER":
            return Value("number", _number(token), token)
        case "DATE" | "DATETIME":
            return _read_date(token)
        case "BIND":
            raise bound(token)
    word = token.lower()
    if word == "null":
        return Value("null", None, token)
    if word in ("true", "false"):
        return Value("boolean", int(word == "true"), token)
    if _CURRENCY.fullmatch(word):
        raise unknown(f"amounts with a currency such as {token}")
    return Value("word", str(token), token)


def read_count(token: Token) -> int:
    """The number of LIMIT or OFFSET."""
    if token.type == "BIND":
        raise bound(token)
    if not token.isdecimal():
        raise unexpected(token)
    return min(int(token[:20]), _LARGEST_INTEGER)


def bound(token: Token) -> Exception:
    return malformed(token, "Bind variables only allowed in Apex code")


def unquote(token: Token, keep: str = "") -> str:
    r"""The text a quoted string stands for; `keep` are characters whose backslash stays, for LIKE.

    Source: SOQL and SOSL Reference, "Quoted String Escape Sequences".
    """

    def replace(match: re.Match[str]) -> str:
        escaped = match[1]
        if escaped in keep or (keep and escaped == "\\"):
            return match[0]
        if escaped in ("%", "_"):
            return str(escaped)
        if len(escaped) == 5:
            return chr(int(escaped[1:], 16))
        if escaped.lower() in _ESCAPES:
            return _ESCAPES[escaped.lower()]
        message = (
            f"Invalid string literal {token}. Illegal character sequence '{match[0]}' in string literal."
        )
        raise SoqlError("MALFORMED_QUERY", message)

    text = re.sub(r"\\(u[0-9A-Fa-f]{4}|.)", replace, token[1:-1], flags=re.DOTALL)
    if "\0" in text:
        raise unknown("texts with the character U+0000")
    # Two escapes may make up one character; half a one is no character at all.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _number(token: Token) -> int | float:
    if "." not in token and len(token) < 19:
        return int(token)
    return float(token)


def _read_date(token: Token) -> Value:
    try:
        moment = datetime.fromisoformat(token.upper())
        if token.type == "DATE":
            return Value("date", str(token), token)
        return Value("datetime", salesforce_datetime(moment), token)
    except (ValueError, OverflowError):
        raise SoqlError("MALFORMED_QUERY", f"Invalid date: {token}") from None
