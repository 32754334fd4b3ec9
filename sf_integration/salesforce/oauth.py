"""The OAuth endpoints: token, identity, userinfo, revoke.

Source: RFC 7523 section 2.1; Salesforce Help, "OAuth 2.0 JWT Bearer Flow for Server-to-Server Integration",
"Identity URLs", "Revoke OAuth Tokens".
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import jwt

from . import diagnosis
from .answers import json_of, raise_for_error
from .errors import ApiError, AuthenticationError, LoginUnavailable, RetryableError, TransportError
from .http import SMALL_ANSWER_MAX_BYTES, Answer, BearerAuth, Http, as_told, is_web_address, mask
from .secret import Secret

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_PATH = "/services/oauth2/token"  # noqa: S105 - an address
DEFAULT_SESSION = dt.timedelta(hours=2)
NO_SKEW = dt.timedelta(0)
_LONGEST_URL = 255
_LONGEST_ID = 18
_LONGEST_SCOPES = 1000
_LONGEST_SESSION = dt.timedelta(hours=25)
_RETRY_AFTER_RATE_SECONDS = 900.0


@dataclass(frozen=True)
class Token:
    value: str = field(repr=False)
    """The bearer. Opaque: its form and length differ between orgs."""
    instance_url: str
    """Base of all API calls, no trailing slash."""
    issued_at: dt.datetime
    expected_expiry: dt.datetime
    """An estimate for opaque tokens: the answer has no `expires_in`, and use prolongs a session."""
    identity_url: str = ""
    scopes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", Secret(self.value))

    @classmethod
    def from_json(
        cls,
        data: object,
        *,
        now: dt.datetime,
        session: dt.timedelta = DEFAULT_SESSION,
        clock_skew: dt.timedelta = NO_SKEW,
    ) -> Token:
        """Read a token answer. Raises TransportError when it has no access token or no instance URL.

        `now` and the token's times are by our clock, which is ahead of the org's by `clock_skew`.
        """
        if not isinstance(data, dict):
            raise _malformed("it is no JSON object")
        value, instance_url = data.get("access_token"), data.get("instance_url")
        if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
            raise _malformed("it has no usable access_token")
        if not isinstance(instance_url, str) or not is_web_address(instance_url):
            raise _malformed("it has no usable instance_url")
        identity_url = str(data.get("id") or "")
        if max(len(instance_url), len(identity_url)) > _LONGEST_URL:
            raise _malformed("its addresses are too long")
        end = jwt_expiry(value, now - clock_skew)
        return cls(
            value=value,
            instance_url=instance_url.rstrip("/"),
            issued_at=now,
            expected_expiry=end + clock_skew if end else now + session,
            identity_url=identity_url if is_web_address(identity_url) else "",
            scopes=tuple(
                scope
                for scope in str(data.get("scope") or "")[:_LONGEST_SCOPES].split()
                if scope.isprintable()
            ),
        )


@dataclass(frozen=True)
class Identity:
    user_id: str
    organization_id: str
    username: str
    display_name: str = ""
    email: str = ""
    user_type: str = ""
    timezone: str = ""
    language: str = ""
    locale: str = ""
    active: bool | None = None
    """None when the org did not say."""
    my_domain: str = ""
    """The org's own My Domain URL, without a trailing slash; empty when the org did not say."""

    @classmethod
    def from_json(cls, data: object) -> Identity:
        """Read an identity or a userinfo answer; the two name some fields differently."""
        if not isinstance(data, dict):
            raise _malformed("it is no JSON object")
        username = data.get("username") or data.get("preferred_username")
        if not (data.get("user_id") and data.get("organization_id") and username):
            raise _malformed("user_id, organization_id or username is missing")
        text = {key: as_told(value) for key, value in data.items() if isinstance(value, str)}
        return cls(
            user_id=as_told(data["user_id"])[:_LONGEST_ID],
            organization_id=as_told(data["organization_id"])[:_LONGEST_ID],
            username=as_told(username),
            display_name=text.get("display_name") or text.get("name", ""),
            email=text.get("email", ""),
            user_type=text.get("user_type", ""),
            timezone=text.get("timezone") or text.get("zoneinfo", ""),
            language=text.get("language", ""),
            locale=text.get("locale", ""),
            active=data["active"] if isinstance(data.get("active"), bool) else None,
            my_domain=_my_domain(data.get("urls")),
        )


def token_url(login_url: str) -> str:
    return login_url.rstrip("/") + TOKEN_PATH


def exchange(
    assertion: str,
    *,
    token_url: str,
    timeout_seconds: float = 10.0,
    session: dt.timedelta = DEFAULT_SESSION,
    http: Http | None = None,
) -> Token:
    """Trade a signed assertion for an access token. One POST, never repeated.

    `session` is how long the org lets a session live; it decides `expected_expiry` of opaque tokens.
    Raises AuthenticationError when the org refuses, LoginUnavailable when it asks to wait, TransportError when there
    is no usable answer.
    """
    answer = post_assertion(assertion, token_url=token_url, timeout_seconds=timeout_seconds, http=http)
    return read_token(answer, now=dt.datetime.now(dt.UTC), session=session)


def post_assertion(
    assertion: str, *, token_url: str, timeout_seconds: float = 10.0, http: Http | None = None
) -> Answer:
    """The POST of `exchange` alone. Raises TransportError when there is no answer at all."""
    with _pools(http) as pools:
        return pools.post_form(
            token_url, {"grant_type": GRANT_TYPE, "assertion": assertion}, timeout_seconds=timeout_seconds
        )


def read_token(
    answer: Answer,
    *,
    now: dt.datetime,
    session: dt.timedelta = DEFAULT_SESSION,
    clock_skew: dt.timedelta = NO_SKEW,
) -> Token:
    """The token in the answer to `post_assertion`, or the error it stands for; see `exchange` and `Token.from_json`."""
    data = answer.json()
    if isinstance(data, dict) and isinstance(data.get("access_token"), str):
        data["access_token"] = Secret(data["access_token"])
    if answer.status == 200:
        return Token.from_json(data, now=now, session=session, clock_skew=clock_skew)
    raise refusal(answer.status, data)


def refusal(status: int, data: object) -> AuthenticationError | RetryableError:
    """The exception for an error answer of the token endpoint."""
    fields: Mapping[str, Any] = data if isinstance(data, dict) else {}
    error = mask(str(fields.get("error") or f"http_{status}"))[:80]
    description = mask(str(fields.get("error_description") or ""))[:400]
    found = diagnosis.explain(error, description)
    said = f"{error}: {description}" if description else error
    if found.kind == "rate":
        sentence = f"Salesforce refused the sign-in ({said}). {found.cause} {found.remedy}"
        return _unavailable(sentence, error, description, retry_after=_RETRY_AFTER_RATE_SECONDS)
    if status == 429 or status >= 500 or found.kind == "passing":
        sentence = f"Salesforce could not sign us in at the moment ({said})."
        return _unavailable(sentence, error, description, retry_after=5.0)
    return AuthenticationError(
        found.cause,
        error=error,
        description=description,
        status_code=status,
        remedy=found.remedy,
        who=found.who,
    )


def _unavailable(sentence: str, error: str, description: str, *, retry_after: float) -> LoginUnavailable:
    unavailable = LoginUnavailable(sentence, code=error, retry_after=retry_after)
    unavailable.description = description
    return unavailable


def identity(token: Token, *, timeout_seconds: float = 10.0, http: Http | None = None) -> Identity:
    """Who the token belongs to, from its identity URL, asked at the instance host: the bearer goes nowhere else.

    Raises ApiError (SessionExpired for a dead token) or TransportError.
    """
    path = urlsplit(token.identity_url).path
    if not path.startswith("/id/"):
        return userinfo(token, timeout_seconds=timeout_seconds, http=http)
    return _who(token, f"{path}?version=latest", timeout_seconds, http)


def userinfo(token: Token, *, timeout_seconds: float = 10.0, http: Http | None = None) -> Identity:
    """As `identity`, from the OpenID endpoint; some orgs want the scope `openid` for it."""
    return _who(token, "/services/oauth2/userinfo", timeout_seconds, http)


def revoke(token: Token, *, timeout_seconds: float = 10.0, http: Http | None = None) -> None:
    """End the session. A token that is dead already counts as done.

    Raises TransportError when the host gave no answer, ApiError when it refused for another reason.
    """
    with _pools(http) as pools:
        answer = pools.post_form(
            f"{token.instance_url}/services/oauth2/revoke",
            {"token": token.value},
            timeout_seconds=timeout_seconds,
        )
    # The error body may be JSON or form-urlencoded; both hold the one word that matters.
    if answer.status >= 400 and b"invalid_token" not in answer.body:
        raise ApiError("the token was not revoked", status_code=answer.status, error_code="revoke_failed")


def is_jwt(value: str) -> bool:
    """Whether an access token has the JWT format, whose expiry no use prolongs."""
    return value.startswith("eyJ") and value.count(".") == 2


def jwt_expiry(value: str, now: dt.datetime) -> dt.datetime | None:
    """The `exp` of a JWT-format access token, as a hint; None for opaque tokens and for times that can't be right.

    By the org's clock, as is `now`.

    The signature is not looked at: the token is Salesforce's to judge, and it came over TLS.
    """
    if not is_jwt(value):
        return None
    try:
        claims = jwt.decode(value, options={"verify_signature": False, "verify_exp": False})
        expiry = dt.datetime.fromtimestamp(float(claims["exp"]), dt.UTC)
    except (
        jwt.InvalidTokenError,
        LookupError,
        TypeError,
        ValueError,
        ArithmeticError,
        OSError,
        RecursionError,
    ):
        return None
    return expiry if now < expiry <= now + _LONGEST_SESSION else None


def _who(token: Token, path: str, timeout_seconds: float, http: Http | None) -> Identity:
    with _pools(http) as pools:
        response = pools.request(
            "GET",
            token.instance_url + path,
            auth=BearerAuth(token.value, token.instance_url),
            headers={"Accept": "application/json"},
            timeout_seconds=timeout_seconds,
            max_bytes=SMALL_ANSWER_MAX_BYTES,
        )
    raise_for_error(response)
    return Identity.from_json(json_of(response))


@contextmanager
def _pools(http: Http | None) -> Iterator[Http]:
    """The caller's pools, or some for a single call."""
    if http is not None:
        yield http
        return
    own = Http()
    try:
        yield own
    finally:
        own.close()


def _my_domain(urls: object) -> str:
    url = urls.get("custom_domain") if isinstance(urls, dict) else None
    return (
        url.rstrip("/") if isinstance(url, str) and is_web_address(url) and len(url) <= _LONGEST_URL else ""
    )


def _malformed(why: str) -> TransportError:
    return TransportError(
        f"The host answered, but not as Salesforce does: {why}. Check the login URL.", code="malformed_answer"
    )
