"""Where a client gets its tokens from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..oauth import Token


class TokenSource(Protocol):
    """Where a Client gets its tokens from."""

    def get(self) -> Token:
        """A token that should be good now."""

    def renew(self, failed: Token) -> Token:
        """A token other than `failed`, which the org has just refused; or the same when there is no other."""


@dataclass(frozen=True)
class FixedToken:
    """A source that knows one token and can't renew it."""

    token: Token

    def get(self) -> Token:
        return self.token

    def renew(self, failed: Token) -> Token:
        return self.token
