"""One whole sign-in: sign, POST, read. Plain values in, plain values out, so that any thread can run it."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from . import assertion, oauth
from .assertion import Claims
from .errors import SalesforceError
from .http import Answer, Http, excerpt, mask
from .oauth import Token
from .secret import Secret

CALL_SECONDS = 10.0
"""Most that one sign-in may take, the second POST included."""
_REPEAT_AFTER_SECONDS = 1.0
CORRECTED_SKEW_SECONDS = 120.0
"""From here on times are told by the host's clock: an assertion lives 180 s, so a clock this far off is near a refusal."""
# Salesforce asks for a repeat, or the request never reached it. After a time-out or a refused connection the second
# try would only double the load on a host in trouble.
_REPEATABLE = {"unknown_error", "connection_stale"}


@dataclass(frozen=True)
class SignIn:
    login_url: str
    audience: str
    consumer_key: str
    username: str
    key: RSAPrivateKey = field(repr=False)
    session: dt.timedelta = oauth.DEFAULT_SESSION
    clock_skew_seconds: float = 0.0
    """How far our clock was ahead of the host's at its last answer."""

    def claims(self, now: float) -> Claims:
        """`now` is by our clock, seconds since 1970."""
        return assertion.claims(
            consumer_key=self.consumer_key,
            username=self.username,
            audience=self.audience,
            now=now - corrected_skew(self.clock_skew_seconds),
        )


@dataclass(frozen=True)
class Outcome:
    """What came of a sign-in: a token or an error, never both."""

    token: Token | None
    error: SalesforceError | None
    seconds: float
    clock_skew_seconds: float | None = None
    """How far our clock is ahead of the login host's; None when it sent no date."""
    answer: Answer | None = field(default=None, repr=False)

    def require(self) -> Token:
        """The token; raises the error when there is none."""
        if self.token is None:
            raise self.error or SalesforceError("The sign-in came to nothing.")
        return self.token


def sign(request: SignIn) -> Secret:
    """The assertion for a sign-in at this moment."""
    return assertion.sign(request.claims(time.time()), request.key)


def run(request: SignIn, http: Http, signed: Secret | None = None) -> Outcome:
    """Sign in once. Every SalesforceError comes back in the outcome; only bugs are raised.

    `signed`: the assertion, where it was made a moment ago; else it is made now.
    """
    started = time.monotonic()
    outcome = _attempt(request, signed or sign(request), http, started)
    left = CALL_SECONDS - (time.monotonic() - started)
    if outcome.error is not None and outcome.error.code in _REPEATABLE and left > 2 * _REPEAT_AFTER_SECONDS:
        time.sleep(_REPEAT_AFTER_SECONDS)
        outcome = _attempt(request, sign(request), http, started)
    return outcome


def describe(request: SignIn, outcome: Outcome) -> dict[str, object]:
    """What was sent and what came back, for a person who looks for a fault. No assertion, and the token as its length."""
    claims = request.claims(time.time() - outcome.seconds)
    answer: object = None
    if outcome.answer is not None:
        answer = _harmless(outcome.answer)
    return {
        "endpoint": oauth.token_url(request.login_url),
        "header": {"alg": "RS256", "typ": "JWT"},
        "claims": claims.as_json(),
        "status": outcome.answer.status if outcome.answer else None,
        "answer": answer,
        "milliseconds": round(outcome.seconds * 1000),
        "clock_skew_seconds": outcome.clock_skew_seconds,
    }


def _harmless(answer: Answer) -> object:
    try:
        data = answer.json()
    except SalesforceError:
        return excerpt(answer.body)
    if not isinstance(data, dict):
        return excerpt(answer.body)
    return {
        mask(name): mask(text) if name in _SHOWN else f"({len(text)} characters)"
        for name, text in ((name, str(value)) for name, value in data.items())
    }


_SHOWN = {
    "error",
    "error_description",
    "id",
    "instance_url",
    "issued_at",
    "scope",
    "token_format",
    "token_type",
}


def corrected_skew(seconds: float | None) -> float:
    """The skew as far as it is allowed for: what is small may be the way of the answer, and does no harm."""
    return seconds if seconds is not None and abs(seconds) >= CORRECTED_SKEW_SECONDS else 0.0


def organization_id(token: Token) -> str:
    """18-character id of the org that a token belongs to, from its identity URL; empty when that is of another form."""
    parts = urlsplit(token.identity_url).path.strip("/").split("/")
    return parts[1] if len(parts) == 3 and parts[0] == "id" else ""


def _attempt(request: SignIn, signed: Secret, http: Http, started: float) -> Outcome:
    now = time.time()
    answer: Answer | None = None
    skew: float | None = None
    token: Token | None = None
    error: SalesforceError | None = None
    try:
        answer = oauth.post_assertion(
            signed,
            token_url=oauth.token_url(request.login_url),
            timeout_seconds=max(CALL_SECONDS - (time.monotonic() - started), 0.1),
            http=http,
        )
        skew = answer.clock_skew_seconds(time.time())
        token = oauth.read_token(
            answer,
            now=dt.datetime.fromtimestamp(now, dt.UTC),
            session=request.session,
            clock_skew=dt.timedelta(seconds=corrected_skew(skew)),
        )
    except SalesforceError as exc:
        error = exc
    return Outcome(
        token=token,
        error=error,
        seconds=time.monotonic() - started,
        clock_skew_seconds=skew,
        answer=answer,
    )
