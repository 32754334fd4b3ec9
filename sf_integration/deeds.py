"""The one matrix of access: all that can be done here, and which permissions each needs.

Pages, admin, HTTP API and command line name the deed, never a permission, so that they can't disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Act(StrEnum):
    """The permissions, by their codenames."""

    VIEW_HEALTH = "view_health"
    RUN_CHECKS = "run_checks"
    LOOK_UP_RECORDS = "look_up_records"
    MANAGE_KEYS = "manage_keys"
    TAKE_TOKENS = "take_tokens"


class Deed(StrEnum):
    """What somebody does, in words that go on after “may”."""

    LIST = "list connections and their health"
    SEE = "see a connection, its checks, tokens' times and history"
    SEE_KEYS = "see signing keys and download certificates"
    READ_GUIDE = "read the set-up guide and have errors explained"
    SEE_METRICS = "read the metrics"
    SEE_ALARMS = "see alarms"

    CHECK = "check a connection"
    RENEW = "sign in anew"
    RENEW_DUE = "renew all tokens that are due"
    REVOKE = "revoke a token"
    PAUSE = "pause and resume"
    ASK_IDENTITY = "ask the org who it takes us for"
    FIND_FAULT = "look for the fault of a sign-in"
    BREAK_STAND_IN = "break and heal a stand-in org"

    LOOK_UP = "look up a record"
    RUN_SOQL = "run SOQL"
    DOWNLOAD_ROWS = "download rows"

    MAKE = "make a connection, by the guide or at once"
    CHANGE = "change a connection, its tags and groups"
    DELETE = "delete a connection"
    CORRECT = "take over what a check or search found out"
    ACCEPT_ORG = "accept another org"
    MAKE_KIT = "make a set-up kit"
    IMPORT = "import connections"
    EXPORT = "export connections"
    CHANGE_KEYS = "add, change and delete signing keys"
    ROTATE = "rotate a signing key"
    TRY_STAGED = "try a staged signing key"
    TRY_VALUES = "test values without saving them"
    REENCRYPT = "seal secrets with another encryption key"
    SEE_AUDIT = "see the audit trail"
    EXPORT_AUDIT = "export the audit trail"
    MANAGE_ALARMS = "send a test alarm, see messages about alarms"
    MAKE_SCHEDULE = "make the rows of the schedule"

    TAKE_TOKEN = "take a token"  # noqa: S105 - no password
    MANAGE_API_CLIENTS = "manage API clients"


@dataclass(frozen=True)
class Rule:
    needs: tuple[Act, ...]
    """All of them; the first that is lacking is told."""
    of_connection: bool
    """Whether it is done to one connection, which has to be in sight; else it concerns what is in sight, or the site."""


def _to_any(*needs: Act) -> Rule:
    return Rule(needs, of_connection=False)


def _to_one(*needs: Act) -> Rule:
    return Rule(needs, of_connection=True)


MATRIX: Mapping[Deed, Rule] = MappingProxyType(
    {
        Deed.LIST: _to_any(Act.VIEW_HEALTH),
        Deed.SEE: _to_one(Act.VIEW_HEALTH),
        Deed.SEE_KEYS: _to_any(Act.VIEW_HEALTH),
        Deed.READ_GUIDE: _to_any(Act.VIEW_HEALTH),
        Deed.SEE_METRICS: _to_any(Act.VIEW_HEALTH),
        Deed.SEE_ALARMS: _to_any(Act.VIEW_HEALTH),
        Deed.CHECK: _to_one(Act.RUN_CHECKS),
        Deed.RENEW: _to_one(Act.RUN_CHECKS),
        Deed.RENEW_DUE: _to_any(Act.RUN_CHECKS),
        Deed.REVOKE: _to_one(Act.RUN_CHECKS),
        Deed.PAUSE: _to_one(Act.RUN_CHECKS),
        Deed.ASK_IDENTITY: _to_one(Act.RUN_CHECKS),
        Deed.FIND_FAULT: _to_one(Act.RUN_CHECKS),
        Deed.BREAK_STAND_IN: _to_one(Act.RUN_CHECKS),
        Deed.LOOK_UP: _to_one(Act.LOOK_UP_RECORDS),
        Deed.RUN_SOQL: _to_one(Act.LOOK_UP_RECORDS),
        Deed.DOWNLOAD_ROWS: _to_one(Act.LOOK_UP_RECORDS),
        Deed.MAKE: _to_any(Act.MANAGE_KEYS),
        Deed.CHANGE: _to_one(Act.MANAGE_KEYS),
        Deed.DELETE: _to_one(Act.MANAGE_KEYS),
        Deed.CORRECT: _to_one(Act.MANAGE_KEYS),
        Deed.ACCEPT_ORG: _to_one(Act.MANAGE_KEYS),
        Deed.MAKE_KIT: _to_one(Act.MANAGE_KEYS),
        Deed.IMPORT: _to_any(Act.MANAGE_KEYS),
        Deed.EXPORT: _to_any(Act.MANAGE_KEYS),
        Deed.CHANGE_KEYS: _to_any(Act.MANAGE_KEYS),
        Deed.ROTATE: _to_one(Act.MANAGE_KEYS),
        Deed.TRY_STAGED: _to_one(Act.MANAGE_KEYS, Act.RUN_CHECKS),
        Deed.TRY_VALUES: _to_any(Act.RUN_CHECKS, Act.MANAGE_KEYS),
        Deed.REENCRYPT: _to_any(Act.MANAGE_KEYS),
        Deed.SEE_AUDIT: _to_any(Act.MANAGE_KEYS),
        Deed.EXPORT_AUDIT: _to_any(Act.MANAGE_KEYS),
        Deed.MANAGE_ALARMS: _to_any(Act.MANAGE_KEYS),
        Deed.MAKE_SCHEDULE: _to_any(Act.MANAGE_KEYS),
        Deed.TAKE_TOKEN: _to_one(Act.TAKE_TOKENS),
        Deed.MANAGE_API_CLIENTS: _to_any(Act.MANAGE_KEYS, Act.TAKE_TOKENS),
    }
)
