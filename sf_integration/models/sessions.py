"""How long sessions last, and what their ends say about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

SESSION_MINUTES = (15, 30, 60, 120, 240, 480, 720, 1440)
"""The values Salesforce offers. Source: Metadata API Developer Guide, ProfileSessionSetting."""
EARLY_ENDS_THAT_TELL = 3
"""Sessions in a row that ended before the session length: fewer may be an admin's doing, or chance."""


def session_length(minutes: int) -> str:
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h"


@dataclass(frozen=True)
class SessionAdvice:
    """That sessions end before the connection's session length says so."""

    sentence: str
    minutes: int | None
    """The session length that would fit; None when Salesforce has no shorter one."""

    @classmethod
    def of(cls, session_minutes: int, life_minutes: float) -> Self:
        """`life_minutes`: the shortest of the last sessions. The session length that fits is the next one below it."""
        told = f"Sessions here end after about {max(round(life_minutes), 1)} min"
        fitting = max((each for each in SESSION_MINUTES if each <= life_minutes), default=SESSION_MINUTES[0])
        if fitting >= session_minutes:
            return cls(f"{told}, sooner than any session length of Salesforce's: something ends them.", None)
        return cls(f"{told}, your session length says {session_length(session_minutes)}.", fitting)
