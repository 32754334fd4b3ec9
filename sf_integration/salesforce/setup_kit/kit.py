"""What a set-up kit is made from."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from .. import keys
from ..errors import InvalidInput
from ..http import is_web_address
from ..rest import NEWEST_API_VERSION
from . import names
from .objects import ObjectAccess

OLDEST_API_VERSION = 60
"""The first in which the global OAuth settings have a certificate. Source: Metadata API Developer Guide."""
SESSION_MINUTES = (15, 30, 60, 120, 240, 480, 720, 1440)
CALLBACK_URL = "https://localhost/callback"
_MADE_KEY = re.compile(r"[0-9a-f]{64}\Z")


def new_consumer_key() -> str:
    """64 hex digits, to be sent with the app instead of having the org make the consumer key.

    Source: one public set of tests deploys such a key with its External Client App and then signs in by JWT with it;
    another deploys 119 characters. Limits of length and alphabet are not documented. Not tried by us on a real org.
    """
    return secrets.token_hex(32)


def is_made_here(consumer_key: str) -> bool:
    """Whether it looks like one of `new_consumer_key`; an org's own begins with 3MVG9."""
    return bool(_MADE_KEY.match(consumer_key))


@dataclass(frozen=True)
class Kit:
    """Raises InvalidInput for what Salesforce could not take."""

    label: str
    """Of the app, as people see it; any text."""
    certificate: str
    """PEM. Its presence is what turns the JWT Bearer flow on."""
    contact_email: str
    name: str = ""
    """Of the connection; gives the API name where the label has no Latin letter."""
    username: str = ""
    """Whom the permission set is assigned to."""
    login_url: str = ""
    consumer_key: str | None = None
    """None: the org makes it."""
    objects: tuple[ObjectAccess, ...] = ()
    session_minutes: int | None = None
    """None: the time-out of the profile's or org's session settings."""
    callback_url: str = CALLBACK_URL
    api_version: str = NEWEST_API_VERSION
    finish: str = ""
    """What is typed here once the app is in the org."""

    def __post_init__(self) -> None:
        keys.read_certificate(self.certificate.encode())
        if not re.fullmatch(r"[^\s@]+@[^\s@]+\.[^\s@]+", self.contact_email) or not _is_clean(
            self.contact_email
        ):
            raise InvalidInput(
                f"“{self.contact_email[:80]}” is no e-mail address. Salesforce wants one to ask about the app."
            )
        if not _is_clean(self.username):
            raise InvalidInput("The username has blanks or control characters in it.")
        if self.consumer_key is not None and not (
            0 < len(self.consumer_key) <= 512 and _is_clean(self.consumer_key)
        ):
            raise InvalidInput(
                "The consumer key is empty, longer than 512 characters, or has blanks or control characters in it."
            )
        if self.session_minutes is not None and self.session_minutes not in SESSION_MINUTES:
            raise InvalidInput(
                f"A session can't last {self.session_minutes} minutes: Salesforce offers "
                f"{', '.join(map(str, SESSION_MINUTES))}."
            )
        if not is_web_address(self.callback_url) or not _is_clean(self.callback_url):
            raise InvalidInput("The callback URL is no https address; https://localhost/callback will do.")
        if not re.fullmatch(r"\d{2,3}\.0", self.api_version) or float(self.api_version) < OLDEST_API_VERSION:
            raise InvalidInput(f"The API version must be {OLDEST_API_VERSION}.0 or newer, written as 67.0.")

    @property
    def app(self) -> str:
        """API name of the app."""
        return names.api_name(self.label, self.name)

    @property
    def title(self) -> str:
        """The label as it can be shown; never empty."""
        return names.label(self.label) or self.app.replace("_", " ")

    @property
    def permission_set(self) -> str:
        return f"{self.app}_Access"


def _is_clean(text: str) -> bool:
    return names.clean(text) == text and not re.search(r"\s", text)
