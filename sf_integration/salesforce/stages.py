"""How far a sign-in came: Salesforce looks at one thing after the other, and each refusal tells which one it stopped at.

The order is that of docs/protocol.md; Salesforce documents none, it is the one seen in practice.
"""

from __future__ import annotations

from enum import IntEnum

from .errors import AuthenticationError, LoginUnavailable, SalesforceError, WrongOrg


class Stage(IntEnum):
    """What the sign-in stopped at, in order: a later one is progress."""

    HOST = 1
    """No answer of a token endpoint."""
    APP = 2
    SIGNATURE = 3
    TIME = 4
    AUDIENCE = 5
    USER = 6
    """The user is unknown there, or hasn't approved the app: the words are the same."""
    RIGHTS = 7
    """App, host and audience are right; what is missing is for the org's admin."""
    ORG = 8
    """It worked, in another org than the expected one."""
    SIGNED_IN = 9

    @property
    def words(self) -> str:
        return _WORDS[self]

    @property
    def depends_on_address(self) -> bool:
        """Whether another login URL or audience may help."""
        return self in (Stage.HOST, Stage.APP, Stage.SIGNATURE, Stage.AUDIENCE, Stage.USER)


_WORDS = {
    Stage.HOST: "no sign-in service there",
    Stage.APP: "the app is not known there",
    Stage.SIGNATURE: "the app is known, the signature doesn't fit",
    Stage.TIME: "the clocks differ",
    Stage.AUDIENCE: "the app is known, the audience is refused",
    Stage.USER: "app and audience are right, the user is not known or not approved",
    Stage.RIGHTS: "login URL and audience are right, a right is missing",
    Stage.ORG: "signed in, but to another org",
    Stage.SIGNED_IN: "signed in",
}
_OF_CODE = {
    "invalid_client_id": Stage.APP,
    "invalid_client": Stage.APP,
    "app_not_found": Stage.APP,
    # Salesforce says it in passing trouble too, and sometimes at a wrong login URL.
    "unknown_error": Stage.APP,
}
_OF_GRANT = (
    ("invalid assertion", Stage.SIGNATURE),
    ("expired authorization code", Stage.TIME),
    ("audience", Stage.AUDIENCE),
    ("hasn't approved", Stage.USER),
    ("authentication failure", Stage.USER),
)
_OTHER_HOST = {
    "dns_failure",
    "connection_refused",
    "tls_failure",
    "redirected",
    "not_json",
    "malformed_answer",
    "http_404",
    "http_420",
}
"""Answers of a host that is not the right one; the other trouble of hosts passes."""


def stage_of(error: SalesforceError) -> Stage | None:
    """None for what tells nothing about login URL and audience: passing trouble, too many sign-ins, refusals of our own."""
    if isinstance(error, WrongOrg):
        return Stage.ORG
    if isinstance(error, AuthenticationError):
        return stage_of_code(error.error, error.description) or Stage.RIGHTS
    if isinstance(error, LoginUnavailable) and error.code == "invalid_grant":
        return None  # too many sign-ins
    return stage_of_code(error.code)


def stage_of_code(code: str, said: str = "") -> Stage | None:
    """As `stage_of`, for an error of which only code and words are left."""
    if code == "invalid_grant":
        return next((stage for fragment, stage in _OF_GRANT if fragment in said.lower()), Stage.RIGHTS)
    return Stage.HOST if code in _OTHER_HOST else _OF_CODE.get(code)
