"""Known errors in any pasted text: a log, a traceback, JSON, an address, a row of the Login History.

All codes and wordings of the catalogue are looked for in one pass, by one expression that never goes back over what it
has read. What it meets is then judged by its surroundings, since “timeout” and “paused” are also plain English.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from urllib.parse import unquote_plus

from ..http import mask
from .entry import Diagnosis
from .lookup import CATALOGUE, FAMILIES, explain, is_catch_all, plain_apostrophes

LARGEST_TEXT = 1_000_000
"""Characters that pages take; a command line may pipe in more."""

_EXCERPT_BEFORE, _EXCERPT_AFTER = 120, 200
_LONGEST_SECRET = 6_000
"""Characters around an excerpt that are looked through for secrets which reach into it."""
_INCIDENT = 3_000
"""Characters within which two findings are taken for one trouble told twice."""
_MOST_LOOKED_AT = 200
"""How often the same words are judged anew: what they say is known by then."""


@dataclass(frozen=True)
class Finding:
    """A known error in a text."""

    entry: Diagnosis
    line: int
    """Of its first occurrence, counted from 1."""
    excerpt: str
    """The words around it; tokens, assertions, keys and passwords masked."""


def explain_text(text: str) -> tuple[Finding, ...]:
    """The known errors in `text`, each once, the most telling first. Never raises; empty when nothing is known."""
    plain = _decoded(text)
    return tuple(
        Finding(entry, plain.count("\n", 0, start) + 1, _excerpt(plain, start, end))
        for entry, (start, end) in _telling(_occurrences(plain))
    )


def first_words(text: str) -> str:
    """The beginning of a text that nothing is known about, as it came; secrets masked."""
    plain = _decoded(text[: 2 * _LONGEST_SECRET]).strip()
    return " ".join(_harmless(plain).split())[:_EXCERPT_AFTER]


# ---- what is looked for ---------------------------------------------------------------------------------------------

_STATUSES = (404, 410, 414, 420, 429, 431, 500, 502, 503, 504)
_STATUS_WORDS = (
    "http/1.1 {}",
    "http/2 {}",
    "http {}",
    "http error {}",
    "http status {}",
    "status code {}",
    "status code: {}",
    "status_code={}",
    "statuscode: {}",
    "status: {}",
    "response code: {}",
    "returned error: {}",
    "the org answered {}",
    "the host answered {}",
)
# Said by people and other programs too: they count where a log or an answer has its values, or beside their code.
_COMMON = frozenset(
    {
        "authentication failure",
        "entity is deleted",
        "inactive organization",
        "inactive user",
        "invalid assertion",
        "invalid audience",
        "ip address not allowed",
        "ip restricted",
        "organization closed",
        "organization locked",
        "organization suspended",
        "consumer deleted",
        "password lockout",
        "restricted domain",
        "restricted ip",
        "restricted time",
        "retry your request",
        "trial expired",
        "user is frozen",
        "user is inactive",
    }
)
# The outermost words of many a traceback, and bare statuses: whatever else is found tells more.
_VAGUE = frozenset(
    {"connection_failed", "cut_off", "not_json", "redirected", "http_4", "http_404", "http_429", "http_5"}
)


# Both are made when first asked for: nearly no process ever is, and putting the expression together takes 60 ms.
@cache
def _signs() -> dict[str, tuple[Diagnosis, ...]]:
    """Codes and wordings, lower-case, with the entries that they may stand for."""
    found: defaultdict[str, list[Diagnosis]] = defaultdict(list)
    for entry in CATALOGUE:
        telling = (entry.fragment,) if " " in entry.fragment else ()
        for sign in {entry.code.lower(), *telling, *entry.wordings}:
            found[sign].append(entry)
    for status in _STATUSES:
        for words in _STATUS_WORDS:
            found[words.format(status)].append(explain(f"http_{status}"))
    return {sign: tuple(entries) for sign, entries in found.items() if sign not in FAMILIES}


@cache
def _any_sign() -> re.Pattern[str]:
    """One expression for all: signs with the same beginning share it, so that each letter of a text is looked at once."""
    tree: dict[str, dict] = {}  # type: ignore[type-arg]  # a tree of letters has no other type
    for sign in _signs():
        branch = tree
        for letter in sign:
            branch = branch.setdefault(letter, {})
        branch[""] = {}

    def written(branch: dict[str, dict]) -> str:  # type: ignore[type-arg]
        ways = [re.escape(letter) + written(rest) for letter, rest in branch.items() if letter]
        if not ways:
            return ""
        return f"(?:{'|'.join(ways)}){'?' if '' in branch else ''}"

    return re.compile(written(tree))


# ---- what is met, and where -----------------------------------------------------------------------------------------

_Place = tuple[int, int]


def _occurrences(plain: str) -> dict[Diagnosis, _Place]:
    """Entries with the place of their first occurrence."""
    lowered = _same_length_lower(plain)
    found: dict[Diagnosis, _Place] = {}
    looked_at: defaultdict[str, int] = defaultdict(int)
    for met in _any_sign().finditer(lowered.replace("\n", " ")):
        sign = met.group()
        looked_at[sign] += 1
        if looked_at[sign] > _MOST_LOOKED_AT:
            continue
        for entry in _meant(sign, plain, lowered, *met.span()):
            found.setdefault(entry, met.span())
    return found


def _meant(sign: str, plain: str, lowered: str, start: int, end: int) -> Iterator[Diagnosis]:
    before, after = plain[max(start - 40, 0) : start], plain[end : end + 4]
    if not _stands_alone(sign, before, after):
        return
    as_codes = [entry for entry in _signs()[sign] if entry.code.lower() == sign]
    for code in dict.fromkeys(entry.code for entry in as_codes):
        alone = plain.strip().lower() == sign if len(plain) < 100 else False
        if alone or (plain[start:end] == code and _is_code(code, before, after)):
            yield _entry_near(code, lowered, start, end)
    as_words = [entry for entry in _signs()[sign] if entry not in as_codes]
    beside = lowered[max(start - 300, 0) : end + 300]
    with_code = [entry for entry in as_words if entry.code.lower() in beside]
    if with_code:
        yield with_code[0]
    elif as_words and (sign not in _COMMON or _is_value(before, after)):
        yield as_words[0]


def _stands_alone(sign: str, before: str, after: str) -> bool:
    """Whether it is no part of a longer word."""
    joined_before = sign[0].isalnum() and before[-1:].isalnum()
    joined_after = sign[-1].isalnum() and (after[:1].isalnum() or after[:1] == "_")
    return not (joined_before or joined_after or before.endswith("_"))


def _is_code(code: str, before: str, after: str) -> bool:
    """Whether it stands as a code: no part of a path, a name or a call, and a plain word only where codes stand."""
    if before.endswith((".", "/", "-", "$", "@", "#")) or after.startswith(("(", "=", "-", "/")):
        return False
    if re.match(r"\.\w", after):
        return False
    return "_" in code or bool(_BEFORE_CODE.search(before) and _AFTER_VALUE.match(after))


def _is_value(before: str, after: str) -> bool:
    return bool(_BEFORE_VALUE.search(before) and _AFTER_VALUE.match(after))


_BEFORE_CODE = re.compile(r"[\"'`=>(]$|\b(?:code|error|reason)[\"']?[:=] ?$", re.IGNORECASE)
_BEFORE_VALUE = re.compile(r"(?:\A|[\n\"'`“:=>(,;|\[\t]) *\Z")
_AFTER_VALUE = re.compile(r" ?(?:\Z|[\n\r\"'`”<),;|&\]\t(]|\.(?:\s|\Z))")


def _entry_near(code: str, lowered: str, start: int, end: int) -> Diagnosis:
    """The code's entry by the words on its line, else by those on the next lines or the one before, as JSON has them."""
    left, right = max(start - 1_000, 0), end + 1_000
    line_start = max(lowered.rfind("\n", left, start) + 1, left)
    line_end = _end_of_line(lowered, end, right)
    entry = explain(code, lowered[line_start:line_end])
    if entry.fragment:
        return entry
    for _ in range(2):
        line_end = _end_of_line(lowered, line_end + 1, right)
    line_start = max(lowered.rfind("\n", left, max(line_start - 1, 0)) + 1, left)
    return explain(code, lowered[line_start:line_end])


def _end_of_line(text: str, start: int, limit: int) -> int:
    found = text.find("\n", start, limit)
    return limit if found < 0 else found


def _telling(found: dict[Diagnosis, _Place]) -> list[tuple[Diagnosis, _Place]]:
    """Without what others say better, the most telling first."""

    def said_better(entry: Diagnosis, place: _Place) -> bool:
        return any(
            abs(place[0] - other_place[0]) < _INCIDENT
            and _rank(other) < _rank(entry)
            and (other.code == entry.code or entry.code in _VAGUE)
            for other, other_place in found.items()
        )

    kept = [(entry, place) for entry, place in found.items() if not said_better(entry, place)]
    return sorted(kept, key=lambda item: (_rank(item[0]), item[1]))


def _rank(entry: Diagnosis) -> int:
    if entry.code in _VAGUE and not entry.fragment:
        return 2
    return 1 if is_catch_all(entry) else 0


# ---- how it is read and shown ---------------------------------------------------------------------------------------

_ENTITIES = {
    "&#39;": "'",
    "&#x27;": "'",
    "&apos;": "'",
    "&#34;": '"',
    "&quot;": '"',
    "&lt;": "<",
    "&gt;": ">",
    "&amp;": "&",
}
_ESCAPES = {
    "\\u0027": "'",
    "\\u2019": "'",
    "\\u0022": '"',
    "\\u001b": "\x1b",
    "\\u0021": "!",
    "\\u003d": "=",
    "\\u0026": "&",
    "\\r": "  ",
    "\\n": "  ",
    "\\t": "  ",
}
_COLOURS = re.compile(r"\x1b\[[0-9;]{0,20}[A-Za-z]")
"""As programs write them for a terminal."""
_BACKSLASHES = re.compile(r"\\{1,8}(?=[\"'/])")
_IN_ADDRESS = re.compile(
    r"(?<=[?&#;\s\"'])error(?:_description|_code|code|_uri)?=[^\s\"'<>]{1,4000}", re.IGNORECASE
)


def _decoded(text: str) -> str:
    """`text` with the marks of HTML, JSON, addresses and terminals undone, line by line as before."""
    text = plain_apostrophes(text).replace("\N{NO-BREAK SPACE}", " ")
    if "&" in text:
        for written, meant in _ENTITIES.items():
            text = text.replace(written, meant)
    if "\\" in text:
        for written, meant in _ESCAPES.items():
            text = text.replace(written, meant)
        text = _BACKSLASHES.sub("", text)
    if "\x1b" in text:
        text = _COLOURS.sub("", text)
    if "error" in text.lower() and "=" in text:
        text = _IN_ADDRESS.sub(lambda met: " ".join(unquote_plus(met.group()).splitlines()), text)
    return text


def _same_length_lower(text: str) -> str:
    """Lower-case, each letter in its place: a few letters become two."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(low if len(low := letter.lower()) == 1 else letter for letter in text)


def _excerpt(plain: str, start: int, end: int) -> str:
    """The line around a place. Cut only after all around it was masked: no half of a secret is left."""
    before = _harmless(plain[max(start - _LONGEST_SECRET, 0) : start]).rpartition("\n")[2]
    after = _harmless(plain[end : end + _LONGEST_SECRET]).partition("\n")[0]
    if len(before) > _EXCERPT_BEFORE:
        _, blank, whole_words = before[-_EXCERPT_BEFORE:].partition(" ")
        before = "…" + (whole_words if blank else before[-_EXCERPT_BEFORE:])
    if len(after) > _EXCERPT_AFTER:
        after = after[:_EXCERPT_AFTER] + "…"
    return " ".join(f"{before}{mask(plain[start:end])}{after}".split())


_KEY_BLOCK = re.compile(r"-----BEGIN [A-Z0-9 ]{1,40}-----(?:.*?-----END [A-Z0-9 ]{1,40}-----|.*)", re.DOTALL)
_NAMED_SECRET = re.compile(
    r"(?<![A-Za-z0-9])((?:(?:access|refresh|id|oauth|security|session)[_ -]?)?token|(?:client|consumer)[_ -]?secret"
    r"|(?:private|secret|encryption|api)[_ -]?keys?|secret|pass(?:word|wd|phrase)|pwd|assertion|session[_ -]?id|sid)"
    r"([\"']?\s{0,3}(?:=>|[:=>])\s{0,3}\[?)(?:(?:bearer|oauth|basic)\s+)?"
    r"(?:(?P<quote>[\"'])(?:(?!(?P=quote))[^\n])*|[^\s\"'&,;}<>]+)",
    re.IGNORECASE,
)
_OPTION = re.compile(r"(--[a-z-]{0,30}(?:password|passphrase|secret|token)[ =])\S+", re.IGNORECASE)
# Their values have several parts.
_HEADER = re.compile(
    r"\b(authorization|cookie)([\"']?\s{0,3}[:=]\s{0,3}[\"']?)"
    r"(?:(?:bearer|oauth|basic)\s+[^\s\"'&,;}<>]+|[^\n\"']+)",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(bearer|oauth|basic)\s+[\w.!%+/=~-]{20,}", re.IGNORECASE)
_USER_IN_ADDRESS = re.compile(r"(?<=://)[^\s/@]{1,500}@")
_GRANT = re.compile(r"\b(?:5Aep|aPrx)[\w.%=]{20,}")
"""A refresh token or an authorization code."""
_LONG_RUN = re.compile(r"[A-Za-z0-9+/=_%-]{40,}")
_HIDDEN = "[hidden]"


def _harmless(text: str) -> str:
    """`text` without what might be a secret: better too little shown than too much."""
    text = _HEADER.sub(rf"\1\2{_HIDDEN}", _KEY_BLOCK.sub(_HIDDEN, text))
    text = _OPTION.sub(rf"\1{_HIDDEN}", text)
    text = _NAMED_SECRET.sub(lambda met: f"{met[1]}{met[2]}{met['quote'] or ''}{_HIDDEN}", text)
    text = mask(_BEARER.sub(rf"\1 {_HIDDEN}", text))
    text = _GRANT.sub(_HIDDEN, _USER_IN_ADDRESS.sub(f"{_HIDDEN}@", text))
    return _LONG_RUN.sub(
        lambda run: _HIDDEN if any(letter.isdigit() for letter in run.group()) else run.group(), text
    )
