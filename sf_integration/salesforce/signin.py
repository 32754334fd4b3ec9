"""One whole sign-in: sign, POST, read. Plain values in, plain values out, so that any thread can run it."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from . import assertion, diagnosis, oauth, origin
from .assertion import Claims, Key
from .errors import (
    ApiError,
    ApiUnavailable,
    AuthenticationError,
    LoginUnavailable,
    RetryableError,
    SalesforceError,
)
from .http import Answer, Http
from .oauth import Token
from .secret import Secret

CALL_SECONDS = 10.0
"""Most that one sign-in may take, the second POST included."""
_REPEAT_AFTER_SECONDS = 1.0
_REVOKE_SECONDS = 2.0
_SPARE_NEEDS_SECONDS = 1.0
CORRECTED_SKEW_SECONDS = 120.0
"""From here on times are told by the host's clock: an assertion lives 180 s, so a clock this far off is near a refusal."""
# Salesforce asks for a repeat, or the request never reached it. After a time-out or a refused connection the second
# try would only double the load on a host in trouble.
_REPEATABLE = {"unknown_error", "connection_stale"}


@dataclass(frozen=True)
class SpareKey:
    """Another signing key of the same app: the org knows one certificate at a time, and another one since a moment ago."""

    key: Key = field(repr=False)
    fingerprint: str
    """SHA-256 of the public key."""


@dataclass(frozen=True)
class SignIn:
    login_url: str
    audience: str
    consumer_key: str
    username: str
    key: Key = field(repr=False)
    key_fingerprint: str = ""
    """SHA-256 of the public key; empty where nobody asks for it."""
    spare: SpareKey | None = None
    """Tried when the org does not know the certificate of `key`."""
    session: dt.timedelta = oauth.DEFAULT_SESSION
    clock_skew_seconds: float = 0.0
    """How far our clock was ahead of the host's at its last answer."""
    expected_org_id: str = ""
    """The org that the token must be of; empty: any."""
    may_call: Callable[[str], bool] = field(default=lambda url: True, repr=False)
    """Whether the token may be sent to this instance URL, when the org has to be asked who it is."""

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
    organization_id: str = ""
    """Of the org that the token is of; looked for only when a certain one is expected, and empty when nothing tells it."""
    key_fingerprint: str = ""
    """Of the signing key that the answer is about: the spare one's if the org knew that."""
    assertion_length: int = 0
    """Characters; 0 when none was signed."""

    def require(self) -> Token:
        """The token; raises the error when there is none."""
        if self.token is None:
            raise self.error or SalesforceError("The sign-in came to nothing.")
        return self.token


def sign(request: SignIn, *, timeout_seconds: float = assertion.SIGNER_SECONDS) -> Secret:
    """The assertion for a sign-in at this moment; as `assertion.sign`."""
    return assertion.sign(request.claims(time.time()), request.key, timeout_seconds=timeout_seconds)


def run(request: SignIn, http: Http, signed: Secret | None = None) -> Outcome:
    """Sign in once. Every SalesforceError comes back in the outcome; only bugs are raised.

    `signed`: the assertion, where it was made a moment ago; else it is made now.
    """
    started = time.monotonic()
    outcome = _tried(request, signed, http, started)
    if request.spare is not None and refuses_signature(outcome.error):
        outcome = _with_spare(request, request.spare, outcome, http, started)
    if outcome.token is None or not request.expected_org_id:
        return outcome
    return replace(_with_org(request, outcome, http, started), seconds=time.monotonic() - started)


def refuses_signature(error: SalesforceError | None) -> bool:
    """Whether the org does not know the certificate of the key that signed."""
    return isinstance(error, AuthenticationError) and diagnosis.signature_was_refused(
        error.error, error.description
    )


def corrected_skew(seconds: float | None) -> float:
    """The skew as far as it is allowed for: what is small may be the way of the answer, and does no harm."""
    return seconds if seconds is not None and abs(seconds) >= CORRECTED_SKEW_SECONDS else 0.0


def _tried(request: SignIn, signed: Secret | None, http: Http, started: float) -> Outcome:
    """One attempt, and a second one where Salesforce asks for it or the first did not reach it."""
    outcome = _attempt(request, signed, http, started)
    left = CALL_SECONDS - (time.monotonic() - started)
    if outcome.error is not None and outcome.error.code in _REPEATABLE and left > 2 * _REPEAT_AFTER_SECONDS:
        time.sleep(_REPEAT_AFTER_SECONDS)
        outcome = _attempt(request, None, http, started)
    return outcome


def _with_spare(request: SignIn, spare: SpareKey, refused: Outcome, http: Http, started: float) -> Outcome:
    """What the spare key brings; `refused` where the org does not know that one either."""
    if CALL_SECONDS - (time.monotonic() - started) < _SPARE_NEEDS_SECONDS:
        return refused
    other = replace(request, key=spare.key, key_fingerprint=spare.fingerprint, spare=None)
    outcome = _tried(other, None, http, started)
    return refused if refuses_signature(outcome.error) else outcome


def _with_org(request: SignIn, outcome: Outcome, http: Http, started: float) -> Outcome:
    """The outcome with the org that the token is of. The session of another org, which nobody will use, is ended there."""
    token = outcome.require()
    if not request.may_call(token.instance_url):
        return outcome
    found, error = origin.told_by(token), None
    if not found:
        found, error = _asked(token, http, started)
    if not origin.same(found, request.expected_org_id):
        _end(token, http, started)
    if error is not None:
        return replace(outcome, token=None, error=error)
    return replace(outcome, organization_id=found)


def _asked(token: Token, http: Http, started: float) -> tuple[str, SalesforceError | None]:
    """What the org says, empty when it won't; or the passing trouble that kept it from saying."""
    try:
        return origin.ask(token, timeout_seconds=_left(started), http=http), None
    except ApiUnavailable as exc:
        sentence = f"The org could not say which one it is. {exc}"
        return "", LoginUnavailable(sentence, code=exc.code, retry_after=exc.retry_after)
    except RetryableError as exc:
        return "", exc
    except ApiError:
        return "", None


def _end(token: Token, http: Http, started: float) -> None:
    """End a session if that is quickly done: it also ends by itself."""
    try:
        oauth.revoke(token, timeout_seconds=min(_left(started), _REVOKE_SECONDS), http=http)
    except SalesforceError:
        return


def _left(started: float) -> float:
    return max(CALL_SECONDS - (time.monotonic() - started), 0.1)


def _attempt(request: SignIn, signed: Secret | None, http: Http, started: float) -> Outcome:
    """Signs where that was not done yet: somebody else may hold the key, so that it is a part of the call."""
    now = time.time()
    answer: Answer | None = None
    skew: float | None = None
    token: Token | None = None
    error: SalesforceError | None = None
    try:
        if signed is None:
            signed = sign(request, timeout_seconds=min(_left(started), assertion.SIGNER_SECONDS))
        answer = oauth.post_assertion(
            signed,
            token_url=oauth.token_url(request.login_url),
            timeout_seconds=_left(started),
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
        key_fingerprint=request.key_fingerprint,
        assertion_length=len(signed or ""),
    )
