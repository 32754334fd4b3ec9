"""Apps that were made or changed minutes ago: Salesforce needs up to ten minutes until it knows them everywhere.

Source: Salesforce Help, "Create a Connected App"; docs/protocol.md tells how sure that is.
"""

from __future__ import annotations

import datetime as dt

YOUNG_FOR = dt.timedelta(minutes=10)

_TYPICAL = (
    ("invalid_client_id", ""),
    ("app_not_found", ""),
    ("invalid_app_access", ""),
    ("invalid_grant", "invalid assertion"),
    ("invalid_grant", "hasn't approved"),
    ("invalid_request", "refresh_token"),
)
"""Refusals by orgs that don't know an app, its certificate or its policies yet: code and lower-case fragment."""


def is_typical(code: str, words: str) -> bool:
    """Whether an org refuses like this what it doesn't know yet. `words`: what it said, code included or not."""
    said = words.lower()
    return any(code == known and fragment in said for known, fragment in _TYPICAL)


def hint(
    code: str,
    words: str,
    *,
    saved_at: dt.datetime,
    now: dt.datetime,
    next_try_at: dt.datetime | None = None,
) -> str:
    """What to say beside the cause of a refusal; nothing when the settings are old or the refusal is of another kind.

    The next try is told with the time of day in its own zone.
    """
    age = now - saved_at
    if age >= YOUNG_FOR or not is_typical(code, words):
        return ""
    sentence = f"These settings were saved {_ago(age)}; Salesforce may take ten minutes to know a new app."
    if next_try_at is None or next_try_at <= now:
        return sentence
    return f"{sentence} Next try at {next_try_at:%H:%M} ({_ahead(next_try_at - now)})."


def _ago(age: dt.timedelta) -> str:
    minutes = round(age.total_seconds() / 60)
    if minutes < 1:
        return "just now"
    return f"{minutes} minute{'s' if minutes > 1 else ''} ago"


def _ahead(wait: dt.timedelta) -> str:
    seconds = wait.total_seconds()
    return f"in {seconds:.0f} s" if seconds < 90 else f"in {seconds / 60:.0f} min"
