"""A user of an org."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass
class User:
    """A user of the org, with the states that decide whether it may sign in and what it sees."""

    id: str
    username: str
    first_name: str = "Integration"
    last_name: str = "User"
    email: str = "ops@nordhafen.example"
    active: bool = True
    frozen: bool = False
    approved: bool = True
    """An admin has pre-authorised it for the apps, by profile or permission set."""
    authorized: bool = False
    """It has once approved the app itself in a browser, refresh included."""
    ip_restricted: bool = False
    """Its login IP ranges leave the caller out."""
    api_enabled: bool = True
    session_seconds: float | None = None
    """Its profile's session setting; None leaves it to the org."""
    hidden: set[str] = field(default_factory=set)
    """What it may not see, as "Account" or "Contact.Email", in any case: to it, that isn't there. Names that mean nothing hide nothing."""
    login_times: deque[float] = field(default_factory=deque, repr=False)

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()

    @property
    def may_act(self) -> bool:
        return self.active and not self.frozen
