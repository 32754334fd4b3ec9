"""A connected app or external client app of an org."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import rsa

from . import credentials
from .users import User


@dataclass(eq=False)
class App:
    """A connected app or external client app, which knows one certificate at a time."""

    name: str = "Harbor Sync"
    consumer_key: str = field(default_factory=credentials.new_consumer_key)
    consumer_secret: str = field(default_factory=credentials.new_consumer_secret, repr=False)
    certificate_pem: str = field(default="", repr=False)
    """Made together with a private key when none is given."""
    private_key_pem: str | None = field(default=None, repr=False)
    """None when only its owner knows it."""
    kind: Literal["connected", "external"] = "connected"
    """External client apps are unknown at login.salesforce.com and test.salesforce.com."""
    scopes: tuple[str, ...] = ("api", "refresh_token")
    permitted_users: Literal["admin_approved", "self_authorize"] = "admin_approved"
    users: set[str] | None = None
    """With "admin_approved": the usernames it is attached to, in lower case; None leaves it to each user's `approved`."""
    installed: bool = True
    """Else a connected app is refused as one that lacks the refresh scope is, an external client app as unknown."""
    known: bool = True
    """False: made minutes ago, and not known everywhere yet; or deleted."""
    session_seconds: float | None = None
    """The app's session policy; None leaves it to the user's profile."""
    token_format: Literal["opaque", "jwt"] | None = None
    """None leaves it to the org."""
    introspects_all: bool = False
    """It may introspect the tokens of other apps, too."""
    api_limit: int | None = None
    """Its own share of the org's REST calls; told in the second part of `Sforce-Limit-Info`, never refused."""
    api_used: int = 0

    def __post_init__(self) -> None:
        if not self.certificate_pem:
            self.private_key_pem, self.certificate_pem = credentials.make_key_and_certificate(self.name)
        credentials.public_key_of(self.certificate_pem)  # told now, not at the first sign-in

    @property
    def public_key(self) -> rsa.RSAPublicKey:
        return credentials.public_key_of(self.certificate_pem)

    def replace_certificate(self, certificate_pem: str) -> None:
        """Trust another certificate from now on; the private key is its owner's and no longer known here.

        Raises ValueError when it is no PEM certificate with an RSA key of at least 2048 bits.
        """
        credentials.public_key_of(certificate_pem)
        self.certificate_pem, self.private_key_pem = certificate_pem, None

    def is_attached_to(self, user: User) -> bool:
        """Whether an admin attached the user to this app, by profile or permission set."""
        return user.approved and (self.users is None or user.username.lower() in self.users)
