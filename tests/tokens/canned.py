"""Sign-ins without an org: a process whose sign-ins end as the test says."""

from __future__ import annotations

from typing import Any

from sf_integration.models import SigningKey
from sf_integration.salesforce.errors import SalesforceError
from sf_integration.salesforce.oauth import Token
from sf_integration.salesforce.secret import Secret
from sf_integration.salesforce.signin import Outcome, SignIn
from sf_integration.tokens.process import Process


class Canned(Process):
    def __init__(self, *ends: Token | SalesforceError | Outcome) -> None:
        super().__init__()
        self.ends = list(ends)
        self.requests: list[SignIn] = []

    def private_key(self, signing_key: SigningKey) -> Any:
        return f"private half of {signing_key.name}"

    def sign_in(self, request: SignIn, signed: Secret | None = None) -> Outcome:
        self.requests.append(request)
        end = self.ends.pop(0)
        return end if isinstance(end, Outcome) else outcome(end)


def outcome(end: Token | SalesforceError, **facts: Any) -> Outcome:
    token, error = (end, None) if isinstance(end, Token) else (None, end)
    return Outcome(token, error, seconds=2.5, **facts)
