"""What Salesforce said, and what it means: the one catalogue behind pages, admin, command line and exceptions.

The entries stand in a module per place they come from; `lookup` finds one by code and description, `text` all that a
pasted text holds. The facts come from Salesforce's documentation and many reports; docs/protocol.md tells how sure each is.
Entries are matched on the error code and a lower-case fragment of the description, never on the whole text.
"""

from .entry import ADMIN_HERE, CALLER, LOGIN_HISTORY, ORG_ADMIN, SALESFORCE, US, Diagnosis, Kind
from .lookup import (
    CATALOGUE,
    FAMILIES,
    GROUPS,
    UNKNOWN,
    Group,
    explain,
    explain_transport,
    is_catch_all,
    session_has_ended,
    signature_was_refused,
)
from .text import LARGEST_TEXT, Finding, explain_text, first_words

__all__ = [
    "ADMIN_HERE",
    "CALLER",
    "CATALOGUE",
    "FAMILIES",
    "GROUPS",
    "LARGEST_TEXT",
    "LOGIN_HISTORY",
    "ORG_ADMIN",
    "SALESFORCE",
    "UNKNOWN",
    "US",
    "Diagnosis",
    "Finding",
    "Group",
    "Kind",
    "explain",
    "explain_text",
    "explain_transport",
    "first_words",
    "is_catch_all",
    "session_has_ended",
    "signature_was_refused",
]
