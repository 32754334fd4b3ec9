"""From an error's code and description to its entry."""

from __future__ import annotations

from dataclasses import dataclass

from . import login_history, no_answer, other_flows, ours, rest, token_endpoint
from .entry import HISTORY, ORG_ADMIN, US, Diagnosis


@dataclass(frozen=True)
class Group:
    """Entries that come from one place."""

    anchor: str
    title: str
    entries: tuple[Diagnosis, ...]


GROUPS: tuple[Group, ...] = (
    Group("sign-in", "Sign-in refused", token_endpoint.ENTRIES),
    Group("no-answer", "No usable answer", no_answer.ENTRIES),
    Group("rest", "REST API", rest.ENTRIES),
    Group("login-history", "Login History", login_history.ENTRIES),
    Group("other-flows", "Other sign-in flows", other_flows.ENTRIES),
    Group("ours", "Found by this app", ours.ENTRIES),
)
CATALOGUE: tuple[Diagnosis, ...] = tuple(entry for group in GROUPS for entry in group.entries)

FAMILIES = ("http_4", "http_5", "INSUFFICIENT_ACCESS")
"""Beginnings that many codes share."""

UNKNOWN = Diagnosis(
    "",
    "",
    "Salesforce gave an answer that this app does not know.",
    ORG_ADMIN,
    "Look at the user's Login History, and tell us the error so that it can be explained here.",
    HISTORY,
)
_NO_ANSWER = Diagnosis(
    "",
    "",
    "No usable answer came.",
    US,
    "Nothing to do if it passes; it is tried again.",
    kind="passing",
)


def _by_code() -> dict[str, tuple[Diagnosis, ...]]:
    """Those with a fragment first, so that the one that fits any comes last."""
    found: dict[str, tuple[Diagnosis, ...]] = {}
    for entry in sorted(CATALOGUE, key=lambda entry: not entry.fragment):
        found[entry.code] = (*found.get(entry.code, ()), entry)
    return found


_BY_CODE = _by_code()


def explain(code: str, description: str = "") -> Diagnosis:
    """The catalogue's entry for an error code and its description; a general one when nothing fits."""
    if code.startswith("http_") and description.strip() in _BY_CODE:
        # The identity URL answers with a bare word: the description is the code.
        code = description.strip()
    described = plain_apostrophes(description).lower()
    for entry in _BY_CODE.get(code) or _family(code):
        if entry.fragment in described:
            return entry
    return UNKNOWN


def explain_transport(code: str) -> Diagnosis:
    """As `explain`, for the codes of TransportError: what no entry names goes away by itself or not at all."""
    entry = explain(code)
    return _NO_ANSWER if entry is UNKNOWN else entry


def session_has_ended(status: int, code: str, message: str) -> bool:
    """Whether a REST refusal means a dead token. Its look-alikes (scope, policy) must never lead to a new sign-in."""
    if status not in (401, 403):
        return False
    return explain(code, message) in _ENDED_SESSIONS


def signature_was_refused(code: str, description: str) -> bool:
    """Whether an org does not know the certificate of the signing key, or no longer."""
    return explain(code, description) is _REFUSED_SIGNATURE


def is_catch_all(entry: Diagnosis) -> bool:
    """Whether it stands for all that the other entries of its code don't."""
    return not entry.fragment and len(_BY_CODE[entry.code]) > 1


def plain_apostrophes(text: str) -> str:
    """As Salesforce writes them; web pages and word processors bend them."""
    return text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").replace("\N{LEFT SINGLE QUOTATION MARK}", "'")


def _family(code: str) -> tuple[Diagnosis, ...]:
    return next((_BY_CODE[family] for family in FAMILIES if code.startswith(family)), ())


_REFUSED_SIGNATURE = explain("invalid_grant", "invalid assertion")
_ENDED_SESSIONS = (
    explain("INVALID_SESSION_ID", "session expired or invalid"),
    explain("Bad_OAuth_Token"),
)
